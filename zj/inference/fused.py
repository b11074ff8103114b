"""Blocks that fuse linear layers with the same input into one product: q, k and v, or gate and up, with their LoRA's A.

For generation on a GPU, where a step is bound by reading weights and launching kernels: the product with
[W_q; W_k; W_v; A_q; A_k; A_v] is one launch instead of six. In decoding, kernels of our own compute the rest of a
block. The plain path, with which tests compare this one, is `Block.forward`.
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
from zj.weights.sharded import has_fsdp

from .cpu import prepacked
from .view import view

ALIGNED = 8  # rows are a multiple of this, so that a layer's part of a 16-bit output is aligned to 16 bytes
_fused_storages: WeakSet[UntypedStorage] = WeakSet()  # storages of fused weights, with space for A
_generations: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # model -> generations in progress


@contextmanager
def fast(model: Llama, adapter: str | None) -> Iterator[tuple[Llama, str | None]]:
    """(model, adapter) to generate with: a view with fused blocks, where the varlen kernel runs and nothing is sharded.

    Elsewhere the result of `prepacked`. Weights never move while another generation is in progress. ValueError for an
    unknown adapter.
    """
    weight, running = model.lm_head.weight, _generations.get(model, 0)
    plain = has_fsdp(model) or not isinstance(model.model.layers[0], Block)  # sharded, or a Bloom
    fusible = has_varlen_kernel(weight.device, weight.dtype) and not plain and not running
    _generations[model] = running + 1
    try:
        yield (_fused(model, adapter), None) if fusible else prepacked(model, adapter)
    finally:
        _generations[model] -= 1


def _fused(model: Llama, adapter: str | None) -> Llama:
    """A view with fused blocks. Weights and adapter must not change while it is used.

    The weights of layers with the same input are moved into one matrix, and stay there: the next time only A is
    written. Moving needs the memory of one block's layers for a moment; B, block-diagonal with zeros, needs memory as
    long as the view is used.
    """

    def replace(part: nn.Module) -> nn.Module | None:
        if isinstance(part, Block):
            return FusedBlock(part, adapter)
        if part is model.lm_head:
            twin = copy.copy(part)
            twin.product = lambda x, weight, _: product(x, weight)  # a head has no bias
            return twin
        return None

    return view(model, replace)


class FusedBlock(nn.Module):
    """`Block` in four products. No gradient."""

    def __init__(self, block: Block, adapter: str | None):
        super().__init__()
        attention, mlp = block.self_attn, block.mlp
        self.head_dim, self.attend, self.qk_norm = attention.head_dim, attention.attend, attention.qk_norm
        if self.qk_norm:
            self.q_norm, self.k_norm = attention.q_norm, attention.k_norm
        self.input_layernorm, self.post_attention_layernorm = block.input_layernorm, block.post_attention_layernorm
        self.qkv = FusedLinear([attention.q_proj, attention.k_proj, attention.v_proj], adapter)
        self.o = FusedLinear([attention.o_proj], adapter)
        self.gate_up = FusedLinear([mlp.gate_proj, mlp.up_proj], adapter)
        self.down = FusedLinear([mlp.down_proj], adapter)

    def forward(self, x, rotary, packed, adapter=None, cache=None):
        decoding = cache is not None and packed.max_len == 1  # sequence s is one token, for slot s
        normed = rms_norm if decoding else (lambda norm, x: norm(x))
        q, k, v = (y.view(len(x), -1, self.head_dim) for y in self.qkv(normed(self.input_layernorm, x)))
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if decoding:
            mixed = attend_each(q, k, v, rotary, cache.keys, cache.values, cache.used)
        else:
            mixed = self.attend(rotate(q, rotary), rotate(k, rotary), v, packed, cache)
        x = x + self.o(mixed.reshape(len(x), -1))[0]
        gate, up = self.gate_up(normed(self.post_attention_layernorm, x))
        return x + self.down(silu_product(gate, up) if decoding else F.silu(gate) * up)[0]


class FusedLinear:
    """Linear layers in one matrix: rows of the layers' weights, then rows of their adapters' A."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, layers: Sequence[Any], adapter: str | None):
        self.widths = tuple(len(layer.weight) for layer in layers)
        pairs = [_low_rank(layer, adapter) for layer in layers]
        biases = [layer.bias for layer in layers if layer.bias is not None]  # of all layers, or of none
        self.bias = torch.cat(biases) if biases else None
        self.B: Tensor | None = None  # [sum of widths, sum of ranks], block-diagonal
        if len(layers) == 1 and pairs[0] is None:
            self.matrix = layers[0].weight.detach()
            return
        ranks = [0 if pair is None else len(pair[0]) for pair in pairs]
        weight_rows, lora_columns, width = _spans(self.widths), _spans(ranks), sum(self.widths)
        size = -(-(width + sum(ranks)) // ALIGNED) * ALIGNED
        self.matrix = _fused_weight(layers, weight_rows, size)  # [size, width in]
        scales = [pair[2] for pair in pairs if pair is not None]
        if not scales:
            return
        self.B, self.scale = self.matrix.new_zeros(width, sum(ranks)), scales[0]
        for rows, columns, pair in zip(weight_rows, lora_columns, pairs, strict=True):
            if pair is not None:
                A, B, scale = pair
                self.matrix[width:][columns] = A.to(self.matrix.dtype)
                self.B[rows, columns] = (B * (scale / self.scale)).to(self.matrix.dtype)  # equal scales as a rule

    def __call__(self, x: Tensor) -> Sequence[Tensor]:
        """The output of each layer for x [N, width in]: [N, width out], not contiguous. No gradient."""
        y, width = product(x, self.matrix), sum(self.widths)
        out = y[:, :width]
        if self.bias is not None:
            out += self.bias
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
    """Consecutive slices of these sizes."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _fused_weight(layers: Sequence[Any], rows: Sequence[slice], size: int) -> Tensor:
    """A matrix [size, width in] whose `rows` are the layers' weights; they are moved there unless they already are."""
    parts, first = list(zip(layers, rows, strict=True)), layers[0].weight.detach()
    width, storage = first.shape[1], first.untyped_storage()
    if storage in _fused_storages:
        fused = first.as_strided((storage.nbytes() // first.itemsize // width, width), (width, 1), 0)
        if len(fused) >= size and all(layer.weight.data_ptr() == fused[span].data_ptr() for layer, span in parts):
            return fused[:size]
    matrix = first.new_zeros(size, width)
    for layer, span in parts:
        matrix[span] = layer.weight
        layer.weight.data = matrix[span]
    _fused_storages.add(matrix.untyped_storage())
    return matrix


# ---- the kernels need Triton, which comes with torch for CUDA


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """x W^T without a gradient; one row on a GPU by a kernel that reads the weight at the rate of memory."""
    if len(x) > 1 or not x.is_cuda:
        return F.linear(x, matrix)
    from .kernels import vector_product

    return vector_product(x, matrix)


def rms_norm(norm: Any, x: Tensor) -> Tensor:
    """The norm of a few rows, for which torch's kernel is slow."""
    from .kernels import rms_norm

    return rms_norm(x, norm.weight, norm.eps)


def silu_product(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up of a few rows, in one kernel."""
    from .kernels import silu_product

    return silu_product(gate, up)


def attend_each(*arguments: Any) -> Tensor:
    """Rotate, cache and attend, for one new token of every slot: `kernels.attend_each`."""
    from .kernels import attend_each

    return attend_each(*arguments)
