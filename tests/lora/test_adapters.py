"""Named adapters: each changes what it is asked to change, nothing else, and nothing before it has learnt."""

from __future__ import annotations

import math

import pytest
import torch

from zj.lora import (
    ALL_LINEAR,
    LoRALinear,
    adapter_parameters,
    add_adapter,
    add_adapter_to,
    copy_adapter,
    count_parameters,
    freeze_adapter,
    merge_adapter,
    remove_adapter,
)
from zj.model import Llama, LlamaConfig, Packed

PACKED = Packed.of([[1, 5, 9, 30, 2], [1, 7], [40]])


def make(dtype: torch.dtype = torch.float64, seed: int = 0) -> Llama:
    model = Llama(LlamaConfig.named("nano", vocab_size=64))
    model.init_weights(seed)
    for p in model.parameters():
        p.data.mul_(4)
    return model.to(dtype)


def learn(model: Llama, name: str, seed: int = 1, size: float = 0.1) -> None:
    """Give an adapter something to say."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for matrix in adapter_parameters(model, name).values():
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * size)


def adapted(*names: str, dtype: torch.dtype = torch.float64, **more) -> Llama:
    model = make(dtype).eval()
    for seed, name in enumerate(names, 1):
        add_adapter(model, name, rank=3, alpha=6, **more)
        learn(model, name, seed)
    return model


def weights(model: Llama) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# --- one adapter


def test_a_fresh_adapter_changes_nothing_and_learns():
    model = make()
    before = model(PACKED)
    add_adapter(model, "policy", rank=4, alpha=8)
    assert torch.equal(model(PACKED), before)
    after = model(PACKED, "policy")
    assert torch.equal(after, before)
    after.pow(2).sum().backward()
    gradients = {name: p.grad for name, p in adapter_parameters(model, "policy").items()}
    assert all(g.any() for name, g in gradients.items() if name.endswith("lora_B"))  # B is 0, so A's is 0 at first
    assert not any(g.any() for name, g in gradients.items() if name.endswith("lora_A"))


def test_it_is_the_published_correction():
    """y = x W^T + alpha / rank * x A^T B^T, here written with the dense matrix B A."""
    model = adapted("a")
    layer = model.model.layers[0].mlp.down_proj
    assert isinstance(layer, LoRALinear)
    x = torch.randn(5, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, B = layer.lora_A["a"], layer.lora_B["a"]
    expected = x @ (layer.weight + 6 / 3 * (B @ A)).T
    torch.testing.assert_close(layer(x, "a"), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x), x @ layer.weight.T, rtol=1e-12, atol=1e-12)
    assert (layer(x, "a") - layer(x)).abs().max() > 1e-2  # control


@pytest.mark.parametrize("targets", [("q_proj",), ("q_proj", "v_proj"), ("down_proj", "k_proj"), ALL_LINEAR])
def test_any_subset_of_the_linear_layers(targets):
    model = make()
    add_adapter(model, "a", rank=2, alpha=2, targets=targets)
    learn(model, "a")
    found = {path.rsplit(".", 2)[-2] for path in adapter_parameters(model, "a")}
    assert found == set(targets) and len(adapter_parameters(model, "a")) == 2 * 2 * len(targets)
    assert (model(PACKED, "a") - model(PACKED)).abs().max() > 1e-3
    trainable, everything = count_parameters(model)
    sizes = [p.numel() for p in adapter_parameters(model, "a").values()]
    assert trainable == sum(sizes) and everything == sum(p.numel() for p in make().parameters()) + sum(sizes)


def test_a_seed_makes_the_same_adapter_and_leaves_the_global_state_alone():
    one, two, other = (make() for _ in range(3))
    state = torch.get_rng_state()
    for model, seed in ((one, 5), (two, 5), (other, 6)):
        add_adapter(model, "a", rank=2, alpha=2, seed=seed)
    assert torch.equal(state, torch.get_rng_state())
    first, second, third = (adapter_parameters(m, "a") for m in (one, two, other))
    assert all(torch.equal(first[k], second[k]) for k in first)
    name = "model.layers.1.self_attn.q_proj.lora_A"
    assert not torch.equal(first[name], third[name])
    bound = 1 / math.sqrt(32)  # kaiming_uniform_ with a = sqrt(5) over 32 inputs
    assert 0.8 * bound < first[name].abs().max() <= bound


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a.b"}, "expected a name without dots"),
        ({"name": ""}, "expected a name without dots"),
        ({"name": "here"}, "adapter 'here' is there already"),
        ({"rank": 0}, "rank is 0, expected at least 1"),
        ({"dropout": 1.0}, "dropout is 1.0, expected 0 <= dropout < 1"),
        ({"targets": ("q_proj", "lm_head")}, r"targets \['lm_head'\], expected some of q_proj"),
        ({"targets": ()}, "expected some of q_proj"),
    ],
)
def test_impossible_adapters_are_refused_and_leave_no_trace(changes, words):
    model = adapted("here")
    before = weights(model)
    with pytest.raises(ValueError, match=words):
        add_adapter(model, **({"name": "new", "rank": 2, "alpha": 4} | changes))
    assert weights(model).keys() == before.keys()


# --- several adapters


def test_named_adapters_do_not_know_each_other():
    both = adapted("a", "b")
    for seed, name in enumerate(("a", "b"), 1):
        alone = make().eval()
        add_adapter(alone, name, rank=3, alpha=6)
        learn(alone, name, seed)
        assert torch.equal(both(PACKED, name), alone(PACKED, name))
    assert torch.equal(both(PACKED), make()(PACKED))
    assert (both(PACKED, "a") - both(PACKED, "b")).abs().max() > 1e-3  # control: they say different things


def test_an_unknown_name_is_an_error_everywhere():
    model = adapted("a", "b")
    for act in (
        lambda: model(PACKED, "c"),
        lambda: merge_adapter(model, "c"),
        lambda: remove_adapter(model, "c"),
        lambda: copy_adapter(model, "c", "d"),
        lambda: freeze_adapter(model, "c"),
    ):
        with pytest.raises(ValueError, match="unknown adapter 'c': this model has a, b"):
            act()
    with pytest.raises(ValueError, match="unknown adapter 'c'"):
        merge_adapter(make(), "c")
    assert torch.equal(model(PACKED, "a"), adapted("a")(PACKED, "a"))  # and nothing was touched


def test_only_the_named_adapter_gets_a_gradient():
    model = adapted("a", "b")
    model(PACKED, "a").pow(2).sum().backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert with_gradient == {n for n in weights(model) if n.endswith((".lora_A.a", ".lora_B.a"))}


def test_a_copy_is_equal_frozen_and_its_own():
    model = adapted("policy", targets=("q_proj", "down_proj"))
    copy_adapter(model, "policy", "reference")
    before = model(PACKED, "reference")
    assert torch.equal(before, model(PACKED, "policy"))
    assert not before.requires_grad
    assert (before - model(PACKED)).abs().max() > 1e-3  # the reference is not the bare base
    learn(model, "policy", seed=9)
    assert torch.equal(model(PACKED, "reference"), before)
    assert not torch.equal(model(PACKED, "policy"), before)  # control
    with pytest.raises(ValueError, match="adapter 'reference' is there already"):
        copy_adapter(model, "policy", "reference")


def test_freezing_takes_an_adapter_out_of_training_and_back():
    model = adapted("a", "b")
    full = count_parameters(model)[0]
    freeze_adapter(model, "a")
    assert count_parameters(model)[0] == full // 2 and not model(PACKED, "a").requires_grad
    freeze_adapter(model, "a", frozen=False)
    assert count_parameters(model)[0] == full


def test_removing_one_leaves_the_others():
    model = adapted("a", "b")
    wanted = model(PACKED, "b")
    remove_adapter(model, "a")
    assert torch.equal(model(PACKED, "b"), wanted) and not [n for n in weights(model) if n.endswith(".a")]


# --- merging


def test_merged_is_the_same_function():
    model = adapted("a", "b")
    wanted, bare = model(PACKED, "a"), model(PACKED)
    merge_adapter(model, "a")
    torch.testing.assert_close(model(PACKED), wanted, rtol=0, atol=1e-12)
    assert (model(PACKED) - bare).abs().max() > 1e-3  # control
    with pytest.raises(ValueError, match="unknown adapter 'a': this model has b"):
        model(PACKED, "a")


def test_merging_rounds_once_from_fp32():
    model = adapted("a", dtype=torch.float16)
    layer = model.model.layers[1].self_attn.v_proj
    exact = layer.weight.double() + 6 / 3 * (layer.lora_B["a"].double() @ layer.lora_A["a"].double())
    merge_adapter(model, "a")
    assert layer.weight.dtype == torch.float16
    off = (layer.weight.double() - exact).abs()
    half_unit = exact.abs().clamp(min=2**-14) * 2**-11
    assert (off <= half_unit * (1 + 1e-3)).all()


# --- dropout


def test_dropout_acts_in_training_only_and_is_unbiased():
    model = adapted("a", dropout=0.25)
    layer = model.model.layers[0].self_attn.q_proj
    x = torch.randn(1, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(40_000, 32)
    quiet = layer(x, "a")
    assert torch.equal(quiet, layer(x, "a"))
    layer.train()
    torch.manual_seed(0)
    noisy = layer(x, "a")
    deviation = noisy.std(0)
    assert (deviation > 1e-3).all() and torch.equal(layer(x), x @ layer.weight.T)
    assert ((noisy.mean(0) - quiet[0]).abs() < 4.5 * deviation / 200).all()  # 4.5 sigma of the mean of 40,000


@pytest.mark.parametrize("training", [True, False])
def test_adding_an_adapter_keeps_the_models_mode(training):
    """An adapter added to a model in evaluation must not start to drop."""
    model = make().train(training)
    add_adapter(model, "a", rank=2, alpha=4, dropout=0.5)
    learn(model, "a")
    assert torch.equal(model(PACKED, "a"), model(PACKED, "a")) is not training


# --- number types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_adapters_are_fp32_beside_any_base_and_its_outputs_keep_the_bases_type(dtype):
    model = adapted("a", dtype=dtype)
    assert all(p.dtype == torch.float32 for p in adapter_parameters(model, "a").values())
    assert model.lm_head.weight.dtype == dtype
    hidden = model(PACKED, "a")
    assert hidden.dtype == dtype
    exact = model.double()(PACKED, "a")
    assert (hidden.double() - exact).norm() < 30 * torch.finfo(dtype).eps * exact.norm()


# --- layers of their own ranks


def test_chosen_layers_may_have_ranks_and_scales_of_their_own():
    model, bare = make().eval(), make().eval()(PACKED)
    first, last = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
    add_adapter_to(model, "a", {first: (2, 1.5), last: (5, 0.25)})
    assert torch.equal(model(PACKED, "a"), bare)
    learn(model, "a")
    shapes = {path: tuple(matrix.shape) for path, matrix in adapter_parameters(model, "a").items()}
    assert shapes == {
        f"{first}.lora_A": (2, 32),
        f"{first}.lora_B": (32, 2),
        f"{last}.lora_A": (5, 96),
        f"{last}.lora_B": (32, 5),
    }
    wanted = model(PACKED, "a")
    for path, scale in ((first, 1.5), (last, 0.25)):
        layer = model.get_submodule(path)
        assert isinstance(layer, LoRALinear)
        torch.testing.assert_close(layer.delta("a"), scale * layer.lora_B["a"] @ layer.lora_A["a"])
    merge_adapter(model, "a")
    torch.testing.assert_close(model(PACKED), wanted, rtol=0, atol=1e-12)
    assert (wanted - bare).abs().max() > 1e-3  # control
