"""Attention per sequence, and behind another one, against a softmax written out over the whole pack with a mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from zj.model import Packed
from zj.model.attention import attend


def written_out(q, k, v, packed, causal=True):
    """softmax(q k^T / sqrt(K)) v over all N x N pairs, masked to earlier tokens of the same sequence or its parents."""
    group = q.shape[1] // k.shape[1]
    sequence = torch.arange(len(packed)).repeat_interleave(torch.tensor(packed.lengths))
    sees = torch.eye(len(packed), dtype=torch.bool)
    for child, parent in enumerate(packed.parents):
        sees[child] |= sees[parent] & (parent >= 0)
    allowed = sees[sequence[:, None], sequence[None]]
    if causal:
        allowed &= packed.positions[:, None] >= packed.positions[None]
    heads = []
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // group].T / q.shape[2] ** 0.5
        heads.append(scores.masked_fill(~allowed, -torch.inf).softmax(-1) @ v[:, head // group])
    return torch.stack(heads, dim=1)


def ids(*lengths):
    return [[1] * n for n in lengths]


PACKS = {
    "apart": Packed.of(ids(5, 1, 9, 3)),
    "branching": Packed.branching(ids(5, 0, 1), [ids(1, 4), ids(2), ids(3, 1, 1)]),
    "a chain": replace(Packed.of(ids(3, 2, 4, 2, 7), starts=[0, 3, 5, 0, 5]), parents=(-1, 0, 1, -1, 1)),
}  # 18 tokens each


def inputs(pack="apart", dtype=torch.float64, device="cpu", head_dim=8):
    generator = torch.Generator().manual_seed(0)
    shapes = ((18, 6, head_dim), (18, 2, head_dim), (18, 2, head_dim))
    made = (torch.randn(s, generator=generator, dtype=torch.float64).to(device, dtype) for s in shapes)
    return *made, PACKS[pack].to(device)


@pytest.mark.parametrize("pack", PACKS)
def test_equals_the_softmax_written_out_in_value_and_gradient(pack):
    q, k, v, packed = inputs(pack)
    gradients = []
    for function in (attend, written_out):
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]
        out = function(*leaves, packed)
        out.sin().sum().backward()
        gradients.append((out.detach(), *(leaf.grad for leaf in leaves)))
    for ours, theirs in zip(*gradients, strict=True):  # sums of at most 18 terms of size 1 in fp64
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pack", PACKS)
def test_the_reference_tells_causal_from_not(pack):
    """Negative control."""
    q, k, v, packed = inputs(pack)
    assert not torch.allclose(attend(q, k, v, packed), written_out(q, k, v, packed, causal=False), atol=1e-3)


def test_sequences_that_continue_none_take_one_causal_call_each():
    """To the last bit, and whether it is said of each or of none."""
    q, k, v, packed = inputs(dtype=torch.float32)
    heads = (t.transpose(0, 1)[None] for t in (q, k, v))
    parts = zip(*(t.split(packed.lengths, dim=2) for t in heads), strict=True)
    calls = [F.scaled_dot_product_attention(*part, is_causal=True, enable_gqa=True) for part in parts]
    expected = torch.cat(calls, dim=2)[0].transpose(0, 1)
    for parents in ((), (-1,) * 4):
        assert torch.equal(attend(q, k, v, replace(packed, parents=parents)), expected)
    branching = replace(packed, parents=(-1, 0, -1, -1))
    assert not torch.equal(attend(q, k, v, branching), expected)  # control


def test_a_pack_of_branches_is_what_it_says():
    packed = Packed.branching([[1, 5, 6], [], [7]], [[[8], [9, 4]], [[3, 2], [2]], [[5, 5, 5]]])
    assert [packed.tokens[a:b].tolist() for a, b in packed.spans] == [
        *([1, 5, 6], [7]),
        *([8], [9, 4], [3, 2], [2], [5, 5, 5]),
    ]
    assert packed.parents == (-1, -1, 0, 0, -1, -1, 1) and len(packed) == 7
    assert packed.positions.tolist() == [0, 1, 2, 0, 3, 3, 4, 0, 1, 0, 1, 2, 3]
    assert packed.last.tolist() == [2, 3, 4, 6, 8, 9, 12] and packed.max_len == 3
    assert packed.sums(torch.ones(13)).tolist() == list(packed.lengths)  # a branch's sum is not its trunk's
    rows, bounds, lengths = packed.to("cpu").attended
    assert rows.tolist() == [0, 1, 2, 3, 0, 1, 2, 4, 0, 1, 2, 5, 6, 7, 8, 9, 3, 10, 11, 12]
    assert bounds.tolist() == [0, 3, 4, 8, 13, 15, 16, 20] and lengths == (3, 1, 4, 5, 2, 1, 4)
    alone = Packed.branching([[], []], [[[3, 2], [2]], [[5]]])
    assert alone.parents == () and alone.lengths == (2, 1, 1)
    with pytest.raises(AssertionError, match="sequence 0 continues 1, which does not stand before it"):
        _ = replace(alone, parents=(1, -1, -1)).attended


@pytest.mark.gpu
@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_the_kernel_for_16_bit_equals_it_too(dtype, bound, pack):
    q, k, v, packed = inputs(pack, dtype, "cuda", head_dim=64)
    exact = written_out(q.double().cpu(), k.double().cpu(), v.double().cpu(), packed.to("cpu"))
    torch.testing.assert_close(attend(q, k, v, packed).double().cpu(), exact, rtol=bound, atol=bound)
