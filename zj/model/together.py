"""Linear layers that read the same input, as one product: q, k and v, or gate and up, each with its adapter's A.

For text that is generated on a GPU, where a step takes as long as its weights are read and its kernels launched: the
product with [W_q; W_k; W_v; A_q; A_k; A_v] is one launch instead of six. The plain version is a call of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import takes_bounds
from .prepared import Prepared

ALIGNED = 8  # rows of which there are a multiple, so that what they make begins where 16-bit kernels can read: 16 bytes
_homes: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()  # first layer -> the memory that all share
Pair = tuple[Tensor, Tensor, float]  # A [rank, width in], B [width out, rank], alpha / rank


@dataclass(frozen=True)
class Joint:
    """Layers side by side: the weight of each is some rows of one matrix, and its adapter's A some rows behind them."""

    adapter: str | None
    matrix: Tensor  # [all rows, width in]
    parts: tuple[tuple[slice, slice, Tensor | None, float], ...]  # of each layer: rows of W, of A; B and scale

    def serves(self, adapter: str | Prepared | None) -> bool:
        """Whether it computes what is asked for: with this adapter, and without a gradient."""
        return self.adapter == adapter and not torch.is_grad_enabled()

    def __call__(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of x [N, width in]: [N, width out], not contiguous. No gradient."""
        y = F.linear(x, self.matrix)
        found = []
        for rows, low, B, scale in self.parts:
            found.append(y[:, rows])
            if B is not None:
                found[-1].addmm_(y[:, low], B.T, alpha=scale)
        return found


def together(x: Tensor, adapter: str | Prepared | None, layers: Sequence[Any]) -> list[Tensor]:
    """What each of several linear layers makes of x [N, width in]."""
    joint = layers[0].joint
    serves = joint is not None and joint.serves(adapter)
    return joint(x) if serves else [layer(x, adapter) for layer in layers]


@contextmanager
def side_by_side(model: Any, adapter: str | None) -> Iterator[None]:
    """In here layers that read the same input, and A with each, are one product; an adapter may not learn meanwhile.

    Their weights stay side by side afterwards, each a part of the memory that all share: the next time only A is put
    beside them. No more memory is taken than the layers of one block have. Left as it is: a sharded model, one that
    is not generated from by one kernel, and one that is side by side already, for another text that is being written.
    """
    weight = model.lm_head.weight
    groups = [group for block in model.model.layers for group in block.inputs()]
    busy = any(layers[0].joint is not None for layers in groups)
    if busy or hasattr(model, "reshard") or not takes_bounds(weight.device, weight.dtype):
        groups = []
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
    wide, low = rows[: len(layers)], rows[len(layers) :]
    matrix = _home(layers, wide, -(-ends[-1] // ALIGNED) * ALIGNED)
    parts: list[tuple[slice, slice, Tensor | None, float]] = []
    for own, beside, pair in zip(wide, low, pairs, strict=True):
        if pair is None:
            parts.append((own, beside, None, 0.0))
        else:
            A, B, scale = pair
            matrix[beside] = A.to(matrix.dtype)
            parts.append((own, beside, B.to(matrix.dtype), scale))
    return Joint(adapter, matrix, tuple(parts))


def _home(layers: Sequence[Any], rows: Sequence[slice], size: int) -> Tensor:
    """[size, width in], in which these rows are the layers' weights: as they lie, or moved there."""
    parts, known = list(zip(layers, rows, strict=True)), _homes.get(layers[0])
    if (
        known is not None
        and len(known) >= size
        and all(layer.weight.data_ptr() == known[own].data_ptr() for layer, own in parts)
    ):
        return known[:size]
    matrix = layers[0].weight.new_zeros(size, layers[0].weight.shape[1])
    for layer, own in parts:
        matrix[own] = layer.weight
        layer.weight.data = matrix[own]
    _homes[layers[0]] = matrix
    return matrix
