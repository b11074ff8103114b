"""Frozen fp32 weights prepacked for a CPU: reordered once into the layout of oneDNN.

torch's own product takes the plain layout: in training it reaches four fifths of the machine's rate, and in decoding,
where a few rows are multiplied with every weight, it reads memory at a fifth of its rate. Not used on a GPU.

Memory: two copies of each frozen weight in training, one of every weight during generation.
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
from zj.model.llama import Product
from zj.weights.sharded import has_fsdp, is_sharded

from .view import view

ROWS = 16  # of the input that the layout is optimised for; any number is computed exactly
MAX_BYTES = 1 << 30  # of prepacked weights in all; a larger model is not prepacked
MIN_NUMEL = 1 << 18  # of the smallest weight that training prepacks: oneDNN needs 1.5 ms for every new number of rows


def prepacked(model: Llama, adapter: str | None) -> tuple[Llama, str | None]:
    """(model, adapter) to generate with: the same two, or a view with the adapter merged into prepacked weights.

    Merging is exact to rounding in fp32, and would not be in 16 bit. ValueError for an unknown adapter. The weights
    must not change while the view is used.
    """
    weights = [layer.weight for layer in _linears(model)]
    if has_fsdp(model) or not (_can_prepack(weights) and all(map(_is_plain_fp32, weights))):
        return model, adapter

    def replace(part: nn.Module) -> nn.Module | None:
        if not hasattr(part, "merged"):
            return None
        twin: Any = copy.copy(part)
        weight = _reordered(twin.merged(None if part is model.lm_head else adapter))
        twin.product = lambda x, _, bias: _product(x, weight, bias)
        return twin

    return view(model, replace), None


def prepack_frozen(model: nn.Module) -> None:
    """Prepack the large frozen fp32 linear layers of a model on a CPU, for the training of adapters.

    A weight that is changed or made trainable afterwards is no longer taken from its prepacked copy.
    """
    frozen = [layer for layer in _linears(model) if isinstance(layer, LoRALinear) and not layer.weight.requires_grad]
    if _can_prepack([layer.weight for layer in frozen]):
        for layer in frozen:
            if _is_plain_fp32(layer.weight) and layer.weight.numel() >= MIN_NUMEL:
                layer.product = PrepackedWeight(layer.weight)


class PrepackedWeight:
    """The product x W^T with a frozen W [width_out, width_in], reordered for y = x W^T and for dx = dy W."""

    def __init__(self, weight: Tensor):
        self.forward, self.backward = _reordered(weight), _reordered(weight.T)
        self.version = weight._version  # increases when the weight is changed in place

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The product with the current weight."""
        if weight._version == self.version and not weight.requires_grad and weight.dtype == x.dtype:
            y = _FrozenLinear.apply(x, self)
            return y if bias is None else y + bias
        return F.linear(x, weight, bias)

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


def _plain() -> Product:
    return F.linear


def _linears(model: nn.Module) -> list[Any]:
    return [part for part in model.modules() if hasattr(part, "merged")]


def _can_prepack(weights: list[Tensor]) -> bool:
    return torch.backends.mkldnn.is_available() and sum(weight.nbytes for weight in weights) <= MAX_BYTES


def _is_plain_fp32(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu" and not is_sharded(weight)


def _reordered(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
