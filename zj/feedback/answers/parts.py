"""The work of a long sampling beside its output: settings.json and, of each model, rows in the order of the prompts.

Rows are added in blocks, each of which reaches the disk before the next one begins. A block depends on no other one, so
a run that goes on behind the last whole block ends in the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from zj.data.fields import preview
from zj.train.files import naming, sync, write_text

SETTINGS = "settings.json"
LOCK = ".lock"


class Parts:
    """The folder of one run; one process at a time may use it."""

    def __init__(self, out: Path):
        self.folder = out.with_name(f"{out.name}.parts")

    def begin(self, settings: dict[str, Any]) -> bool:
        """Make the folder, or go on in it; whether it was there. ValueError names the setting that has changed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file, names = self.folder / SETTINGS, {path.name for path in self.folder.iterdir()}
        foreign = sorted(names - {SETTINGS, LOCK, f".tmp-{SETTINGS}"})
        if SETTINGS not in names and foreign:
            raise ValueError(f"--out: {self.folder} is in the way, there is {foreign[0]}; nothing was written")
        if SETTINGS in names:
            self._check(json.loads(file.read_text(encoding="utf-8")), json.loads(json.dumps(settings)))
            return True
        write_text(file, json.dumps(settings, ensure_ascii=False, indent=1) + "\n")
        return False

    def _check(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        for name in before.keys() | now.keys():
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"--{name.replace('_', '-')}: found {preview(now.get(name))}, but {self.folder} was begun with "
                    f"{preview(before.get(name))}; expected the same, or that folder removed"
                )

    def count(self, model: int, block: int, total: int) -> int:
        """How many rows the file of a model has in whole blocks; the rest of it is cut off."""
        file = self._file(model)
        if not file.exists():
            return 0
        kept = size = end = 0
        with naming(file), open(file, "r+b") as stream:
            for number, line in enumerate(stream, 1):
                end += len(line)
                if line.endswith(b"\n") and (number % block == 0 or number == total):
                    kept, size = number, end
            stream.truncate(size)
        return kept

    def append(self, model: int, rows: Sequence[dict[str, Any]]) -> None:
        """Add a block of rows; they are on the disk when this returns."""
        file = self._file(model)
        new = not file.exists()
        with naming(file):
            with open(file, "a", encoding="utf-8") as stream:
                stream.write("".join(json.dumps(row) + "\n" for row in rows))
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                sync(self.folder)

    def rows(self, model: int, start: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of a model's file from number `start` on, read one at a time."""
        file = self._file(model)
        with open(file, encoding="utf-8", newline="\n") as stream:
            for number, line in islice(enumerate(stream, 1), start, None):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise ValueError(f"{file}:{number}: damaged; remove {self.folder} to begin anew") from None

    def remove(self) -> None:
        """Remove the folder, if it is one of these."""
        if (self.folder / SETTINGS).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, model: int) -> Path:
        return self.folder / f"model-{model + 1}.jsonl"
