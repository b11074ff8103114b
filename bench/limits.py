"""Minimum time of a workload on a machine: FLOPs at the measured rate of matrix products; for generation also the bytes
that each step reads, at the measured read rate (the roofline)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from zj.inference.cpu import PrepackedWeight
from zj.plan import flops as workload
from zj.plan.job import Job

SIZES = {"cpu": (2048, 1 << 27, 1), "cuda": (8192, 1 << 30, 10)}  # width of matrices, numbers to sum, calls per run
Piece = tuple[int, int, int]  # tokens, earlier tokens that they attend to, counted tokens


@dataclass(frozen=True)
class Machine:
    """Peak rates measured on a device."""

    flops: float  # FLOP/s of matrix products
    bytes: float  # bytes read per second


def measure(device: torch.device, dtype: torch.dtype) -> Machine:
    """Rates of the fastest matrix product (on a CPU also with a prepacked weight) and of the fastest sum; see SIZES."""
    size, numbers, times = SIZES[device.type]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    ones, products = torch.ones(numbers, device=device), [lambda: a @ b]
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        prepacked = PrepackedWeight(b)
        products.append(lambda: prepacked(a, b))
    fastest = min(_seconds(product, times) for product in products)
    return Machine(2 * size**3 / fastest, ones.nbytes / _seconds(ones.sum, times))


def _seconds(work: Callable[[], torch.Tensor], times: int) -> float:
    """Seconds per call: the best of eight runs of `times` calls."""
    durations = []
    for _ in range(8):
        began = time.perf_counter()
        results = [work() for _ in range(times)][-1]
        float(results.view(-1)[0])  # waits for the device
        durations.append((time.perf_counter() - began) / times)
    return min(durations)


def forward_flops(job: Job, pieces: Iterable[Piece]) -> float:
    """FLOPs of the forward pass; the head on counted tokens only."""
    return sum(n * workload.forward_flops(job, 2 * before + n, counted / n) for n, before, counted in pieces)


def training_flops(job: Job, pieces: Iterable[Piece]) -> float:
    """FLOPs of forward and backward pass, without recomputation.

    Per multiply-add 4 with a frozen weight (forward, gradient of the input), 6 with an adapter's (its gradient too);
    attention's backward pass is twice its forward pass.
    """
    needed = 0.0
    for tokens, before, counted in pieces:
        blocks, adapter, head, attention = workload.flop_parts(job, 2 * before + tokens)
        needed += tokens * (4 * blocks + 6 * adapter + 3 * attention) + counted * 4 * head
    return needed


def generation_seconds(
    job: Job, prompts: Sequence[int], new: Sequence[int], machine: Machine, slots: int | None = None
) -> float:
    """Minimum for answers of `new` tokens to prompts of these lengths, `slots` (none: all) at a time.

    A finished row is replaced by the next prompt. A step computes the new prompts and one token of every other row, at
    the rate of products; or, if that takes longer, reads the weights (adapter merged) and these rows' keys and values.
    """
    blocks, _, head, _ = workload.flop_parts(job, 0)
    shape, size = job.shape, job.dtype.itemsize
    token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * size  # bytes of its K and V
    waiting, rows, seconds = deque(zip(prompts, new, strict=True)), list[tuple[int, int]](), 0.0
    while waiting or rows:
        admitted = [waiting.popleft() for _ in range(min(len(waiting), (slots or len(prompts)) - len(rows)))]
        flops = sum(p * (2 * blocks + workload.flop_parts(job, p)[3]) + 2 * head for p, _ in admitted)
        flops += sum(2 * (blocks + head) + workload.flop_parts(job, 2 * (cached + 1))[3] for cached, _ in rows)
        read = (blocks + head) * size + sum(cached + 1 for cached, _ in rows) * token if rows else 0
        seconds += max(flops / machine.flops, read / machine.bytes)
        rows = [(cached + 1, remaining - 1) for cached, remaining in rows] + [(p, n - 1) for p, n in admitted]
        rows = [(cached, remaining) for cached, remaining in rows if remaining]
    return seconds
