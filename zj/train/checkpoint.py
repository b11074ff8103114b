"""Atomic checkpoints: written under a temporary name, synced, renamed; verified when they are loaded.

OUT/checkpoints/step-120/rank-0.pt       tensors and numbers, read with weights_only; of sharded tensors a rank's rows
OUT/checkpoints/step-120/manifest.json   size and hash of each file, written last
OUT/latest                               "step-120"

A checkpoint can be loaded by any number of ranks.
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
    fingerprints_or_error: dict[str, Any] | OSError
    try:
        file = draft / f"rank-{world.rank}.pt"
        with open(file, "wb") as stream:
            torch.save(_share(state, world.rank == 0), stream)
        sync(file)
        fingerprints_or_error = {file.name: _fingerprint(file)}
    except (OSError, RuntimeError) as error:
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save hides the OSError
        if not isinstance(cause, OSError):
            raise
        fingerprints_or_error = cause
    manifest: dict[str, Any] = {}
    for part in world.gather(fingerprints_or_error):
        if isinstance(part, OSError):
            raise part
        manifest |= part
    world.on_rank_zero(lambda: _publish(out, draft, final, manifest, keep))
    return final


def _begin(root: Path, draft: Path) -> None:
    root.mkdir(exist_ok=True)
    for leftover in root.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir()


def _publish(out: Path, draft: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    write_text(draft / "manifest.json", json.dumps(manifest))
    sync(draft)
    if final.exists():  # the same step, saved before: kept until the new one is in place
        os.rename(final, _backup_path(final))
    os.rename(draft, final)
    sync(final.parent)
    write_text(out / "latest", final.name)
    sync(out)  # before anything that `latest` named until now is deleted
    others = set(final.parent.glob("step-*")) - {final}
    later = {other for other in others if _step_of(other) > _step_of(final)}  # in place, but never named by `latest`
    kept = sorted(others - later, key=_step_of, reverse=True)[: keep - 1]
    for old in others - set(kept):
        shutil.rmtree(old, ignore_errors=True)  # a network disk keeps files that are still open


def load_checkpoint(out: Path, world: World = ALONE) -> dict[str, Any] | None:
    """The state that `latest` points at, or None if there is none yet. ValueError names a damaged file.

    Tensors that were sharded come as `Rows`; `restore` copies either kind. Tensors are memory-mapped.
    """
    if not (out / "latest").exists():
        return None
    folder = out / "checkpoints" / (out / "latest").read_text(encoding="utf-8").strip()
    world.on_rank_zero(lambda: _finish_publish(folder))
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{out / 'latest'}: points at {folder}, which is not a complete checkpoint")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = [folder / f"rank-{rank}.pt" for rank in range(len(manifest))]
    for damage in world.gather([_damage(file, manifest.get(file.name)) for file in files[world.rank :: world.size]]):
        if any(damage):
            raise ValueError(next(filter(None, damage)))
    return _merged([torch.load(file, map_location="cpu", weights_only=True, mmap=True) for file in files])


def _backup_path(folder: Path) -> Path:
    return folder.with_name(f".tmp-{folder.name}-old")


def _finish_publish(folder: Path) -> None:
    """Restore the old checkpoint if a process ended between the two renames of `_publish`."""
    if not folder.exists() and _backup_path(folder).exists():
        os.rename(_backup_path(folder), folder)


def _damage(file: Path, expected: dict[str, Any] | None) -> str:
    found = _fingerprint(file) if file.is_file() else None
    return "" if found == expected else f"{file}: damaged, found {found}, expected {expected}"


@dataclass(frozen=True)
class Rows:
    """A sharded tensor of a checkpoint: the rows of each rank, in the order of the ranks."""

    pieces: list[Tensor]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, _ = rows.indices(sum(map(len, self.pieces)))
        parts, offset = [], 0
        for piece in self.pieces:
            parts.append(piece[max(start - offset, 0) : max(stop - offset, 0)])
            offset += len(piece)
        return torch.cat(parts)


@torch.no_grad()
def restore(target: Tensor, saved: Tensor | Rows) -> Tensor:
    """Copy a saved tensor, or this rank's rows of it, into `target`."""
    local(target).copy_(saved[rank_rows(target)] if target.ndim else saved)  # type: ignore[arg-type]
    return target


SHARD = "rows of a sharded tensor"  # a sharded tensor is saved as a dict with this key


def _share(state: Any, rank_zero: bool) -> Any:
    """The part of the state that a rank saves: its rows of sharded tensors; rank 0 also all that is replicated."""
    if isinstance(state, Tensor):
        return {SHARD: local(state)} if is_sharded(state) else state if rank_zero else None
    if isinstance(state, dict):
        return {key: _share(value, rank_zero) for key, value in state.items()}
    return [_share(value, rank_zero) for value in state] if isinstance(state, list | tuple) else state


def _merged(states: list[Any]) -> Any:
    """The whole state from the states of all ranks."""
    state = states[0]
    if isinstance(state, dict):
        if SHARD in state:
            return Rows([part[SHARD] for part in states])
        return {key: _merged([part[key] for part in states]) for key in state}
    return [_merged(list(parts)) for parts in zip(*states, strict=True)] if isinstance(state, list) else state


def write_text(file: Path, text: str) -> None:
    """Replace a small file atomically: no reader sees a half-written one."""
    draft = file.with_name(f".tmp-{file.name}")
    draft.write_text(text, encoding="utf-8")
    sync(draft)
    os.replace(draft, file)


def whole_lines(file: Path) -> list[bytes]:
    """The complete lines of a file: a last line without its line end is left out.

    As bytes: a text may contain other line separators (U+2028), and a line may be cut off within a character.
    """
    return file.read_bytes().split(b"\n")[:-1]


def sync(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fingerprint(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": file_digest(file)}


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
