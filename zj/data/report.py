"""What was read: files, rows, repeats, changes, ignored fields. Every run prints it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zj.data.fields import Notes

SHOWN = 10  # files, and other names, that are listed one by one


@dataclass
class FileReport:
    """One data file."""

    path: Path
    form: str  # "" for JSON in UTF-8, else what it is, e.g. "CSV, GB18030"
    rows: int = 0
    repeats: int = 0
    from_tool: bool = False  # whether the published ranking tool wrote it

    def __str__(self) -> str:
        form = f" ({self.form})" if self.form else ""
        repeats = f", {self.repeats:,} of them repeats" if self.repeats else ""
        return f"{self.path}{form}: {count(self.rows, 'row')}{repeats}"


@dataclass
class Report:
    """All files of one reading."""

    kind: str
    repeats: str  # "once" or "keep": what became of the repeats
    passed_over: list[Path] = field(default_factory=list)
    files: list[FileReport] = field(default_factory=list)
    records: int = 0
    skipped: list[str] = field(default_factory=list)  # a message for each row
    notes: Notes = field(default_factory=Notes)
    marks: Counter[str] = field(default_factory=Counter)  # records whose text carries marks, by template
    other_marks: Counter[str] = field(default_factory=Counter)  # records by the first foreign mark in their text
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The report, some lines: one for a file, one for everything, one for each kind of change."""
        repeats, rows = (sum(getattr(file, name) for file in self.files) for name in ("repeats", "rows"))
        lines = [str(file) for file in self.files[:SHOWN]]
        if len(self.files) > SHOWN:
            rest = sum(file.rows for file in self.files[SHOWN:])
            lines.append(f"… and {len(self.files) - SHOWN:,} more files: {count(rest, 'row')}")
        lines += [f"passed over: {_listed([str(path) for path in self.passed_over])}"] if self.passed_over else []
        lines += self.warnings
        lines += [f"{what}: {number:,}" for what, number in self.notes.changes.items()]
        if self.notes.ignored:
            ignored = [f"{name} ({number:,})" for name, number in self.notes.ignored.items()]
            lines.append(f"ignored fields: {_listed(ignored)}")
        for template, number in self.marks.items():
            carry = "record carries" if number == 1 else "records carry"
            lines.append(f"{number:,} {carry} marks of the template {template} in their text, and get them once more")
        if self.other_marks:
            marks = _listed([f"{mark} ({number:,})" for mark, number in self.other_marks.items()])
            lines.append(f"records with marks of other templates, trained on as text: {marks}")
        lines += [f"skipped {message}" for message in self.skipped[:5]]
        parts = (
            f"{count(self.records, 'item' if self.kind == 'candidates' else self.kind)} read of {count(rows, 'row')}",
            f"{count(len(self.skipped), 'row')} skipped",
            f"{count(repeats, 'repeat')} {'left out' if self.repeats == 'once' else 'kept'}",
        )
        return "\n".join([*lines, ", ".join(parts)])


def too_long(number: int, total: int, what: str, max_tokens: int | None) -> str:
    """A further line, a warning, if a tenth or more of the records do not fit; else ""."""
    if not number or number * 10 < total:
        return ""
    return f"\nwarning: {number:,} of {total:,} {what} are too long for --max-tokens {max_tokens}, left out"


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
