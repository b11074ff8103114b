"""Files that survive: whole or not there after a kill or a power loss, JSON without NaN, errors that name the file."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError


def write_text(file: Path, text: str | Iterable[str]) -> None:
    """Replace a file atomically by a text, or by its parts one after the other.

    No reader sees a half-written file, and none comes back after a power loss.
    """
    draft = file.with_name(f".tmp-{file.name}")
    with naming(file):
        with open(draft, "w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
        sync(draft)
        os.replace(draft, file)
        sync(file.parent)


def swap_in(draft: Path, folder: Path) -> None:
    """Put a finished directory in the place of an older one: its files first reach the disk, then its name.

    A process that ends in between leaves one of the two whole; `finish_swap` puts it in place.
    """
    sync_tree(draft)
    if folder.exists():
        shutil.rmtree(_aside(folder), ignore_errors=True)
        os.rename(folder, _aside(folder))
    os.rename(draft, folder)
    sync(folder.parent)
    shutil.rmtree(_aside(folder), ignore_errors=True)  # a network disk keeps files that are still open


def finish_swap(folder: Path) -> None:
    """Put the old directory back if a process ended between the two renames of `swap_in`."""
    if not folder.exists() and _aside(folder).exists():
        os.rename(_aside(folder), folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".tmp-{folder.name}-old")


def sync_tree(folder: Path) -> None:
    """fsync everything below a directory, then the directory itself."""
    for path in sorted(folder.iterdir()):
        sync_tree(path) if path.is_dir() else sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the operating system below name `path`: a write to a full disk does not say which file it was."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    except SafetensorError as error:  # the system's error is in its text only
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    except RuntimeError as error:
        cause = error.__context__  # torch.save hides the system's error
        if not isinstance(cause, OSError):
            raise
        cause.filename = cause.filename or str(path)
        raise cause from None


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: a number that is not finite becomes null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def json_rows(file: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines of a JSON-lines file of a run and their objects, each with a step; an incomplete last line is left out.

    ValueError names file:line of anything else.
    """
    rows = []
    for number, line in enumerate(whole_lines(file), 1):
        try:
            row = json.loads(line)
            row["step"] + 0
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{file}:{number}: damaged, expected an object with a step; remove the line") from None
        rows.append((line, row))
    return rows


def whole_lines(file: Path) -> list[bytes]:
    """The complete lines of a file: a last line without its line end is left out.

    As bytes: a text may contain other line separators (U+2028), and a line may be cut off within a character.
    """
    return file.read_bytes().split(b"\n")[:-1]
