"""Checkpoints that are whole or not there: written beside, synced, renamed; verified before they are trusted.

OUT/checkpoints/step-120/rank-0.pt       tensors and numbers, read with weights_only; of sharded tensors a rank's rows
OUT/checkpoints/step-120/manifest.json   size and hash of each file, written last
OUT/latest                               "step-120"

A checkpoint of any number of ranks is read by any other number.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zj.weights.checksums import file_digest
from zj.weights.sharded import is_sharded, local, rank_rows

from .distributed import ALONE, World


def save_checkpoint(out: Path, step: int, state: dict[str, Any], keep: int, world: World = ALONE) -> Path:
    """Write OUT/checkpoints/step-N, point `latest` at it, drop all but the last `keep`. OSError if the disk is full."""
    root = out / "checkpoints"
    final, draft = root / f"step-{step}", root / f".tmp-step-{step}"
    world.on_rank_zero(lambda: _begin(root, draft))
    mine: dict[str, Any] | OSError
    try:
        file = draft / f"rank-{world.rank}.pt"
        with open(file, "wb") as stream:
            torch.save(_share(state, world.rank == 0), stream)
        sync(file)
        mine = {file.name: _fingerprint(file)}
    except (OSError, RuntimeError) as error:
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save hides what the disk says
        if not isinstance(cause, OSError):
            raise
        mine = cause
    manifest: dict[str, Any] = {}
    for found in world.gather(mine):
        if isinstance(found, OSError):
            raise found
        manifest |= found
    world.on_rank_zero(lambda: _publish(out, draft, final, manifest, keep))
    return final


def _begin(root: Path, draft: Path) -> None:
    root.mkdir(exist_ok=True)
    for leftover in root.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir()


def _publish(out: Path, draft: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    write_text(draft / "manifest.json", json.dumps(manifest))
    if final.exists():  # the same step, saved before: it stays until the new one stands
        os.rename(final, _aside(final))
    os.rename(draft, final)
    sync(final.parent)
    write_text(out / "latest", final.name)
    for old in sorted(final.parent.glob("step-*"), key=_step_of)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)  # a network disk keeps files that are still open


def load_checkpoint(out: Path, world: World = ALONE) -> dict[str, Any] | None:
    """The state that `latest` points at, or None if there is none yet. ValueError names a damaged file.

    Tensors that were sharded come as `Rows`; `restore` puts either kind back. Nothing is read before it is needed.
    """
    if not (out / "latest").exists():
        return None
    folder = out / "checkpoints" / (out / "latest").read_text(encoding="utf-8").strip()
    world.on_rank_zero(lambda: _put_back(folder))
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{out / 'latest'}: points at {folder}, which is not a complete checkpoint")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = [folder / f"rank-{rank}.pt" for rank in range(len(manifest))]
    for damage in world.gather([_damage(file, manifest.get(file.name)) for file in files[world.rank :: world.size]]):
        if any(damage):
            raise ValueError(next(filter(None, damage)))
    return _merged([torch.load(file, map_location="cpu", weights_only=True, mmap=True) for file in files])


def _aside(folder: Path) -> Path:
    return folder.with_name(f".tmp-{folder.name}-old")


def _put_back(folder: Path) -> None:
    """A process that ended between the two moves of `_publish` had not put the new one in its place."""
    if not folder.exists() and _aside(folder).exists():
        os.rename(_aside(folder), folder)


def _damage(file: Path, expected: dict[str, Any] | None) -> str:
    found = _fingerprint(file) if file.is_file() else None
    return "" if found == expected else f"{file}: damaged, found {found}, expected {expected}"


@dataclass(frozen=True)
class Rows:
    """A tensor of a checkpoint in pieces, the rows that each rank had, in their order."""

    pieces: list[Tensor]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, _ = rows.indices(sum(map(len, self.pieces)))
        found, first = [], 0
        for piece in self.pieces:
            found.append(piece[max(start - first, 0) : max(stop - first, 0)])
            first += len(piece)
        return torch.cat(found)


@torch.no_grad()
def restore(target: Tensor, saved: Tensor | Rows) -> Tensor:
    """Put a saved tensor, or what of it belongs to this rank, into `target`."""
    local(target).copy_(saved[rank_rows(target)] if target.ndim else saved)  # type: ignore[arg-type]
    return target


SHARD = "rows of a sharded tensor"  # key of a dict that stands in a rank's state in the place of such a tensor


def _share(state: Any, first: bool) -> Any:
    """What a rank saves: its rows of sharded tensors; rank 0 also what all ranks have alike."""
    if isinstance(state, Tensor):
        return {SHARD: local(state)} if is_sharded(state) else state if first else None
    if isinstance(state, dict):
        return {key: _share(value, first) for key, value in state.items()}
    return [_share(value, first) for value in state] if isinstance(state, list | tuple) else state


def _merged(states: list[Any]) -> Any:
    """The state of the whole from those of the ranks."""
    state = states[0]
    if isinstance(state, dict):
        if SHARD in state:
            return Rows([part[SHARD] for part in states])
        return {key: _merged([part[key] for part in states]) for key in state}
    return [_merged(list(parts)) for parts in zip(*states, strict=True)] if isinstance(state, list) else state


def write_text(file: Path, text: str) -> None:
    """Replace a small file in one move, so that no reader ever sees half of it."""
    draft = file.with_name(f".tmp-{file.name}")
    draft.write_text(text, encoding="utf-8")
    sync(draft)
    os.replace(draft, file)


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a file, without one at its end that is still being written or was cut off.

    As bytes: a text may hold line ends of its own (U+2028), and a line may be cut off within a character.
    """
    return file.read_bytes().split(b"\n")[:-1]


def sync(path: Path) -> None:
    """Ask the disk to keep a file or a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fingerprint(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": file_digest(file)}


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
