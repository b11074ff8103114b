"""The ranks of a run and their collective operations. One process without torchrun is a world of size 1."""

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
GRACE = 4.0  # seconds that a rank has to exit by itself after another has died
TIMEOUT = timedelta(minutes=30)  # of a collective operation
HEARTBEAT = 60.0  # seconds after which rank 0 says that it is still at work for all

T = TypeVar("T")
_leaving = threading.Event()  # set when this rank exits normally


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    def print(self, *words: object) -> None:
        """Print on rank 0 only."""
        if self.rank == 0:
            print(*words, flush=True)

    def sum(self, *numbers: float) -> list[float]:
        """Each number summed over the ranks, in fp64."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def add(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """`sum` of named numbers; the names are the same on all ranks."""
        return dict(zip(numbers, self.sum(*numbers.values()), strict=True))

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in the order of the ranks: numbers, texts, small tensors on the host."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered

    def on_rank_zero(self, work: Callable[[], T]) -> T:
        """Call `work` on rank 0 only, e.g. to write files; every rank returns its result or raises its error."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]  # result, error

        def run() -> None:
            try:
                outcome[0] = work()
            except BaseException as error:
                outcome[1] = error

        worker = threading.Thread(target=run, daemon=True)
        if self.rank == 0:
            worker.start()
        message: list[Any] = [True, None, None]  # whether rank 0 is still at work, result, error
        while message[0]:  # the work may take longer than TIMEOUT
            if self.rank == 0:
                worker.join(HEARTBEAT)
                message = [True, None, None] if worker.is_alive() else [False, *outcome]
                if not isinstance(message[2], ValueError | OSError | SystemExit | None):
                    raise message[2]
            dist.broadcast_object_list(message, src=0)
        if message[2] is not None:
            raise message[2]
        return message[1]

    def leave(self) -> None:
        """Exit normally, together with the other ranks; the last call of a run."""
        if dist.is_initialized():
            dist.barrier()
            _leaving.set()
            dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        if self.size > 1:
            os._exit(0)  # torch's threads sometimes abort the interpreter at a normal exit


ALONE = World(0, 1, torch.device("cpu"))


def start(device: str, dtype: str = "fp32") -> World:
    """Join the run. `device` is "auto" (a GPU if there is one), "cpu" or "cuda"; ValueError if it is not available.

    `dtype`: that of the computation, a key of DTYPES; a line on stderr says so where a device is slow with it.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no CUDA device here; use --device cpu")
    if device == "cpu":
        _keep_freed_memory()
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _TORCHRUN.items())
    if (device, dtype, rank) == ("cpu", "fp16", 0):
        print("--dtype fp16: a CPU is several times slower with it than with fp32 or bf16", file=sys.stderr, flush=True)
    own_device = torch.device(device)
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise ValueError(f"--nproc-per-node: rank {rank} has no GPU, there are {torch.cuda.device_count()} here")
        own_device = torch.device("cuda", local)
        torch.cuda.set_device(own_device)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group(BACKENDS[device], timeout=TIMEOUT)
    world = World(rank, size, own_device)
    if size > 1 and not _leaving.is_set():
        pids = [pid for place, pid in world.gather((_pid_namespace(), os.getpid())) if place == _pid_namespace()]
        threading.Thread(target=_exit_with, args=(pids,), daemon=True).start()
    return world


def _pid_namespace() -> tuple[str, ...]:
    """What a process id is unique in: this machine since its boot, and the PID namespace of a container."""
    parts = [socket.gethostname()]
    for file in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(os.readlink(file) if file.is_symlink() else file.read_text(encoding="utf-8"))
    return tuple(parts)


def _exit_with(pids: list[int]) -> None:
    """Exit soon after another rank of this host has died: the main thread may wait for that rank until TIMEOUT.

    This is a thread, since a hanging collective operation of NCCL blocks signals.
    """
    while not _leaving.wait(1.0):
        dead = [pid for pid in pids if not _is_alive(pid)]
        if dead and not _leaving.wait(GRACE):  # time to exit with an error of its own
            print(f"process {dead[0]}, another rank of this run, has died", file=sys.stderr, flush=True)
            os._exit(1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _keep_freed_memory() -> None:
    """Keep freed memory in the process (glibc): the kernel would zero the pages of activations in every step."""
    with suppress(OSError, AttributeError):  # another libc
        mallopt, (trim_threshold, mmap_threshold) = ctypes.CDLL("libc.so.6").mallopt, (-1, -3)  # malloc.h
        if mallopt(mmap_threshold, 2**30) or mallopt(mmap_threshold, 2**25):  # older ones take 32 MiB at most
            mallopt(trim_threshold, 2**31 - 1)


_TORCHRUN = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
