# Sourced by the shell scripts: make .venv once and install the project into it; say prints a heading.
#   environment EXTRAS       e.g. environment "" or environment "[test,dev]"
# PYTHON chooses the interpreter (default python3, 3.11 or newer).

say() { printf '\n== %s\n' "$*"; }

environment() {
    local python="${PYTHON:-python3}" extras="$1"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "$0: error: $python is older than Python 3.11; set PYTHON to a newer one" >&2
        exit 2
    }
    local wanted stamp=".venv/installed$extras"
    wanted="$(cksum pyproject.toml constraints.txt)"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "installing into .venv (once; a minute or two) ..."
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        # torch by its exact version first: a range would let pip choose another build
        .venv/bin/python -m pip install -q --disable-pip-version-check "$(grep '^torch==' constraints.txt)"
        .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".$extras"
        echo "$wanted" >"$stamp"
    fi
    export PATH="$PWD/.venv/bin:$PATH"
}
