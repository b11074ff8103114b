"""Replace what identifies people in records by surrogates: names, ids, phones, addresses, dates of birth, numbers.

python scripts/build_deidentify.py --data records.jsonl --out clean.jsonl
python scripts/build_deidentify.py --kind document --data notes/ --style placeholder --out clean.jsonl

Beside OUT stand OUT.report.json (counts) and OUT.records.jsonl (counts of each record that was changed). Nothing that
was found is printed or written, and no hash of it. The key of the surrogates is that of the environment
(ZJ_DEIDENTIFY_KEY), else it is drawn for the run and forgotten. What the rules cannot find: docs/data_room.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj.building.deidentify import Style, Surrogates, deidentify, key_of_run
from zj.building.progress import rows_of, shown
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.cli import run_command
from zj.data.files import find_files
from zj.data.readers import Kind, OnBadRow, stream
from zj.data.records import Record
from zj.data.report import Report
from zj.data.tables import KEYS
from zj.train import to_json


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    kind: Kind = "dialogue"  # type of record to read rows as
    out: str = ""  # file to write, one record a line; an existing file is kept
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    scope: Literal["record", "file"] = "record"  # within which a person keeps a surrogate: a record, or all of the run
    style: Style = "surrogate"  # what stands for an identifier: another of its form, or a placeholder such as [姓名1]


def main(config: Config) -> None:
    if is_there(config.out):
        return
    surrogates = Surrogates(key_of_run(), config.style)
    files, out = find_files(config.data)[0], Path(config.out)  # its own errors name files alone
    out.parent.mkdir(parents=True, exist_ok=True)
    reading, report, changes = Report(config.kind, "keep"), StepReport("deidentify", asdict(config)), Spool(out.parent)
    rows = without_texts(stream(config.data, config.kind, reading, config.on_bad_row), files)
    records = shown(counted(rows, files, reading, report), "deidentify", total=rows_of(config.data))
    write_records(out, replaced(records, surrogates, config.scope, report, changes), report, {"records": changes})
    print(f"{report}\n{out}: done; {report.changed:,} records changed, listed in {beside(out, 'records')}")


def replaced(
    records: Iterable[Record], surrogates: Surrogates, scope: str, report: StepReport, changes: Spool
) -> Iterator[Record]:
    """The records with surrogates, one after the other; `changes` has the counts of each that was changed."""
    for number, record in enumerate(records, 1):
        if scope == "record":
            surrogates.begin(str(number))
        try:
            new, counts = deidentify(record, surrogates)
        except Exception as error:  # its text, and that of its causes, may hold what was found
            raise RuntimeError(f"{record.where}: {type(error).__name__} in the rules") from None
        for kind, found in sorted(counts.items()):
            report.add(kind, record.where, number=found)
        if counts:
            report.changed += 1
            row = {"line": number, "where": record.where, "replaced": dict(sorted(counts.items()))}
            changes.append(to_json(row) + "\n")
        yield new


def counted(rows: Iterable[Record], files: Sequence[Path], reading: Report, report: StepReport) -> Iterator[Record]:
    """The records; what was read and left out is counted when the last of them is out."""
    yield from rows
    report.removed = len(reading.skipped)
    report.read = reading.records + report.removed
    for message in reading.skipped:
        report.add("unreadable row", without_content(message, files, False))


def without_texts(rows: Iterable[Record], files: Sequence[Path]) -> Iterator[Record]:
    """The records. An error of the readers does not show what a row holds."""
    try:
        yield from rows
    except ValueError as error:
        raise ValueError(f"{without_content(str(error), files)}; scripts/convert.py shows what is wrong") from None


def without_content(message: str, files: Sequence[Path], words: bool = True) -> str:
    """Of an error of the readers: file, line, and the name of the field if it is one that they know."""
    places = (re.search(rf"{re.escape(str(file))}:\d+(?=:)", message) for file in files)
    place = next((match[0] for match in places if match), None)
    if place is None:
        return next((f"{file}: cannot be read" for file in files if str(file) in message), "--data: cannot be read")
    field = re.search(r"found ([a-z_]+)\b", message)
    name = f" ({field[1]})" if field and field[1] in {*KEYS, "role", "roles", "responses", "ranks", "id"} else ""
    return f"{place}: the row cannot be read{name}" if words else place


if __name__ == "__main__":
    run_command(main, Config)
