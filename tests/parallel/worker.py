"""One rank that runs training scripts one after the other, in one process group: torchrun worker.py JOBS.json

JOBS.json: [[script, flag, value, ...], ...]. Starting two processes and torch costs as much as a dozen toy runs.
A script named train_sft+nan3-9 is train_sft in which rank 1's log-probs are no numbers at steps 3 to 9; in
train_sft+die3 rank 1 fails at step 3, where rank 0 hears no signal, as in a collective operation of a GPU.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist

from zj.cli import parse
from zj.stages import setup
from zj.train import World


def main() -> None:
    torch.set_num_threads(1)
    setup.useful_shard = lambda config, ranks: config.shard  # also on one rank, as its own reference
    leave, World.leave = World.leave, lambda self: dist.barrier()  # type: ignore[method-assign]
    with open(sys.argv[1], encoding="utf-8") as stream:
        jobs = json.load(stream)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    for job, *flags in jobs:
        name, _, fault = job.partition("+")
        script = import_module(f"scripts.{name}")
        if fault.startswith("nan"):
            break_at(script, *(int(step) for step in fault[3:].split("-")))
        elif fault.startswith("die"):
            die_at(script, int(fault[3:]))
        try:
            script.main(parse(script.Config, flags))
        except SystemExit as stop:
            if stop.code:
                raise
    leave(World(dist.get_rank(), dist.get_world_size(), torch.device("cpu")))


def module_of(script: Any) -> Any:
    """Where a stage's training pass asks for log-probs: the script, or the step that pre-training and SFT share."""
    return script if hasattr(script, "sequence_logprobs") else import_module("zj.stages.run_state")


def break_at(script: Any, first: int, last: int | None = None) -> None:
    """Let the training passes of these steps, of one pack each, come out as NaN on rank 1."""
    place = module_of(script)
    real, steps = place.sequence_logprobs, 0

    def broken(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal steps
        steps += torch.is_grad_enabled()
        logprobs, entropy = real(*arguments)
        bad = dist.get_rank() == 1 and torch.is_grad_enabled() and first <= steps <= (last or first)
        return logprobs * float("nan") if bad else logprobs, entropy

    place.sequence_logprobs = broken


def die_at(script: Any, step: int) -> None:
    """Let rank 1 fail in the training pass of this step, of one pack each, and rank 0 wait deaf to signals."""
    place = module_of(script)
    real, steps = place.sequence_logprobs, 0

    def fatal(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps == step and dist.get_rank() == 1:
            raise RuntimeError("the card has fallen off the bus")
        if steps == step:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            time.sleep(3600)
        return real(*arguments)

    place.sequence_logprobs = fatal


if __name__ == "__main__":
    main()
