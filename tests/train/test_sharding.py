"""FSDP2 from outside: what it must not do to a pack."""

from __future__ import annotations

import pytest
import torch

from tests.fake_ranks import first_of
from zj.model import BloomConfig, LlamaConfig, Packed, network, sequence_logprobs
from zj.train import shard


@pytest.fixture
def two():
    with first_of(2) as world:
        yield world


@pytest.mark.parametrize(
    "shape", [LlamaConfig(40, 16, 24, 3, 2, 2), BloomConfig.of(40, 16, 3, 2)], ids=["LLaMA", "Bloom"]
)
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", ["none", "zero2", "zero3"])
def test_blocks_share_what_a_pack_has_cached(two, monkeypatch, how, compute, shape):
    """Every block gets the same Packed, in 16 bit too: what a sequence attends to is computed once a pack."""
    model = network(shape)
    model.init_weights(0)
    shard(model, [], how, compute, two)
    computed, attended = [], Packed.attended.func
    monkeypatch.setattr(Packed.attended, "func", lambda self: computed.append(1) or attended(self))
    packed = Packed.branching([[5, 6, 7]], [[[8, 9], [10, 11]]])
    counted = torch.tensor([False] * 3 + [False, True] * 2)
    logprobs, _ = sequence_logprobs(model, packed, counted)
    logprobs.sum().backward()
    assert len(computed) == 1
