"""Measuring speed: cases that take turns in one process, lengths like those of real data, the machine's own limit."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import torch

TOKENS_PER_CHARACTER = 0.6  # of a Chinese LLaMA tokenizer
ANSWERED = 0.6  # part of a dialogue that is answers

Case = Callable[[], int]  # does the work once and returns how many useful tokens it was


def report(title: str, cases: list[tuple[str, Case]], rounds: int) -> None:
    """Time the cases turn by turn, after one turn that does not count; print tokens per second, median [min-max].

    Of two cases, also the ratio of the first to the second, round by round.
    """
    speeds: dict[str, list[float]] = {name: [] for name, _ in cases}
    for turn in range(rounds + 1):
        for name, act in cases:
            began = time.perf_counter()
            tokens = act()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                speeds[name].append(tokens / (time.perf_counter() - began))
    print(title)
    for name, seen in speeds.items():
        print(f"  {name:24} {spread(seen, ',.0f')}", flush=True)
    if len(speeds) == 2:
        ratios = [a / b for a, b in zip(*speeds.values(), strict=True)]
        print(f"  {'ratio':24} {spread(ratios, '.2f')}", flush=True)


def spread(seen: list[float], form: str) -> str:
    """median [min-max]"""
    return f"{format(statistics.median(seen), form):>8} [{min(seen):{form}}-{max(seen):{form}}]"


def drawn_length(dice: random.Random) -> int:
    """Tokens of a dialogue such as those of CMtMedQA: about 360, 80 to 830."""
    return min(830, max(80, round(dice.gauss(360, 120))))


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Best GFLOP/s of a few products of the shapes that training has."""
    a, b = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        c = a @ b
        float(c[0, 0])  # waits for the device
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began) / 1e9)
    return best
