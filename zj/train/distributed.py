"""Who takes part in a run, and what they tell each other. One process without torchrun is the world of size 1.

Sharding is put on a plain model from the outside, here and nowhere else; the rest of the project asks only these
functions. This version serves one process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    def print(self, *words: object) -> None:
        """Print once, not once a rank."""
        if self.rank == 0:
            print(*words, flush=True)

    def sum(self, *numbers: float) -> list[float]:
        """Each number added up over the ranks."""
        return list(numbers)


def start(device: str) -> World:
    """Join the run. `device` is "auto" (a GPU if there is one), "cpu" or "cuda"; ValueError if it is not there."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("torchrun started several processes; this version trains with --nproc-per-node 1")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no CUDA device here; use --device cpu")
    return World(0, 1, torch.device(device))
