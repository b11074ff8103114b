"""Which records a run was not trained on, from its directory alone.

The side of a record is a hash of what it asks (`zj.data.batching.split`), so it needs no paths, line numbers or ids,
which differ once data are moved, converted or given in another order; and it is right for data the run has never seen.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zj.data.batching import is_validation, question
from zj.data.records import Document, Record
from zj.stages.identity import data_digest

R = TypeVar("R", bound=Record)
RECIPE = "config.toml"


def held_out_by(run: str | Path, records: Sequence[R], files: Sequence[str], flag: str = "--held-out-of") -> list[R]:
    """The records of the files that the run held out, or would have, had it read them; what that means is printed.

    ValueError if there are none, if the directory is not a run, or if it read other kinds of records.
    """
    if not (Path(run) / RECIPE).is_file():
        raise ValueError(f"{flag} {run}: no run of this project, {RECIPE} is missing there")
    read = _Read.of(run)
    if read.documents != isinstance(records[0], Document):
        kind = "document" if read.documents else "dialogue, prompt or ranking"
        raise ValueError(f"{flag} {run}: it read each {kind} as one record; read the files as --kind {kind}")
    if read.valid_data:
        names = " ".join(read.valid_data)
        raise ValueError(f"{flag} {run}: it validated on --valid-data {names}; give these as --data, without {flag}")
    chosen = [record for record in records if is_validation(question(record), read.fraction)]
    if not chosen:
        nothing = f"held out none of these {len(records):,} records (its --valid-fraction is {read.fraction:g})"
        raise ValueError(f"{flag} {run}: that run {nothing}")
    what = "were held out by" if read.contents == data_digest(files) else "are on the side that would be held out by"
    print(f"{len(chosen):,} of {len(records):,} records {what} {run}; the others are left out")
    return chosen


def about_training(run: str | Path, records: Sequence[Record], files: Sequence[str]) -> str:
    """How many of the records of the files the run may have been trained on; "" if it is none, or no run."""
    if not (Path(run) / RECIPE).is_file():
        return ""
    read = _Read.of(run)
    if read.documents != isinstance(records[0], Document):
        return ""
    same = read.contents == data_digest(files)
    if read.valid_data:
        return f"warning: {run} was trained on these data: their numbers say nothing about new ones" if same else ""
    trained = sum(not is_validation(question(record), read.fraction) for record in records)
    if not trained:
        return ""
    condition = "" if same else "if it was trained on these data, "
    return (
        f"warning: {trained:,} of {len(records):,} records were not held out by {run}: {condition}"
        f"their numbers say nothing about new ones (--held-out-of {run} leaves them out)"
    )


@dataclass(frozen=True)
class _Read:
    """What the directory of a run says of its data."""

    documents: bool  # whether it was pre-training
    fraction: float  # --valid-fraction
    valid_data: tuple[str, ...]
    contents: str  # digest of --data; "" of an old run

    @classmethod
    def of(cls, run: str | Path) -> _Read:
        file = Path(run) / RECIPE
        try:
            text = file.read_text(encoding="utf-8")
            values = tomllib.loads(text)
        except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
            raise ValueError(f"{file}: damaged ({error})") from None
        contents = re.search(r"^# contents of --data: (\S+)$", text, re.MULTILINE)
        fraction, valid_data = values.get("valid_fraction", 0.0), tuple(values.get("valid_data", ()))
        return cls(text.startswith("# pretrain\n"), fraction, valid_data, contents[1] if contents else "")
