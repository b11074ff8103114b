"""The least time that a piece of work can take on a machine: its FLOPs at the measured rate of matrix products, and for
text that is generated token by token the bytes that each step must read, at the measured rate of reading."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from zj.inference.cpu import PrepackedWeight
from zj.plan import flops as workload
from zj.plan.memory import Job

SIZES = {"cpu": (2048, 1 << 27, 1), "cuda": (8192, 1 << 30, 10)}  # width of matrices, numbers to add up, acts a run
Piece = tuple[int, int, int]  # tokens that stand together, tokens before them that they see too, how many are counted


@dataclass(frozen=True)
class Machine:
    """What a device was seen to do at best."""

    flops: float  # of matrix products, a second
    bytes: float  # read, a second


def measure(device: torch.device, dtype: torch.dtype) -> Machine:
    """The fastest of some products, that of a weight laid out for a CPU among them, and of some sums; see SIZES."""
    size, numbers, times = SIZES[device.type]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    much, products = torch.ones(numbers, device=device), [lambda: a @ b]
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        prepacked = PrepackedWeight(b)
        products.append(lambda: prepacked(a, b))
    fastest = min(_seconds(product, times) for product in products)
    return Machine(2 * size**3 / fastest, much.nbytes / _seconds(much.sum, times))


def _seconds(act: Callable[[], torch.Tensor], times: int) -> float:
    """Of one act: the best of eight runs of `times`."""
    seen = []
    for _ in range(8):
        began = time.perf_counter()
        done = [act() for _ in range(times)][-1]
        float(done.view(-1)[0])  # waits for the device
        seen.append((time.perf_counter() - began) / times)
    return min(seen)


def forward_flops(job: Job, pieces: Iterable[Piece]) -> float:
    """Of the forward pass; the head's for counted tokens only."""
    return sum(n * workload.forward_flops(job, 2 * before + n, counted / n) for n, before, counted in pieces)


def training_flops(job: Job, pieces: Iterable[Piece]) -> float:
    """Forward and backward pass, recomputation not counted.

    4 for each product with a frozen weight (forward, gradient of the input), 6 with an adapter's (its own gradient
    too); the backward pass of attention is twice its forward pass.
    """
    needed = 0.0
    for tokens, before, counted in pieces:
        blocks, adapter, head, attention = workload.flop_parts(job, 2 * before + tokens)
        needed += tokens * (4 * blocks + 6 * adapter + 3 * attention) + counted * 4 * head
    return needed


def generation_seconds(
    job: Job, prompts: Sequence[int], new: Sequence[int], machine: Machine, slots: int | None = None
) -> float:
    """Of answers of `new` tokens to prompts of these lengths, `slots` (none: all) at work at a time.

    A row that is done makes room for the next prompt. A step computes the prompts that are let in and one token of
    every row before them, at the rate of products; or, if that takes longer, it reads the weights, an adapter merged,
    and the keys and values of these rows.
    """
    blocks, _, head, _ = workload.flop_parts(job, 0)
    shape, size = job.shape, job.dtype.itemsize
    token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * size  # bytes of its cache
    waiting, rows, seconds = deque(zip(prompts, new, strict=True)), list[tuple[int, int]](), 0.0
    while waiting or rows:
        fresh = [waiting.popleft() for _ in range(min(len(waiting), (slots or len(prompts)) - len(rows)))]
        flops = sum(p * (2 * blocks + workload.flop_parts(job, p)[3]) + 2 * head for p, _ in fresh)
        flops += sum(2 * (blocks + head) + workload.flop_parts(job, 2 * (held + 1))[3] for held, _ in rows)
        read = (blocks + head) * size + sum(held + 1 for held, _ in rows) * token if rows else 0
        seconds += max(flops / machine.flops, read / machine.bytes)
        rows = [(held + 1, left - 1) for held, left in rows] + [(p, n - 1) for p, n in fresh]
        rows = [(held, left) for held, left in rows if left]
    return seconds
