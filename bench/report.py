"""Cases that take turns in one process, so that a slow minute is slow for all; what they have found, as JSON."""

from __future__ import annotations

import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from zj.plan.measuring import peak_bytes

from .limits import Machine, measure

Case = Callable[[], int]  # does the work once and returns how many useful tokens (or other units) it was


def report(
    title: str,
    cases: Sequence[tuple[str, Case]],
    rounds: int,
    device: torch.device,
    dtype: torch.dtype,
    least: Callable[[Machine], float] | None = None,
) -> dict[str, Any]:
    """Time the cases turn by turn and print units a second, median [min-max]; what every round found, by name.

    A turn before them does not count; it tells the most memory that tensors take. Of two cases, also the ratio of the
    first to the second, round by round. `least` tells the seconds that the work takes at best on a machine; "share" is
    that of the time that the first case took, by what the machine does before and after.
    """
    speeds: dict[str, list[float]] = {name: [] for name, _ in cases}
    tidy()
    shares, peaks = [], {name: peak_bytes(act, device) / 1e6 for name, act in cases}
    for _ in range(rounds):
        for name, act in cases:
            units, seconds, machine = timed(act, device, dtype)
            speeds[name].append(units / seconds)
            if name == cases[0][0] and least is not None:
                shares.append(least(machine) / seconds)
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


def timed(act: Callable[[], Any], device: torch.device, dtype: torch.dtype) -> tuple[Any, float, Machine]:
    """(what it gives back, its seconds, the mean of what the machine does just before and just after)."""
    before = measure(device, dtype)
    began = time.perf_counter()
    given = act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, after = time.perf_counter() - began, measure(device, dtype)
    return given, seconds, Machine((before.flops + after.flops) / 2, (before.bytes + after.bytes) / 2)


def tidy() -> None:
    """Let go of what cases before have left, so that none pays for another."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_report(file: str, settings: Any, device: torch.device, found: dict[str, Any]) -> None:
    """What was measured, with what and on what, as JSON; an existing file is replaced."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "trl") if find_spec(name)}
    told = {field: value for field, value in asdict(settings).items() if field != "out"}
    whole = {"device": name, "versions": versions, "settings": told, "found": found}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


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
