"""Time cases alternately in one process, so that slow phases of the machine hit all; results as JSON."""

from __future__ import annotations

import gc
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
from zj.train import to_json

from .limits import Machine, measure

Case = Callable[[], int]  # does the work once; returns the number of useful tokens (or other units)


def report(
    title: str,
    cases: Sequence[tuple[str, Case]],
    rounds: int,
    device: torch.device,
    dtype: torch.dtype,
    least_seconds: Callable[[Machine], float] | None = None,
) -> dict[str, Any]:
    """Time the cases alternately, print units per second as median [min-max]; returns the values of all rounds.

    A warm-up round measures peak memory. For two cases, "ratio" is the first over the second, round by round.
    `least_seconds` gives the minimum time on a machine; "share" is that over the first case's time, with the rates of
    the machine measured just before and after.
    """
    speeds: dict[str, list[float]] = {name: [] for name, _ in cases}
    free_memory()
    shares, peaks = [], {name: peak_bytes(run, device) / 1e6 for name, run in cases}
    for _ in range(rounds):
        for name, run in cases:
            units, seconds, machine = timed(run, device, dtype)
            speeds[name].append(units / seconds)
            if name == cases[0][0] and least_seconds is not None:
                shares.append(least_seconds(machine) / seconds)
    print(title)
    for name, values in speeds.items():
        print(f"  {name:24} {spread(values, ',.0f')}  {peaks[name]:7,.0f} MB", flush=True)
    result: dict[str, Any] = {"title": title, **speeds, "peak MB": peaks}
    if len(speeds) == 2:
        result["ratio"] = [a / b for a, b in zip(*speeds.values(), strict=True)]
        print(f"  {'ratio':24} {spread(result['ratio'], '.2f')}", flush=True)
    if shares:
        result["share"] = shares
        print(f"  {'of the limit':24} {spread(shares, '.0%')}", flush=True)
    return result


def timed(work: Callable[[], Any], device: torch.device, dtype: torch.dtype) -> tuple[Any, float, Machine]:
    """(result, seconds, mean of the machine's rates just before and just after)."""
    before = measure(device, dtype)
    began = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, after = time.perf_counter() - began, measure(device, dtype)
    return result, seconds, Machine((before.flops + after.flops) / 2, (before.bytes + after.bytes) / 2)


def free_memory() -> None:
    """Free memory of earlier cases."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_report(file: str, settings: Any, device: torch.device, results: dict[str, Any]) -> None:
    """Write results, versions, settings and device as JSON; an existing file is replaced."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "trl") if find_spec(name)}
    fields = {field: value for field, value in asdict(settings).items() if field != "out"}
    contents = {"device": name, "versions": versions, "settings": fields, "found": results}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(to_json(contents, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    """The processor's name from /proc/cpuinfo, else from Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def spread(values: list[float], form: str) -> str:
    """median [min-max]"""
    return f"{format(statistics.median(values), form):>8} [{min(values):{form}}-{max(values):{form}}]"
