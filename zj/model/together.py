"""Linear layers that read the same input, as one product: q, k and v, or gate and up, each with its adapter's A.

For text that is generated on a GPU, where a step takes as long as its weights are read and its kernels launched: the
product with [W_q; W_k; W_v; A_q; A_k; A_v] is one launch instead of six. The plain version is a call of each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, UntypedStorage

from .attention import takes_bounds
from .prepared import Prepared, prepared

ALIGNED = 8  # rows of which there are a multiple, so that what they make begins where 16-bit kernels can read: 16 bytes
Pair = tuple[Tensor, Tensor, float]  # A [rank, width in], B [width out, rank], alpha / rank
_homes: WeakSet[UntypedStorage] = WeakSet()  # memory in which weights lie side by side, with room for A
_open: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # model -> texts that are being written from it


@dataclass(frozen=True)
class Joint:
    """Layers side by side: the weight of each is some rows of one matrix, and its adapter's A some rows behind them."""

    matrix: Tensor  # [all rows, width in]
    widths: tuple[int, ...]  # out of each layer
    B: Tensor | None  # [sum of widths, sum of ranks]: each layer's where its rows and those of its A cross, else 0
    scale: float

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        """What each layer makes of x [N, width in]: [N, width out], not contiguous. No gradient."""
        y, width = product(x, self.matrix), sum(self.widths)
        found = y[:, :width]
        if self.B is not None:
            found.addmm_(y[:, width : width + self.B.shape[1]], self.B.T, alpha=self.scale)
        return found.split(self.widths, dim=1)


class Joints(Prepared):
    """Stands where the name of an adapter does in `forward`: that adapter, in joint products. For generation."""

    def __init__(self, model: Any, adapter: str | None):
        """ValueError for an unknown adapter. Weights and adapter must not change as long as this is used.

        The weights of layers that read the same are moved side by side, and stay so: the next time only A is put beside
        them. That takes as much more memory as the layers of one block have, for a moment; B, with zeros between its
        parts, takes some for as long as this is used.
        """
        groups = [group for block in model.model.layers for group in block.inputs()]
        worth = [layers for layers in groups if len(layers) > 1 or layers[0].low_rank(adapter) is not None]
        self.joints = {layers[0]: _join(layers, adapter) for layers in worth}

    def linear(self, layer: Any, x: Tensor) -> Tensor:
        """What a layer that is alone with its input makes of it."""
        joint = self.joints.get(layer)
        return product(x, layer.weight) if joint is None else joint(x)[0]

    def together(self, x: Tensor, layers: Sequence[Any]) -> Sequence[Tensor]:
        return self.joints[layers[0]](x)


def together(x: Tensor, adapter: str | Prepared | None, layers: Sequence[Any]) -> Sequence[Tensor]:
    """What each of several linear layers makes of x [N, width in]."""
    return adapter.together(x, layers) if isinstance(adapter, Joints) else [layer(x, adapter) for layer in layers]


@contextmanager
def joined(model: Any, adapter: str | None) -> Iterator[Prepared | str | None]:
    """What to hand to `forward` in place of `adapter` to write a text: joint products where they are of use.

    That is where one kernel attends and the model is not sharded; elsewhere what `prepared` gives. Weights never move
    while another text is being written.
    """
    weight, others = model.lm_head.weight, _open.get(model, 0)
    suits = takes_bounds(weight.device, weight.dtype) and not hasattr(model, "reshard") and not others
    _open[model] = others + 1
    try:
        yield Joints(model, adapter) if suits else prepared(model, adapter)
    finally:
        _open[model] -= 1


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """x W^T without a gradient: of one row on a GPU by a kernel that reads the weight as fast as memory gives it."""
    if len(x) > 1 or not x.is_cuda:
        return F.linear(x, matrix)
    from .kernels import vector_product  # needs Triton, which torch for CUDA brings along

    return vector_product(x, matrix)


@torch.inference_mode(False)
@torch.no_grad()
def _join(layers: Sequence[Any], adapter: str | None) -> Joint:
    pairs = [layer.low_rank(adapter) for layer in layers]
    widths, ranks = [len(layer.weight) for layer in layers], [0 if pair is None else len(pair[0]) for pair in pairs]
    wide, low = _spans(widths), _spans(ranks)
    matrix = _home(layers, wide, -(-(sum(widths) + sum(ranks)) // ALIGNED) * ALIGNED)
    blocks, scales = matrix.new_zeros(sum(widths), sum(ranks)), [pair[2] for pair in pairs if pair is not None]
    for rows, columns, pair in zip(wide, low, pairs, strict=True):
        if pair is not None:
            A, B, scale = pair
            matrix[sum(widths) :][columns] = A.to(matrix.dtype)
            blocks[rows, columns] = (B * (scale / scales[0])).to(matrix.dtype)  # they are equal as a rule
    return Joint(matrix, tuple(widths), blocks if scales else None, scales[0] if scales else 1.0)


def _spans(sizes: Sequence[int]) -> list[slice]:
    """Of things of these sizes, one behind the other."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _home(layers: Sequence[Any], rows: Sequence[slice], size: int) -> Tensor:
    """[size, width in], in which these rows are the layers' weights: as they lie, or moved there."""
    parts, first = list(zip(layers, rows, strict=True)), layers[0].weight.detach()
    width, storage = first.shape[1], first.untyped_storage()
    if storage in _homes:
        known = first.as_strided((storage.nbytes() // first.itemsize // width, width), (width, 1), 0)
        if len(known) >= size and all(layer.weight.data_ptr() == known[own].data_ptr() for layer, own in parts):
            return known[:size]
    matrix = first.new_zeros(size, width)
    for layer, own in parts:
        matrix[own] = layer.weight
        layer.weight.data = matrix[own]
    _homes.add(matrix.untyped_storage())
    return matrix
