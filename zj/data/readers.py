"""Files → records. What a file is, is told by its content; what is wrong with it, by `file:line: found …, expected …`.

    files of --data → text (UTF-8, unpacked) → rows with their line numbers → records (zj.data.formats)

A container is one of: JSON lines (whatever the name says), a JSON array, one JSON object of rows keyed by id,
a table with tabs and a header, plain text; each may be gzipped, carry a byte order mark or end its lines with CRLF.
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
Found = tuple[list[R], list[str]]  # records, and a message for each row that was skipped

ROW_LIMIT = 10_000_000  # characters; a longer row is a file that was put together wrongly
SUFFIXES = (".json", ".jsonl", ".txt", ".tsv")  # what is taken from a directory, and the same with .gz
TABLE_KEYS = {*QUESTION_KEYS, *ANSWER_KEYS, "text", "rank1", "chosen", "response_chosen"}
FIRST_OF_JSON = re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\]])')
SPACE = re.compile(r"[ \t\r\n]*")  # what JSON calls white space


@overload
def read(paths: Paths, kind: Literal["document"], on_bad_row: OnBadRow = ...) -> Found[Document]: ...
@overload
def read(paths: Paths, kind: Literal["dialogue"], on_bad_row: OnBadRow = ...) -> Found[Dialogue]: ...
@overload
def read(paths: Paths, kind: Literal["prompt"], on_bad_row: OnBadRow = ...) -> Found[Prompt]: ...
@overload
def read(paths: Paths, kind: Literal["ranking"], on_bad_row: OnBadRow = ...) -> Found[Ranking]: ...


def read(paths: Paths, kind: Kind, on_bad_row: OnBadRow = "stop") -> Found[Any]:
    """All records of the files, in their order, and one message for each row that was skipped.

    A directory stands for the data files in it (not below it), sorted by name.
    Raises ValueError for a file that cannot be read at all, for the first bad row unless `on_bad_row` is "skip",
    and when no record is left.
    """
    files = files_of(paths)
    records: list[Record] = []
    skipped: list[str] = []
    for path in files:
        before = 0
        for number, (line, row) in enumerate(_rows(path, kind), 1):
            which = f" (row {number})" if line == before else ""  # in an array that is all on one line
            before = line
            try:
                if isinstance(row, ValueError):
                    raise row
                records.append(to_record(row, kind, f"{path}:{line}{which}"))
            except ValueError as error:
                message = f"{path}:{line}: {error}{which}"
                if on_bad_row == "stop":
                    raise ValueError(message) from None
                skipped.append(message)
    if not records:
        reason = f"all {len(skipped)} rows are bad, the first: {skipped[0]}" if skipped else "no rows"
        raise ValueError(f"--data {' '.join(map(str, files))}: found no {kind}, {reason}")
    return records, skipped


def files_of(paths: Paths) -> list[Path]:
    """The files that are read for these paths. ValueError where there is none."""
    found: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and _suffix(p) in SUFFIXES)
            if not inside:
                raise ValueError(f"--data {path}: found no {', '.join(SUFFIXES)} or .gz of these in the directory")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"--data {path}: no such file or directory")
    if not found:
        raise ValueError("--data: found no file, expected at least one")
    return found


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


# ---- file → text


def _read_text(path: Path) -> str:
    """The file as text. Raises ValueError for anything but (gzipped) UTF-8."""
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
        raise ValueError(f"{path}: byte {error.start}: expected UTF-8 ({_guess(data)})") from None
    if "\0" in text:
        raise ValueError(f"{path}: byte {data.index(0)}: found binary data, expected UTF-8 text")
    if not text.strip():
        raise ValueError(f"{path}: found an empty file, expected rows")
    return text.replace("\r\n", "\n")


def _guess(data: bytes) -> str:
    """What bytes that are not UTF-8 may be."""
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
    """(line, row) for each row; a row that could not be taken apart is a ValueError in its place."""
    text = _read_text(path)
    if _suffix(path).startswith(".json") or FIRST_OF_JSON.match(text):
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
    if _decoded(lines[0][1]) is None and not (len(lines) > 1 and lines[1][1].startswith("{")):
        whole = text.lstrip().startswith("{")  # an object over many lines
    else:
        whole = len(lines) == 1 and _is_keyed(_decoded(lines[0][1]))
    return _object(text, path, lines[0][0]) if whole else ((number, _line(line)) for number, line in lines)


def _decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _line(line: str) -> Any:
    """One line of JSON lines."""
    if len(line) > ROW_LIMIT:
        return _too_long(len(line))
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(f"found broken JSON ({error.msg} at column {error.colno}), expected one JSON object a line")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
        return ValueError(f"found broken JSON ({error}), expected one JSON object a line")


def _object(text: str, path: Path, line: int) -> Iterator[tuple[int, Any]]:
    """A file that is one object: rows keyed by their id, or a single row."""
    found = list(_elements(text, path))
    if _is_keyed({key: value for _, key, value in found}):
        return ((n, row if isinstance(row, ValueError) else {"id": key} | row) for n, key, row in found)
    return iter([(line, {key: value for _, key, value in found})])


def _is_keyed(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict | ValueError) for row in value.values())


def _elements(text: str, path: Path) -> Iterator[tuple[int, str, Any]]:
    """(line, key, value) of each element of the array (key "") or object that `text` is.

    Element by element, because json.loads would not tell on which line an element starts. A broken array cannot be
    taken up again after the fault, so that it is an error of the file and not of a row.
    """
    decode = json.JSONDecoder().raw_decode
    line, counted, key = 1, 0, ""
    at = _next(text, 0)
    closing = "]" if text[at] == "[" else "}"
    try:
        while True:
            at = _next(text, at + 1)  # behind "[" or ","
            if text[at : at + 1] == closing:
                break
            line, counted = line + text.count("\n", counted, at), at
            if closing == "}":
                key, at = decode(text, at)
                at = _next(text, _next_is(text, at, ":"))
            value, end = decode(text, at)
            yield line, key, _too_long(end - counted) if end - counted > ROW_LIMIT else value
            at = _next(text, end)
            if text[at : at + 1] != ",":
                _next_is(text, at, closing)
                break
        if _next(text, at + 1) < len(text):
            raise json.JSONDecodeError("more text behind the end", text, _next(text, at + 1))
    except json.JSONDecodeError as error:
        what = "found the end of the file" if error.pos >= len(text) else f"found broken JSON at column {error.colno}"
        raise ValueError(f"{path}:{error.lineno}: {what} ({error.msg}), expected a whole JSON file") from None
    except (ValueError, RecursionError) as error:  # as in _line
        raise ValueError(f"{path}:{line}: found broken JSON ({error}), expected a whole JSON file") from None


def _next(text: str, at: int) -> int:
    """Where the next character that is not white space stands."""
    found = SPACE.match(text, at)
    return found.end() if found else at


def _next_is(text: str, at: int, mark: str) -> int:
    """One past `mark`, which has to come next."""
    at = _next(text, at)
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
    """Plain text: a document ends at a blank line; in a file without blank lines every line is one."""
    blocks = re.finditer(r"\S.*(?:\n.*\S.*)*", text)
    if not re.search(r"\n[^\S\n]*\n", text.strip()):
        blocks = re.finditer(r"\S.*", text)
    line, counted = 1, 0
    for block in blocks:
        line, counted = line + text.count("\n", counted, block.start()), block.start()
        found = block.group()
        yield line, _too_long(len(found)) if len(found) > ROW_LIMIT else {"text": found}


def _too_long(length: int) -> ValueError:
    return ValueError(f"found a row of {length:,} characters, expected at most {ROW_LIMIT:,}")
