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
python -m pytest "$@"
