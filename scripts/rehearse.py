"""A rehearsal: every stage for a few steps with random weights of a shape, on the devices that are here.

    python scripts/rehearse.py --size 13b --dtype fp16 --out /scratch/rehearsal       one GPU of 80 GB
    python scripts/rehearse.py --size 13b --dtype fp16 --ranks 4 --shard zero2 --out /scratch/rehearsal

Weights of that size are written as published ones are, in shards, and read from there. The table tells for each stage
the peak memory of a GPU beside what scripts/plan.py says of the same run, tokens per second, updates that fp16's loss
scaling left out, and the last loss. On a CPU memory is that of the process and not comparable.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from zj.cli import run_command
from zj.model import LlamaConfig
from zj.plan.measuring import digits_tokenizer
from zj.train import DTYPES
from zj.weights import check_tokenizer_fits, random_llama, save_llama

STAGES = ("pretrain", "sft", "reward", "dpo", "ppo")
SCRIPTS = Path(__file__).parent
FREE = ("out", "stages", "device")  # what is not in the name of a stage's directory


@dataclass(frozen=True)
class Config:
    out: str = ""  # directory for weights, data and runs; what is finished there is told again
    stages: tuple[str, ...] = STAGES  # some of pretrain sft reward dpo ppo; ppo needs what reward has left
    size: str = "13b"  # size of the model
    dtype: Literal["fp32", "bf16", "fp16"] = "fp16"  # of weights and computation
    steps: int = 5  # optimizer steps (of ppo: rounds) of each stage
    length: int = 1024  # tokens of a record; of ppo those of a prompt and its answer
    batch_size: int = 8  # records in a step
    tokens_per_pack: int = 4096  # tokens in one forward pass
    ranks: int = 1  # processes, one for each GPU
    shard: Literal["none", "zero2", "zero3"] = "none"  # what they share
    memory_gb: float = 0.0  # GB to plan a step within: as many blocks as that takes recompute (0: none do)
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    seed: int = 0  # of weights and data

    def __post_init__(self) -> None:
        if not self.out:
            raise ValueError("--out is missing: a directory with room for the weights")
        unknown = set(self.stages) - set(STAGES)
        if unknown or not self.stages:
            raise ValueError(f"--stages: found {min(unknown, default='none')}, expected some of {' '.join(STAGES)}")
        for name, low in (("steps", 1), ("length", 128), ("batch_size", 1), ("tokens_per_pack", 1), ("ranks", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, expected at least {low}")


def main(config: Config) -> None:
    out = Path(config.out)
    base = write_base(config, out / f"base-{config.size}-{config.dtype}-{config.seed}")
    settings = [str(getattr(config, field.name)) for field in fields(config) if field.name not in FREE]
    rows = []
    for stage in config.stages:
        folder = out / "-".join([stage, *settings])
        print(f"== {stage}", flush=True)
        rehearse(config, stage, base, folder)
        rows.append((stage, *told(folder), planned(config, stage, base, folder)))
    names = ("stage", "steps", "left out", "last loss", "tokens/s", "GB", "GB planned")
    print("".join(f"{name:>12}" for name in names))
    for stage, steps, skipped, loss, speed, memory, plan in rows:
        cells = (stage, steps, skipped, f"{loss:.3f}", f"{speed:,.0f}", f"{memory:.1f}", f"{plan:.1f}")
        print("".join(f"{cell:>12}" for cell in cells))


def write_base(config: Config, folder: Path) -> Path:
    """A model directory of random weights in --dtype. ValueError for a model without room for the tokenizer."""
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        check_tokenizer_fits(LlamaConfig.named(config.size), len(digits_tokenizer(folder)))
        device = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
        save_llama(random_llama(LlamaConfig.named(config.size), DTYPES[config.dtype], device, config.seed), folder)
    return folder


def rehearse(config: Config, stage: str, base: Path, folder: Path) -> None:
    """Run the stage's own script."""
    data = folder.with_suffix(".jsonl")
    data.write_text("".join(json.dumps(row) + "\n" for row in records(config, stage)), encoding="utf-8")
    flags: dict[str, Any] = {"model": base, "data": data, "out": folder, "epochs": 1, "valid_fraction": 0.0}
    for name in ("batch_size", "tokens_per_pack", "memory_gb", "dtype", "shard", "device", "seed"):
        flags[name] = getattr(config, name)
    flags["max_tokens"] = 2 * config.length
    if stage == "reward":
        flags["calibrate_on"] = config.batch_size
    if stage == "ppo":
        flags |= {"reward": sibling(folder, "reward"), "max_new_tokens": config.length // 2, "ppo_epochs": 1}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    launch = [sys.executable]
    if config.ranks > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(config.ranks)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run([*launch, str(SCRIPTS / f"train_{stage}.py"), *words], env=environment)
    if done.returncode:
        raise ValueError(f"{stage}: train_{stage}.py ended with status {done.returncode}, see above")


def sibling(folder: Path, stage: str) -> Path:
    """The run of another stage with the same settings."""
    return folder.with_name("-".join([stage, *folder.name.split("-")[1:]]))


def records(config: Config, stage: str) -> Iterator[dict[str, Any]]:
    """As many as the steps need, of about --length tokens: digits, each of which is a token."""
    dice = random.Random(config.seed)

    def digits(count: int) -> str:
        return "".join(dice.choice("0123456789") for _ in range(count))

    asked, said = config.length // 2 - 40, config.length // 2  # 40: the template's
    for number in range(config.batch_size * config.steps):
        prompt, answer, other = digits(asked), digits(said), digits(said)
        if stage == "pretrain":
            yield {"text": digits(config.length - 2)}
        elif stage == "sft":
            yield {"query": prompt, "response": answer}
        elif stage == "ppo":
            yield {"id": str(number), "prompt": prompt}
        else:
            yield {"prompt": prompt, "chosen": answer, "rejected": other}


def told(folder: Path) -> tuple[int, int, float, float, float]:
    """What a run's metrics say: steps, updates left out, the last loss, tokens/s after the first step, peak GB."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if "seconds" in row]
    later = rows[1:] or rows  # the first one warms up
    speed = sum(row["tokens"] for row in later) / sum(row["seconds"] for row in later)
    skipped = sum(row.get("left_out", int(row["loss_factor"] == 0)) for row in rows)  # PPO makes several in a step
    return len(rows), skipped, rows[-1].get("loss", math.nan), speed, rows[-1]["memory_gb"]


def planned(config: Config, stage: str, base: Path, folder: Path) -> float:
    """GB of the fullest moment, from the config that the run has written."""
    file = folder.with_suffix(".plan.json")
    words = ["--stage", stage, "--recipe", folder / "config.toml", "--model", base, "--gpus", config.ranks]
    command = [sys.executable, str(SCRIPTS / "plan.py"), *map(str, words), "--out", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(file.read_text(encoding="utf-8"))["peak"] / 1e9


if __name__ == "__main__":
    run_command(main, Config)
