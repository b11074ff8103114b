# Sourced by shell scripts whose stages do not need each other: two run at a time, each on half of the cores.
#   at_once COMMAND ...   starts a function or program as soon as fewer than two run; its output goes into a log of $logs
#   all_done              waits for all; if one has failed, it ends the script
# A small model gains more by it than by threads: two fine-tunings of one thread each are 2.0 times as fast as one after the
# other, one of two threads is 1.65 times as fast (tiny, 2 cores).
# A script that ends early, for whatever reason, interrupts what it has started and waits until it has saved.

unset TMOUT # a limit for every read
cores="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > 1 ? cores / 2 : 1))}"
export PYTHONUNBUFFERED=1 # or an error would stand before what was printed first

started=()
exec 8>&1 # where the ends of stages are reported
places="$(mktemp -d)"
mkfifo "$places/free"
exec 9<>"$places/free" # a pipe that holds a letter for each free place
rm -r "$places"
printf '..' >&9

at_once() {
    local name="$1${2:+-$2}"
    name="${name//\//-}"
    local log="$logs/$name.log"
    mkdir -p "$logs"
    : >>"$log"
    read -rn1 -u9
    echo "$name: started, $log"
    set -m # a process group of its own: an interrupt reaches it from interrupt_all alone, once
    (
        SECONDS=0
        trap 'exit 130' INT TERM
        trap "report_end \$? ${name@Q} ${log@Q}" EXIT
        "$@"
    ) </dev/null >>"$log" 2>&1 &
    started+=($!)
    set +m
}
report_end() { # status, name, log; runs in the stage that ends
    printf . >&9
    case "$1" in
        0) echo "$2: done in $((SECONDS / 60)) min $((SECONDS % 60)) s" ;;
        130) echo "$2: interrupted; it goes on when the script is run again" ;;
        *) printf '%s: failed with status %s; the end of %s:\n%s\n' "$2" "$1" "$3" "$(tr '\r' '\n' <"$3" | tail -n 3)" ;;
    esac >&8
}

all_done() {
    local pid failed=no
    for pid in "${started[@]}"; do
        wait "$pid" || failed=yes
    done
    started=()
    [ "$failed" = no ] || exit 1
}

interrupt_all() {
    local pid
    trap '' INT TERM HUP PIPE
    for pid in $(jobs -p); do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    wait
}
trap interrupt_all EXIT
trap 'exit 130' INT TERM HUP PIPE
