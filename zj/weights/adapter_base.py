"""The base model of an adapter: where it lies, and whether it is the one that the adapter was trained on.

PEFT's config names a directory or a published model. Beside it, `base.json` holds the fingerprint of the base: a
further key in PEFT's own file would be an error in its older versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import torch

from zj.model.config import LlamaConfig

from .adapter_config import is_adapter, read_config
from .tensors import open_checkpoint

FILE = "base.json"
ROWS = 4  # of each matrix, evenly spaced, that a fingerprint reads
HEAD = "lm_head.weight"


def base_of(path: str | Path, base: str | Path = "", strict: bool = True) -> Path:
    """The directory of the base model of an adapter directory.

    `base` (--base) wins. Else the base is the directory that the config names, relative to the adapter's own, then as
    it is written; if it was moved together with the adapter, it is found below the directories around the adapter, by
    its fingerprint. Of an adapter on an adapter this is the lower one, and `base` that one's base.
    Raises ValueError if there is none, and as `check_base` does.
    """
    path = Path(path)
    found = _find(path, str(base))
    if found.samefile(path):
        raise ValueError(f"{path}: the adapter itself is named as its base")
    check_base(path, found, strict)
    return found


def check_base(path: str | Path, base: str | Path, strict: bool = True) -> None:
    """ValueError if an adapter was trained on another base; not `strict`: a warning on stderr.

    An adapter that records no fingerprint is warned about, once, if its base has another name than the one recorded.
    """
    path, base = Path(path), Path(base)
    written, recorded = read_config(path).base, _recorded(path)
    if recorded and not _fits(base, recorded):
        message = f"{path}: its base is {written}, and the weights in {base} are others: --base says where its base is"
        if strict:
            raise ValueError(message)
        _warn(f"{message}. What follows is not what was trained")
    if not recorded and written and Path(written).name != base.resolve().name:
        _warn(f"{path}: its base is called {written}, not {base}; it has no {FILE} to tell whether they are the same")


def same_base(one: Path, other: Path) -> bool:
    """Whether two directories are one, or hold the same model."""
    whole = all((folder / "config.json").is_file() and not is_adapter(folder) for folder in (one, other))
    return one.samefile(other) or (whole and fingerprint(one) == fingerprint(other))


def fingerprint(directory: str | Path) -> str:
    """SHA-256 of all norms and of some rows of every matrix of a model directory, as fp32; reads little of the files.

    The same for a moved directory, other shards, and .bin instead of .safetensors; another one in another dtype, since
    rounding changes the values.
    """
    files = [file for file in Path(directory).resolve().iterdir() if file.suffix in (".safetensors", ".bin", ".json")]
    return _fingerprint(Path(directory).resolve(), tuple(sorted((f.name, f.stat().st_mtime_ns) for f in files)))


@cache
def _fingerprint(directory: Path, files: tuple[tuple[str, int], ...]) -> str:
    """Files that change have another time, and so another entry of the cache."""
    stored, digest = open_checkpoint(directory), hashlib.sha256()
    tied = LlamaConfig.from_hf(directory).tie_word_embeddings
    for name in sorted(stored):
        if name.endswith("rotary_emb.inv_freq") or (tied and name == HEAD):
            continue  # stored by some versions and computed by others
        tensor, rows = stored[name], range(stored[name].shape[0])
        parts = (
            [tensor[...]]
            if tensor.shape.numel() == len(rows)
            else [tensor[row] for row in rows[:: -(-len(rows) // ROWS)]]
        )
        digest.update(name.encode())
        digest.update(torch.stack(parts).float().numpy().tobytes())
    return digest.hexdigest()


def write_fingerprint(path: Path, base: Path) -> None:
    """Record the base in an adapter directory."""
    (path / FILE).write_text(json.dumps({"fingerprint": fingerprint(base)}) + "\n", encoding="utf-8")


def _find(path: Path, base: str) -> Path:
    written, recorded = read_config(path).base, _recorded(path)
    there = [place for place in (path / written, Path(written)) if written and place.is_dir()]
    if there and is_adapter(there[0]) and not there[0].samefile(path):
        return there[0]
    if base:
        if not Path(base).is_dir():
            raise ValueError(f"--base {base}: no such directory")
        return Path(base)
    fitting = (place for place in chain(there, _moved(path, written)) if recorded and _fits(place, recorded))
    found = next(fitting, there[0] if there else None)
    if found is None:
        raise ValueError(f"{path}: its base is {written or 'not named'}, no directory here: --base says where it is")
    return found


def _moved(path: Path, written: str) -> Iterator[Path]:
    """Model directories below those around the adapter, that end as the written one does."""
    parts = Path(written).parts
    ends = [Path(*parts[-length:]) for length in range(1, len(parts))]
    places = (around / end for around in path.resolve().parents for end in ends)
    return (place for place in places if (place / "config.json").is_file())


def _recorded(path: Path) -> str:
    """The fingerprint in an adapter directory; "" if there is none."""
    file = path / FILE
    if not file.is_file():
        return ""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: damaged ({error!r}), expected the fingerprint of the base") from None


def _fits(base: Path, recorded: str) -> bool:
    return not is_adapter(base) and fingerprint(base) == recorded


@cache
def _warn(message: str) -> None:
    """Print a warning, once, on one rank."""
    if os.environ.get("RANK", "0") == "0":
        print(f"WARNING: {message}", file=sys.stderr, flush=True)
