"""Causal attention within each sequence of a pack: one kernel call for all, or one call each. Never an N x N mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .packed import Packed


def attend(q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """Causal attention, each sequence for itself: q [N, H, K], k and v [N, key/value heads, K] -> [N, H, K].

    A sequence that continues another one sees the keys of that one, too: they are repeated before its own.
    """
    bounds, lengths = packed.bounds, packed.lengths
    if packed.parents:
        rows, bounds, lengths = packed.seen
        k, v = k.index_select(0, rows), v.index_select(0, rows)
    if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16):
        return _attend_varlen(q, k, v, packed, bounds, max(lengths))
    # [N, heads, K] -> per sequence [1, heads, n, K], the layout of scaled_dot_product_attention
    queries, keys, values = (
        t.transpose(0, 1)[None].split(sizes, dim=2) for t, sizes in ((q, packed.lengths), (k, lengths), (v, lengths))
    )
    out = [_attend_one(q1, k1, v1) for q1, k1, v1 in zip(queries, keys, values, strict=True)]
    return torch.cat(out, dim=2)[0].transpose(0, 1)


def _attend_one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One sequence [1, heads, n, K], whose queries belong to the last of the keys."""
    asked, seen = q.shape[2], k.shape[2]
    if asked == seen:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    # is_causal would let the first query see the first key only
    mask = torch.ones(asked, seen, dtype=torch.bool, device=q.device).tril(seen - asked)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, packed: Packed, bounds: Tensor, longest: int) -> Tensor:
    """The same in one kernel that takes bounds of the queries and of the keys (CUDA, 16 bit).

    (-1, 0) is causal: nothing to the right of a query, where the last query stands at the last key.
    """
    from torch.nn.attention.varlen import varlen_attn

    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    out = varlen_attn(q, k, v, packed.bounds, bounds, packed.max_len, longest, window_size=(-1, 0))
    assert isinstance(out, Tensor)
    return out
