"""Texts by number, on disk: a list of texts that does not fill the memory (8 bytes of it for each)."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path


class Spool(Sequence[str]):
    """A list of texts that grows at its end. The file has no name, and is gone when the process ends."""

    def __init__(self, folder: Path | None = None) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, open as long as the list lives
        self.ends = array("q", [0])  # bytes

    def append(self, text: str) -> None:
        self.ends.append(self.ends[-1] + self.file.write(text.encode("utf-8", "surrogatepass")))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, number: int) -> str:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(f"text {number} of {len(self)}")
        self.file.flush()
        start, end = self.ends[number], self.ends[number + 1]
        return os.pread(self.file.fileno(), end - start, start).decode("utf-8", "surrogatepass")
