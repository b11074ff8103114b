"""JSON text → rows with their lines: JSON lines, an array, one object of rows in any of its layouts.

{"id": {…}, …}                 rows by id, or by column (pandas' default: {"question": {"0": "…"}, …})
{"data": [{…}, …]}             rows under a key (also train, rows, …)
{"question": ["…"], …}         a table by columns
{"columns": […], "data": [[…], …]}    pandas' "split"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from zj.data.conversation import MESSAGE_KEYS
from zj.data.fields import TRAINED, is_empty, means_something, preview
from zj.data.files import suffix
from zj.data.messages import CONTENT_KEYS, ROLE_KEYS
from zj.data.sizes import ROW_LIMIT, check_whole_object, row_too_long
from zj.data.tables import KEYS, Header, Rows

ROW_KEYS = ("data", "rows", "train", "test", "validation", "valid", "dev", "examples", "items", "samples", "records")
MESSAGE_FIELDS = {*ROLE_KEYS, *CONTENT_KEYS, *TRAINED, "name", "tool_calls"}
MOST_MESSAGES = 100_000  # of a conversation
SPACE = re.compile(r"[ \t\r\n]*")  # JSON's white space


def json_rows(text: str, path: Path) -> Rows:
    """(line, row) for each row; in place of a row that cannot be parsed, a ValueError."""
    lines, start = _lines(text), text.lstrip()[:1]
    (number, line), second = next(lines), next(lines, None)
    if start == "[" and (second is None or not isinstance(_parse_row(line), list)):
        return _array(text, path)
    if start == "{" and (second is None or not second[1].startswith("{")):
        check_whole_object(path, number, len(text if second else line))
        if second is None:  # an object, unless the line is one row of JSON lines
            one_object = suffix(path) not in (".jsonl", ".ndjson") or _is_keyed(row := _parse(line)) or row is None
        else:  # an object over many lines
            one_object = _parse_row(line) is None
        if one_object:
            return _object(text, path, number)
    return ((number, parse_line(line)) for number, line in _lines(text))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not blank."""
    number = at = 0
    while at <= len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line, number, at = text[at:end], number + 1, end + 1
        if line.strip():
            yield number, line


class _Decoder(json.JSONDecoder):
    """Remembers a key that stands twice in an object with two values: json would keep the last one."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object)
        self._twice: str | None = None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            self._twice = next((key for key, value in pairs if row[key] != value == value), self._twice)
        return row

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        self._twice = None
        return super().raw_decode(s, idx)

    def checked(self, row: Any) -> Any:
        """The row that was decoded last, or the ValueError in its place."""
        if self._twice is None:
            return row
        return ValueError(f"found {preview(self._twice)} twice in an object, with two values, expected one")


DECODER = _Decoder()


def _parse_row(line: str) -> Any:
    """A row; None for what is none or too long."""
    return _parse(line) if len(line) <= ROW_LIMIT else None


def _parse(line: str) -> Any:
    """None for broken JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def parse_line(line: str) -> Any:
    """One line of JSON lines."""
    if len(line) > ROW_LIMIT:
        return row_too_long(len(line))
    try:
        if line.startswith("\ufeff"):
            raise json.JSONDecodeError("a byte order mark", line, 0)
        return DECODER.checked(DECODER.decode(line))
    except json.JSONDecodeError as error:
        return ValueError(f"found broken JSON ({error.msg} at column {error.colno}), expected one JSON object a line")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        return ValueError(f"found broken JSON ({error}), expected one JSON object a line")


def _array(text: str, path: Path) -> Rows:
    """The elements of an array; an array of messages is one conversation."""
    elements = ((line, row) for line, _, row, _ in _elements(text, path))
    messages: list[tuple[int, Any]] = []
    for line, row in elements:
        messages.append((line, row))
        if not (isinstance(row, dict) and _is_message(row)) or len(messages) > MOST_MESSAGES:
            return chain(messages, elements)
    return iter([(messages[0][0], [row for _, row in messages])] if messages else [])


def _is_message(row: dict) -> bool:
    """Whether the object is a message and no row of a table, which would say of which conversation."""
    return ({"role", "content"} <= set(row) or {"from", "value"} <= set(row)) and set(row) <= MESSAGE_FIELDS


def _object(text: str, path: Path, line: int) -> Rows:
    """A file with one JSON object: rows in one of its layouts, or a single row."""
    elements = list(_elements(text, path))
    whole = {key: value for _, key, value, _ in elements}
    keyed = _is_keyed(whole)
    if len(whole) < len(elements) and not keyed:
        twice = next(key for n, (_, key, _, _) in enumerate(elements) if key in [e[1] for e in elements[:n]])
        raise ValueError(f"{path}:{line}: found {preview(twice)} twice in an object, expected it once")
    if isinstance(whole.get("columns"), list) and _is_list(whole.get("data"), list):
        _check_beside_rows(whole, ["data"], path, line)
        header = Header(whole["columns"], path)
        return ((line, header.row(values)) for values in whole["data"])
    if keyed:
        if not KEYS.isdisjoint(whole) and len({tuple(column) for column in whole.values()}) == 1:
            return _by_column({name: list(column.values()) for name, column in whole.items()}, line)
        return ((n, row if isinstance(row, ValueError) else {"id": key} | row) for n, key, row, _ in elements)
    under = [(key, start) for _, key, value, start in elements if key in ROW_KEYS and _is_list(value, dict)]
    if under and not any(_is_message(row) for key, _ in under for row in whole[key]):
        _check_beside_rows(whole, [key for key, _ in under], path, line)
        return ((n, _unwrapped(row)) for n, _, row, _ in _elements(text, path, under[0][1]))
    if _is_table_by_columns(whole):
        return _by_column(whole, line)
    return iter([(line, whole)])


def _check_beside_rows(whole: dict[str, Any], under: list[str], path: Path, line: int) -> None:
    """ValueError for more rows under another key, and for a key beside the rows that means something."""
    if len(under) > 1:
        raise ValueError(f"{path}:{line}: found rows under {' and '.join(under)}, expected a file for each of them")
    of_rows = {key for row in whole[under[0]][:1] if isinstance(row, dict) for key in row}
    for key, value in whole.items():
        more = _is_list(value, dict) and any(not of_rows.isdisjoint(row) for row in value)
        beside = key not in (*under, "columns", "description") and not is_empty(value)
        if beside and (more or means_something(key.lower(), "dialogue")):
            found = f"found {preview(key)} = {preview(value)} beside the rows under {under[0]}"
            raise ValueError(f"{path}:{line}: {found}, expected it in each row, or rows alone")


def _is_keyed(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict | ValueError) for row in value.values())


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _unwrapped(row: Any) -> Any:
    """A hub's page of rows puts each under "row"."""
    if not (isinstance(row, dict) and row.keys() >= {"row_idx", "row"} and isinstance(row["row"], dict)):
        return row
    return row["row"] | ({"truncated_cells": row["truncated_cells"]} if row.get("truncated_cells") else {})


def _is_table_by_columns(whole: dict[str, Any]) -> bool:
    """Whether the object's values are columns: lists of one length, of texts, or of lists of messages."""
    columns = list(whole.values())
    if not all(isinstance(column, list) for column in columns) or KEYS.isdisjoint(whole):
        return False
    talks = [cell for key in MESSAGE_KEYS for cell in whole.get(key, ())]
    alike = len({len(column) for column in columns}) == 1
    return alike and all(_is_list(talk, dict) for talk in talks) and not any(_is_list(c, dict) for c in columns)


def _by_column(columns: dict[str, list[Any]], line: int) -> Rows:
    return ((line, dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _elements(text: str, path: Path, start: int = 0) -> Iterator[tuple[int, str, Any, int]]:
    """(line, key, value, where the value begins) of each element of the JSON array (key "") or object at `start`.

    Decoded element by element, because json.loads does not give the line of an element. After a syntax error the next
    element cannot be found, so the error is the file's and not a row's.
    """
    decode = DECODER.raw_decode
    at = _skip_space(text, start)
    line, scanned, key = text.count("\n", 0, at) + 1, at, ""
    closing = "]" if text[at] == "[" else "}"
    try:
        while True:
            at = _skip_space(text, at + 1)  # behind "[" or ","
            if text[at : at + 1] == closing:
                break
            line, scanned = line + text.count("\n", scanned, at), at
            if closing == "}":
                key, at = decode(text, at)
                at = _skip_space(text, _expect(text, at, ":"))
            value, end = decode(text, at)
            yield line, key, row_too_long(end - scanned) if end - scanned > ROW_LIMIT else DECODER.checked(value), at
            at = _skip_space(text, end)
            if text[at : at + 1] != ",":
                _expect(text, at, closing)
                break
        if not start and _skip_space(text, at + 1) < len(text):
            raise json.JSONDecodeError("more text behind the end", text, _skip_space(text, at + 1))
    except json.JSONDecodeError as error:
        problem = (
            "found the end of the file" if error.pos >= len(text) else f"found broken JSON at column {error.colno}"
        )
        raise ValueError(f"{path}:{error.lineno}: {problem} ({error.msg}), expected a whole JSON file") from None
    except (ValueError, RecursionError) as error:  # as in parse_line
        raise ValueError(f"{path}:{line}: found broken JSON ({error}), expected a whole JSON file") from None


def _skip_space(text: str, at: int) -> int:
    """Index of the next character that is not white space."""
    match = SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, mark: str) -> int:
    """Index behind `mark`, which must be the next character."""
    at = _skip_space(text, at)
    if text[at : at + 1] != mark:
        raise json.JSONDecodeError(f"no {mark!r} here", text, at)
    return at + 1
