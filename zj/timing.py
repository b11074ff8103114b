"""Measuring speed: cases that take turns in one process, lengths like those of real data, the machine's own limit."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from zj.data.template import save_template
from zj.data.tokenizer import Tokenizer, train_tokenizer

TOKENS_PER_CHARACTER = 0.6  # of a Chinese LLaMA tokenizer
ANSWERED = 0.6  # part of a dialogue that is answers

Case = Callable[[], int]  # does the work once and returns how many useful tokens it was


def report(title: str, cases: list[tuple[str, Case]], rounds: int) -> dict[str, list[float]]:
    """Time the cases turn by turn, after one turn that does not count; print tokens per second, median [min-max].

    Of two cases, also the ratio of the first to the second, round by round. Returns the speed of every round by name.
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
        speeds["ratio"] = [a / b for a, b in zip(*speeds.values(), strict=True)]
        print(f"  {'ratio':24} {spread(speeds['ratio'], '.2f')}", flush=True)
    return speeds


def write_report(file: str, settings: Any, found: dict[str, Any]) -> None:
    """What was measured, with what and on what, as JSON; an existing file is replaced."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "trl") if find_spec(name)}
    whole = {"device": device, "versions": versions, "settings": asdict(settings), "found": found}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(f"{file}: every round")


def _processor() -> str:
    """The name that Linux gives it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def spread(seen: list[float], form: str) -> str:
    """median [min-max]"""
    return f"{format(statistics.median(seen), form):>8} [{min(seen):{form}}-{max(seen):{form}}]"


def drawn_length(dice: random.Random) -> int:
    """Tokens of a dialogue such as those of CMtMedQA: about 360, 80 to 830."""
    return min(830, max(80, round(dice.gauss(360, 120))))


def digits_tokenizer(folder: Path) -> Tokenizer:
    """Written into a directory: every digit is a token, so that texts have the lengths they are meant to."""
    pieces = 256 + 5 + 11  # bytes, special tokens, digits and space
    tokenizer = train_tokenizer(["0123456789 " * 20], folder, pieces)
    save_template(folder, "ziya")
    return tokenizer


def peak_bytes(act: Callable[[], Any], device: torch.device) -> int:
    """Most bytes of tensors held at a time while `act` runs, beyond those held before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        act()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler tells of its own files otherwise
    with torch.profiler.profile(profile_memory=True) as profile:
        act()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes, initial=0))


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
