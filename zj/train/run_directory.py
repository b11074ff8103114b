"""The directory of a run: its config, its progress and, when it is finished, its result.

config.toml  metrics.jsonl  validation.txt  samples.jsonl  checkpoints/step-N/  latest  best/
and, at the end, the result itself: a Hugging Face model or a PEFT adapter, so that --model OUT is the next stage
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from zj.cli import to_toml
from zj.weights.checksums import file_digest

from .checkpoint import load_checkpoint, sync, whole_lines, write_text
from .distributed import ALONE, World

RESULTS = ("config.json", "adapter_config.json")  # the last file of a result to be written

MAY_CHANGE = ("stop_after ", "device ", "compile ", "memory_gb ", "base ")  # fields that may change when a run resumes

PREPARED = ("clinic", "tokenizer", "base")  # made from the config alone before the first step


def open_run(
    out: str, config: Any, stage: str, world: World = ALONE, data: Sequence[Path] = ()
) -> tuple[Path, dict[str, Any] | None]:
    """Make OUT, or resume the run in it: (directory, state of its latest checkpoint or None).

    A finished run prints so and exits with status 0. ValueError if OUT is the directory of another run, of other
    `data` or of no run, or if another process is using it.
    """
    if not out:
        raise ValueError("--out is missing: the directory that this run will write")
    folder = Path(out)
    status = world.on_rank_zero(lambda: _claim(folder, f"# {stage}\n{_contents(data)}{to_toml(config)}", stage))
    if status == "finished":
        world.print(f"{out}: this {stage} run is finished; its result is there")
        world.leave()
        sys.exit(0)
    return folder, load_checkpoint(folder, world) if status == "begun" else None


def _contents(files: Iterable[Path]) -> str:
    """A line for config.toml with a hash of all data files: a run resumes only on the same data."""
    digests = [file_digest(file) for file in files]
    whole = hashlib.sha256("".join(digests).encode())
    return f"# contents of --data: {whole.hexdigest()[:16]}\n" if digests else ""


def _claim(folder: Path, text: str, stage: str) -> Literal["new", "begun", "finished"]:
    """Claim the directory for this run; returns the state of the run in it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: is a file, expected a directory")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.toml").exists() and any(file.name != LOCK for file in folder.iterdir()):
        raise ValueError(f"--out {folder}: not empty and not a run of this project; nothing was written")
    finished = any((folder / name).exists() for name in RESULTS)
    if not finished and not (folder / "metrics.jsonl").exists():  # new, or stopped before its first step
        _check_same_stage(folder, stage)  # config.toml is a common name: never delete beside another's
        _lock(folder)
        for name in PREPARED:
            shutil.rmtree(folder / name, ignore_errors=True)
        write_text(folder / "config.toml", text)
        return "new"
    _check_same_run(folder, text)
    if finished:
        return "finished"
    _lock(folder)
    return "begun"


LOCK = ".lock"
_lock_files: dict[Path, Any] = {}  # open files; the kernel drops their locks when this process ends


def _lock(folder: Path) -> None:
    """Lock the directory. ValueError names the process that has locked it already."""
    file = open(folder / LOCK, "a+", encoding="utf-8")  # noqa: SIM115, open as long as the process lives
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(f"--out {folder}: another run is at work in it ({file.read().strip()})") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _lock_files[folder.resolve()] = file


def _check_same_stage(folder: Path, stage: str) -> None:
    file = folder / "config.toml"
    if file.exists() and not file.read_bytes().startswith(f"# {stage}\n".encode()):
        raise ValueError(f"--out {folder}: its config.toml is not that of a {stage} run; nothing was written")


def _check_same_run(folder: Path, text: str) -> None:
    stored = (folder / "config.toml").read_text(encoding="utf-8")
    changed = [line for line in _lines(text) if line not in _lines(stored) and not line.startswith(MAY_CHANGE)]
    if changed:
        raise ValueError(
            f"--out {folder}: holds another run; this one says '{changed[0]}' where its config.toml does not"
        )


def _lines(text: str) -> list[str]:
    """The lines of a config, each prefixed with its table: [optim] and [value_optim] have the same keys."""
    table, lines = "", []
    for line in text.splitlines():
        table = f"{line} " if line.startswith("[") else table
        lines.append((table + line).strip("# "))
    return lines


def replace_folder(folder: Path, write: Callable[[Path], object], world: World = ALONE) -> None:
    """Replace `folder` by one that `write` fills under a temporary name. All ranks call `write`, rank 0 writes."""
    draft = folder.with_name(f".tmp-{folder.name}")
    world.on_rank_zero(lambda: _clear(draft))
    write(draft)
    world.on_rank_zero(lambda: _swap(draft, folder))


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _swap(draft: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(draft, folder)
    sync(folder.parent)


def publish_best(folder: Path) -> None:
    """Make OUT/best the result of the run: link its files into OUT, the config last."""
    files = sorted((folder / "best").iterdir(), key=lambda file: file.name in RESULTS)
    for file in files:
        target = folder / file.name
        target.unlink(missing_ok=True)
        try:
            os.link(file, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(file, target)
    (folder / LOCK).unlink(missing_ok=True)
    sync(folder)


def read_run(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """(stage, rows of metrics.jsonl) of a run, finished or not. ValueError if the directory is not a run."""
    try:
        stage = (folder / "config.toml").read_text(encoding="utf-8").partition("\n")[0].strip("# ")
    except OSError:
        raise ValueError(f"--runs {folder}: not a run directory, config.toml is missing") from None
    return stage, read_rows(folder / "metrics.jsonl")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The objects of a run's JSON-lines file; an incomplete last line is left out.

    ValueError names file:line of anything that is not an object with a step.
    """
    if not file.is_file():
        raise ValueError(f"--runs {file.parent}: {file.name} is missing, expected a run that has begun")
    rows = []
    for number, line in enumerate(whole_lines(file), 1):
        try:
            row = json.loads(line)
            row["step"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{file}:{number}: damaged, expected an object with a step") from None
        rows.append(row)
    return rows
