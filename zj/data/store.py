"""Encoded examples on disk, mapped into memory: every rank and every start of a run shares the pages of one copy.

FOLDER/ids.bin    all token ids, end to end: uint16 if the vocabulary allows, else int32
       ids.ends   where each example ends: int64
       spans.…    of each example, [from, to) of the tokens that are trained on: int32
       where.…    of each example, file:line of its record: UTF-8
       groups.bin of each example, the number of its group: int32
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zj.data.sequences import Encoded, Spanned, flags_of

Array = NDArray[Any]
PARTS = {"ids": "", "spans": "int32", "where": "uint8"}  # name -> type of its values; that of ids is the store's


def ids_type(vocabulary: int) -> str:
    """The smallest type that holds the ids 0 … vocabulary - 1."""
    return "uint16" if vocabulary <= 2**16 else "int32"


class Ragged(Sequence[Array]):
    """Rows of different lengths: the values of all, and the end of each."""

    def __init__(self, values: Array, ends: Array):
        self.values, self.ends = values, ends

    @classmethod
    def of(cls, rows: Sequence[Any], dtype: Any) -> Ragged:
        """From lists of numbers, or of bytes."""
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        if rows and isinstance(rows[0], bytes):
            return cls(np.frombuffer(b"".join(rows), dtype), ends)
        return cls(np.fromiter(chain.from_iterable(rows), dtype, ends[-1] if rows else 0), ends)

    @classmethod
    def open(cls, folder: Path, name: str, dtype: str) -> Ragged:
        """Mapped from files. ValueError if one is cut off."""
        values, ends = _map(folder / f"{name}.bin", dtype), _map(folder / f"{name}.ends", "int64")
        if len(values) != (ends[-1] if len(ends) else 0):
            raise ValueError(f"{folder / name}.bin: cut off; remove {folder.parent}, and the data are encoded again")
        return cls(values, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> Array:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.values[self.ends[index - 1] if index else 0 : self.ends[index]]


@dataclass(frozen=True)
class Block:
    """Some examples, as a process hands them to the one that writes."""

    parts: dict[str, Ragged]  # by the names of PARTS
    groups: list[tuple[str, str]]

    @classmethod
    def of(cls, examples: Sequence[Spanned], groups: Sequence[tuple[str, str]], dtype: str) -> Block:
        rows: dict[str, Sequence[Any]] = {
            "ids": [example.ids for example in examples],
            "spans": [example.spans for example in examples],
            "where": [example.where.encode(errors="surrogatepass") for example in examples],
        }
        return cls({name: Ragged.of(rows[name], PARTS[name] or dtype) for name in PARTS}, list(groups))

    def without(self, left_out: set[int]) -> Block:
        """The other examples, by their indices."""
        kept = [index for index in range(len(self.groups)) if index not in left_out]
        parts = {name: Ragged.of([rows[n] for n in kept], rows.values.dtype) for name, rows in self.parts.items()}
        return Block(parts, [self.groups[n] for n in kept])


class Writer:
    """Appends blocks to a store. Use as a context; `group_names` is complete at its end."""

    def __init__(self, folder: Path, group_names: list[tuple[str, str]]):
        folder.mkdir()
        self.group_names = group_names  # shared by the sides of a run; grows
        self._numbers = {name: number for number, name in enumerate(group_names)}
        self._stack, self._sizes = ExitStack(), dict.fromkeys(PARTS, 0)
        names = [f"{part}.{end}" for part in PARTS for end in ("bin", "ends")]
        self._files = {name: self._stack.enter_context((folder / name).open("wb")) for name in [*names, "groups.bin"]}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def append(self, block: Block) -> None:
        for name, rows in block.parts.items():
            self._files[f"{name}.bin"].write(rows.values.tobytes())
            self._files[f"{name}.ends"].write((rows.ends + self._sizes[name]).tobytes())
            self._sizes[name] += len(rows.values)
        for group in block.groups:
            if group not in self._numbers:
                self._numbers[group] = len(self.group_names)
                self.group_names.append(group)
        numbers = [self._numbers[group] for group in block.groups]
        self._files["groups.bin"].write(np.array(numbers, np.int32).tobytes())


class Store(Sequence[Encoded]):
    """One side of a run's data. `store[i]` reads an example from the mapped files."""

    def __init__(self, folder: Path, dtype: str, group_names: Sequence[tuple[str, str]]):
        """ValueError if the files are damaged, OSError if one is missing."""
        self._parts = {name: Ragged.open(folder, name, PARTS[name] or dtype) for name in PARTS}
        self._groups, self._names = _map(folder / "groups.bin", "int32"), group_names
        lengths = {"groups": len(self._groups), **{name: len(rows) for name, rows in self._parts.items()}}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{folder}: damaged ({lengths}); remove {folder.parent}, and the data are encoded again")

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> Encoded:  # type: ignore[override]
        ids, spans, where = (part[index] for part in self._parts.values())
        place = where.tobytes().decode(errors="surrogatepass")
        return Encoded(ids.tolist(), flags_of(spans.tolist(), len(ids)), place)

    @property
    def groups(self) -> list[tuple[str, str]]:
        """The group of each example, as `zj.data.batching.group_of` names it."""
        return [self._names[number] for number in self._groups]


def _map(file: Path, dtype: str) -> Array:
    """The values of a file, read when they are touched. ValueError if it is cut off within a value."""
    size, each = file.stat().st_size, np.dtype(dtype).itemsize
    if size % each:
        raise ValueError(f"{file}: cut off; remove {file.parents[1]}, and the data are encoded again")
    return np.asarray(np.memmap(file, dtype, "r")) if size else np.empty(0, dtype)  # an empty file cannot be mapped
