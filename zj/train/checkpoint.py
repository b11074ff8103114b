"""Atomic checkpoints: written under a temporary name, synced, renamed; verified when they are loaded.

OUT/checkpoints/step-120/rank-0.pt       tensors and numbers, read with weights_only; of sharded tensors a rank's rows
OUT/checkpoints/step-120/manifest.json   size and hash of each file, written last
OUT/latest                               "step-120"

A checkpoint can be loaded by any number of ranks.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zj.weights.checksums import file_digest
from zj.weights.sharded import is_sharded, local, rank_rows

from .distributed import ALONE, World
from .files import finish_swap, naming, swap_in, sync, to_json, write_text


def save_checkpoint(out: Path, step: int, state: dict[str, Any], keep: int, world: World = ALONE) -> Path:
    """Write OUT/checkpoints/step-N, point `latest` at it, drop all but the last `keep`. OSError if the disk is full."""
    root = out / "checkpoints"
    final, draft = root / f"step-{step}", root / f".tmp-step-{step}"
    world.on_rank_zero(lambda: _begin(root, draft))
    fingerprints_or_error: dict[str, Any] | OSError
    try:
        file = draft / f"rank-{world.rank}.pt"
        with naming(file):
            with open(file, "wb") as stream:
                torch.save(_share(state, world.rank == 0), stream)
            sync(file)
        fingerprints_or_error = {file.name: _fingerprint(file)}
    except OSError as error:
        fingerprints_or_error = error
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


GROWING = ("metrics.jsonl", "samples.jsonl")  # what a run appends to: on the disk before a checkpoint that follows it


def _publish(out: Path, draft: Path, final: Path, manifest: dict[str, Any], keep: int) -> None:
    for file in (out / name for name in GROWING):
        if file.exists():
            sync(file)
    write_text(draft / "manifest.json", to_json(manifest))
    swap_in(draft, final)
    write_text(out / "latest", final.name)  # on the disk before anything that it named until now is deleted
    others = [folder for folder in _checkpoints(out) if folder != final]
    later = {other for other in others if _step_of(other) > _step_of(final)}  # in place, but never named by `latest`
    kept = [other for other in others if other not in later][: keep - 1]
    for old in set(others) - set(kept):
        shutil.rmtree(old, ignore_errors=True)  # a network disk keeps files that are still open


def load_checkpoint(out: Path, world: World = ALONE) -> dict[str, Any] | None:
    """The state of `load_newest`."""
    return load_newest(out, world)[1]


def load_newest(out: Path, world: World = ALONE) -> tuple[int, dict[str, Any] | None]:
    """(step, state) of the checkpoint that `latest` names, else of the newest that is whole; (0, None) without any.

    Going on from another one than `latest` names is printed. ValueError if there are checkpoints, and none is whole.
    Tensors that were sharded come as `Rows`; `restore` copies either kind. Tensors are memory-mapped.
    """
    folders, faults = world.on_rank_zero(lambda: _candidates(out))
    for folder in folders:
        manifest, fault = world.on_rank_zero(partial(_read_manifest, folder))
        files = [folder / f"rank-{rank}.pt" for rank in range(len(manifest))]
        mine = [_damage(file, manifest.get(file.name)) for file in files[world.rank :: world.size]]
        found = [fault, *(text for part in world.gather(mine) for text in part)]
        if not any(found):
            for fault in faults:
                world.print(f"{fault}; going on from the checkpoint {folder.name}")
            states = [torch.load(file, map_location="cpu", weights_only=True, mmap=True) for file in files]
            return _step_of(folder), _merged(states)
        faults.append(next(filter(None, found)))
    if faults:
        rest = f"no checkpoint there is whole; without {out / 'checkpoints'} and {out / 'latest'} the run begins anew"
        raise ValueError(f"{faults[0]}; {rest}")
    return 0, None


def has_checkpoints(out: Path) -> bool:
    """Whether a run has saved anything."""
    return (out / "latest").exists() or bool(_checkpoints(out))


def _candidates(out: Path) -> tuple[list[Path], list[str]]:
    """(the checkpoint that `latest` names, then the others from the newest on; what is wrong with `latest`)."""
    for old in (out / "checkpoints").glob(".tmp-step-*-old"):
        finish_swap(old.with_name(old.name.removeprefix(".tmp-").removesuffix("-old")))
    folders, latest = _checkpoints(out), out / "latest"
    if not latest.exists():
        return folders, [f"{latest}: missing beside checkpoints"] if folders else []
    name = latest.read_text(encoding="utf-8", errors="replace").strip()
    if name not in [folder.name for folder in folders]:
        return folders, [f"{latest}: names {name!r}, which is not there"]
    return sorted(folders, key=lambda folder: folder.name != name), []


def _checkpoints(out: Path) -> list[Path]:
    """The directories of checkpoints, the newest first; step-6.bak is none."""
    folders = (out / "checkpoints").glob("step-*")
    return sorted((f for f in folders if re.fullmatch(r"step-\d+", f.name) and f.is_dir()), key=_step_of, reverse=True)


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """(size and hash of each file, "") or ({}, what is wrong)."""
    file = folder / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest and manifest.keys() == {f"rank-{rank}.pt" for rank in range(len(manifest))}:
            return manifest, ""
    except OSError:
        return {}, f"{file}: missing, the checkpoint is not complete"
    except (ValueError, AttributeError, RecursionError):
        pass
    return {}, f"{file}: damaged, expected size and hash of each rank's file"


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


def _fingerprint(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": file_digest(file)}


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
