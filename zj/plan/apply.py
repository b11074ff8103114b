"""Apply --memory-gb (activation checkpointing) and --compile to a stage's model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zj.inference.compiled import compile_blocks
from zj.lora import LoRALinear
from zj.model import Llama
from zj.plan.job import Job
from zj.plan.memory import fitted, fullest
from zj.stages.config import Lora, StageConfig
from zj.train import World


def apply_memory_plan(model: Llama, stage: str, config: StageConfig, world: World) -> None:
    """Let as many blocks recompute their activations as --memory-gb needs; compile the blocks with --compile.

    Raises ValueError if --memory-gb is too little with all blocks recomputing.
    """
    if config.memory_gb:
        model.recompute = blocks_that_recompute(model, stage, config, world)
    if config.compile:
        compile_blocks(model)


def blocks_that_recompute(model: Llama, stage: str, config: StageConfig, world: World) -> int:
    """The fewest that fit into --memory-gb. Adapters are planned with the largest rank on the model."""
    device: Any = world.device.type
    config = replace(config, device=device, lora=widest_lora(model, config.lora))
    job = fitted(Job(stage, config, model.config, world.size, config.shard))
    (moment, most), blocks = fullest(job), f"{job.recompute} of {model.config.num_hidden_layers} blocks"
    if most > config.memory_gb * 1e9:
        required = f"{1.005 * most / 1e9:.3g}"  # rounded up: it may be typed
        need = f"the moment {moment!r} takes {required} GB with {blocks} recomputed; see scripts/plan.py"
        raise ValueError(f"--memory-gb is {config.memory_gb:g}: {need}")
    world.print(f"memory: {most / 1e9:.3g} GB planned, {blocks} recompute their activations")
    return job.recompute


def widest_lora(model: Llama, lora: Lora) -> Lora:
    """A config with the largest rank and all targets of the adapters on a model: loaded adapters have their own."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoRALinear)]
    ranks = [len(A) for _, layer in layers for A in layer.lora_A.values()]
    targets = {name.rpartition(".")[2] for name, layer in layers if layer.lora_A}
    return replace(lora, rank=max(ranks), targets=tuple(sorted(targets))) if ranks else lora
