"""Files → records. The format is detected from the content; errors read `file:line: found …, expected …`.

    files of --data → text (UTF-8, unpacked) → rows with line numbers → records (zj.data.formats)

A file holds JSON lines (whatever its suffix), a JSON array, one JSON object of rows keyed by id, a tab-separated table
with a header, or plain text. It may be gzipped, start with a byte order mark, or have CRLF line ends.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from zj.data.conversation import ANSWER_KEYS, QUESTION_KEYS
from zj.data.formats import to_record
from zj.data.records import Dialogue, Document, Prompt, Ranking, Record

Paths = str | Path | Iterable[str | Path]
Kind = Literal["document", "dialogue", "prompt", "ranking"]
OnBadRow = Literal["stop", "skip"]
R = TypeVar("R")
Read = tuple[list[R], list[str]]  # records, and a message for each row that was skipped

ROW_LIMIT = 10_000_000  # characters; a longer row means a malformed file
SUFFIXES = (".json", ".jsonl", ".txt", ".tsv")  # files read from a directory, also with .gz
TABLE_KEYS = {*QUESTION_KEYS, *ANSWER_KEYS, "text", "rank1", "chosen", "response_chosen"}
JSON_START = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')
SPACE = re.compile(r"[ \t\r\n]*")  # JSON's white space


@overload
def read(paths: Paths, kind: Literal["document"], on_bad_row: OnBadRow = ...) -> Read[Document]: ...
@overload
def read(paths: Paths, kind: Literal["dialogue"], on_bad_row: OnBadRow = ...) -> Read[Dialogue]: ...
@overload
def read(paths: Paths, kind: Literal["prompt"], on_bad_row: OnBadRow = ...) -> Read[Prompt]: ...
@overload
def read(paths: Paths, kind: Literal["ranking"], on_bad_row: OnBadRow = ...) -> Read[Ranking]: ...


def read(paths: Paths, kind: Kind, on_bad_row: OnBadRow = "stop") -> Read[Any]:
    """(records of the files in order, one message for each skipped row).

    A directory means the data files directly in it, sorted by name. Raises ValueError for an unreadable file, for the
    first bad row unless `on_bad_row` is "skip", and if there is no record.
    """
    files = files_of(paths)
    records: list[Record] = []
    skipped: list[str] = []
    for path in files:
        previous_line = 0
        for number, (line, row) in enumerate(_rows(path, kind), 1):
            row_note = f" (row {number})" if line == previous_line else ""  # a JSON array on one line
            previous_line = line
            try:
                if isinstance(row, ValueError):
                    raise row
                records.append(to_record(row, kind, f"{path}:{line}{row_note}"))
            except ValueError as error:
                message = f"{path}:{line}: {error}{row_note}"
                if on_bad_row == "stop":
                    raise ValueError(message) from None
                skipped.append(message)
    if not records:
        reason = f"all {len(skipped)} rows are bad, the first: {skipped[0]}" if skipped else "no rows"
        raise ValueError(f"--data {' '.join(map(str, files))}: found no {kind}, {reason}")
    return records, skipped


def files_of(paths: Paths) -> list[Path]:
    """The data files of these paths. Raises ValueError if there is none."""
    files: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if path.is_dir():
            data_files = sorted(p for p in path.iterdir() if p.is_file() and _suffix(p) in SUFFIXES)
            if not data_files:
                raise ValueError(f"--data {path}: found no {', '.join(SUFFIXES)} or .gz of these in the directory")
            files += data_files
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"--data {path}: no such file or directory")
    if not files:
        raise ValueError("--data: found no file, expected at least one")
    return files


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


# ---- file → text


def _read_text(path: Path) -> str:
    """The file as text. Raises ValueError unless it is UTF-8, gzipped or not."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--data {path}: cannot be read ({error.strerror})") from None
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: found a broken gzip file ({error})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start}: expected UTF-8 ({_guess_encoding(data)})") from None
    if "\0" in text:
        raise ValueError(f"{path}: byte {data.index(0)}: found binary data, expected UTF-8 text")
    if not text.strip():
        raise ValueError(f"{path}: found an empty file, expected rows")
    return text.replace("\r\n", "\n")


def _guess_encoding(data: bytes) -> str:
    """The likely encoding of bytes that are not UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\0" in data:
        return "found binary data"
    else:
        encoding = "gb18030"
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return "found bytes of no encoding known here"
    return f"found bytes that look like {encoding}: convert with iconv -f {encoding} -t utf-8"


# ---- text → rows


def _rows(path: Path, kind: Kind) -> Iterator[tuple[int, Any]]:
    """(line, row) for each row; in place of a row that cannot be parsed, a ValueError."""
    text = _read_text(path)
    if _suffix(path).startswith(".json") or JSON_START.match(text):
        rows = _json(text, path)
    elif _is_table(text):
        rows = _table(text, path)
    elif kind == "document":
        rows = _paragraphs(text)
    else:
        raise ValueError(
            f"{path}:1: found plain text, expected rows of {kind}s (plain text can only be pre-trained on)"
        )
    return rows


def _json(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if text.lstrip().startswith("["):
        return ((line, row) for line, _, row in _elements(text, path))
    if _parse_or_none(lines[0][1]) is None and not (len(lines) > 1 and lines[1][1].startswith("{")):
        one_object = text.lstrip().startswith("{")  # an object over many lines
    else:
        one_object = len(lines) == 1 and _is_keyed(_parse_or_none(lines[0][1]))
    return _object(text, path, lines[0][0]) if one_object else ((number, _parse_line(line)) for number, line in lines)


def _parse_or_none(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _parse_line(line: str) -> Any:
    """One line of JSON lines."""
    if len(line) > ROW_LIMIT:
        return _row_too_long(len(line))
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(f"found broken JSON ({error.msg} at column {error.colno}), expected one JSON object a line")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        return ValueError(f"found broken JSON ({error}), expected one JSON object a line")


def _object(text: str, path: Path, line: int) -> Iterator[tuple[int, Any]]:
    """A file with one JSON object: rows keyed by id, or a single row."""
    elements = list(_elements(text, path))
    if _is_keyed({key: value for _, key, value in elements}):
        return ((n, row if isinstance(row, ValueError) else {"id": key} | row) for n, key, row in elements)
    return iter([(line, {key: value for _, key, value in elements})])


def _is_keyed(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict | ValueError) for row in value.values())


def _elements(text: str, path: Path) -> Iterator[tuple[int, str, Any]]:
    """(line, key, value) of each element of the JSON array (key "") or object in `text`.

    Decoded element by element, because json.loads does not give the line of an element. After a syntax error the next
    element cannot be found, so the error is the file's and not a row's.
    """
    decode = json.JSONDecoder().raw_decode
    line, scanned, key = 1, 0, ""
    at = _skip_space(text, 0)
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
            yield line, key, _row_too_long(end - scanned) if end - scanned > ROW_LIMIT else value
            at = _skip_space(text, end)
            if text[at : at + 1] != ",":
                _expect(text, at, closing)
                break
        if _skip_space(text, at + 1) < len(text):
            raise json.JSONDecodeError("more text behind the end", text, _skip_space(text, at + 1))
    except json.JSONDecodeError as error:
        problem = (
            "found the end of the file" if error.pos >= len(text) else f"found broken JSON at column {error.colno}"
        )
        raise ValueError(f"{path}:{error.lineno}: {problem} ({error.msg}), expected a whole JSON file") from None
    except (ValueError, RecursionError) as error:  # as in _parse_line
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


def _is_table(text: str) -> bool:
    header = text.split("\n", 1)[0].split("\t")
    return len(header) > 1 and not TABLE_KEYS.isdisjoint(cell.strip().strip('"') for cell in header)


def _table(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Tab-separated rows under a header; quoted cells may hold tabs and line ends, as pandas writes them."""
    csv.field_size_limit(ROW_LIMIT)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    header, line = [cell.strip() for cell in next(rows)], 2
    try:
        for cells in rows:
            if len(cells) == len(header):
                yield line, dict(zip(header, cells, strict=True))
            elif cells:
                yield (
                    line,
                    ValueError(f"found {len(cells)} columns, expected {len(header)}: {' '.join(header)}"),
                )
            line = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: found a broken table ({error}), expected tab-separated columns") from None


def _paragraphs(text: str) -> Iterator[tuple[int, Any]]:
    """Plain text: blank lines separate documents; without blank lines each line is a document."""
    blocks = re.finditer(r"\S.*(?:\n.*\S.*)*", text)
    if not re.search(r"\n[^\S\n]*\n", text.strip()):
        blocks = re.finditer(r"\S.*", text)
    line, scanned = 1, 0
    for block in blocks:
        line, scanned = line + text.count("\n", scanned, block.start()), block.start()
        paragraph = block.group()
        yield line, _row_too_long(len(paragraph)) if len(paragraph) > ROW_LIMIT else {"text": paragraph}


def _row_too_long(length: int) -> ValueError:
    return ValueError(f"found a row of {length:,} characters, expected at most {ROW_LIMIT:,}")
