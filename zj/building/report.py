"""What every step of data building shares: its output, whole or not there, and a report of one shape beside it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zj.cli import already_there
from zj.data.records import Record, as_json
from zj.train.files import to_json, write_text

SAMPLES = 5  # records that are named for a reason


@dataclass
class StepReport:
    """Counts of records. `reasons` says why records were removed or changed; `samples` names the first few of each."""

    step: str
    settings: Mapping[str, Any]
    read: int = 0
    written: int = 0
    removed: int = 0
    changed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)  # "file:line" or "file:line id"
    sha256: str = ""  # of the output

    def add(self, reason: str, where: str, id: str = "", number: int = 1) -> None:
        """Count `number` cases of a reason, in the record at `where` ("file:line"). An id that is given is written."""
        self.reasons[reason] += number
        samples = self.samples.setdefault(reason, [])
        if len(samples) < SAMPLES:
            samples.append(f"{where} {id}".strip())

    def __str__(self) -> str:
        """A short table: the counts, then the reasons, the most frequent first."""
        counts = ("read", "written", "removed", "changed")
        rows = [(name, getattr(self, name)) for name in counts] + self.reasons.most_common()
        width = max(len(name) for name, _ in rows)
        lines = [
            f"{'  ' if n >= len(counts) else ''}{name:<{width}} {number:>11,}" for n, (name, number) in enumerate(rows)
        ]
        return "\n".join([self.step, *lines])


def report_file(out: Path) -> Path:
    """The report of an output: clean.report.json beside clean.jsonl."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.report.json")


def is_there(out: str) -> bool:
    """Whether the output is there already, which is then said on the screen. ValueError names --out."""
    if not out:
        raise ValueError("--out is missing: the file to write")
    if Path(out).is_dir():
        raise ValueError(f"--out {out} is a directory, expected the name of a file")
    return already_there(Path(out), "write it")


def beside(out: Path, name: str) -> Path:
    """A further file of an output: clean.removed.jsonl beside clean.jsonl."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.{name}.jsonl")


def row_with(record: Record, **about: Any) -> str:
    """A record as a line of JSON that reads back as a record, with what is said of it beside."""
    return json.dumps(as_json(record) | about, ensure_ascii=False) + "\n"


def write_records(
    out: Path, records: Iterable[Record], report: StepReport, further: Mapping[str, Iterable[str]] | None = None
) -> None:
    """Write the records as JSON lines, one after the other, and then the report; counts `written`.

    The report is on the disk before the output gets its name: an output that is there has its report, and its `further`
    files by name (`beside`), whose lines are read when the last record has been written.
    """
    lines = (json.dumps(as_json(record), ensure_ascii=False) + "\n" for record in records)
    write_lines(out, lines, report, further)


def write_lines(
    out: Path, lines: Iterable[str], report: StepReport, further: Mapping[str, Iterable[str]] | None = None
) -> None:
    """As `write_records`, of records that are lines of JSON already."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, _counted(out, lines, report, further))


def _counted(
    out: Path, lines: Iterable[str], report: StepReport, further: Mapping[str, Iterable[str]] | None
) -> Iterator[str]:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
        report.written += 1
        yield line
    report.sha256 = digest.hexdigest()
    for name, rows in (further or {}).items():
        write_text(beside(out, name), rows)
    write_text(report_file(out), to_json(vars(report), indent=1) + "\n")
