"""A table of results: text on the terminal, JSON in a report, HTML on a page; the same strings in all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any


@dataclass(frozen=True)
class Table:
    """The first column is text, the others are numbers as they are shown, with their intervals."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: str = ""  # what the numbers are, by which convention

    def __str__(self) -> str:
        above = [self.title] if self.title else []
        return "\n".join([*above, align_columns([self.head, *self.rows]), *([self.about] if self.about else [])])


def as_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """For the field `tables` of a JSON report."""
    return [asdict(table) for table in tables]


def tables_of(report: Mapping[str, Any]) -> list[Table]:
    """The tables of a JSON report. ValueError if it has none, or if they are no tables."""
    try:
        tables = [
            Table(row["title"], tuple(row["head"]), tuple(map(tuple, row["rows"])), row["about"])
            for row in report["tables"]
        ]
        texts: list[Any] = [text for one in tables for text in (one.title, one.about, *one.head, *chain(*one.rows))]
    except (KeyError, TypeError):
        texts = [None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("found no tables, expected a report of judge.py, evaluate.py or ai_feedback.py")
    return tables


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text: the first column left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
