"""Plan a run without loading a model: memory per GPU, and time.

    python scripts/plan.py --stage sft --recipe recipes/zhongjing/sft.toml --size 13b --gpus 4 --shard zero2 \\
        --tokens 100000000 --records 270000

Memory is computed from the shapes of weights, adapters and activations (zj/plan/memory.py), FLOPs from those of a step
(zj/plan/flops.py), disk and host memory of the data from --tokens and --records. Time follows from --utilization;
measure yours on the first steps of a run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zj.cli import parse, run_command
from zj.data.batching import steps_per_epoch
from zj.data.store import ids_type
from zj.model import LlamaConfig, config_from_hf
from zj.plan.flops import Step, step_of
from zj.plan.job import Job, build, count
from zj.plan.memory import Memory, fitted, peaks
from zj.stages.config import useful_shard
from zj.train import to_json, write_text
from zj.weights import check_directory

CARDS = (24, 40, 80, 141)  # GB; an 80 GB card has 80 GiB, the 7 % between are left to CUDA and to fragmentation


@dataclass(frozen=True)
class Config:
    stage: Literal["pretrain", "sft", "reward", "dpo", "ppo"] = "sft"  # stage to plan
    recipe: str = ""  # TOML recipe of its script (none: the defaults)
    model: str = ""  # Hugging Face model directory; only config.json is read (none: --size)
    size: str = "13b"  # size of the model
    gpus: int = 1  # number of GPUs
    shard: Literal["recipe", "none", "zero2", "zero3"] = "recipe"  # over GPUs; recipe: its value
    memory_gb: float = 0.0  # GB per GPU that a step may use (0: the recipe's value)
    tokens: int = 0  # tokens of an epoch of training data; for PPO, of the prompts (0: time per step only)
    records: int = 0  # documents, dialogues, rankings or prompts in an epoch (0: as few as --max-tokens allows)
    answer_tokens: int = 0  # mean tokens of PPO's answers (0: --max-new-tokens)
    tflops: float = 312.0  # TFLOP/s of one GPU in --dtype, dense; the default is an A100 in 16 bit
    bandwidth: float = 2039.0  # GB/s of one GPU's memory, the limit of sampling; the default is an A100 of 80 GB
    utilization: float = 0.4  # share of --tflops and --bandwidth that is reached, 0 to 1, without communication
    out: str = ""  # JSON file of the plan, in bytes and seconds (none: only printed)

    def __post_init__(self) -> None:
        for name, low in (("gpus", 1), ("tokens", 0), ("records", 0), ("answer_tokens", 0)):
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
    memories = peaks(job)
    plan = make_plan(config, job, memories, step, records)
    print(f"{headline(config, job, plan)}\n\n{table(memories)}\n")
    print("\n".join(f"{name:14}{text}" for name, text in lines(config, job, step, plan)))
    if config.out:
        write_text(Path(config.out), to_json(plan, indent=2) + "\n")


def job_of(config: Config) -> Job:
    """The job to plan. The recipe is parsed by its own script's parser, with the same errors."""
    if config.recipe and not Path(config.recipe).is_file():
        raise ValueError(f"--recipe {config.recipe}: no such file")
    script = import_module(f"{__package__ or ''}.train_{config.stage}".lstrip("."))
    recipe = parse(script.Config, ["--config", config.recipe] if config.recipe else [], "plan.py")
    recipe = replace(recipe, memory_gb=config.memory_gb or recipe.memory_gb)
    if config.model:
        check_directory("--model", config.model)
    shape = config_from_hf(config.model) if config.model else LlamaConfig.named(config.size)
    shape.check_positions(recipe.max_tokens, "--max-tokens of the recipe is")
    recipe = replace(recipe, shard=recipe.shard if config.shard == "recipe" else config.shard)
    return fitted(Job(config.stage, recipe, shape, config.gpus, useful_shard(recipe, config.gpus)))


def lengths(config: Config, recipe: Any) -> tuple[int, int, int]:
    """(mean tokens of a record, mean tokens of PPO's answers, records of an epoch or 0).

    Raises ValueError if a length exceeds the recipe's --max-tokens or --max-new-tokens.
    """
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


def make_plan(config: Config, job: Job, memories: dict[str, Memory], step: Step, records: int) -> dict[str, Any]:
    """The numbers of the plan, in bytes, seconds and tokens."""
    _, parameters = build(job)
    computing = step.flops / (config.gpus * config.tflops * 1e12)
    seconds = (computing + step.read / (config.bandwidth * 1e9)) / config.utilization
    steps = steps_per_epoch(records, job.recipe.batch_size) * job.recipe.epochs if records else None
    peak = max(memory.total for memory in memories.values())
    return {
        "stage": job.stage,
        "shard": job.shard,
        "parameters": count(parameters),
        "trained": count(p for p in parameters if p.requires_grad),
        "memory": {name: asdict(memory) for name, memory in memories.items()},
        "peak": peak,
        "recompute": job.recompute,
        "fits": [card for card in CARDS if peak <= card * 1e9],
        "flops_per_step": step.flops,
        "seconds_per_step": seconds,
        "tokens_per_second": step.tokens / seconds,
        "steps": steps,
        "hours": steps * seconds / 3600 if steps else None,
        **data_bytes(config, job, records),
    }


LISTS = 44  # bytes of a token in Python's lists: two pointers, and an int of its own
MAPPED = 8 + 4 * 2 + 8 + 50 + 8 + 4  # bytes of an example beside its ids: ends, a span, file:line, a group
ORDER = 2 * 36 + 8  # bytes of an example in the orders of two epochs, and its group


def data_bytes(config: Config, job: Job, records: int) -> dict[str, int]:
    """Bytes of the training data: on disk (`zj.data.store`), and of each rank's own memory (without the mapped pages).

    A record of fewer tokens than --max-tokens is one example. The other three stages hold lists of numbers.
    """
    if job.stage not in ("pretrain", "sft"):
        return {"data_disk": 0, "data_memory": config.tokens * LISTS}
    each = np.dtype(ids_type(job.shape.vocab_size)).itemsize
    return {"data_disk": config.tokens * each + records * MAPPED, "data_memory": records * ORDER}


def headline(config: Config, job: Job, plan: dict[str, Any]) -> str:
    gpus = "1 GPU" if job.gpus == 1 else f"{job.gpus} GPUs"
    trained = f"{plan['parameters'] / 1e9:.2f} B parameters, {plan['trained'] / 1e6:,.1f} M of them trained"
    return f"{job.stage} of {config.model or config.size}: {trained}, {job.recipe.dtype}, {gpus}, {job.shard}"


def table(memories: dict[str, Memory]) -> str:
    """GB per GPU, one column per moment of a step."""
    rows = [("GB per GPU", *memories)]
    for name in (*(field.name for field in fields(Memory)), "total"):
        rows.append((name, *(f"{getattr(memory, name) / 1e9:.1f}" for memory in memories.values())))
    return "\n".join("".join([row[0].ljust(14), *(cell.rjust(10) for cell in row[1:])]) for row in rows)


def lines(config: Config, job: Job, step: Step, plan: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines below the table: (name, text)."""
    fits = ", ".join(map(str, plan["fits"])) or "none of " + ", ".join(map(str, CARDS))
    speed = f"{plan['tokens_per_second']:,.0f} tokens/s at {config.utilization:.0%} of {config.tflops:g} TFLOP/s"
    speed += f" and of {config.bandwidth:,g} GB/s" if step.read else ""
    time = f"{plan['seconds_per_step']:,.1f} s a step of {step.tokens:,} tokens"
    time += f", {plan['hours']:,.1f} h for {plan['steps']:,} steps" if plan["steps"] else "; of all: give --tokens"
    disk, memory = (plan[f"data_{where}"] / 1e9 for where in ("disk", "memory"))
    mapped = f", {disk:.2f} GB on disk that all ranks map" if disk else ""
    data = f"{memory:.2f} GB of host memory on each rank{mapped}" if config.tokens else "give --tokens"
    bound = job.recipe.memory_gb
    beyond = f", and needs more than --memory-gb {bound:g} even so" if 0 < bound * 1e9 < plan["peak"] else ""
    return [
        ("peak", f"{plan['peak'] / 1e9:.1f} GB"),
        ("recompute", f"{job.recompute} of {job.shape.num_hidden_layers} blocks{beyond}"),
        ("fits on", f"{fits} GB"),
        ("speed", speed),
        ("time", time),
        ("data", data),
    ]


if __name__ == "__main__":
    run_command(main, Config)
