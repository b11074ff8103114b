"""A run is a directory: it says what was asked, how far it came, and holds the result when it is done.

config.toml  metrics.jsonl  samples.jsonl  checkpoints/step-N/  latest  best/
and, at the end, the result itself: a Hugging Face model or a PEFT adapter, so that --model OUT is the next stage
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zj.config import to_toml

from .checkpoint import load_checkpoint, sync, whole_lines, write_text

RESULTS = ("config.json", "adapter_config.json")  # the last file of a result to be written

PREPARED = ("clinic", "tokenizer", "base")  # made from the config alone before the first step


def open_run(out: str, config: Any, stage: str) -> tuple[Path, dict[str, Any] | None]:
    """Make OUT, or go on with the run that is in it: (directory, state of its latest checkpoint or None).

    A finished run says so and exits with status 0. ValueError if OUT holds anything else than this very run.
    """
    if not out:
        raise ValueError("--out is missing: the directory that this run will write")
    folder, text = Path(out), f"# {stage}\n{to_toml(config)}"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {out}: is a file, expected a directory")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.toml").exists() and any(folder.iterdir()):
        raise ValueError(f"--out {out}: not empty and not a run of this project; nothing was written")
    finished = any((folder / name).exists() for name in RESULTS)
    if not finished and not (folder / "metrics.jsonl").exists():  # new, or stopped before its first step
        _check_same_stage(folder, stage)  # config.toml is a common name: what stands beside another's stays there
        for name in PREPARED:
            shutil.rmtree(folder / name, ignore_errors=True)
        write_text(folder / "config.toml", text)
        return folder, None
    _check_same_run(folder, text)
    if finished:
        print(f"{out}: this {stage} run is finished; its result is there", flush=True)
        sys.exit(0)
    return folder, load_checkpoint(folder)


def _check_same_stage(folder: Path, stage: str) -> None:
    file = folder / "config.toml"
    if file.exists() and not file.read_bytes().startswith(f"# {stage}\n".encode()):
        raise ValueError(f"--out {folder}: its config.toml is not that of a {stage} run; nothing was written")


def _check_same_run(folder: Path, text: str) -> None:
    found = (folder / "config.toml").read_text(encoding="utf-8")
    differ = [line for line in _lines(text) if line not in _lines(found)]
    if differ:
        raise ValueError(
            f"--out {folder}: holds another run; this one says '{differ[0]}' where its config.toml does not"
        )


def _lines(text: str) -> list[str]:
    """The lines of a config, each behind the table it stands in: [optim] and [value_optim] have the same keys."""
    table, found = "", []
    for line in text.splitlines():
        table = f"{line} " if line.startswith("[") else table
        found.append((table + line).strip("# "))
    return found


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a directory beside `folder`, then put it in its place."""
    draft = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    write(draft)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(draft, folder)
    sync(folder.parent)


def publish_best(folder: Path) -> None:
    """Make OUT/best the result of the run: the same files stand in OUT itself, the one that readers open first last."""
    files = sorted((folder / "best").iterdir(), key=lambda file: file.name in RESULTS)
    for file in files:
        target = folder / file.name
        target.unlink(missing_ok=True)
        try:
            os.link(file, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(file, target)
    sync(folder)


def read_run(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """(stage, rows of metrics.jsonl) of a run, finished or not. ValueError if the directory is not a run."""
    try:
        stage = (folder / "config.toml").read_text(encoding="utf-8").partition("\n")[0].strip("# ")
    except OSError:
        raise ValueError(f"--runs {folder}: not a run directory, config.toml is missing") from None
    return stage, read_rows(folder / "metrics.jsonl")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The objects of a run's JSON-lines file; a last line that is still being written is left out.

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
