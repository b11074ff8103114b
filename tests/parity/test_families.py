"""LLaMA's relatives against transformers and peft, tiny and random, in both directions. pytest -m parity."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from zj.inference import generate
from zj.lora import adapter_parameters, add_adapter, merge_adapter
from zj.model import Llama, LlamaConfig, Packed, sequence_logprobs
from zj.weights import load_llama, load_model, load_peft, save_llama, save_peft

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
from tests.parity.test_parity import PROMPT, close, our_logits, their_adapter, their_logits  # noqa: E402
from tests.weights.test_families import as_baichuan, as_qwen_1  # noqa: E402

FP32 = torch.float32
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.1,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 8.0}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "LLaMA-3.1": ("Llama", {"rope_parameters": {"rope_theta": 5e5, **LLAMA3}}),
    "linear": ("Llama", {"rope_parameters": {"rope_theta": 1e4, "rope_type": "linear", "factor": 4.0}}),
    "SmolLM2": ("Llama", {"tie_word_embeddings": True, "rms_norm_eps": 1e-5, "num_key_value_heads": 1}),
    "LLaMA": ("Llama", {}),
    "wide heads": ("Llama", {"head_dim": 16}),
    "Mistral": ("Mistral", {"sliding_window": 64, "max_position_embeddings": 256}),
    "Mistral without a window": ("Mistral", {"sliding_window": None}),
    "Qwen2": ("Qwen2", {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}),
    "Qwen2 tied": ("Qwen2", {"tie_word_embeddings": True}),
    "Qwen2.5 with YaRN": ("Qwen2", {"rope_parameters": {"rope_theta": 1e6, **YARN}, "max_position_embeddings": 64}),
    "Qwen3": ("Qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "Qwen3 untied": ("Qwen3", {"head_dim": 6}),
}
MHA = {"num_key_value_heads": 4, "max_position_embeddings": 32}


def theirs(family: str, **changes):
    """A random model of transformers, with gains and biases that differ."""
    name, more = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES | more | changes)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                weight.normal_(0, 0.5)
    return model


@pytest.fixture(params=FAMILIES)
def pair(tmp_path, request):
    """(their model, this one read from what they saved, a folder)"""
    model = theirs(request.param)
    model.save_pretrained(tmp_path / "theirs")
    return model, load_llama(tmp_path / "theirs"), tmp_path


def test_logits_and_every_gradient_are_equal(pair):
    them, us, _ = pair
    ids, packed = torch.tensor([PROMPT]), Packed.of([PROMPT])
    close(our_logits(us, PROMPT), their_logits(them, PROMPT), FP32)
    loss = them(ids, labels=ids).loss
    loss.backward()
    (-sequence_logprobs(us, packed, packed.positions > 0)[0].sum() / (len(PROMPT) - 1)).backward()
    expected = {name: p.grad for name, p in them.named_parameters()}
    found = {name: p.grad for name, p in us.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        close(gradient, expected[name], FP32)
        if not name.endswith("k_proj.bias"):  # one score for all keys: softmax does not see it, but for the rotation
            assert gradient.abs().max() > 1e-3, f"{name}: too small to compare"


@torch.no_grad()
def test_a_switch_that_is_off_is_noticed(pair):
    """Negative control: the same weights without biases, norms of heads or scaled frequencies."""
    them, us, _ = pair
    config = replace(us.config, qkv_bias=False, qk_norm=False, rope_scaling=None)
    if config == us.config:
        return
    other = Llama(config)
    other.load_state_dict(us.state_dict(), strict=False)
    assert (our_logits(other, PROMPT) - their_logits(them, PROMPT)).abs().max() > 1e-3


@torch.no_grad()
def test_greedy_text_is_equal(pair):
    them, us, _ = pair
    ids, length = torch.tensor([PROMPT]), 40
    mask = torch.ones_like(ids)
    out = them.generate(ids, attention_mask=mask, max_new_tokens=length, do_sample=False, eos_token_id=None)
    assert generate(us, [PROMPT], length, temperature=0, eos_ids=()) == [out[0, len(PROMPT) :].tolist()]


@torch.no_grad()
def test_what_is_saved_is_the_familys_own_form(pair):
    them, us, folder = pair
    save_llama(us, folder / "ours", max_shard_bytes=20_000)
    read, report = transformers.AutoModelForCausalLM.from_pretrained(folder / "ours", output_loading_info=True)
    assert type(read) is type(them) and not any(report.values()), report
    for (name, one), (other, two) in zip(them.named_parameters(), read.named_parameters(), strict=True):
        assert name == other and torch.equal(one, two)
    close(their_logits(read.eval(), PROMPT), their_logits(them, PROMPT), FP32)
    again = load_llama(folder / "ours")
    assert again.config == us.config
    kept = {"sliding_window", "rms_norm_eps", "num_key_value_heads", "tie_word_embeddings"}
    for key in kept:
        assert getattr(read.config, key, None) == getattr(them.config, key, None), key
    written, expected = read.config.rope_parameters, them.config.rope_parameters
    assert {key: written[key] for key in expected} == expected


@torch.no_grad()
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["Qwen2", "Qwen2.5 with YaRN", "Qwen3"])
def test_half_precision_arithmetic_is_no_worse_than_theirs(tmp_path, family, half):
    """Both are compared with fp64 on the same rounded weights."""
    theirs(family).save_pretrained(tmp_path)
    expected = our_logits(load_llama(tmp_path, half).double(), PROMPT)
    them = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=half).eval()
    off = (our_logits(load_llama(tmp_path, half), PROMPT).double() - expected).norm()
    their_off = (their_logits(them, PROMPT).double() - expected).norm()
    assert off < 1.5 * their_off and off < 10 * torch.finfo(half).eps * expected.norm()


def test_adapters_travel_both_ways(pair):
    peft = pytest.importorskip("peft")
    them, us, folder = pair
    bare = their_logits(them, PROMPT)
    adapted = their_adapter(them, folder / "adapter")
    expected = their_logits(adapted, PROMPT)
    load_peft(us, folder / "adapter", "x")
    close(our_logits(us, PROMPT, "x"), expected, FP32)
    assert (expected - bare).abs().max() > 0.05  # control: the adapter says something
    save_peft(us, "x", folder / "again", base=folder / "theirs")
    read = peft.AutoPeftModelForCausalLM.from_pretrained(folder / "again", dtype=FP32).eval()
    close(their_logits(read, PROMPT), expected, FP32)
    merge_adapter(us, "x")
    with torch.no_grad():
        close(our_logits(us, PROMPT), their_logits(adapted.merge_and_unload(), PROMPT), FP32)


@torch.no_grad()
@pytest.mark.parametrize("saved", ["q_proj", "embed_tokens", "k_norm"])
def test_modules_that_they_save_whole_come_with_their_bias(tmp_path, saved):
    family = "Qwen3 untied" if saved == "k_norm" else "Qwen2"
    them = theirs(family)
    them.save_pretrained(tmp_path / "base")
    them = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    bare = their_logits(them, PROMPT)
    adapted = their_adapter(them, tmp_path / "adapter", target_modules=["v_proj"], modules_to_save=[saved])
    for name, weight in adapted.named_parameters():
        if "modules_to_save" in name:
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))))
    adapted.save_pretrained(tmp_path / "adapter")
    expected = their_logits(adapted, PROMPT)
    close(our_logits(load_model(tmp_path / "adapter"), PROMPT), expected, FP32)
    assert (expected - bare).abs().max() > 0.05


# --- families without a class in transformers


@torch.no_grad()
@pytest.mark.parametrize("family", ["Qwen-1", "Baichuan-7B"])
def test_a_published_directory_is_its_counterpart_of_transformers(tmp_path, family):
    base, make = ("Qwen2", as_qwen_1) if family == "Qwen-1" else ("LLaMA", as_baichuan)
    them = theirs(base, **MHA)
    them.save_pretrained(tmp_path / "theirs")
    tensors = {name: p.detach().clone() for name, p in them.named_parameters()}
    folder = make(tmp_path / "base", tensors, LlamaConfig.from_hf(tmp_path / "theirs"))
    us = load_llama(folder)
    expected = their_logits(them, PROMPT)
    close(our_logits(us, PROMPT), expected, FP32)
    save_llama(us, tmp_path / "written")
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "written").eval()
    assert type(read) is type(them)
    close(their_logits(read, PROMPT), expected, FP32)

    add_adapter(us, "x", rank=3, alpha=6)
    for index, matrix in enumerate(adapter_parameters(us, "x").values()):
        matrix.copy_(0.2 * torch.randn(matrix.shape, generator=torch.Generator().manual_seed(index)))
    save_peft(us, "x", tmp_path / "adapter", base=folder)
    peft = pytest.importorskip("peft")
    adapted = peft.PeftModel.from_pretrained(read, tmp_path / "adapter").eval()
    close(their_logits(adapted, PROMPT), our_logits(us, PROMPT, "x"), FP32)
    assert (our_logits(us, PROMPT, "x") - expected).abs().max() > 0.05
    close(our_logits(load_model(tmp_path / "adapter"), PROMPT), our_logits(us, PROMPT, "x"), FP32)
    same = load_model(tmp_path / "adapter", base=tmp_path / "written")  # the fingerprint is that of the numbers
    close(our_logits(same, PROMPT), our_logits(us, PROMPT, "x"), FP32)


@torch.no_grad()
def test_a_swapped_gate_is_noticed(tmp_path):
    """Negative control: with w1 as the gate Qwen-1 loads without an error of shape, and says something else."""
    them = theirs("Qwen2", **MHA)
    them.save_pretrained(tmp_path / "theirs")
    tensors = {name: p.detach().clone() for name, p in them.named_parameters()}
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    swapped = {re.sub("gate_proj|up_proj", lambda found: other[found[0]], n): t for n, t in tensors.items()}
    folder = as_qwen_1(tmp_path / "swapped", swapped, LlamaConfig.from_hf(tmp_path / "theirs"))
    assert (our_logits(load_llama(folder), PROMPT) - their_logits(them, PROMPT)).abs().max() > 0.05


# --- rotary positions as they are published


PLAIN_YARN = {"rope_type": "yarn", "factor": 4.0}
SCALINGS = {
    "Llama-3.1-8B": (128, {"rope_theta": 5e5, **LLAMA3, "original_max_position_embeddings": 8192}),
    "Llama-3.2-1B": (64, {"rope_theta": 5e5, **LLAMA3, "factor": 32.0, "original_max_position_embeddings": 8192}),
    "Qwen2.5-7B": (128, {"rope_theta": 1e6, **PLAIN_YARN, "original_max_position_embeddings": 32768}),
    "Qwen3-8B": (128, {"rope_theta": 1e6, **PLAIN_YARN, "factor": 2.5, "original_max_position_embeddings": 32768}),
    "yarn, own factor": (64, {"rope_theta": 1e4, **YARN, "attention_factor": 1.3, "beta_slow": 2.0}),
    "yarn, short": (8, {"rope_theta": 1e4, **PLAIN_YARN, "original_max_position_embeddings": 6}),
    "Chinese-LLaMA-2-16K": (128, {"rope_theta": 1e4, "rope_type": "linear", "factor": 4.0}),
}


@pytest.mark.parametrize("spelling", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("name", SCALINGS)
def test_frequencies_of_published_models(tmp_path, name, spelling):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    width, table = SCALINGS[name]
    sizes = SIZES | {"hidden_size": 4 * width, "head_dim": width}
    config = transformers.LlamaConfig(**sizes, rope_parameters=dict(table))
    expected, factor = ROPE_INIT_FUNCTIONS[table["rope_type"]](config, "cpu")
    raw = json.loads(config.to_json_string())
    if spelling == "rope_scaling":  # as published before transformers 5
        del raw["rope_parameters"]
        scaling = {"type" if key == "rope_type" else key: value for key, value in table.items() if key != "rope_theta"}
        raw |= {"rope_theta": table["rope_theta"], "rope_scaling": scaling}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    ours = LlamaConfig.from_hf(tmp_path)
    assert ours.rope_scaling is not None and ours.rope_theta == table["rope_theta"]
    plain = 1.0 / ours.rope_theta ** (torch.arange(0, width, 2) / width)
    found = ours.rope_scaling.divided(plain, ours.rope_theta)
    torch.testing.assert_close(found, expected, rtol=3e-7, atol=0)
    assert ours.rope_scaling.attention_factor == pytest.approx(factor, rel=1e-12)
    assert not torch.allclose(plain, expected, rtol=1e-2)  # control
