"""Will it fit, how long will it take, what goes over the wires: told before anything is loaded.

    python scripts/plan.py --stage sft --recipe recipes/zhongjing/sft.toml --size 13b --gpus 4 --shard zero2 \\
        --tokens 100000000 --records 270000

Memory is counted from the shapes of the model and of what the stage puts on it (zj/plan/memory.py), FLOPs and bytes
sent from those of a step (zj/plan/flops.py). The time follows from a stated utilization; measure yours by a run's first
steps.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from zj.cli import parse, run_command
from zj.data.batching import steps_per_epoch
from zj.model import LlamaConfig
from zj.plan.flops import Step, step_of
from zj.plan.memory import Job, Memory, build, count, fitted, moments
from zj.train.checkpoint import write_text

CARDS = (24, 40, 80, 141)  # GB; a card of 80 GB has 80 GiB, the 7 % between are left to CUDA and to fragmentation


@dataclass(frozen=True)
class Config:
    stage: Literal["pretrain", "sft", "reward", "dpo", "ppo"] = "sft"  # which script is planned
    recipe: str = ""  # TOML recipe of that script (none: its defaults)
    model: str = ""  # Hugging Face model directory, of which config.json is read (none: --size)
    size: str = "13b"  # size of the model
    gpus: int = 1  # GPUs that share the work
    gpus_per_node: int = 8  # of them in one machine
    shard: Literal["recipe", "none", "zero2", "zero3"] = "recipe"  # what GPUs share: as the recipe says, or this
    memory_gb: float = 0.0  # GB to plan a step within (0: as the recipe says)
    tokens: int = 0  # tokens in an epoch of training data, in PPO of the prompts alone (0: no time is told)
    records: int = 0  # documents, dialogues, rankings or prompts in them (0: as few as --max-tokens allows)
    answer_tokens: int = 0  # mean length of PPO's answers (0: --max-new-tokens)
    tflops: float = 312.0  # of one GPU in --dtype, dense; the default is an A100 in 16 bit
    bandwidth: float = 2039.0  # GB/s of one GPU's memory, which sampling waits for; the default is an A100 of 80 GB
    utilization: float = 0.4  # part of both that is reached, 0 to 1; what waits for other GPUs is not
    out: str = ""  # JSON file for the same numbers, in bytes and seconds (none: they are only printed)

    def __post_init__(self) -> None:
        for name, low in (("gpus", 1), ("gpus_per_node", 1), ("tokens", 0), ("records", 0), ("answer_tokens", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, expected at least {low}")
        for name in ("tflops", "bandwidth"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} is {getattr(self, name)}, expected more than 0")
        if not 0 < self.utilization <= 1:
            raise ValueError(f"--utilization is {self.utilization}, expected 0 < utilization <= 1")
        if self.records and not self.tokens:
            raise ValueError("--records: expected --tokens with it, how many tokens they have in all")
        if self.answer_tokens and self.stage != "ppo":
            raise ValueError(f"--answer-tokens: only ppo samples answers, found --stage {self.stage}")


def main(config: Config) -> None:
    job = job_of(config)
    length, answer, records = lengths(config, job.recipe)
    step = step_of(job, length, answer)
    found = moments(job)
    told = numbers(config, job, found, step, records)
    print(f"{headline(config, job, told)}\n\n{table(found)}\n")
    print("\n".join(f"{name:14}{text}" for name, text in lines(config, job, step, told)))
    if config.out:
        write_text(Path(config.out), json.dumps(told, indent=2) + "\n")


def job_of(config: Config) -> Job:
    """What is planned. The recipe is read by the parser of its own script, so that its mistakes are the same ones."""
    if config.recipe and not Path(config.recipe).is_file():
        raise ValueError(f"--recipe {config.recipe}: no such file")
    script = import_module(f"{__package__ or ''}.train_{config.stage}".lstrip("."))
    recipe = parse(script.Config, ["--config", config.recipe] if config.recipe else [], "plan.py")
    recipe = replace(recipe, memory_gb=config.memory_gb or recipe.memory_gb)
    shape = LlamaConfig.from_hf(config.model) if config.model else LlamaConfig.named(config.size)
    shard = recipe.shard if config.shard == "recipe" else config.shard
    return fitted(Job(config.stage, recipe, shape, config.gpus, shard))


def lengths(config: Config, recipe: Any) -> tuple[int, int, int]:
    """(mean tokens of a record, mean tokens of PPO's answers, records of an epoch or 0). ValueError if they are longer
    than --max-tokens of the recipe lets them be."""
    room, answer = recipe.max_tokens, 0
    if config.stage == "ppo":
        room, answer = room - recipe.max_new_tokens, config.answer_tokens or recipe.max_new_tokens
        if answer > recipe.max_new_tokens:
            raise ValueError(f"--answer-tokens is {answer}, expected at most {recipe.max_new_tokens}: --max-new-tokens")
    records = config.records or -(-config.tokens // room)
    length = -(-config.tokens // records) if records else room
    if length > room and config.stage not in ("reward", "dpo"):  # there a record has several answers
        raise ValueError(f"--tokens {config.tokens} --records {records}: {length} each, expected at most {room}")
    return length, answer, records


def numbers(config: Config, job: Job, found: dict[str, Memory], step: Step, records: int) -> dict[str, Any]:
    """All that is told, in bytes, seconds and tokens."""
    _, every = build(job)
    computing = step.flops / (config.gpus * config.tflops * 1e12)
    seconds = (computing + step.read / (config.bandwidth * 1e9)) / config.utilization
    steps = steps_per_epoch(records, job.recipe.batch_size) * job.recipe.epochs if records else None
    peak = max(memory.total for memory in found.values())
    return {
        "stage": job.stage,
        "shard": job.shard,
        "parameters": count(every),
        "trained": count(p for p in every if p.requires_grad),
        "memory": {name: asdict(memory) for name, memory in found.items()},
        "peak": peak,
        "recompute": job.recompute,
        "fits": [card for card in CARDS if peak <= card * 1e9],
        "flops_per_step": step.flops,
        "seconds_per_step": seconds,
        "tokens_per_second": step.tokens / seconds,
        "steps": steps,
        "hours": steps * seconds / 3600 if steps else None,
        "sent_per_step": step.sent,
        "leaves_node_per_step": step.sent if config.gpus > config.gpus_per_node else 0.0,
    }


def headline(config: Config, job: Job, told: dict[str, Any]) -> str:
    gpus = "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"
    trained = f"{told['parameters'] / 1e9:.2f} B parameters, {told['trained'] / 1e6:,.1f} M of them trained"
    return f"{job.stage} of {config.model or config.size}: {trained}, {job.recipe.dtype}, {gpus}, {job.shard}"


def table(found: dict[str, Memory]) -> str:
    """GB per GPU, a column for each moment."""
    rows = [("GB per GPU", *found)]
    for name in (*(field.name for field in fields(Memory)), "total"):
        rows.append((name, *(f"{getattr(memory, name) / 1e9:.1f}" for memory in found.values())))
    return "\n".join("".join([row[0].ljust(14), *(cell.rjust(10) for cell in row[1:])]) for row in rows)


def lines(config: Config, job: Job, step: Step, told: dict[str, Any]) -> list[tuple[str, str]]:
    """What is said below the table: (name, text)."""
    fits = ", ".join(map(str, told["fits"])) or "none of " + ", ".join(map(str, CARDS))
    speed = f"{told['tokens_per_second']:,.0f} tokens/s at {config.utilization:.0%} of {config.tflops:g} TFLOP/s"
    speed += f" and of {config.bandwidth:,g} GB/s" if step.read else ""
    time = f"{told['seconds_per_step']:,.1f} s a step of {step.tokens:,} tokens"
    time += f", {told['hours']:,.1f} h for {told['steps']:,} steps" if told["steps"] else "; of all: give --tokens"
    bound = job.recipe.memory_gb
    beyond = f", and needs more than --memory-gb {bound:g} even so" if 0 < bound * 1e9 < told["peak"] else ""
    away = "as much leaves each node" if told["leaves_node_per_step"] else "nothing leaves a node"
    return [
        ("peak", f"{told['peak'] / 1e9:.1f} GB"),
        ("recompute", f"{job.recompute} of {job.shape.num_hidden_layers} blocks{beyond}"),
        ("fits on", f"{fits} GB"),
        ("speed", speed),
        ("time", time),
        ("sent", f"{step.sent / 1e9:,.1f} GB by each GPU in a step, {away}"),
    ]


if __name__ == "__main__":
    run_command(main, Config)
