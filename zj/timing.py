"""Measuring speed: cases that take turns in one process, lengths like those of real data, the machine's own limit."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
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

Case = Callable[[], int]  # does the work once and returns how many useful tokens (or other units) it was


def report(
    title: str, cases: Sequence[tuple[str, Case]], rounds: int, device: torch.device, least: float = 0.0
) -> dict[str, Any]:
    """Time the cases turn by turn and print units a second, median [min-max]; what every round found, by name.

    A turn before them does not count; it tells the most memory that tensors take. Of two cases, also the ratio of the
    first to the second, round by round. `least`: the seconds that the work takes at best; "share" is that of the time
    that the first case took.
    """
    speeds: dict[str, list[float]] = {name: [] for name, _ in cases}
    shares, peaks = [], {name: peak_bytes(act, device) / 1e6 for name, act in cases}
    for _ in range(rounds):
        for name, act in cases:
            began = time.perf_counter()
            units = act()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - began
            speeds[name].append(units / seconds)
            if name == cases[0][0] and least:
                shares.append(least / seconds)
    print(title)
    for name, seen in speeds.items():
        print(f"  {name:24} {spread(seen, ',.0f')}  {peaks[name]:7,.0f} MB", flush=True)
    found: dict[str, Any] = {"title": title, **speeds, "peak MB": peaks}
    if len(speeds) == 2:
        found["ratio"] = [a / b for a, b in zip(*speeds.values(), strict=True)]
        print(f"  {'ratio':24} {spread(found['ratio'], '.2f')}", flush=True)
    if shares:
        found["share"] = shares
        print(f"  {'of the limit':24} {spread(shares, '.0%')}", flush=True)
    return found


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
