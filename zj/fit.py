"""How a stage's model computes: what --memory-gb and --compile ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zj.model import Llama
from zj.model.compiled import compile_blocks
from zj.planning import Job, fitted, fullest
from zj.train import World


def set_up(model: Llama, stage: str, config: Any, world: World) -> None:
    """Let as many blocks recompute their activations as a step within --memory-gb takes; fuse what --compile does.

    Raises ValueError if --memory-gb is too little even so.
    """
    job = fitted(Job(stage, replace(config, device=world.device.type), model.config, world.size, config.shard))
    if config.memory_gb:
        (moment, most), layers = fullest(job), model.config.num_hidden_layers
        told = f"{1.005 * most / 1e9:.3g} GB"  # rounded up: it may be typed
        if most > config.memory_gb * 1e9:
            more = f"the moment {moment!r} takes {told} with {job.recompute} of {layers} blocks recomputed"
            raise ValueError(f"--memory-gb is {config.memory_gb:g}: {more}; see scripts/plan.py")
        world.print(f"memory: {told} planned, {job.recompute} of {layers} blocks recompute their activations")
    model.recompute = job.recompute
    if config.compile:
        compile_blocks(model)
