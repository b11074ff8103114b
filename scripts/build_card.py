"""Write the card of a data set: one page that shows what it holds and what each step of its building removed.

python scripts/build_card.py --data clean.jsonl --reports clean.report.json --out card.html

The page has no script, and nothing in it comes from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zj.building.card import page
from zj.building.progress import rows_of, shown
from zj.building.report import is_there
from zj.building.summary import summarise
from zj.cli import run_command
from zj.data.files import files_of
from zj.data.readers import read_any, stream
from zj.data.records import Record
from zj.data.report import Report
from zj.train.files import write_text

CardKind = Literal["any", "document", "dialogue", "prompt", "ranking", "candidates"]
COUNTS = ("read", "written", "removed", "changed")


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    kind: CardKind = "any"  # type of record to read rows as; any: each file as its rows are
    reports: tuple[str, ...] = ()  # reports of the steps that made the data (NAME.report.json), in their order
    title: str = "Data set"  # heading of the page
    out: str = ""  # HTML file to write; an existing file is kept
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out = Path(config.out)
    reports = [read_report(Path(file)) for file in config.reports]
    files = files_of(config.data)
    kinds = summarise(shown(records(files, config), "count", total=rows_of(config.data)))
    by_digest = {report["sha256"]: report["step"] for report in reports}
    digests = {str(file): digest(file) for file in files} if reports else {}
    made = {file: by_digest[found] for file, found in digests.items() if found in by_digest}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page(config.title, kinds, reports, made))
    total = sum(summary.records for summary in kinds.values())
    print(f"{out}: {total:,} records of {len(kinds)} kinds, {len(reports)} steps")


def records(files: list[Path], config: Config) -> Iterator[tuple[str, Record]]:
    """Each record with its file. With a kind, large files are not held in memory."""
    for file in files:
        if config.kind == "any":
            yield from ((str(file), record) for record in read_any(file, config.on_bad_row)[0])
        else:
            reading = Report(config.kind, "keep")
            yield from ((str(file), record) for record in stream(file, config.kind, reading, config.on_bad_row))


def digest(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_report(file: Path) -> dict[str, Any]:
    """The report of a step. ValueError names --reports for any other file."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        whole = all(isinstance(report[name], int) for name in COUNTS) and isinstance(report["sha256"], str)
        if not whole or not all(isinstance(report[name], dict) for name in ("reasons", "samples", "settings")):
            raise ValueError("found other types")
        return report | {"step": str(report["step"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--reports {file}: expected the report of a step ({error})") from None


if __name__ == "__main__":
    run_command(main, Config)
