"""Tables → rows: CSV, tab-separated text, parquet, Excel. Each has a header; a row is its cells by column."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zj.data.conversation import ANSWER_KEYS, MESSAGE_KEYS, QUESTION_KEYS
from zj.data.fields import UNNAMED, preview
from zj.data.rankings import PAIR_KEYS
from zj.data.sizes import ROW_LIMIT, check_unpacked, is_too_much, row_too_long, unzipped

KEYS = {*QUESTION_KEYS, *ANSWER_KEYS, *MESSAGE_KEYS, "text", "rank1", *(key for pair in PAIR_KEYS for key in pair)}
PARQUET_ROWS = 1024  # that are unpacked at a time
LEAST = 64  # bytes that a row of a parquet file counts with at least; eight cells of a sheet, empty ones too
NAME = re.compile(r"[\w.:()-]{0,40}")  # of a column; a sentence with commas has blanks
Rows = Iterator[tuple[int, Any]]  # (line, row, or in its place the ValueError of a row that cannot be parsed)


def delimiter_of(text: str, suffix: str) -> str:
    """The mark between the columns of a table; "" for a text that is no table."""
    if suffix == ".tsv":
        return "\t"
    for mark in ("\t", ","):
        header = [name.strip().lower() for name in _cells(text.lstrip("\n").split("\n", 1)[0], mark)]
        if len(header) > 1 and not KEYS.isdisjoint(header) and (mark == "\t" or all(map(NAME.fullmatch, header))):
            return mark
    return "," if suffix == ".csv" else ""


class Header:
    """The columns of a table; makes rows of cells. ValueError for a name that stands twice."""

    def __init__(self, names: Sequence[Any], path: Path):
        self.names = ["" if name is None else str(name).strip() for name in names]
        for name in self.names:
            if name and self.names.count(name) > 1:
                raise ValueError(f"{path}:1: found two columns {_shown(name)}, expected different ones")
        self._unnamed = [n for n, name in enumerate(self.names) if UNNAMED.fullmatch(name.lower())]
        self._last: dict[int, int] = {}  # what stood last in a column without a name

    def row(self, cells: Sequence[Any]) -> dict[str, Any] | ValueError:
        """A row's cells by column. An error for the header once more, and for a text that no column names."""
        if len(cells) != len(self.names):
            columns = " ".join(map(_shown, self.names))
            return ValueError(f"found {len(cells)} columns, expected {len(self.names)}: {columns}")
        if [str(cell).strip("\ufeff ") for cell in cells] == self.names:
            return ValueError("found the header once more, expected a row")
        if (length := sum(len(cell) for cell in cells if isinstance(cell, str))) > ROW_LIMIT:
            return row_too_long(length)
        row = dict(zip(self.names, cells, strict=True))
        for n in self._unnamed:
            value = str("" if cells[n] is None else cells[n]).strip()
            row.pop(self.names[n], None)
            if not value:
                continue
            if not value.isdecimal() or int(value) <= self._last.get(n, -1):
                place = f"in column {n + 1}, which has no name"
                return ValueError(f"found {preview(value)} {place}, expected a name, or the numbers of the rows")
            self._last[n] = int(value)
            row[f"column {n + 1} without a name"] = value
        return row


def _shown(name: str) -> str:
    return name if name.isprintable() else preview(name).strip('"')


def read_table(text: str, delimiter: str, path: Path) -> Rows:
    """Rows under the header, with their lines.

    A quote is a quote only around a whole cell, and doubled inside (RFC 4180); elsewhere it is a character. A quoted
    cell may hold delimiters and line ends. In tab-separated text, where most quotes are characters, lines that are
    whole rows by themselves stay rows. In a table of one column a quote at the beginning of a line opens a cell.
    """
    header = Header(_cells(text.lstrip("\n").split("\n", 1)[0], delimiter), path)
    at = text.index("\n", len(text) - len(text.lstrip("\n"))) + 1 if "\n" in text.strip("\n") else len(text)
    line = text.count("\n", 0, at) + 1
    while at < len(text):
        cells, end = _row(text, at, delimiter, len(header.names))
        if any(cell.strip() for cell in cells):
            yield line, header.row(cells)
        line, at = line + text.count("\n", at, end + 1), end + 1


def _row(text: str, at: int, delimiter: str, columns: int) -> tuple[list[str], int]:
    """(cells of the row that begins at this place, the place where it ends)."""
    cells, end = _parse(text, at, delimiter)
    if "\n" not in text[at:end] or len(cells) == columns == 1:
        return cells, end
    lines = [_cells(line, delimiter) for line in text[at:end].split("\n")]
    rows_alone = delimiter == "\t" and '""' not in text[at:end] and all(len(line) == columns for line in lines)
    if len(cells) != columns or rows_alone:
        return lines[0], text.index("\n", at)
    return cells, end


def _parse(text: str, at: int, delimiter: str) -> tuple[list[str], int]:
    """The cells from a place up to the end of their line, the quotes around whole cells taken off; the end."""
    cells: list[str] = []
    while True:
        match = CELL[delimiter].match(text, at)
        assert match is not None  # an empty cell matches
        quoted = match[1]
        cells.append(match[2] if quoted is None else quoted.replace('""', '"'))
        if text[match.end() : match.end() + 1] != delimiter:
            return cells, match.end()
        at = match.end() + 1


def _cells(line: str, delimiter: str) -> list[str]:
    return _parse(line, 0, delimiter)[0]


# A quoted cell up to a delimiter or a line end, else everything up to these.
CELL = {mark: re.compile(rf'"((?:[^"]|"")*+)"(?={mark}|\n|\Z)|([^{mark}\n]*)') for mark in ("\t", ",")}


# ---- files of other programs


def read_parquet(data: bytes, path: Path) -> Rows:
    """Rows of a parquet file; its "line" is the number of the row."""
    parquet = _library("pyarrow.parquet", path)
    rows: list[Any] = []
    size = 0
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        stated = sum(file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups))
        if not is_too_much(stated, len(data)):
            for batch in file.iter_batches(PARQUET_ROWS):  # a text that is stored once may be that of all rows
                size += batch.nbytes + LEAST * batch.num_rows
                if is_too_much(size, len(data)):
                    break
                rows += batch.to_pylist()
    except Exception as error:  # pyarrow has errors of its own
        raise ValueError(f"{path}: found a broken parquet file ({_first_line(error)})") from None
    check_unpacked(path, max(stated, size), len(data))
    return enumerate(rows, 1)


def read_xlsx(data: bytes, path: Path) -> Rows:
    """Rows of an Excel workbook with one sheet that holds something; the first line is the header."""
    openpyxl = _library("openpyxl", path)
    check_unpacked(path, unzipped(data), len(data))
    sheets: dict[str, list[list[Any]]] = {}
    size = 0
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            rows = sheets[sheet.title] = []
            for row in sheet.iter_rows(values_only=True):
                size += len(row) * LEAST // 8
                if is_too_much(size, len(data)):  # a cell far to the right stands for all that are left of it
                    break
                rows.append(list(row))
    except Exception as error:  # those of zipfile and of an XML parser too
        raise ValueError(f"{path}: found a broken xlsx file ({_first_line(error)})") from None
    check_unpacked(path, size, len(data))
    filled = {title: rows for title, rows in sheets.items() if any(cell is not None for row in rows for cell in row)}
    if len(filled) != 1:
        raise ValueError(f"{path}: found {len(filled)} sheets with rows ({', '.join(filled)}), expected one")
    ((names, *body),) = filled.values()
    header = Header(names, path)
    return (
        (line, header.row([_cell_text(cell) for cell in row]))
        for line, row in enumerate(body, 2)
        if any(cell is not None for cell in row)
    )


def _cell_text(cell: Any) -> str | None:
    return cell if cell is None or isinstance(cell, str) else str(cell)


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        kind, package = path.suffix.lstrip(".") or name, name.partition(".")[0]
        raise ValueError(f"{path}: {kind} files need {package}: pip install 'zj[data]'") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
