"""Progress of a step on the terminal; nothing is shown where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from zj.data.files import files_of

T = TypeVar("T")


def shown(items: Iterable[T], what: str, unit: str = "record", total: int | None = None) -> Iterator[T]:
    """The items, with a bar; `total` gives the time left."""
    return iter(tqdm(items, what, total, unit=unit, mininterval=1, disable=None))


def rows_of(paths: tuple[str, ...]) -> int | None:
    """The number of rows of files of JSON lines, counted without reading them; None if another file is among them."""
    files = files_of(paths)
    if not all(file.suffix in (".jsonl", ".ndjson") for file in files):
        return None
    return sum(map(_lines, files))


def _lines(file: Path) -> int:
    with open(file, "rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
