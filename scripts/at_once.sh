# Sourced by shell scripts whose stages do not need each other: two run at a time, each on half of the cores.
#   at_once COMMAND ...   starts a function or program as soon as fewer than two run; its output goes into a log
#   all_done              waits for all; if one has failed, it ends the script
# A small model gains more by it than by threads: two fine-tunings of one thread each are 2.0 times as fast as one after the
# other, one of two threads is 1.65 times as fast (tiny, 2 cores).
# $logs: directory of the logs. An interrupted script interrupts what it has started and waits until it has saved.

started=()
exec 8>&1 # where at_once reports
slots="$(mktemp -d)"
mkfifo "$slots/free"
exec 9<>"$slots/free" # a pipe that holds a letter for each free place
rm -r "$slots"
printf '..' >&9
cores="$(getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > 1 ? cores / 2 : 1))}"

at_once() {
    local name="$1${2:+-$2}"
    local log="$logs/$name.log"
    mkdir -p "$logs"
    read -rn1 -u9
    echo "$name: started, $log"
    set -m # a process group of its own: an interrupt reaches it from all_interrupted alone, once
    (
        SECONDS=0
        trap 'exit 130' INT TERM
        trap 'report_end $?' EXIT
        "$@"
    ) >>"$log" 2>&1 &
    started+=($!)
    set +m
}
report_end() { # status; runs in the stage that ends
    case "$1" in
        0) echo "$name: done in $((SECONDS / 60)) min $((SECONDS % 60)) s" >&8 ;;
        130) echo "$name: interrupted; it goes on when the script is run again" >&8 ;;
        *) printf '%s: failed with status %s; the end of %s:\n%s\n' "$name" "$1" "$log" "$(tr '\r' '\n' <"$log" | tail -n 3)" >&8 ;;
    esac
    printf . >&9
}

all_done() {
    local pid failed=no
    for pid in "${started[@]}"; do
        wait "$pid" || failed=yes
    done
    started=()
    [ "$failed" = no ] || exit 1
}

all_interrupted() {
    local pid
    for pid in "${started[@]}"; do
        kill -TERM -- "-$pid" 2>/dev/null || true
    done
    wait
    exit 130
}
trap all_interrupted INT TERM
