"""Frozen weights prepacked for a CPU: fp32, reordered once as oneDNN wants them, then only multiplied with.

torch's own product takes a weight as it lies: in training it runs at four fifths of the machine's rate, and in
decoding, where a few rows meet every weight, it reads memory at a fifth. On a GPU nothing here is used.

Memory: two copies of each frozen weight in training, one of every weight while text is generated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zj.lora import LoRALinear
from zj.model import Llama
from zj.weights.sharded import is_sharded

from .view import view

ROWS = 16  # of the input that the layout is made for; others are multiplied as exactly
BYTES = 1 << 30  # of weights that are copied so; a larger model is left as it is
NUMBERS = 1 << 18  # of the smallest weight that training gains by: oneDNN needs 1.5 ms for every new number of rows


def prepacked(model: Llama, adapter: str | None) -> tuple[Llama, str | None]:
    """(model, adapter) to generate with: the same two, or a view with the adapter merged into prepacked weights.

    Merging is exact to the last bits in fp32, and would not be in 16 bit. ValueError for an unknown adapter. The
    weights must not change as long as the view is used.
    """
    weights = [layer.weight for layer in _linears(model)]
    if not (_fit(weights) and all(map(_suits, weights))):
        return model, adapter

    def replace(part: nn.Module) -> nn.Module | None:
        if not hasattr(part, "merged"):
            return None
        twin: Any = copy.copy(part)
        weight = _reordered(twin.merged(None if part is model.lm_head else adapter))
        twin.product = lambda x, _: _product(x, weight)
        return twin

    return view(model, replace), None


def prepack_frozen(model: nn.Module) -> None:
    """Prepack the frozen linear layers of a model for training beside them, where that is of use.

    A weight that is changed or trained afterwards is multiplied with as it is.
    """
    frozen = [layer for layer in _linears(model) if isinstance(layer, LoRALinear) and not layer.weight.requires_grad]
    if _fit([layer.weight for layer in frozen]):
        for layer in frozen:
            if _suits(layer.weight) and layer.weight.numel() >= NUMBERS:
                layer.product = PrepackedWeight(layer.weight)


class PrepackedWeight:
    """x W^T of a frozen weight W [width_out, width_in], which is reordered for y = x W^T and for dx = dy W."""

    def __init__(self, weight: Tensor):
        self.forward, self.backward = _reordered(weight), _reordered(weight.T)
        self.version = weight._version  # goes up when the weight is changed in place

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product with the weight as it is now."""
        if weight._version == self.version and not weight.requires_grad and weight.dtype == x.dtype:
            return _FrozenLinear.apply(x, self)
        return F.linear(x, weight)

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _plain, ()  # a copy of a layer has none


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: PrepackedWeight) -> Tensor:
        ctx.weight = weight
        return _product(x, weight.forward)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, None]:
        return _product(dy, ctx.weight.backward) if ctx.needs_input_grad[0] else None, None


def _plain() -> Callable[[Tensor, Tensor], Tensor]:
    return F.linear


def _linears(model: nn.Module) -> list[Any]:
    return [part for part in model.modules() if hasattr(part, "merged")]


def _fit(weights: list[Tensor]) -> bool:
    return torch.backends.mkldnn.is_available() and sum(weight.nbytes for weight in weights) <= BYTES


def _suits(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and not is_sharded(weight)


def _reordered(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, None, "none", [], "")
