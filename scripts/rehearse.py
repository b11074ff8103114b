"""Rehearse a run: every stage for a few steps with random weights of the given size, on this machine's devices.

    python scripts/rehearse.py --size 13b --dtype fp16 --out /scratch/rehearsal       one GPU of 80 GB
    python scripts/rehearse.py --size 13b --dtype fp16 --ranks 4 --shard zero2 --out /scratch/rehearsal

Weights are written in shards, as published ones are, and loaded from there. For each stage the table has peak memory
per GPU, measured and by scripts/plan.py, tokens per second, updates skipped by fp16 loss scaling, and the last loss. On
a CPU the memory is that of the process and not comparable.
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
UNNAMED = ("out", "stages", "device")  # settings that are not part of a run's directory name


@dataclass(frozen=True)
class Config:
    out: str = ""  # directory for weights, data and runs; a finished run is not repeated
    stages: tuple[str, ...] = STAGES  # some of pretrain sft reward dpo ppo; ppo needs the run of reward
    size: str = "13b"  # size of the model
    dtype: Literal["fp32", "bf16", "fp16"] = "fp16"  # of weights and computation
    steps: int = 5  # optimizer steps (of ppo: rounds) of each stage
    length: int = 1024  # tokens of a record; for ppo, of a prompt and its answer
    batch_size: int = 8  # records per step
    tokens_per_pack: int = 4096  # tokens in one forward pass
    ranks: int = 1  # processes, one per GPU
    shard: Literal["none", "zero2", "zero3"] = "none"  # sharding over ranks
    memory_gb: float = 0.0  # GB per GPU that a step may use, by recomputing blocks (0: no block recomputes)
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
    settings = [str(getattr(config, field.name)) for field in fields(config) if field.name not in UNNAMED]
    rows = []
    for stage in config.stages:
        folder = out / "-".join([stage, *settings])
        print(f"== {stage}", flush=True)
        rehearse(config, stage, base, folder)
        rows.append((stage, *read_metrics(folder), planned_gb(config, stage, base, folder)))
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
        flags |= {"reward": run_directory(folder, "reward"), "max_new_tokens": config.length // 2, "ppo_epochs": 1}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    launch = [sys.executable]
    if config.ranks > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(config.ranks)]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
    process = subprocess.run([*launch, str(SCRIPTS / f"train_{stage}.py"), *arguments], env=environment)
    if process.returncode:
        raise ValueError(f"{stage}: train_{stage}.py ended with status {process.returncode}, see above")


def run_directory(folder: Path, stage: str) -> Path:
    """The run directory of another stage with the same settings."""
    return folder.with_name("-".join([stage, *folder.name.split("-")[1:]]))


def records(config: Config, stage: str) -> Iterator[dict[str, Any]]:
    """Records for --steps steps, of about --length tokens; each digit is one token."""
    rng = random.Random(config.seed)

    def digits(count: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(count))

    prompt_tokens, answer_tokens = config.length // 2 - 40, config.length // 2  # 40: tokens of the template
    for number in range(config.batch_size * config.steps):
        prompt, answer, other = digits(prompt_tokens), digits(answer_tokens), digits(answer_tokens)
        if stage == "pretrain":
            yield {"text": digits(config.length - 2)}
        elif stage == "sft":
            yield {"query": prompt, "response": answer}
        elif stage == "ppo":
            yield {"id": str(number), "prompt": prompt}
        else:
            yield {"prompt": prompt, "chosen": answer, "rejected": other}


def read_metrics(folder: Path) -> tuple[int, int, float, float, float]:
    """(steps, skipped updates, last loss, tokens/s after the first step, peak GB) of a run's metrics."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if "seconds" in row]
    later = rows[1:] or rows  # the first step is warm-up
    speed = sum(row["tokens"] for row in later) / sum(row["seconds"] for row in later)
    skipped = sum(row.get("left_out", int(row["loss_factor"] == 0)) for row in rows)  # PPO: several per step
    loss = rows[-1].get("loss")
    return len(rows), skipped, math.nan if loss is None else loss, speed, rows[-1]["memory_gb"]


def planned_gb(config: Config, stage: str, base: Path, folder: Path) -> float:
    """Peak GB by scripts/plan.py, for the config.toml of the run."""
    file = folder.with_suffix(".plan.json")
    arguments = ["--stage", stage, "--recipe", folder / "config.toml", "--model", base, "--gpus", config.ranks]
    command = [sys.executable, str(SCRIPTS / "plan.py"), *map(str, arguments), "--out", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(file.read_text(encoding="utf-8"))["peak"] / 1e9


if __name__ == "__main__":
    run_command(main, Config)
