"""Checkpoints that are whole or not there: written beside, synced, renamed; verified before they are trusted.

OUT/checkpoints/step-120/state.pt        tensors and numbers, read with weights_only
OUT/checkpoints/step-120/manifest.json   size and hash of each file, written last
OUT/latest                               "step-120"
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(out: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write OUT/checkpoints/step-N, point `latest` at it, drop all but the last `keep`. OSError if the disk is full."""
    root = out / "checkpoints"
    root.mkdir(exist_ok=True)
    for leftover in root.glob(".tmp-*"):
        shutil.rmtree(leftover)
    final, draft = root / f"step-{step}", root / f".tmp-step-{step}"
    draft.mkdir()
    torch.save(state, draft / "state.pt")
    write_text(draft / "manifest.json", json.dumps({"state.pt": _fingerprint(draft / "state.pt")}))
    sync(draft / "state.pt")
    if final.exists():  # left by a run that stopped between this line and the next, and is complete itself
        shutil.rmtree(final)
    os.rename(draft, final)
    sync(root)
    write_text(out / "latest", final.name)
    for old in sorted(root.glob("step-*"), key=_step_of)[:-keep]:
        shutil.rmtree(old)
    return final


def load_checkpoint(out: Path) -> dict[str, Any] | None:
    """The state that `latest` points at, or None if there is none yet. ValueError names a damaged file."""
    if not (out / "latest").exists():
        return None
    folder = out / "checkpoints" / (out / "latest").read_text(encoding="utf-8").strip()
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{out / 'latest'}: points at {folder}, which is not a complete checkpoint")
    for name, expected in json.loads((folder / "manifest.json").read_text(encoding="utf-8")).items():
        found = _fingerprint(folder / name)
        if found != expected:
            raise ValueError(f"{folder / name}: damaged, found {found}, expected {expected}")
    return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)


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
    digest = hashlib.blake2b(digest_size=16)
    with open(file, "rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return {"bytes": file.stat().st_size, "blake2b": digest.hexdigest()}


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))
