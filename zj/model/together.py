"""Linear layers that read the same input, as one product: q, k and v, or gate and up, each with its adapter's A.

For text that is generated on a GPU, where a step takes as long as its weights are read and its kernels launched: the
product with [W_q; W_k; W_v; A_q; A_k; A_v] is one launch instead of six. The plain version is a call of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import takes_bounds
from .prepared import Prepared

Pair = tuple[Tensor, Tensor, float]  # A [rank, width in], B [width out, rank], alpha / rank


@dataclass(frozen=True)
class Joint:
    """Layers side by side: the weight of each is some rows of one matrix, and its adapter's A some rows behind them."""

    matrix: Tensor  # [all rows, width in]
    parts: tuple[tuple[slice, slice, Pair | None], ...]  # of each layer: rows of W, rows of A, the adapter

    def __call__(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of x [N, width in]: [N, width out], not contiguous. No gradient."""
        y = F.linear(x, self.matrix)
        found = []
        for rows, low, pair in self.parts:
            whole = y[:, rows]
            if pair is not None:
                _, B, scale = pair
                whole.addmm_(y[:, low], B.T, alpha=scale)
            found.append(whole)
        return found


def together(x: Tensor, adapter: str | Prepared | None, layers: Sequence[Any]) -> list[Tensor]:
    """What each of several linear layers makes of x [N, width in]."""
    joint = layers[0].joint
    return joint(x) if joint is not None else [layer(x, adapter) for layer in layers]


@contextmanager
def side_by_side(model: Any, adapter: str | None) -> Iterator[None]:
    """In here layers that read the same input, and A with each, are one product; nothing may be trained.

    Their weights stay side by side afterwards, each a part of the memory that all share. Takes no more memory than the
    layers of one block. What is sharded is left as it is, and so is what is not generated from by one kernel.
    """
    weight = model.lm_head.weight
    suits = takes_bounds(weight.device, weight.dtype) and not hasattr(model, "reshard")
    groups = [group for block in model.model.layers for group in block.inputs()] if suits else []
    try:
        for layers in groups:
            layers[0].joint = _join(layers, adapter)
        yield
    finally:
        for layers in groups:
            layers[0].joint = None


@torch.no_grad()
def _join(layers: Sequence[Any], adapter: str | None) -> Joint:
    pairs = [layer.low_rank(adapter) for layer in layers]
    sizes = [len(layer.weight) for layer in layers] + [0 if pair is None else len(pair[0]) for pair in pairs]
    ends = torch.tensor(sizes).cumsum(0).tolist()
    rows = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    matrix = torch.cat([layer.weight for layer in layers] + [pair[0].to(layers[0].weight) for pair in pairs if pair])
    for layer, own in zip(layers, rows, strict=False):
        layer.weight.data = matrix[own]
    dtype = matrix.dtype
    rounded = [pair and (pair[0], pair[1].to(dtype), pair[2]) for pair in pairs]
    return Joint(matrix, tuple(zip(rows[: len(layers)], rows[len(layers) :], rounded, strict=True)))
