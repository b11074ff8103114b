"""Files → records. The format is detected from the content; errors read `file:line: found …, expected …`.

    paths of --data → files (zj.data.files) → text (zj.data.text) → rows with line numbers (json_rows, tables)
    → records (zj.data.formats)

A file holds JSON lines (whatever its suffix), a JSON array, one JSON object of rows, a table with a header, or plain
text. It may be gzipped (or bz2, xz), start with a byte order mark, or have CRLF line ends.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from zj.data.fields import Notes
from zj.data.files import Paths, files_of, find_files, suffix
from zj.data.formats import to_records
from zj.data.json_rows import json_rows, parse_line
from zj.data.prompt_formats import marks_in
from zj.data.rankings import RankingToolInput, is_from_ranking_tool
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, Record
from zj.data.report import FileReport, Report
from zj.data.sizes import ROW_LIMIT, row_too_long
from zj.data.tables import Rows, delimiter_of, read_parquet, read_table, read_xlsx
from zj.data.text import read_bytes, read_text

__all__ = ["ROW_LIMIT", "Kind", "OnBadRow", "Repeats", "files_of", "read", "rows_of", "stream"]

Kind = Literal["document", "dialogue", "prompt", "ranking", "candidates"]
OnBadRow = Literal["stop", "skip"]
Repeats = Literal["once", "keep"]
R = TypeVar("R")
Read = tuple[list[R], Report]

# Marks of formats that give special tokens, or that other programs have: here they would be trained on as text.
OTHER_MARKS = re.compile(
    r"</?s>|<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text|start_header_id|end_header_id|user|assistant|system)\|>"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<eo[hmas]>|###\s*(?:Instruction|Response|Human|Assistant|回答)[:：]|<reserved_10\d>|\bASSISTANT:"
)
STREAMED = 32 << 20  # bytes of a file of JSON lines that `stream` reads line by line
JSON_START = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')


@overload
def read(
    paths: Paths,
    kind: Literal["document"],
    on_bad_row: OnBadRow = ...,
    repeats: Repeats = ...,
    ranking_tool_input: str = ...,
) -> Read[Document]: ...
@overload
def read(
    paths: Paths,
    kind: Literal["dialogue"],
    on_bad_row: OnBadRow = ...,
    repeats: Repeats = ...,
    ranking_tool_input: str = ...,
) -> Read[Dialogue]: ...
@overload
def read(
    paths: Paths,
    kind: Literal["prompt"],
    on_bad_row: OnBadRow = ...,
    repeats: Repeats = ...,
    ranking_tool_input: str = ...,
) -> Read[Prompt]: ...
@overload
def read(
    paths: Paths,
    kind: Literal["ranking"],
    on_bad_row: OnBadRow = ...,
    repeats: Repeats = ...,
    ranking_tool_input: str = ...,
) -> Read[Ranking]: ...
@overload
def read(
    paths: Paths,
    kind: Literal["candidates"],
    on_bad_row: OnBadRow = ...,
    repeats: Repeats = ...,
    ranking_tool_input: str = ...,
) -> Read[Candidates]: ...


def read(
    paths: Paths,
    kind: Kind,
    on_bad_row: OnBadRow = "stop",
    repeats: Repeats = "keep",
    ranking_tool_input: str = "",
) -> Read[Any]:
    """(records of the files in order, report of what was read, skipped and changed).

    A directory means the data files in it. `repeats` "once" keeps the first of records with the same content, whatever
    their ids. `ranking_tool_input` restores the order of the published ranking tool's tables. Raises ValueError for an
    unreadable file, for the first bad row unless `on_bad_row` is "skip", and if there is no record.
    """
    files, passed_over = find_files(paths)
    report = Report(kind, repeats, passed_over)
    tool = RankingToolInput(ranking_tool_input) if ranking_tool_input else None
    records: list[Record] = []
    seen: set[Hashable] = set()
    for path in files:
        rows, form = rows_of(path, kind)
        file = FileReport(path, form)
        report.files.append(file)
        for record in _records(rows, path, kind, on_bad_row, tool, file, report):
            again = (content := _content(record)) in seen
            file.repeats += again
            seen.add(content)
            if not again or repeats == "keep":
                records.append(record)
    if tool and not report.warnings:
        raise ValueError(f"--ranking-tool-input {ranking_tool_input}: found no table of the ranking tool to restore")
    if not records:
        skipped = report.skipped
        reason = f"all {len(skipped)} rows are bad, the first: {skipped[0]}" if skipped else "no rows"
        raise ValueError(f"--data {' '.join(map(str, files))}: found no {kind}, {reason}")
    report.records = len(records)
    for record in records:
        text = "\n".join(texts_of(record))
        if (":" in text or "：" in text) and (name := marks_in(text)):  # every mark has one; to look for it is quick
            report.marks[name] += 1
        if ("<" in text or "[" in text or "##" in text or "ASSISTANT:" in text) and (mark := OTHER_MARKS.search(text)):
            report.other_marks[mark.group()] += 1
    return records, report


def stream(paths: Paths, kind: Kind, report: Report, on_bad_row: OnBadRow = "stop") -> Iterator[Any]:
    """The records of the files in order, one after the other; what was read and skipped goes into `report`.

    A large file of JSON lines in UTF-8 is read line by line, any other as a whole. Raises ValueError as `read`.
    """
    for path in find_files(paths)[0]:
        rows, form = _lines_of(path) or rows_of(path, kind)
        report.files.append(file := FileReport(path, form))
        for record in _records(rows, path, kind, on_bad_row, None, file, report):
            report.records += 1
            yield record
    if not report.records:
        raise ValueError(f"--data: found no {kind}" + (f", the first: {report.skipped[0]}" if report.skipped else ""))


def read_any(path: Path, on_bad_row: OnBadRow = "stop") -> Read[Any]:
    """`read` of one file of any kind: the first of all rows, else that of the first row.

    A file whose first row is bad for all kinds is, with "skip", of the kind of most rows. Raises ValueError as `read`.
    """
    kinds: tuple[Kind, ...] = ("dialogue", "ranking", "document")
    errors: dict[Kind, ValueError] = {}
    for kind in kinds:
        try:
            return read(path, kind)
        except ValueError as error:
            errors[kind] = error
    ends = {kind: re.match(rf"{re.escape(str(path))}:(\d+)", str(error)) for kind, error in errors.items()}
    lines = {kind: int(end[1]) if end else 0 for kind, end in ends.items()}
    farthest = max(kinds, key=lambda kind: (lines[kind], kind == "document"))
    if lines[farthest] > min(lines.values()):
        return read(path, farthest, on_bad_row)
    found: list[Read[Any]] = []
    for kind in kinds if on_bad_row == "skip" else ():
        with suppress(ValueError):
            found.append(read(path, kind, "skip"))
    if found:
        return max(found, key=lambda part: len(part[0]))
    with suppress(ValueError):  # a question in any form, which a row without its answers would pass for
        return read(path, "prompt", on_bad_row)
    raise errors["document"]


def _records(
    rows: Rows,
    path: Path,
    kind: Kind,
    on_bad_row: OnBadRow,
    tool: RankingToolInput | None,
    file: FileReport,
    report: Report,
) -> Iterator[Record]:
    """The records of a file's rows; rows and notes are counted."""
    previous_line, notes, name = 0, Notes(), str(path)
    for number, (line, row) in enumerate(rows, 1):
        row_note = f" (row {number})" if line == previous_line else ""  # several rows on one line
        previous_line = line
        file.rows += 1
        try:
            if isinstance(row, ValueError):
                raise row
            if kind == "ranking" and is_from_ranking_tool(row):
                if not file.from_tool:
                    file.from_tool = True
                    report.warnings.append(_about_tool(path, tool))
                row = tool.restore(row) if tool else row
            made = to_records(row, kind, f"{name}:{line}{row_note}", notes)
        except ValueError as error:
            message = f"{path}:{line}: {error}{row_note}"
            if on_bad_row == "stop":
                raise ValueError(message) from None
            report.skipped.append(message)
            notes = Notes()
        else:
            if notes:
                report.notes.update(notes)
                notes = Notes()
            yield from made


def _content(record: Record) -> Hashable:
    """What makes two records repeats of each other: all but ids, places and departments."""
    if isinstance(record, Document):
        return record.text
    if isinstance(record, Dialogue):
        return record.turns, record.system, record.trained, record.split_by
    if isinstance(record, Prompt):
        return record.user, record.history, record.system, record.split_by
    return _content(record.prompt), record.answers, record.ranks if isinstance(record, Ranking) else ()


def texts_of(record: Record, system: bool = True) -> list[str]:
    """All texts of a record, with or without its system text."""
    if isinstance(record, Document):
        return [record.text]
    if isinstance(record, Ranking | Candidates):
        return [*texts_of(record.prompt, system), *record.answers]
    turns = record.turns if isinstance(record, Dialogue) else record.history
    last = [record.user] if isinstance(record, Prompt) else []
    return [*([record.system] if system else []), *chain.from_iterable(turns), *last]


def _about_tool(path: Path, tool: RankingToolInput | None) -> str:
    told = f"{path}: a table of the published ranking tool, which stores 14 of 24 orders of four answers wrongly"
    if tool:
        return f"{told}; the true order is restored from {tool.file}"
    return f"{told}; --ranking-tool-input FILE, the tool's input, restores the true order"


# ---- one file


def _lines_of(path: Path) -> tuple[Rows, str] | None:
    """The rows of a large file of JSON lines, while it is read; None for any other file."""
    if path.suffix.lower() not in (".jsonl", ".ndjson") or path.stat().st_size < STREAMED:
        return None
    with open(path, "rb") as file:
        first = [file.readline() for _ in range(2)]
    return (_streamed(path), "") if all(line.startswith(b"{") for line in first) else None


def _streamed(path: Path) -> Rows:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}:{number}: byte {error.start}: expected UTF-8 (iconv converts it)") from None
            if text.strip():
                yield number, parse_line(text.rstrip("\r\n"))


def rows_of(path: Path, kind: Kind) -> tuple[Rows, str]:
    """(rows with their lines, what the file is unless it is JSON in UTF-8)."""
    data = read_bytes(path)
    if data.startswith(b"PAR1"):
        return read_parquet(data, path), "parquet"
    if data.startswith(b"PK\x03\x04") and b"xl/" in data:
        return read_xlsx(data, path), "xlsx"
    text, encoding = read_text(path, data)
    other = "" if encoding == "UTF-8" else encoding
    end = suffix(path)
    if end in (".json", ".jsonl", ".ndjson") or JSON_START.match(text):
        return json_rows(text, path), other
    if delimiter := delimiter_of(text, end):
        name = {",": "CSV", "\t": "TSV"}[delimiter] + (f", {other}" if other else "")
        return read_table(text, delimiter, path), name
    if kind == "document":
        return _paragraphs(text), "plain text" + (f", {other}" if other else "")
    raise ValueError(
        f"{path}:1: found plain text, expected rows of {kind.rstrip('s')}s (plain text can only be pre-trained on)"
    )


def _paragraphs(text: str) -> Rows:
    """Plain text: blank lines separate documents; without blank lines each line is a document."""
    blocks = re.finditer(r"\S.*(?:\n.*\S.*)*", text)
    if not re.search(r"\n[^\S\n]*\n", text.strip()):
        blocks = re.finditer(r"\S.*", text)
    line, scanned = 1, 0
    for block in blocks:
        line, scanned = line + text.count("\n", scanned, block.start()), block.start()
        paragraph = block.group()
        yield line, row_too_long(len(paragraph)) if len(paragraph) > ROW_LIMIT else {"text": paragraph}
