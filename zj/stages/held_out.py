"""Which records a run was not trained on, from its directory alone.

The side of a record is a hash of what it asks (`zj.data.batching.split`), so it needs no paths, line numbers or ids,
which differ once data are moved, converted or given in another order; and it is right for data the run has never seen.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from zj.data.batching import is_validation, question
from zj.data.records import Record
from zj.stages.identity import data_digest

R = TypeVar("R", bound=Record)
RECIPE = "config.toml"


def held_out_by(run: str | Path, records: Sequence[R], flag: str = "--held-out-of") -> list[R]:
    """The records that the run held out. ValueError if there are none, or if the directory is not a run."""
    values = _recipe(Path(run), flag)
    fraction = values.get("valid_fraction", 0.0)
    chosen = [record for record in records if is_validation(question(record), fraction)]
    if not chosen:
        nothing = f"held out none of these {len(records):,} records (its --valid-fraction is {fraction:g})"
        raise ValueError(f"{flag} {run}: that run {nothing}")
    return chosen


def about_training(run: str | Path, records: Sequence[Record], files: Sequence[str]) -> str:
    """How many of the records of the files the run may have been trained on; "" if it is none, or no run."""
    file = Path(run) / RECIPE
    if not file.is_file() or (values := _values(file)).get("valid_data"):
        return ""
    trained = sum(not is_validation(question(record), values.get("valid_fraction", 0.0)) for record in records)
    if not trained:
        return ""
    contents = re.search(r"^# contents of --data: (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    condition = "" if contents and contents[1] == data_digest(files) else "if it was trained on these data, "
    return (
        f"warning: {trained:,} of {len(records):,} records were not held out by {run}: {condition}"
        f"their numbers say nothing about new ones (--held-out-of {run} leaves them out)"
    )


def _recipe(run: Path, flag: str) -> dict[str, Any]:
    if not (run / RECIPE).is_file():
        raise ValueError(f"{flag} {run}: no run of this project, {RECIPE} is missing there")
    values = _values(run / RECIPE)
    if values.get("valid_data"):
        raise ValueError(f"{flag} {run}: it held out what its --valid-data ask; score those: {values['valid_data']}")
    return values


def _values(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise ValueError(f"{file}: damaged ({error})") from None
