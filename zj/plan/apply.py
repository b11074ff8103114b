"""How a stage's model computes: what --memory-gb and --compile ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zj.inference.compiled import compile_blocks
from zj.lora import LoRALinear
from zj.model import Llama
from zj.plan.memory import Job, fitted, fullest
from zj.stages.config import Lora, StageConfig
from zj.train import World


def apply_memory_plan(model: Llama, stage: str, config: StageConfig, world: World) -> None:
    """Let as many blocks recompute their activations as a step within --memory-gb takes; fuse what --compile does.

    Raises ValueError if --memory-gb is too little even so.
    """
    if config.memory_gb:
        model.recompute = blocks_that_recompute(model, stage, config, world)
    if config.compile:
        compile_blocks(model)


def blocks_that_recompute(model: Llama, stage: str, config: StageConfig, world: World) -> int:
    """As many as --memory-gb takes. Adapters are planned as wide as the widest that the model has."""
    device: Any = world.device.type
    config = replace(config, device=device, lora=widest(model, config.lora))
    job = fitted(Job(stage, config, model.config, world.size, config.shard))
    (moment, most), blocks = fullest(job), f"{job.recompute} of {model.config.num_hidden_layers} blocks"
    if most > config.memory_gb * 1e9:
        least = f"{1.005 * most / 1e9:.3g}"  # rounded up: it may be typed
        told = f"the moment {moment!r} takes {least} GB with {blocks} recomputed; see scripts/plan.py"
        raise ValueError(f"--memory-gb is {config.memory_gb:g}: {told}")
    world.print(f"memory: {most / 1e9:.3g} GB planned, {blocks} recompute their activations")
    return job.recompute


def widest(model: Llama, lora: Lora) -> Lora:
    """The largest rank and all targets of the adapters on a model: those that are loaded have their own."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoRALinear)]
    ranks = [len(A) for _, layer in layers for A in layer.lora_A.values()]
    targets = {name.rpartition(".")[2] for name, layer in layers if layer.lora_A}
    return replace(lora, rank=max(ranks), targets=tuple(sorted(targets))) if ranks else lora
