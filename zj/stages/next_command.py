"""The command that a finished run advises, with the flags that its result needs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zj.cli import recipe_path
from zj.stages.config import StageConfig


def next_command(script: str, config: StageConfig, **flags: str | Path | Sequence[str]) -> str:
    """`python scripts/SCRIPT.py` with these flags, from the same directory as this run's own command.

    dtype and device stay. --base is not needed: a result names the base that was used by its absolute path. A stage
    takes its recipe from beside this run's.
    """
    here, recipe = Path(sys.argv[0]).parent, recipe_path(sys.argv[1:])
    words = ["python", str(here / f"{script}.py")]
    beside = Path(recipe).parent / f"{script.removeprefix('train_')}.toml" if recipe else Path()
    if script.startswith("train_") and beside.is_file():
        words += ["--config", str(beside)]
    if config.dtype != StageConfig.dtype:
        flags["dtype"] = config.dtype
    if config.device != StageConfig.device:
        flags["device"] = config.device
    for name, value in flags.items():
        values = [str(value)] if isinstance(value, str | Path) else value
        words += [f"--{name.replace('_', '-')}", *values]
    return shlex.join(words)
