"""Who takes part in a run, and what they tell each other. One process without torchrun is the world of size 1."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GRACE = 4.0  # seconds that a rank has to end by itself when another is gone
PATIENCE = timedelta(minutes=30)  # how long a rank waits for the others, who may be writing a large model

T = TypeVar("T")
_parting = threading.Event()  # this rank leaves in good order


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
        """Each number added up over the ranks, in fp64."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def add(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Each number by its name, added up over the ranks; all of them know the same names."""
        return dict(zip(numbers, self.sum(*numbers.values()), strict=True))

    def gather(self, mine: T) -> list[T]:
        """What every rank brings, in the order of the ranks: numbers, texts, small tensors on the host."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """What rank 0 alone does, such as writing files: its result, or its error, is everyone's."""
        if self.size == 1:
            return work()
        told: list[Any] = [None, None]
        if self.rank == 0:
            try:
                told[0] = work()
            except (ValueError, OSError, SystemExit) as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0)
        if told[1] is not None:
            raise told[1]
        return told[0]

    def leave(self) -> None:
        """Part from the others in good order; the last thing that a rank does."""
        if dist.is_initialized():
            dist.barrier()
            _parting.set()
            dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        if self.size > 1:
            os._exit(0)  # torch's threads sometimes abort an interpreter that ends by itself, when all is done


ALONE = World(0, 1, torch.device("cpu"))


def start(device: str) -> World:
    """Join the run. `device` is "auto" (a GPU if there is one), "cpu" or "cuda"; ValueError if it is not there."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no CUDA device here; use --device cpu")
    if device == "cpu":
        _keep_freed_memory()
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _TORCHRUN.items())
    mine = torch.device(device)
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise ValueError(f"--nproc-per-node: rank {rank} has no GPU, there are {torch.cuda.device_count()} here")
        mine = torch.device("cuda", local)
        torch.cuda.set_device(mine)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group(BACKENDS[device], timeout=PATIENCE)
    world = World(rank, size, mine)
    if size > 1 and not _parting.is_set():
        here = [pid for place, pid in world.gather((_place(), os.getpid())) if place == _place()]
        threading.Thread(target=_end_with, args=(here,), daemon=True).start()
    return world


def _place() -> tuple[str, ...]:
    """Where a process number means something: this machine since its start, and the container if it has its own."""
    told = [socket.gethostname()]
    for file in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            told.append(os.readlink(file) if file.is_symlink() else file.read_text(encoding="utf-8"))
    return tuple(told)


def _end_with(others: list[int]) -> None:
    """End this process soon after another rank of this host is gone: it may be waiting for that one for half an hour.

    Its main thread cannot: a collective operation of NCCL that never ends lets no signal through.
    """
    while not _parting.wait(1.0):
        gone = [pid for pid in others if not _lives(pid)]
        if gone and not _parting.wait(GRACE):  # it may fail by itself, and say why
            print(f"process {gone[0]}, another rank of this run, has died", file=sys.stderr, flush=True)
            os._exit(1)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _keep_freed_memory() -> None:
    """Ask glibc not to hand back activations after every step: each of their pages would be zeroed again."""
    with suppress(OSError, AttributeError):  # another libc
        mallopt, (trim_threshold, mmap_threshold) = ctypes.CDLL("libc.so.6").mallopt, (-1, -3)  # malloc.h
        if mallopt(mmap_threshold, 2**30) or mallopt(mmap_threshold, 2**25):  # older ones take 32 MiB at most
            mallopt(trim_threshold, 2**31 - 1)


_TORCHRUN = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
