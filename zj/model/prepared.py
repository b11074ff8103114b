"""Frozen weights made ready for a CPU: fp32, laid out once as oneDNN wants them, then only multiplied with.

torch's own product takes a weight as it lies: in training it runs at four fifths of the machine's rate, and in
decoding, where a few rows meet every weight, it reads memory at a fifth. On a GPU nothing here is used.

Memory: two copies of each frozen weight in training, one of every weight while text is generated.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .sharded import is_sharded

ROWS = 16  # that the layout is made for; others are multiplied as exactly
BYTES = 1 << 30  # of weights that are copied so; a larger model is left as it is
NUMBERS = 1 << 18  # of the smallest weight that training gains by: oneDNN needs 1.5 ms for every new number of rows


class Prepared:
    """Stands where the name of an adapter does in `forward`: that adapter, merged into every weight. For generation."""

    def __init__(self, model: Any, adapter: str | None):
        """ValueError for an unknown adapter. The weights must not change as long as this is used."""
        self.weights = {
            layer: _laid_out(layer.merged(None if layer is model.lm_head else adapter)) for layer in _linears(model)
        }

    def linear(self, layer: nn.Module, x: Tensor) -> Tensor:
        """x W^T for the layer's merged weight W."""
        return _product(x, self.weights[layer])


def prepared(model: nn.Module, adapter: str | None) -> Prepared | str | None:
    """What to hand to `forward` in place of `adapter` in order to generate: the same, or the same made ready.

    Merging is exact to the last bits in fp32, and would not be in 16 bit.
    """
    weights = [layer.weight for layer in _linears(model)]
    return Prepared(model, adapter) if _fit(weights) and all(map(_suits, weights)) else adapter


def lay_out_frozen(model: nn.Module) -> None:
    """Make the frozen linear layers of a model ready for training beside them, where that is of use.

    A weight that is changed or trained afterwards is no longer taken from what was laid out.
    """
    frozen = [layer for layer in _linears(model) if not layer.weight.requires_grad and hasattr(layer, "laid_out")]
    if _fit([layer.weight for layer in frozen]):
        for layer in frozen:
            if _suits(layer.weight) and layer.weight.numel() >= NUMBERS:
                layer.laid_out = LaidOut(layer.weight)


class LaidOut:
    """A weight W [width_out, width_in] laid out for y = x W^T and for dx = dy W."""

    def __init__(self, weight: Tensor):
        self.forward, self.backward = _laid_out(weight), _laid_out(weight.T)
        self.version = weight._version  # goes up when the weight is changed in place

    def serves(self, weight: Tensor, x: Tensor) -> bool:
        """Whether the weight is still what was laid out, and frozen."""
        return weight._version == self.version and not weight.requires_grad and weight.dtype == x.dtype

    def __call__(self, x: Tensor) -> Tensor:
        return _FrozenLinear.apply(x, self)

    def __reduce__(self) -> tuple[type, tuple]:
        return type(None), ()  # a copy of a layer has none


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: LaidOut) -> Tensor:
        ctx.weight = weight
        return _product(x, weight.forward)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, None]:
        return _product(dy, ctx.weight.backward) if ctx.needs_input_grad[0] else None, None


def _linears(model: nn.Module) -> list[Any]:
    return [part for part in model.modules() if hasattr(part, "merged")]


def _fit(weights: list[Tensor]) -> bool:
    return torch.backends.mkldnn.is_available() and sum(weight.nbytes for weight in weights) <= BYTES


def _suits(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and not is_sharded(weight)


def _laid_out(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, None, "none", [], "")
