"""The least time that a piece of work can take on a machine: its FLOPs at the measured rate of matrix products, and for
text that is generated token by token the bytes that each step must read, at the measured rate of reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from zj import workload
from zj.model.prepared import LaidOut
from zj.planning import Job

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
        laid_out = LaidOut(b)
        products.append(lambda: laid_out(a))
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


def generation_seconds(job: Job, prompts: Sequence[int], new: Sequence[int], machine: Machine) -> float:
    """Of answers of `new` tokens to prompts of these lengths, all at work together.

    The prompts are computed at the rate of products. Then every step reads the weights once, an adapter merged, and the
    keys and values of each row at work; or its products take longer than that, if there are many rows.
    """
    blocks, _, head, _ = workload.flop_parts(job, 0)
    shape, size = job.shape, job.dtype.itemsize
    token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * size  # bytes of its cache
    seconds = sum(p * (2 * blocks + workload.flop_parts(job, p)[3]) + 2 * head for p in prompts) / machine.flops
    for step in range(1, max(new)):  # the first new token is the prompt's own step
        held = [p + step for p, n in zip(prompts, new, strict=True) if n > step]
        flops = sum(2 * (blocks + head) + workload.flop_parts(job, 2 * n)[3] for n in held)
        read = (blocks + head) * size + sum(held) * token
        seconds += max(flops / machine.flops, read / machine.bytes)
    return seconds
