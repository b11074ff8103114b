"""Replace what identifies people in records by surrogates: names, ids, phones, addresses, dates of birth, numbers.

python scripts/build_deidentify.py --data records.jsonl --out clean.jsonl
python scripts/build_deidentify.py --kind document --data notes/ --style placeholder --out clean.jsonl

Beside OUT stand OUT.report.json (counts) and OUT.records.jsonl (counts of each record that was changed). Nothing that
was found is printed or written, and no hash of it. The key of the surrogates is that of the environment
(ZJ_DEIDENTIFY_KEY), else it is drawn for the run and forgotten. What the rules cannot find: docs/data_room.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from zj.building.deidentify import Style, Surrogates, deidentify, key_of_run
from zj.building.report import StepReport, is_there, write_records
from zj.cli import run_command
from zj.data.files import find_files
from zj.data.readers import Kind, OnBadRow, read
from zj.data.records import Record
from zj.data.tables import KEYS
from zj.train import to_json, write_text


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
    records, skipped = read_quietly(config.data, config.kind, config.on_bad_row)
    report = StepReport("deidentify", asdict(config), read=len(records) + len(skipped), removed=len(skipped))
    for where in skipped:
        report.add("unreadable row", where)
    out = Path(config.out)
    changes: list[dict[str, Any]] = []
    write_records(out, replaced(records, surrogates, config.scope, report, changes), report)
    print(f"{report}\n{out}: done; {len(changes):,} records changed, listed in {records_file(out)}")


def records_file(out: Path) -> Path:
    """The counts of each record that was changed."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.records.jsonl")


def replaced(
    records: Sequence[Record], surrogates: Surrogates, scope: str, report: StepReport, changes: list[dict[str, Any]]
) -> Iterator[Record]:
    """The records with surrogates; what was counted is written when the last of them is out."""
    out = Path(str(report.settings["out"]))
    for number, record in enumerate(tqdm(records, unit=" records", disable=None, mininterval=1), 1):
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
            changes.append({"line": number, "where": record.where, "replaced": dict(sorted(counts.items()))})
        yield new
    write_text(records_file(out), (to_json(change) + "\n" for change in changes))


def read_quietly(paths: Sequence[str], kind: Kind, on_bad_row: OnBadRow) -> tuple[list[Any], list[str]]:
    """(records, "file:line" of each row that was left out). Errors do not show what a row holds."""
    files = find_files(paths)[0]  # its own errors name files alone
    try:
        records, report = read(paths, kind, on_bad_row)
    except ValueError as error:
        raise ValueError(f"{without_content(str(error), files)}; scripts/convert.py shows what is wrong") from None
    return records, [without_content(message, files, False) for message in report.skipped]


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
