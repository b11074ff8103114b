"""Blocks whose linear layers that read the same input are one product: q, k and v, or gate and up, with their LoRA's A.

For text that is generated on a GPU, where a step takes as long as its weights are read and its kernels launched: the
product with [W_q; W_k; W_v; A_q; A_k; A_v] is one launch instead of six. Where each sequence takes one token, kernels
of our own do what lies between the products. The plain path, with which tests compare it, is `Block.forward`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, UntypedStorage, nn

from zj.lora import LoRALinear
from zj.model import Llama
from zj.model.attention import has_varlen_kernel
from zj.model.llama import Block, rotate

from .cpu import prepacked
from .view import view

ALIGNED = 8  # a multiple of rows, so that a layer's part of the output starts where 16-bit kernels can read: 16 bytes
_homes: WeakSet[UntypedStorage] = WeakSet()  # memory in which weights lie side by side, with room for A
_open: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # model -> texts that are being generated with it


@contextmanager
def fast(model: Llama, adapter: str | None) -> Iterator[tuple[Llama, str | None]]:
    """(model, adapter) to generate with: a view with fused blocks, where that is of use.

    That is where one kernel attends and the model is not sharded; elsewhere what `prepacked` gives. Weights never move
    while another text is being generated. ValueError for an unknown adapter.
    """
    weight, others = model.lm_head.weight, _open.get(model, 0)
    suits = has_varlen_kernel(weight.device, weight.dtype) and not hasattr(model, "reshard") and not others
    _open[model] = others + 1
    try:
        yield (_fused(model, adapter), None) if suits else prepacked(model, adapter)
    finally:
        _open[model] -= 1


def _fused(model: Llama, adapter: str | None) -> Llama:
    """Weights and adapter must not change as long as this view is used.

    The weights of layers that read the same are moved side by side, and stay so: the next time only A is put beside
    them. That takes as much more memory as the layers of one block have, for a moment; B, with zeros between its
    parts, takes some for as long as this is used.
    """

    def replace(part: nn.Module) -> nn.Module | None:
        if isinstance(part, Block):
            return FusedBlock(part, adapter)
        if part is model.lm_head:
            twin = copy.copy(part)
            twin.product = product
            return twin
        return None

    return view(model, replace)


class FusedBlock(nn.Module):
    """`Block` in four products. No gradient."""

    def __init__(self, block: Block, adapter: str | None):
        super().__init__()
        attention, mlp = block.self_attn, block.mlp
        self.head_dim, self.attend = attention.head_dim, attention.attend
        self.input_layernorm, self.post_attention_layernorm = block.input_layernorm, block.post_attention_layernorm
        self.qkv = FusedLinear([attention.q_proj, attention.k_proj, attention.v_proj], adapter)
        self.o = FusedLinear([attention.o_proj], adapter)
        self.gate_up = FusedLinear([mlp.gate_proj, mlp.up_proj], adapter)
        self.down = FusedLinear([mlp.down_proj], adapter)

    def forward(self, x, rotary, packed, adapter=None, cache=None):
        one_each = cache is not None and packed.max_len == 1  # sequence s is one token, for slot s
        normed = rms_norm if one_each else (lambda norm, x: norm(x))
        q, k, v = (y.view(len(x), -1, self.head_dim) for y in self.qkv(normed(self.input_layernorm, x)))
        if one_each:
            mixed = attend_each(q, k, v, rotary, cache.keys, cache.values, cache.used)
        else:
            mixed = self.attend(rotate(q, rotary), rotate(k, rotary), v, packed, cache)
        x = x + self.o(mixed.reshape(len(x), -1))[0]
        gate, up = self.gate_up(normed(self.post_attention_layernorm, x))
        return x + self.down(silu_product(gate, up) if one_each else F.silu(gate) * up)[0]


class FusedLinear:
    """Layers side by side: the weight of each is some rows of one matrix, and its adapter's A some rows behind them."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, layers: Sequence[Any], adapter: str | None):
        self.widths = tuple(len(layer.weight) for layer in layers)
        pairs = [_low_rank(layer, adapter) for layer in layers]
        self.B: Tensor | None = None  # [sum of widths, sum of ranks]: where a layer's rows cross those of its A, else 0
        if len(layers) == 1 and pairs[0] is None:
            self.matrix = layers[0].weight.detach()
            return
        ranks = [0 if pair is None else len(pair[0]) for pair in pairs]
        wide, low, width = _spans(self.widths), _spans(ranks), sum(self.widths)
        self.matrix = _home(layers, wide, -(-(width + sum(ranks)) // ALIGNED) * ALIGNED)  # [all rows, width in]
        scales = [pair[2] for pair in pairs if pair is not None]
        if not scales:
            return
        self.B, self.scale = self.matrix.new_zeros(width, sum(ranks)), scales[0]
        for rows, columns, pair in zip(wide, low, pairs, strict=True):
            if pair is not None:
                A, B, scale = pair
                self.matrix[width:][columns] = A.to(self.matrix.dtype)
                self.B[rows, columns] = (B * (scale / self.scale)).to(self.matrix.dtype)  # equal scales as a rule

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        """What each layer makes of x [N, width in]: [N, width out], not contiguous. No gradient."""
        y, width = product(x, self.matrix), sum(self.widths)
        out = y[:, :width]
        if self.B is not None:
            out.addmm_(y[:, width : width + self.B.shape[1]], self.B.T, alpha=self.scale)
        return out.split(self.widths, dim=1)


def _low_rank(layer: Any, adapter: str | None) -> tuple[Tensor, Tensor, float] | None:
    """(A, B, scale) of the layer's adapter, or None. ValueError for an unknown name."""
    if isinstance(layer, LoRALinear):
        return layer.low_rank(adapter)
    layer.merged(adapter)
    return None


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


# ---- the kernels need Triton, which torch for CUDA brings along


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """x W^T without a gradient: of one row on a GPU by a kernel that reads the weight as fast as memory gives it."""
    if len(x) > 1 or not x.is_cuda:
        return F.linear(x, matrix)
    from .kernels import vector_product

    return vector_product(x, matrix)


def rms_norm(norm: Any, x: Tensor) -> Tensor:
    """The norm of a few rows, for which torch's own is slow."""
    from .kernels import rms_norm

    return rms_norm(x, norm.weight, norm.eps)


def silu_product(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up of a few rows, in one kernel."""
    from .kernels import silu_product

    return silu_product(gate, up)


def attend_each(*given: Any) -> Tensor:
    """Turn, cache and attend, for one new token of every slot: `kernels.attend_each`."""
    from .kernels import attend_each

    return attend_each(*given)
