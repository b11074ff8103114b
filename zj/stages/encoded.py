"""Data of pre-training and fine-tuning: encoded once into OUT/encoded, and mapped by all ranks and later starts."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from zj.data.encode import Job, encode
from zj.data.files import files_of
from zj.data.store import Store
from zj.data.tokenizer import Tokenizer
from zj.stages.config import TextConfig
from zj.stages.setup import data_files, make_once
from zj.stages.validation import group_names
from zj.train import ALONE, World, write_text
from zj.train.files import swap_in
from zj.weights.checksums import SUMS, check_sums, write_sums

SIDES = ("train", "valid")
LARGE = 32 * 2**20  # bytes of data files from which on other processes read and encode them


@dataclass(frozen=True)
class Data:
    train: Store
    valid: Store
    valid_groups: list[str]  # the name of each held-out example's group
    prompts: list[list[int]]  # ids of the two that each validation answers
    tokenizer: Tokenizer


def open_data(
    config: TextConfig,
    kind: Literal["document", "dialogue"],
    out: Path,
    world: World,
    write_default: Callable[..., tuple[str, ...]],
    *names: str,
) -> Data:
    """--data, or a default (`data_files`), read, held out and encoded by rank 0 into OUT/encoded, unless it is there.

    What was read, shortened and left out is printed. OUT/validation.txt lists the held-out records. The tokenizer is
    that of --tokenizer, else of --model, else one trained on the training side and kept in OUT/tokenizer.
    """
    folder, own = out / "encoded", out / "tokenizer"

    def write(draft: Path) -> None:
        files = tuple(data_files(config, out, ALONE, write_default, *names))
        source = config.tokenizer or config.model or (str(own) if own.exists() else "")
        if source:
            Tokenizer.load(source)  # what is wrong with it is told before the data are read
        rest = (config.on_bad_row, config.repeats, config.valid_fraction, source, config.vocab_size, config.template)
        job = Job(files, kind, *rest, config.max_tokens, config.valid_data, config.limit)
        run = encode_elsewhere if sum(file.stat().st_size for file in files_of(files)) > LARGE else encode
        run(job, draft, world.print)
        for side in SIDES:
            write_sums(draft / side / SUMS, {file.name: file for file in sorted((draft / side).iterdir())})
        if not source:
            swap_in(draft / "tokenizer", own)

    new = world.on_rank_zero(lambda: not folder.exists())
    make_once(folder, write, world)
    index = _read_index(folder / "index.json")
    if not new:
        for side in SIDES:
            world.on_rank_zero(partial(check_sums, folder / side, share=False))
        world.print("\n".join(index["messages"]))
    held_out = (folder / "validation.txt").read_text(encoding="utf-8")
    world.on_rank_zero(lambda: write_text(out / "validation.txt", held_out))
    groups = [(file, turns) for file, turns in index["groups"]]
    train, valid = (Store(folder / side, index["ids"], groups) for side in SIDES)
    valid_groups = group_names(valid.groups, getattr(config, "mix", ""))
    return Data(train, valid, valid_groups, index["prompts"], Tokenizer.load(config.tokenizer or config.model or own))


def _read_index(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file}: damaged; remove {file.parent}, and the data are encoded again") from None


def encode_elsewhere(job: Job, folder: Path, report: Callable[[str], object]) -> None:
    """`encode` in another process with a worker for each core. Raises what it reports."""
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-P", "-m", "zj.stages.encoder"]
    environment = {**os.environ, "PYTHONPATH": paths}
    pipes: Any = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdin and process.stdout
        try:
            pickle.dump((job, folder, len(os.sched_getaffinity(0))), process.stdin)
            process.stdin.flush()  # it stays open: the other process ends when it is closed
            while (message := _next(process.stdout)) is not None:
                if isinstance(message, Exception):
                    raise message
                report(message)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"the process that encodes the data ended with status {process.returncode}")


def _next(messages: Any) -> Any:
    """The next message of the process; None at its end."""
    try:
        return pickle.load(messages)
    except EOFError:
        return None
