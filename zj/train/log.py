"""Logging of a run: metrics.jsonl (one object per step), a progress bar, optional TensorBoard."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .distributed import World
from .files import json_rows, naming, to_json, write_text


class Log:
    """Rows of steps after `start`, written by an interrupted run after its last checkpoint, are dropped."""

    def __init__(
        self,
        out: Path,
        start: int,
        total: int,
        world: World,
        tensorboard: bool = False,
        shown: tuple[str, ...] = ("loss",),  # metrics shown beside the bar
    ):
        self.file = out / "metrics.jsonl"
        self.world, self.shown = world, shown
        self.last = -1  # the last step that was told
        self.changes = ""  # of --resume-with, told with the next step
        self.writer = None
        if world.rank == 0:
            keep_rows(self.file, lambda row: row["step"] <= start > 0)  # a new run writes its step 0 again
        if tensorboard and world.rank == 0:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ValueError("--tensorboard: not installed; pip install 'zj[tensorboard]'") from None
            self.writer = SummaryWriter(str(out / "tensorboard"))
        self.bar = tqdm(
            initial=start,
            total=total,
            unit="step",
            mininterval=bar_interval(),
            dynamic_ncols=True,
            disable=world.rank != 0,
        )
        self.clock = time.perf_counter()

    def start_clock(self) -> None:
        """Start measuring the next step, so that its seconds and tokens/s do not include validation."""
        self.clock = time.perf_counter()

    def time(self, tokens: int) -> dict[str, float]:
        """Tokens, seconds, tokens/s and peak memory of the step that just ended."""
        seconds = time.perf_counter() - self.clock
        memory = peak_memory_gb(self.world.device)
        return {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds, "memory_gb": memory}

    def step(self, step: int, **metrics: float) -> None:
        """Write the row of one step and update the bar."""
        self.write({"step": step, **metrics})
        shown = {name: f"{metrics[name]:.3f}" for name in self.shown}
        speed, memory = f"{metrics['tokens_per_s']:.0f}", f"{metrics['memory_gb']:.1f}"
        self.bar.set_postfix(shown | {"tok/s": speed, "GB": memory}, refresh=False)
        self.bar.update()
        self.start_clock()

    def write(self, row: dict[str, Any]) -> None:
        """Append one object to metrics.jsonl; the first of them tells with which changes the run went on."""
        self.last = row["step"]
        if self.changes:
            row, self.changes = {**row, "resume_with": self.changes}, ""
        if self.world.rank != 0:
            return
        append_rows(self.file, [row])
        for name, value in row.items():
            if self.writer and name != "step" and not isinstance(value, str):
                self.writer.add_scalar(name, value, row["step"])
        if self.writer:
            self.writer.flush()  # a run may be killed at any moment

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self.world.rank == 0:
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def close(self) -> None:
        """Close the bar and the TensorBoard writer."""
        self.bar.close()
        if self.writer:
            self.writer.close()


def bar_interval() -> float:
    """Seconds between two updates of a progress bar: on a terminal, or in a log file."""
    return 0.2 if sys.stderr.isatty() else 10.0


class Clock:
    """Seconds of the phases of a step, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def stop(self, phase: str) -> None:
        """End a phase; it began at the end of the previous one."""
        now = time.perf_counter()
        self.seconds[f"seconds_{phase}"], self.last = now - self.last, now


def append_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add objects, one a line, to a JSON-lines file."""
    with naming(file), open(file, "a", encoding="utf-8") as stream:
        stream.writelines(to_json(row) + "\n" for row in rows)


def keep_rows(file: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the rows of a JSON-lines file that are not wanted, and an incomplete last row."""
    if file.exists():
        write_text(file, "".join(line.decode() + "\n" for line, row in json_rows(file) if wanted(row)))


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory so far, GB: of the device, or of this process (ru_maxrss is in KiB on Linux, in bytes on macOS)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
