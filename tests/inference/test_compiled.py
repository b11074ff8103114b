"""Compiled blocks say and teach what plain ones do, at any length, for every adapter. Compiling takes time: slow."""

from __future__ import annotations

import shutil

import pytest
import torch

from zj.inference import generate
from zj.inference.compiled import compile_blocks
from zj.lora import adapter_parameters, add_adapter
from zj.model import BloomConfig, Llama, LlamaConfig, Packed, network, sequence_logprobs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler"),
]
PACKS = [
    [[1, 5, 9, 33], [40, 2], [1, 63, 62, 61, 60]],
    [[7] * 9],
    [[1, 2, 3], [9, 8, 7, 6, 5, 4, 3, 2], [4, 4], [11, 12]],
]


LLAMA, BLOOM = LlamaConfig(64, 32, 96, 3, 4, 2), BloomConfig.of(64, 48, 3, 6)


def make(dtype=torch.float64, recompute=0, shape=LLAMA) -> Llama:
    model = network(shape).to(dtype)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    for adapter in ("policy", "value"):
        add_adapter(model, adapter, rank=2, alpha=4)
        with torch.no_grad():
            for weight in adapter_parameters(model, adapter).values():
                weight.normal_(0, 0.2, generator=generator)
    model.recompute = recompute
    return model.train()


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet():
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch.compiler.reset()


def outcome(model: Llama, sequences: list[list[int]], adapter: str) -> list[torch.Tensor]:
    packed = Packed.of(sequences)
    model.zero_grad()
    logprobs, entropy = sequence_logprobs(model, packed, packed.positions > 0, adapter)
    (logprobs.sum() + 0.1 * entropy.sum()).backward()
    gradients = [weight.grad for weight in adapter_parameters(model, adapter).values() if weight.grad is not None]
    assert len(gradients) == 3 * (4 if model.config == BLOOM else 7) * 2
    return [logprobs.detach(), entropy.detach(), *(gradient.clone() for gradient in gradients)]


@pytest.mark.parametrize("recompute, shape", [(0, LLAMA), (2, LLAMA), (3, LLAMA), (2, BLOOM)])
def test_values_and_gradients_are_those_of_plain_blocks(recompute, shape):
    plain, fused = (make(recompute=recompute, shape=shape) for _ in range(2))
    compile_blocks(fused)
    for sequences in PACKS:
        for adapter in ("policy", "value"):
            for one, other in zip(outcome(plain, sequences, adapter), outcome(fused, sequences, adapter), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)  # fp64, sums in another order
    assert list(plain.state_dict()) == list(fused.state_dict())


def test_weights_that_change_are_seen():
    """Negative control: what was compiled is the computation and not its result."""
    model = make()
    compile_blocks(model)
    before = outcome(model, PACKS[0], "policy")[0]
    with torch.no_grad():
        next(iter(adapter_parameters(model, "policy").values())).mul_(2)
    assert (outcome(model, PACKS[0], "policy")[0] - before).abs().max() > 1e-4


def test_no_length_is_compiled_anew():
    """One sequence of one token and a pack of many lengths alike; and every block is the same to the compiler."""
    model, made = make(), []
    compile_blocks(model)
    for sequences in PACKS:
        outcome(model, sequences, "policy")
        made.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert 0 < made[0] == made[1] == made[2]


@torch.no_grad()
def test_text_is_generated_as_before():
    plain, fused = make(torch.float32), make(torch.float32)
    compile_blocks(fused)
    prompts = [[1, 5, 9], [40], [1, 63, 62]]
    made = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    found = [generate(model, prompts, 8, adapter="policy", seed=3, eos_ids=()) for model in (plain, fused)]
    assert found[0] == found[1]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == made  # and not by what was compiled
