"""Bounds of what a file of data may hold: a few packed megabytes can stand for more than a machine has of memory.

No honest file meets them. Text is packed to a fifth, text that repeats itself to a fiftieth.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

ROW_LIMIT = 10_000_000  # characters; a longer row means a malformed file
UNPACKED = 256 << 20  # bytes that any packed file may unpack to
RATIO = 200  # bytes for each of its own, that a file may unpack to beyond that
BYTES_PER_CHARACTER = 25  # of memory, for the smallest objects that JSON can spell ("{},")
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # bytes

Opener = Callable[[IO[bytes]], AbstractContextManager[io.BufferedIOBase]]
PACKED: dict[bytes, tuple[str, Opener]] = {
    b"\x1f\x8b": ("gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    b"BZh": ("bz2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
}


def row_too_long(length: int) -> ValueError:
    return ValueError(f"found a row of {length:,} characters, expected at most {ROW_LIMIT:,}")


def unpacked(path: Path, data: bytes) -> bytes:
    """The bytes of a gzip, bz2 or xz file; of another file its own. ValueError if it is broken, or unpacks to too much.

    What is too much is known after `UNPACKED` bytes: the parts of a file have to keep the ratio, too.
    """
    name, opener = next((form for magic, form in PACKED.items() if data.startswith(magic)), ("", None))
    if opener is None:
        return data
    blocks, size, packed = [], 0, io.BytesIO(data)
    try:
        with opener(packed) as file:
            while block := file.read(1 << 20):
                blocks.append(block)
                size += len(block)
                if is_too_much(size, packed.tell()):
                    break
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path}: found a broken {name} file ({error})") from None
    check_unpacked(path, size, packed.tell())
    return b"".join(blocks)


def is_too_much(size: int, packed: int) -> bool:
    return size > max(UNPACKED, RATIO * packed)


def check_unpacked(path: Path, size: int, packed: int) -> None:
    """ValueError if `packed` bytes of a file stand for `size` bytes, and that is too much."""
    if is_too_much(size, packed):
        raise ValueError(
            f"{path}: found {size:,} bytes packed into {packed:,}, expected at most {RATIO} times as many "
            "(meant so? save it unpacked, as JSON lines)"
        )


def unzipped(data: bytes) -> int:
    """Bytes that a zip archive unpacks to, as its directory says: no more is read of a member. 0 for a broken one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, struct.error):
        return 0


def check_file(path: Path, size: int) -> None:
    """ValueError for a file of more than half of the memory: its bytes and its text stand there together."""
    if 2 * size > MEMORY:
        raise ValueError(
            f"{path}: found {size:,} bytes, expected at most half of the memory, {MEMORY:,} bytes: cut it into files"
        )


def check_whole_object(path: Path, line: int, characters: int) -> None:
    """ValueError for a JSON object, which is read whole, that may need more than half of the memory."""
    needed = characters * BYTES_PER_CHARACTER
    if 2 * needed > MEMORY:
        raise ValueError(
            f"{path}:{line}: found one JSON object of {characters:,} characters, which may need {needed:,} bytes, "
            f"expected half of the memory, {MEMORY:,} bytes, at most: save its rows as JSON lines or as an array"
        )
