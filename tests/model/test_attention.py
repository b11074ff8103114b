"""Attention per sequence against a softmax written out over the whole pack with a mask."""

from __future__ import annotations

import pytest
import torch

from zj.model import Packed
from zj.model.attention import attend


def written_out(q, k, v, packed, causal=True):
    """softmax(q k^T / sqrt(K)) v over all N x N pairs, masked to earlier tokens of the same sequence."""
    group = q.shape[1] // k.shape[1]
    sequence = torch.arange(len(packed)).repeat_interleave(torch.tensor(packed.lengths))
    allowed = sequence[:, None] == sequence[None]
    if causal:
        allowed &= packed.positions[:, None] >= packed.positions[None]
    heads = []
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // group].T / q.shape[2] ** 0.5
        heads.append(scores.masked_fill(~allowed, -torch.inf).softmax(-1) @ v[:, head // group])
    return torch.stack(heads, dim=1)


def inputs(dtype=torch.float64, device="cpu", head_dim=8):
    generator = torch.Generator().manual_seed(0)
    packed = Packed.of([[1] * n for n in (5, 1, 9, 3)])
    shapes = ((18, 6, head_dim), (18, 2, head_dim), (18, 2, head_dim))
    return *(torch.randn(s, generator=generator, dtype=torch.float64).to(device, dtype) for s in shapes), packed.to(
        device
    )


def test_equals_the_softmax_written_out_in_value_and_gradient():
    q, k, v, packed = inputs()
    gradients = []
    for function in (attend, written_out):
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        out = function(*leaves, packed)
        out.sin().sum().backward()
        gradients.append((out.detach(), *(leaf.grad for leaf in leaves)))
    for ours, theirs in zip(*gradients, strict=True):  # sums of at most 9 terms of size 1 in fp64
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_the_reference_tells_causal_from_not():
    """Negative control."""
    q, k, v, packed = inputs()
    assert not torch.allclose(attend(q, k, v, packed), written_out(q, k, v, packed, causal=False), atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_the_kernel_for_16_bit_equals_it_too(dtype, bound):
    q, k, v, packed = inputs(dtype, "cuda", head_dim=64)
    exact = written_out(q.double().cpu(), k.double().cpu(), v.double().cpu(), packed.to("cpu"))
    torch.testing.assert_close(attend(q, k, v, packed).double().cpu(), exact, rtol=bound, atol=bound)
