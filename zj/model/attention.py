"""Causal attention within each sequence of a pack: one kernel call for all, or one call each. Never an N x N mask."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .packed import Packed


def attend(q: Tensor, k: Tensor, v: Tensor, packed: Packed, cache: Any = None) -> Tensor:
    """Causal attention within each sequence: q [N, H, K], k and v [N, key/value heads, K] -> [N, H, K].

    A sequence with a parent also attends to the parent's keys, which are repeated before its own.
    With a layer of a `Cache` each sequence also attends to the keys in its slot.
    """
    if cache is not None:
        return cache.attend(q, k, v, packed)
    bounds, lengths = packed.bounds, packed.lengths
    if packed.parents:
        rows, bounds, lengths = packed.attended
        k, v = k.index_select(0, rows), v.index_select(0, rows)
    if has_varlen_kernel(q.device, q.dtype):
        return _attend_varlen(q, k, v, packed, bounds, max(lengths))
    # [N, heads, K] -> per sequence [1, heads, n, K], the layout of scaled_dot_product_attention
    queries, keys, values = (
        t.transpose(0, 1)[None].split(sizes, dim=2) for t, sizes in ((q, packed.lengths), (k, lengths), (v, lengths))
    )
    out = [_attend_one(q1, k1, v1) for q1, k1, v1 in zip(queries, keys, values, strict=True)]
    return torch.cat(out, dim=2)[0].transpose(0, 1)


def _attend_one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One sequence [1, heads, n, K]; the queries are those of the last keys."""
    n_queries, n_keys = q.shape[2], k.shape[2]
    if n_queries == n_keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    # is_causal aligns the mask top left: the first query would see the first key only
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool, device=q.device).tril(n_keys - n_queries)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def has_varlen_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one kernel call handles sequences of any lengths (CUDA, 16 bit)."""
    return device.type == "cuda" and dtype in (torch.float16, torch.bfloat16)


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, packed: Packed, bounds: Tensor, longest: int) -> Tensor:
    """`attend` in one kernel that takes the bounds of queries and keys (CUDA, 16 bit).

    window_size (-1, 0) is causal: no key to the right of a query, the last query aligned with the last key.
    """
    from torch.nn.attention.varlen import varlen_attn

    if (group := q.shape[1] // k.shape[1]) > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    out = varlen_attn(q, k, v, packed.bounds, bounds, packed.max_len, longest, window_size=(-1, 0))
    assert isinstance(out, Tensor)
    return out


def attend_slots(q: Tensor, keys: Tensor, values: Tensor, packed: Packed, starts: Tensor, used: Tensor) -> Tensor:
    """Attention of sequence s to the first used[s] entries of slot s, in one kernel that reads no further.

    q [N, H, K], keys and values [slots, capacity, key/value heads, K], starts [S + 1] and used [S] int32 -> [N, H, K],
    where slot s begins at entry starts[s] = s * capacity. The last query of a sequence is that of the last entry used.
    No gradient (CUDA, 16 bit).
    """
    # torch 2.12 has this as varlen_attn(seqused_k=); the kernel below it is the same since 2.5
    out, *_ = torch.ops.aten._flash_attention_forward(
        q,
        keys.flatten(0, 1),
        values.flatten(0, 1),
        packed.bounds,
        starts,
        packed.max_len,
        keys.shape[1],
        dropout_p=0.0,
        is_causal=True,
        return_debug_mask=False,
        seqused_k=used,
    )
    return out
