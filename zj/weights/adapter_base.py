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
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from zj.model.config import SWITCHES

from .adapter_config import is_adapter, read_config
from .families import open_family
from .tensors import Stored

FILE = "base.json"
VERSION = 1  # of `fingerprint`: what it covers. A file without one is of version 1
ROWS, VOCABULARY_ROWS = 16, 256  # evenly spaced rows that a fingerprint reads, of a matrix and of embedding and head
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def base_of(path: str | Path, base: str | Path = "", strict: bool = True) -> Path:
    """The directory of the base model of an adapter directory.

    `base` (--base) wins. Else the base is the directory that the config names, relative to the adapter's own, then as
    it is written; if it was moved together with the adapter, it is found below the directories around the adapter, by
    its fingerprint. Of an adapter on an adapter this is the lower one, and `base` the model below both.
    Raises ValueError if there is none, for adapters that name each other, and as `check_base` does.
    """
    path = Path(path)
    found = _find(path, str(base))
    if found.samefile(path):
        raise ValueError(f"{path}: the adapter itself is named as its base")
    seen, below = {path.resolve()}, found
    while is_adapter(below):
        if below.resolve() in seen:
            raise ValueError(f"{path}: the adapters below it name each other as their base, no model is at the bottom")
        seen.add(below.resolve())
        below = _find(below, str(base))
    check_base(path, found, strict)
    return found


def levels(path: str | Path, base: str | Path = "", strict: bool = True) -> Iterator[Path]:
    """The directories from an adapter's down to that of the model at the bottom; a model directory is alone.

    One after the other: the base of an adapter is looked for when the next level is asked for, see `base_of`.
    """
    level = Path(path)
    yield level
    while is_adapter(level):
        level = base_of(level, base, strict)
        yield level


def check_base_is_used(base: str, *paths: str) -> None:
    """ValueError if --base is given and none of the directories that are read is an adapter's, the empty ones aside."""
    read = [path for path in paths if path]
    if base and read and not any(map(is_adapter, read)):
        raise ValueError(f"--base {base}: nothing is read from it, {read[0]} is no adapter; expected no --base")


def check_base(path: str | Path, base: str | Path, strict: bool = True) -> None:
    """ValueError if an adapter was trained on another base; not `strict`: a warning on stderr.

    An adapter that records no fingerprint is warned about, once, if its base has another name than the one recorded.
    """
    path, base = Path(path), Path(base)
    written, recorded = read_config(path).base, _recorded(path)
    try:
        fits = not recorded or _fits(base, recorded)
    except ValueError as error:
        raise ValueError(
            f"{path}: its base is {written}, which cannot be read: {error} (--base says where it is)"
        ) from None
    if not fits:
        message = (
            f"{path}: its base is {written}, and config.json or the weights in {base} are others: "
            "--base says where its base is"
        )
        if strict:
            raise ValueError(message)
        _warn(f"{message}. What follows is not what was trained")
    if not recorded and written and Path(written).name != base.resolve().name:
        _warn(
            f"{path}: its base is called {written}, not {base}; it has no {FILE} of version {VERSION} to tell whether "
            "they are the same"
        )


def same_base(one: Path, other: Path) -> bool:
    """Whether two directories are one, or hold the same model."""
    whole = all((folder / "config.json").is_file() and not is_adapter(folder) for folder in (one, other))
    return one.samefile(other) or (whole and fingerprint(one) == fingerprint(other))


def fingerprint(directory: str | Path) -> str:
    """SHA-256 of a model directory: its config but for positions and special ids, all norms, some rows of all matrices.

    Of a matrix 16 evenly spaced rows are read, of embedding and head 256 and the last 256 (where a vocabulary grows),
    as fp32: 60 MB of a 13B model. So it tells trained models apart, and not those that differ in a few other rows.
    The same for a moved directory, other shards, .bin instead of .safetensors, either spelling of config.json, and for
    what Qwen-1 and Baichuan-7B are written as; another one in another dtype, since rounding changes the values.
    """
    files = [file for file in Path(directory).resolve().iterdir() if file.suffix in (".safetensors", ".bin", ".json")]
    return _fingerprint(Path(directory).resolve(), tuple(sorted((f.name, f.stat().st_mtime_ns) for f in files)))


@cache
def _fingerprint(directory: Path, files: tuple[tuple[str, int], ...]) -> str:
    """Files that change have another time, and so another entry of the cache."""
    config, stored = open_family(directory)
    tied = config.tie_word_embeddings
    counted = {name: value for name, value in asdict(config).items() if name not in _NOT_COUNTED}
    settings = {name: value for name, value in counted.items() if value or name not in SWITCHES}  # as without switches
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(stored):
        if tied and name == HEAD:
            continue  # stored by some versions
        digest.update(name.encode())
        for part in _read_parts(stored[name], name in (EMBEDDING, HEAD)):
            digest.update(part.float().numpy().tobytes())
    return digest.hexdigest()


# no number of the network depends on them
_NOT_COUNTED = ("max_position_embeddings", "bos_token_id", "eos_token_id", "positions_end", "mistral")


def _read_parts(tensor: Stored, is_vocabulary: bool) -> Iterator[Tensor]:
    rows, most = tensor.shape[0], VOCABULARY_ROWS if is_vocabulary else ROWS
    if tensor.shape.numel() == rows:  # a norm
        yield tensor[...]
        return
    yield from (tensor[row] for row in range(0, rows, -(-rows // most)))
    if is_vocabulary:
        yield tensor[max(0, rows - most) :]


def write_fingerprint(file: Path, base: Path) -> None:
    """Record the base of an adapter."""
    record = {"version": VERSION, "fingerprint": fingerprint(base)}
    file.write_text(json.dumps(record) + "\n", encoding="utf-8")


def _find(path: Path, base: str) -> Path:
    written, recorded = read_config(path).base, _recorded(path)
    there = [place for place in (path / written, Path(written)) if written and place.is_dir()]
    if there and is_adapter(there[0]) and not there[0].samefile(path):
        return there[0]
    if base:
        if not Path(base).is_dir():
            raise ValueError(f"--base {base}: no such directory")
        if is_adapter(base):
            raise ValueError(f"--base {base}: is an adapter, expected the directory of the model below all adapters")
        return Path(base)
    if (version := _read_record(path)[0]) != VERSION:
        raise ValueError(
            f"{path / FILE}: a fingerprint of version {version!r}, this program computes version {VERSION}: "
            "--base says where its base is, which then is not compared"
        )
    fitting = (place for place in chain(there, _moved(path, written)) if recorded and _fits_whole(place, recorded))
    found = next(fitting, there[0] if there else None)
    if found is None:
        raise ValueError(f"{path}: its base is {written or 'not named'}, no directory here: --base says where it is")
    if not is_adapter(found) and not (found / "config.json").is_file():
        raise ValueError(f"{path}: its base is {written}, no model is in that directory: --base says where it is")
    return found


def _moved(path: Path, written: str) -> Iterator[Path]:
    """Model directories below those around the adapter, that end as the written one does."""
    parts = Path(written).parts
    ends = [Path(*parts[-length:]) for length in range(1, len(parts))]
    places = (around / end for around in path.resolve().parents for end in ends)
    return (place for place in places if (place / "config.json").is_file())


def _recorded(path: Path) -> str:
    """The fingerprint in an adapter directory; "" if there is none, or one of another version."""
    version, recorded = _read_record(path)
    return recorded if version == VERSION else ""


def _read_record(path: Path) -> tuple[Any, str]:
    """(version, fingerprint)"""
    file = path / FILE
    if not file.is_file():
        return VERSION, ""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return record.get("version", VERSION), str(record["fingerprint"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: damaged ({error!r}), expected the fingerprint of the base") from None


def _fits(base: Path, recorded: str) -> bool:
    return not is_adapter(base) and fingerprint(base) == recorded


def _fits_whole(base: Path, recorded: str) -> bool:
    """`_fits`; an incomplete or broken directory does not, and the search goes on."""
    with suppress(ValueError, OSError):
        return _fits(base, recorded)
    return False


@cache
def _warn(message: str) -> None:
    """Print a warning, once, on one rank."""
    if os.environ.get("RANK", "0") == "0":
        print(f"WARNING: {message}", file=sys.stderr, flush=True)
