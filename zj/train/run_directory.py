"""The directory of a run: its config, its progress and, when it is finished, its result.

config.toml  metrics.jsonl  validation.txt  samples.jsonl  encoded/  checkpoints/step-N/  latest  best/
and, at the end, the result itself: a Hugging Face model or a PEFT adapter, so that --model OUT is the next stage
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zj.weights.checksums import check_sums
from zj.weights.directory import RESULTS

from .checkpoint import has_checkpoints, load_newest
from .distributed import ALONE, World
from .files import finish_swap, json_rows, naming, swap_in, sync, write_text
from .identity import Identity

PREPARED = ("clinic", "tokenizer", "base", "encoded")  # made from the config alone before the first step

# Files that may lie in the directory of a new run: of queues, shells, editors, file systems, and of a start cut off.
HARMLESS = (
    *(".lock", ".tmp-config.toml", "*.log", "*.out", "*.err", ".gitkeep", ".gitignore", ".keep", ".DS_Store"),
    *("Thumbs.db", "desktop.ini", "lost+found", ".nfs*", "*.swp", "*.swo", "*~", "#*#", ".#*"),
)


class Opened(NamedTuple):
    folder: Path
    state: dict[str, Any] | None  # of the checkpoint to go on from
    config: Any  # with what earlier or present --resume-with have changed


def open_run(out: str, run: Identity, world: World = ALONE, changes: str = "") -> Opened:
    """Make OUT, or resume the run in it, with the changes of --resume-with.

    A finished run prints so and exits with status 0. ValueError if OUT is the directory of another run or of no run,
    or if another process is using it.
    """
    if not out:
        raise ValueError("--out is missing: the directory that this run will write")
    folder = Path(out)
    status, run = world.on_rank_zero(lambda: _claim(folder, run))
    if status == "finished":
        world.print(f"{out}: this {run.stage} run is finished; its result is there")
        world.leave()
        sys.exit(0)
    if status == "new":
        if changes:
            raise ValueError(f"--resume-with {changes}: no run has begun in --out {out}; a new one takes plain flags")
        return Opened(folder, None, run.config)
    step, state = load_newest(folder, world)
    run = world.on_rank_zero(lambda: _record(folder, run.resumed_with(changes, step)))
    return Opened(folder, state, run.config)


def _claim(folder: Path, run: Identity) -> tuple[Literal["new", "begun", "finished"], Identity]:
    """Claim the directory for this run; returns the state of the run in it, and the run with its history."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: is a file, expected a directory")
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # a directory in which others' names may not be listed
        sync(folder.parent)
    names = [file.name for file in folder.iterdir()]
    foreign = [name for name in names if not any(fnmatch(name, pattern) for pattern in HARMLESS)]
    if "config.toml" not in names and foreign:
        raise ValueError(
            f"--out {folder}: not empty and not a run of this project, there is {min(foreign)}; nothing was written"
        )
    finished = any(_is_result(folder / name) for name in RESULTS)
    told = (folder / "metrics.jsonl").exists()
    if not (finished or told or has_checkpoints(folder)):  # new, or stopped before its first step
        _check_same_stage(folder, run.stage)  # config.toml is a common name: never delete beside another's
        lock(folder)
        for name in PREPARED:
            shutil.rmtree(folder / name, ignore_errors=True)
        return "new", _record(folder, run)
    run = run.going_on(folder / "config.toml")
    if finished:
        return "finished", run
    lock(folder)
    finish_swap(folder / "best")
    if not (told or (folder / "checkpoints" / "step-0").exists()):  # stopped in its first validation
        print(f"{folder}: metrics.jsonl is missing; it begins anew, the run does not", flush=True)
    return "begun", run


def _is_result(file: Path) -> bool:
    """Whether a result's last file is there and whole: a full disk or a power loss may leave it empty."""
    try:
        return isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def _record(folder: Path, run: Identity) -> Identity:
    write_text(folder / "config.toml", run.to_text())
    return run


LOCK = ".lock"
_lock_files: dict[Path, Any] = {}  # open files; the kernel drops their locks when this process ends


def lock(folder: Path) -> None:
    """Lock the directory. ValueError names the process that has locked it already.

    A file system without locks is told.
    """
    file = open(folder / LOCK, "a+", encoding="utf-8")  # noqa: SIM115, open as long as the process lives
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        file.seek(0)
        raise ValueError(f"--out {folder}: another run is at work in it ({file.read().strip()})") from None
    except OSError as error:
        print(f"{folder}: no locks on this file system ({error.strerror}); start no second run there", flush=True)
    with naming(folder / LOCK):
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
    _lock_files[folder.resolve()] = file


def _check_same_stage(folder: Path, stage: str) -> None:
    file = folder / "config.toml"
    if file.exists() and not file.read_bytes().startswith(f"# {stage}\n".encode()):
        raise ValueError(f"--out {folder}: its config.toml is not that of a {stage} run; nothing was written")


def replace_folder(folder: Path, write: Callable[[Path], object], world: World = ALONE) -> None:
    """Replace `folder` by one that `write` fills under a temporary name. All ranks call `write`, rank 0 writes."""
    draft = folder.with_name(f".tmp-{folder.name}")
    world.on_rank_zero(lambda: _clear(draft))
    with naming(draft):
        write(draft)
    world.on_rank_zero(lambda: swap_in(draft, folder))


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def publish_best(folder: Path) -> None:
    """Make OUT/best the result of the run: link or copy its files into OUT, the config last.

    ValueError if a file of OUT/best is not what was written.
    """
    try:
        check_sums(folder / "best", share=False)
    except ValueError as error:
        raise ValueError(f"{error}. Without {folder / 'best'} the last model becomes the result") from None
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
    for file in sorted((folder / "best").iterdir(), key=lambda file: file.name in RESULTS):
        if file.name in RESULTS:
            sync(folder)
        _link(file, folder / file.name)
    (folder / LOCK).unlink(missing_ok=True)
    sync(folder)


def _link(file: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        draft = target.with_name(f".tmp-{target.name}")
        with naming(target):
            shutil.copyfile(file, draft)
            sync(draft)
            os.replace(draft, target)


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
    return [row for _, row in json_rows(file)]
