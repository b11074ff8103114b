"""Kernels for decoding, one token of each sequence, in Triton (which comes with torch for CUDA).

Every other kernel is torch's. Its flash attention works on tiles of 128 queries: with one query it computes mostly
padding where it should be bound by memory; so do matrix products of one row. The plain versions are `rotate` and
`attend_slots`, `F.linear`, `F.silu(gate) * up`, and `F.rms_norm`, which takes three times as long for a few rows.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# (keys and values per tile, warps, pipeline stages): the fastest on an H200 for many programs (slots * heads), and for
# few. FEW needs 200 KiB of shared memory for heads of 128, which only some GPUs have.
MANY, FEW, PROGRAMS = (64, 2, 2), (128, 8, 4), 512
ROOMY = ((9, 0), (10, 0))  # compute capabilities


def attend_each(
    q: Tensor, k: Tensor, v: Tensor, rotary: tuple[Tensor, Tensor], keys: Tensor, values: Tensor, used: Tensor
) -> Tensor:
    """Rotate q and k, store k and v in the last used entry of their slots, let q attend to all used entries.

    q [slots, H, K], k, v [slots, key/value heads, K], rotary as `rotate` takes it [slots, 1, K] twice, keys, values
    [slots, capacity, key/value heads, K], used [slots] int32, from 1 on -> [slots, H, K].
    """
    out, (slots, capacity, kv_heads, width) = torch.empty_like(q), keys.shape
    group = q.shape[1] // kv_heads
    fits = width <= 128 and group <= 16 and torch.cuda.get_device_capability(q.device) in ROOMY
    places, warps, stages = FEW if fits and slots * kv_heads < PROGRAMS else MANY
    _attend_each[(slots, kv_heads)](
        *(q, k, v, *rotary, keys, values, used, out),
        *(q.stride(0), k.stride(0), v.stride(0), capacity, width**-0.5),
        KV=kv_heads,
        GROUP=group,
        ROWS=max(16, triton.next_power_of_2(group)),
        WIDTH=width,
        DIMS=max(16, triton.next_power_of_2(width)),
        PLACES=places,
        num_warps=warps,
        num_stages=stages,
    )
    return out


@triton.jit
def _attend_each(
    q,
    k,
    v,
    cos,
    sin,
    keys,
    values,
    used,
    out,
    q_stride,
    k_stride,
    v_stride,
    capacity,
    scale,
    KV: tl.constexpr,  # key/value heads
    GROUP: tl.constexpr,  # query heads of each
    ROWS: tl.constexpr,  # GROUP, rounded up to a power of two, at least 16: the smallest tile of tl.dot
    WIDTH: tl.constexpr,  # of a head
    DIMS: tl.constexpr,  # WIDTH, rounded up to a power of two, at least 16
    PLACES: tl.constexpr,
):
    """One slot and one key/value head, with an online softmax (Milakov & Gimelshein 2018)."""
    slot, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row, dim, place = tl.arange(0, ROWS), tl.arange(0, DIMS), tl.arange(0, PLACES)
    inside = dim < WIDTH
    inside_rows = (row[:, None] < GROUP) & inside[None]
    heads, other = (head * GROUP + row[:, None]) * WIDTH, (dim + WIDTH // 2) % WIDTH
    cosine, sine = tl.load(cos + slot * WIDTH + dim, inside, 0.0), tl.load(sin + slot * WIDTH + dim, inside, 0.0)
    query = tl.load(q + slot * q_stride + heads + dim[None], inside_rows, 0.0).to(tl.float32) * cosine[None]
    query += tl.load(q + slot * q_stride + heads + other[None], inside_rows, 0.0).to(tl.float32) * sine[None]
    query = query.to(keys.dtype.element_ty)  # [ROWS, DIMS]
    # the new token itself: its key and value are stored, and the query attends to them first
    key = tl.load(k + slot * k_stride + head * WIDTH + dim, inside, 0.0).to(tl.float32) * cosine
    key += tl.load(k + slot * k_stride + head * WIDTH + other, inside, 0.0).to(tl.float32) * sine
    key = key.to(keys.dtype.element_ty)
    value = tl.load(v + slot * v_stride + head * WIDTH + dim, inside, 0.0)
    before = tl.load(used + slot) - 1
    first = (slot * capacity * KV + head) * WIDTH + dim
    tl.store(keys + first + before.to(tl.int64) * KV * WIDTH, key, inside)
    tl.store(values + first + before.to(tl.int64) * KV * WIDTH, value, inside)
    largest = tl.sum(query.to(tl.float32) * key[None].to(tl.float32), 1) * scale  # [ROWS]
    total = tl.full([ROWS], 1.0, tl.float32)
    mixed = tl.zeros([ROWS, DIMS], tl.float32) + value[None].to(tl.float32)
    for start in range(0, before, PLACES):
        valid = start + place < before
        at = first[None] + (start + place[:, None]).to(tl.int64) * KV * WIDTH  # [PLACES, DIMS]
        inside_slot = valid[:, None] & inside[None]
        scores = tl.dot(query, tl.trans(tl.load(keys + at, inside_slot, 0.0))) * scale
        scores = tl.where(valid[None], scores, float("-inf"))  # [ROWS, PLACES]
        larger = tl.maximum(largest, tl.max(scores, 1))
        p, correction = tl.exp(scores - larger[:, None]), tl.exp(largest - larger)
        value_block = tl.load(values + at, inside_slot, 0.0)
        mixed = mixed * correction[:, None] + tl.dot(p.to(value_block.dtype), value_block)
        total = total * correction + tl.sum(p, 1)
        largest = larger
    result = out + slot * KV * GROUP * WIDTH + heads + dim[None]
    tl.store(result, (mixed / total[:, None]).to(query.dtype), inside_rows)


def vector_product(x: Tensor, matrix: Tensor) -> Tensor:
    """`F.linear` of one row: x [1, width], matrix [rows, width], both contiguous -> [1, rows]."""
    assert x.is_contiguous() and matrix.is_contiguous()
    rows, width = matrix.shape
    out, dims = x.new_empty(1, rows), 512 if width % 1024 else 1024
    _vector_product[(rows,)](x, matrix, out, WIDTH=width, DIMS=dims, num_warps=8, num_stages=3)
    return out


@triton.jit
def _vector_product(x, matrix, out, WIDTH: tl.constexpr, DIMS: tl.constexpr):
    row, dim = tl.program_id(0).to(tl.int64), tl.arange(0, DIMS)
    total = tl.zeros([DIMS], tl.float32)
    for start in range(0, WIDTH, DIMS):
        inside = start + dim < WIDTH
        weight = tl.load(matrix + row * WIDTH + start + dim, inside, 0.0).to(tl.float32)
        total += weight * tl.load(x + start + dim, inside, 0.0).to(tl.float32)
    tl.store(out + row, tl.sum(total, 0).to(out.dtype.element_ty))


def silu_product(gate: Tensor, up: Tensor) -> Tensor:
    """`F.silu(gate) * up` of rows [N, width], which may be slices of wider ones."""
    assert gate.stride(1) == up.stride(1) == 1
    rows, width = gate.shape
    out = gate.new_empty(rows, width)
    strides = gate.stride(0), up.stride(0)
    _silu_product[(rows, triton.cdiv(width, 1024))](gate, up, out, *strides, width, DIMS=1024, num_warps=4)
    return out


@triton.jit
def _silu_product(gate, up, out, gate_stride, up_stride, width, DIMS: tl.constexpr):
    row, dim = tl.program_id(0).to(tl.int64), tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    inside = dim < width
    gate_row = tl.load(gate + row * gate_stride + dim, inside, 0.0).to(tl.float32)
    up_row = tl.load(up + row * up_stride + dim, inside, 0.0).to(tl.float32)
    product = gate_row / (1 + tl.exp(-gate_row)) * up_row
    tl.store(out + row * width + dim, product.to(out.dtype.element_ty), inside)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`F.rms_norm` of contiguous rows x [N, D]."""
    out, (rows, width) = torch.empty_like(x), x.shape
    _rms_norm[(rows,)](x, weight, out, eps, WIDTH=width, DIMS=triton.next_power_of_2(width), num_warps=8)
    return out


@triton.jit
def _rms_norm(x, weight, out, eps, WIDTH: tl.constexpr, DIMS: tl.constexpr):
    dim = tl.arange(0, DIMS)
    at, inside = tl.program_id(0).to(tl.int64) * WIDTH + dim, dim < WIDTH
    row = tl.load(x + at, inside, 0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(row * row, 0) / WIDTH + eps)
    gain = tl.load(weight + dim, inside, 0.0).to(tl.float32)
    tl.store(out + at, (row * scale * gain).to(out.dtype.element_ty), inside)
