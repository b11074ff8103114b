"""Causal attention within each sequence of a pack: one kernel call for all, or one call each. Never an N x N mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .packed import Packed


def attend(q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """Causal attention, each sequence for itself: q [N, H, K], k and v [N, key/value heads, K] -> [N, H, K]."""
    if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16):
        return _attend_varlen(q, k, v, packed)
    # [N, heads, K] -> per sequence [1, heads, n, K], the layout of scaled_dot_product_attention
    parts = (t.transpose(0, 1)[None].split(packed.lengths, dim=2) for t in (q, k, v))
    out = [
        F.scaled_dot_product_attention(q1, k1, v1, is_causal=True, enable_gqa=True)
        for q1, k1, v1 in zip(*parts, strict=True)
    ]
    return torch.cat(out, dim=2)[0].transpose(0, 1)


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """The same in one kernel that takes `bounds` (CUDA, 16 bit)."""
    from torch.nn.attention.varlen import varlen_attn

    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    bounds, longest = packed.bounds, packed.max_len
    out = varlen_attn(q, k, v, bounds, bounds, longest, longest, window_size=(-1, 0))  # (-1, 0) is causal
    assert isinstance(out, Tensor)
    return out
