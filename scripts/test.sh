#!/usr/bin/env bash
# Everything that must hold before a change is kept: lint, types, tests. From a bare checkout, it sets itself up.
#   bash scripts/test.sh [pytest arguments]      e.g. bash scripts/test.sh -m slow
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
environment "[test,dev]"

ruff check .
ruff format --check .
mypy
# Two files at a time, each on one core, in the order of the folders: a file's fixtures are made once. `-n 0`: one by one.
OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
