"""Weights made ready for a CPU say and teach what the plain ones do."""

from __future__ import annotations

import copy

import pytest
import torch

from zj.inference import cpu as module
from zj.inference import generate
from zj.inference.cpu import PrepackedWeight, prepack_frozen, prepacked
from zj.inference.engine import Sampling, stream
from zj.lora import LoRALinear, adapter_parameters, add_adapter, merge_adapter
from zj.model import Llama, LlamaConfig, Packed
from zj.weights import load_model, save_llama

PROMPTS = [[1, 5, 9, 33], [40], [1, 63, 62, 61, 60, 59, 58, 3], [7, 7], [12, 30, 50, 11, 20]]
ready = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def make(
    dtype: torch.dtype = torch.float32, tied: bool = False, adapters: tuple[str, ...] = ("policy",), switch: str = ""
) -> Llama:
    """Random, with logits of size 10 and adapters that matter."""
    more = {switch: True} if switch else {}
    model = Llama(LlamaConfig(64, 32, 96, 2, 4, 2, tie_word_embeddings=tied, **more)).to(dtype)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("bias", "q_norm.weight", "k_norm.weight")):
                weight.uniform_(0.5, 1.5, generator=generator)
            elif "norm" not in name:
                weight.mul_(32 if "lm_head" in name else 8)
        for adapter in adapters:
            add_adapter(model, adapter, rank=2, alpha=4)
            for weight in adapter_parameters(model, adapter).values():
                weight.normal_(0, 0.2, generator=generator)
    return model.eval()


@pytest.fixture(autouse=True)
def no_weight_is_too_small(monkeypatch):
    monkeypatch.setattr(module, "MIN_NUMEL", 0)


@torch.no_grad()
def logits(model: Llama, adapter: str | None) -> torch.Tensor:
    """Of every token of every prompt."""
    return model.logits(model(Packed.of(PROMPTS), adapter))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """fp32: sums of 96 terms in another order, and an adapter added before instead of after. Of the largest logit plain
    weights are 9e-7 off and weights made ready 12e-7, on a processor without AVX-512."""
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))


def plainly(monkeypatch, act):
    """What comes out where no model is small enough to be made ready."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "MAX_BYTES", 0)
        return act()


def is_prepacked(layer: LoRALinear) -> bool:
    return isinstance(layer.product, PrepackedWeight)


@ready
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("adapter", [None, "policy"])
def test_logits_are_those_of_the_plain_weights(tied, adapter):
    """Which are themselves no nearer to fp64."""
    model = make(tied=tied)
    view, name = prepacked(model, adapter)
    assert view is not model and name is None
    exact = logits(make(tied=tied).double(), adapter)
    for found in (logits(view, name), logits(model, adapter)):
        close(found.double(), exact)
    other = logits(model, None if adapter else "policy")
    assert (logits(view, name) - other).abs().max() > 0.1  # control: which adapter is meant is not lost


@ready
def test_greedy_text_is_the_same(monkeypatch):
    model = make()

    def act():
        return generate(model, PROMPTS, 20, adapter="policy", temperature=0.0, slots=3)

    assert act() == plainly(monkeypatch, act)


@ready
def test_weights_that_have_changed_are_made_ready_anew(monkeypatch):
    model = make()
    options = {"adapter": "policy", "temperature": 0.0}
    before = generate(model, PROMPTS, 20, **options)
    with torch.no_grad():
        for weight in adapter_parameters(model, "policy").values():
            weight.mul_(-2)
    after = generate(model, PROMPTS, 20, **options)
    assert after == plainly(monkeypatch, lambda: generate(model, PROMPTS, 20, **options)) != before


@ready
def test_other_passes_between_two_tokens_see_the_plain_weights():
    model = make(adapters=("policy", "reference"))
    expected = logits(model, "reference")
    tokens = stream(model, PROMPTS, 5, Sampling(), adapter="policy")
    next(tokens)
    assert torch.equal(logits(model, "reference"), expected)
    tokens.close()


@ready
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_are_left_as_they_are(dtype):
    model = make(dtype)
    assert prepacked(model, "policy") == (model, "policy")


def test_a_sharded_model_is_left_as_it_is():
    model = make()
    model.reshard = lambda: None  # as FSDP2 gives to what it shards
    assert prepacked(model, "policy") == (model, "policy")


@ready
def test_a_large_model_is_not_copied(monkeypatch):
    model = make()
    assert plainly(monkeypatch, lambda: prepacked(model, "policy")) == (model, "policy")


@pytest.mark.parametrize("adapters", [(), ("policy",)])
def test_an_unknown_adapter_is_refused(adapters):
    with pytest.raises(ValueError, match="unknown adapter 'nobody'"):
        generate(make(adapters=adapters), PROMPTS, 2, adapter="nobody")


# --- training beside frozen weights


def gradients(model: Llama) -> dict[str, torch.Tensor]:
    """Of the adapter, from a loss that weights every hidden number differently."""
    model.zero_grad()
    hidden = model(Packed.of(PROMPTS), "policy")
    (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
    return {name: weight.grad.clone() for name, weight in adapter_parameters(model, "policy").items()}


@ready
@pytest.mark.parametrize("switch", ["qkv_bias", "qk_norm"])
def test_logits_of_relatives_are_those_of_the_plain_weights(switch):
    model = make(switch=switch)
    view, name = prepacked(model, "policy")
    assert view is not model and name is None
    close(logits(view, name), logits(model, "policy"))
    plain = make()
    plain.load_state_dict(model.state_dict(), strict=False)
    assert (logits(plain, "policy") - logits(model, "policy")).abs().max() > 0.1  # control: the switch matters


@ready
@pytest.mark.parametrize("switch", ["", "qkv_bias", "qk_norm"])
def test_gradients_are_those_of_the_plain_weights(switch):
    """fp32: the same sums in another order, through two blocks and back."""
    model = make(switch=switch)
    expected = gradients(model)
    prepack_frozen(model)
    assert is_prepacked(model.model.layers[1].mlp.down_proj)
    found = gradients(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))
    layer = model.model.layers[1].mlp.down_proj
    layer.product = PrepackedWeight(-layer.weight)
    layer.product.version = layer.weight._version
    other = gradients(model)  # control: it is the weight laid out that counts
    assert any((other[name] - gradient).abs().max() > 0.1 * gradient.abs().max() for name, gradient in expected.items())


@ready
def test_a_model_that_is_read_for_training_is_laid_out(tmp_path):
    save_llama(make(adapters=()), tmp_path)
    model = load_model(tmp_path, prepare=lambda model: add_adapter(model, "policy", rank=2, alpha=4))
    prepack_frozen(model)
    layers = [part for part in model.modules() if isinstance(part, LoRALinear)]
    assert len(layers) == 14 and all(map(is_prepacked, layers))


@ready
def test_a_weight_that_has_changed_since_is_the_one_that_counts():
    """Merged into, loaded anew, trained: nothing is taken from what was laid out before."""
    model, other = make(), make(adapters=("policy", "other"))
    prepack_frozen(model)
    expected = logits(model, "policy")
    merge_adapter(model, "policy")
    close(logits(model, None), expected)
    add_adapter(model, "policy", rank=2, alpha=4)
    prepack_frozen(model)
    model.load_state_dict({name: weight for name, weight in other.state_dict().items() if ".other" not in name})
    assert torch.equal(logits(model, "policy"), logits(other, "policy"))
    prepack_frozen(model)
    model.requires_grad_(True)
    model(Packed.of(PROMPTS), "policy").sum().backward()
    assert all(weight.grad is not None for name, weight in model.named_parameters() if "proj.weight" in name)


@ready
def test_a_copy_of_a_model_can_be_made():
    model = make()
    prepack_frozen(model)
    close(logits(copy.deepcopy(model), "policy"), logits(model, "policy"))


@ready
@pytest.mark.parametrize("why", ["trained", "fp64", "large", "small"])
def test_what_is_trained_or_suits_not_is_left_as_it_is(why, monkeypatch):
    model = make(torch.float64 if why == "fp64" else torch.float32)
    if why == "trained":
        model.requires_grad_(True)
    if why == "large":
        monkeypatch.setattr(module, "MAX_BYTES", 0)
    if why == "small":
        monkeypatch.setattr(module, "MIN_NUMEL", 1 << 18)
    prepack_frozen(model)
    assert not any(is_prepacked(part) for part in model.modules() if isinstance(part, LoRALinear))
