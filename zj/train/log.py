"""What a run tells: metrics.jsonl (one object per step), a progress bar, optional TensorBoard."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .checkpoint import whole_lines, write_text
from .distributed import World


class Log:
    """Rows of steps after `start` (left by a run that was cut off after its last checkpoint) are dropped."""

    def __init__(
        self,
        out: Path,
        start: int,
        total: int,
        world: World,
        tensorboard: bool = False,
        shown: tuple[str, ...] = ("loss",),  # numbers of a step that stand beside the bar
    ):
        self.file = out / "metrics.jsonl"
        self.world, self.shown = world, shown
        self.writer = None
        if world.rank == 0:
            keep_rows(self.file, lambda row: row["step"] <= start > 0)  # a run that begins writes its step 0 anew
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
        """Seconds and tokens/s of the next step count from here, so that validation is not among them."""
        self.clock = time.perf_counter()

    def time(self, tokens: int) -> dict[str, float]:
        """What the step that just ended took: tokens, seconds, tokens/s, peak memory."""
        seconds = time.perf_counter() - self.clock
        memory = peak_memory_gb(self.world.device)
        return {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds, "memory_gb": memory}

    def step(self, step: int, **numbers: float) -> None:
        """Write the row of one optimizer step and move the bar."""
        self.write({"step": step, **numbers})
        shown = {name: f"{numbers[name]:.3f}" for name in self.shown}
        speed, memory = f"{numbers['tokens_per_s']:.0f}", f"{numbers['memory_gb']:.1f}"
        self.bar.set_postfix(shown | {"tok/s": speed, "GB": memory}, refresh=False)
        self.bar.update()
        self.start_clock()

    def write(self, row: dict[str, Any]) -> None:
        """Append one object to metrics.jsonl."""
        if self.world.rank != 0:
            return
        with open(self.file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if self.writer and name != "step":
                self.writer.add_scalar(name, value, row["step"])
        if self.writer:
            self.writer.flush()  # a run may end at any moment

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self.world.rank == 0:
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
        if self.writer:
            self.writer.close()


def bar_interval() -> float:
    """Seconds between two pictures of a progress bar: on a terminal, or as lines of a log file."""
    return 0.2 if sys.stderr.isatty() else 10.0


class Clock:
    """Seconds of the phases of a step, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def stop(self, phase: str) -> None:
        """A phase ends here; it began where the one before it ended."""
        now = time.perf_counter()
        self.seconds[f"seconds_{phase}"], self.last = now - self.last, now


def keep_rows(file: Path, wanted) -> None:
    """Drop the rows of a JSON-lines file that are not wanted, and a last row that was cut off while being written."""
    if not file.exists():
        return
    rows = [line + b"\n" for line in whole_lines(file) if wanted(json.loads(line))]
    write_text(file, b"".join(rows).decode())


def peak_memory_gb(device: torch.device) -> float:
    """Most memory held so far: of the device, or of this process (Linux counts in KiB, macOS in bytes)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
