"""Tensors in files: a checkpoint is a mapping from names to tensors that are read only when they are sliced.

Both published forms are read, safetensors and PyTorch's zipped pickle (`.bin`, with weights_only), each as one file or
as shards with an index. Only safetensors are written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .checksums import SUMS, write_sums
from .sharded import full_tensor

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"  # suffix of the file that lists the shards


class Sliceable(Protocol):
    """A tensor, or an object whose slices are tensors: `[...]` is all of it."""

    @property
    def shape(self) -> torch.Size: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def __getitem__(self, index: Any) -> Tensor: ...


@dataclass(frozen=True)
class Stored:
    """A tensor in a file. Slicing reads only the slice (a legacy .bin has been read whole).

    ValueError, naming file and tensor, if the slice holds a number that is not finite.
    """

    file: Path
    name: str
    shape: torch.Size
    dtype: torch.dtype
    source: Any  # a slice handle of safetensors, or a memory-mapped tensor

    def __getitem__(self, index: Any) -> Tensor:
        return check_finite(self.source[index], self.name, self.file)


def check_finite(tensor: Tensor, name: str, where: object) -> Tensor:
    """The tensor itself. ValueError, naming `where` and `name`, if one of its numbers is NaN or infinite.

    One pass without a copy, a third of the time of a copy.
    """
    if tensor.numel() and not torch.stack(tensor.detach().aminmax()).isfinite().all():  # a NaN is both extremes
        raise ValueError(f"{where}: {name} holds numbers that are not finite (NaN or infinite)")
    return tensor


def open_checkpoint(directory: str | Path) -> dict[str, Stored]:
    """All tensors of a Hugging Face model directory. Raises ValueError naming the file that is absent or broken."""
    directory = Path(directory)
    for name in (SAFE, PICKLED):
        if (directory / name).is_file():
            return open_tensors(directory / name)
        if (directory / (name + INDEX)).is_file():
            return _open_shards(directory / (name + INDEX))
    raise ValueError(f"{directory}: no weights there; expected {SAFE} or {PICKLED}, whole or sharded with an index")


def open_tensors(file: Path) -> dict[str, Stored]:
    """The tensors of one .safetensors or .bin file. Raises ValueError for a broken file or one that holds more."""
    return _open_safe(file) if file.suffix == ".safetensors" else _open_pickled(file)


def _open_shards(index: Path) -> dict[str, Stored]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(weight_map.values()))
        elsewhere = [shard for shard in shards if Path(shard).name != shard]  # a link to a hub's cache has a plain name
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index}: expected JSON with a weight_map of tensor names to files ({error!r})") from None
    if elsewhere:
        raise ValueError(f"{index}: names {elsewhere[0][:200]!r}, expected files of its own directory")
    absent = [shard for shard in shards if not (index.parent / shard).is_file()]
    if absent:
        raise ValueError(f"{index}: names {len(shards)} shards, {len(absent)} of them absent, first {absent[0]}")
    tensors: dict[str, Stored] = {}
    for shard in shards:
        for name, stored in open_tensors(index.parent / shard).items():
            if name in tensors:
                raise ValueError(f"{stored.file}: {name} is stored in {tensors[name].file.name} already")
            tensors[name] = stored
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise ValueError(
            f"{index}: {missing[0]} should be in {weight_map[missing[0]]}, but is not ({len(missing)} such tensors)"
        )
    return tensors


def _open_safe(file: Path) -> dict[str, Stored]:
    try:
        handle = safe_open(str(file), framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{file}: broken or cut off, {file.stat().st_size} bytes ({error})") from None
    tensors = {}
    for name in handle.keys():  # noqa: SIM118, a handle is no dict
        part = handle.get_slice(name)
        dtype = _DTYPES.get(part.get_dtype())
        if dtype is None:
            raise ValueError(f"{file}: {name} is stored as {part.get_dtype()}, expected one of {', '.join(_DTYPES)}")
        tensors[name] = Stored(file, name, torch.Size(part.get_shape()), dtype, part)
    return tensors


_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def _open_pickled(file: Path) -> dict[str, Stored]:
    loaded = _load_pickled(file)
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError(f"{file}: holds a {type(loaded).__name__}, expected tensors by name")
    for name, tensor in loaded.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{file}: {name!r} is a {type(tensor).__name__}, expected a tensor")
        if tensor.dtype not in _DTYPES.values():
            raise ValueError(f"{file}: {name} is stored as {tensor.dtype}, expected one of {', '.join(_DTYPES)}")
    return {name: Stored(file, name, tensor.shape, tensor.dtype, tensor.detach()) for name, tensor in loaded.items()}


def _load_pickled(file: Path) -> Any:
    with open(file, "rb") as opened:
        mapped = opened.read(2) == b"PK"  # files from before PyTorch 1.6 are no zip archives: no mmap
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch.load raises many types for a broken file
        reason = str(error).rsplit("WeightsUnpickler error:", 1)[-1].strip().split("\n")[0].split(". ")[0]
        raise ValueError(
            f"{file}: not a file of tensors alone, or broken or cut off, {file.stat().st_size} bytes "
            f"({type(error).__name__}: {reason})"
        ) from None


def on_host(tensor: Tensor) -> Tensor:
    """The whole tensor on the host. If it is sharded, every rank has to call this."""
    return full_tensor(tensor.detach()).cpu().contiguous()


def write_checkpoint(
    directory: Path, tensors: Mapping[str, Sliceable], config: dict, max_shard_bytes: int, writes: bool = True
) -> None:
    """Write a model directory, one shard in memory at a time, then read it again and compare every byte.

    ValueError, and the old files stay, if a number is not finite.

    Other files in the directory stay, an older model in it is replaced. Shards are written under temporary names, and
    config.json appears last: a directory that has one is complete. A rank that does not write takes part in gathering
    sharded tensors, twice: for writing and for comparing.
    """
    if not writes:
        for name, tensor in (*tensors.items(), *tensors.items()):
            check_finite(on_host(tensor[...]), name, directory)
        return
    directory.mkdir(parents=True, exist_ok=True)
    shards = _plan_shards(tensors, max_shard_bytes)
    temporary = {name: directory / f".writing-{name}" for name in [*shards, SAFE + INDEX, SUMS, "config.json"]}
    weight_map = {name: file for file, names in shards.items() for name in names}
    try:
        _write_json(temporary["config.json"], config)
        index = {"metadata": {"total_size": sum(map(_bytes, tensors.values()))}, "weight_map": weight_map}
        _write_json(temporary[SAFE + INDEX], index)
        for file, names in shards.items():
            shard = {name: check_finite(on_host(tensors[name][...]), name, directory) for name in names}
            save_file(shard, temporary[file], metadata={"format": "pt"})
            shutil.copymode(temporary["config.json"], temporary[file])  # safetensors sets 0600
        if len(shards) == 1:
            temporary.pop(SAFE + INDEX).unlink()
        write_sums(temporary[SUMS], {name: file for name, file in temporary.items() if name != SUMS})
        for old in _old_files(directory):
            old.unlink()
        for name, written in temporary.items():
            os.replace(written, directory / name)
    finally:
        for unfinished in directory.glob(".writing-*"):
            unfinished.unlink()
    compare_stored(open_checkpoint(directory), tensors)


def compare_stored(stored: Mapping[str, Stored], tensors: Mapping[str, Sliceable]) -> None:
    """Assert that the stored tensors equal the given ones, bit by bit."""
    assert stored.keys() == tensors.keys(), f"wrote {len(tensors)} tensors, found {len(stored)}"
    for name, tensor in tensors.items():
        written, expected = stored[name][...].contiguous(), on_host(tensor[...])
        assert written.shape == expected.shape and written.dtype == expected.dtype, f"{stored[name].file}: {name}"
        assert torch.equal(written.view(torch.uint8), expected.view(torch.uint8)), f"{stored[name].file}: {name}"


def _plan_shards(tensors: Mapping[str, Sliceable], max_shard_bytes: int) -> dict[str, list[str]]:
    """File name -> names of its tensors, in order, filled up to the limit (a larger tensor gets a file of its own)."""
    shards: list[list[str]] = []
    space = 0
    for name, tensor in tensors.items():
        if not shards or _bytes(tensor) > space:
            shards.append([])
            space = max_shard_bytes
        shards[-1].append(name)
        space -= _bytes(tensor)
    if len(shards) == 1:
        return {SAFE: shards[0]}
    return {f"model-{i:05d}-of-{len(shards):05d}.safetensors": names for i, names in enumerate(shards, 1)}


def _old_files(directory: Path) -> Iterator[Path]:
    """Files that would be read as a part of the new model, config.json first. A .bin stays: safetensors come first."""
    for pattern in ("config.json", SUMS, SAFE, SAFE + INDEX, "model-*-of-*.safetensors"):
        yield from directory.glob(pattern)


def _write_json(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _bytes(tensor: Sliceable) -> int:
    return tensor.shape.numel() * tensor.dtype.itemsize
