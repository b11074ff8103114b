"""Bloom against transformers and peft, tiny and random, in both directions. pytest -m parity."""

from __future__ import annotations

import pytest
import torch

from zj.inference import generate
from zj.lora import adapter_parameters, add_adapter, merge_adapter
from zj.model import Packed, sequence_logprobs
from zj.weights import load_model, load_peft, load_peft_with_head, save_llama, save_peft
from zj.weights.families import BLOOM, family_name

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
from tests.line import PROBE, make_line  # noqa: E402
from tests.parity.test_parity import PROMPT, close, our_logits, their_adapter, their_logits  # noqa: E402
from tests.scripts.test_bloom import bloom  # noqa: E402

FP32 = torch.float32
TARGETS = {
    "as usual": {"target_modules": ["query_key_value"]},
    "all layers": {"target_modules": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]},
    "all-linear": {"target_modules": "all-linear"},
    "last block": {"target_modules": ["query_key_value", "dense"], "layers_to_transform": [1], "layers_pattern": "h"},
}


def theirs(heads: int, width: int = 8):
    """A random Bloom of transformers, with gains and biases that differ."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": width * heads, "n_layer": 2, "n_head": heads, "initializer_range": 0.1}
    model = transformers.BloomForCausalLM(transformers.BloomConfig(**sizes)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.5)
            elif "layernorm" in name or "ln_f" in name:
                weight.uniform_(0.5, 1.5)
    return model


@pytest.fixture(params=[4, 6, 12])
def pair(tmp_path, request):
    """(their model, this one read from what they saved, a folder)"""
    model = theirs(request.param)
    model.save_pretrained(tmp_path / "theirs")
    return model, load_model(tmp_path / "theirs"), tmp_path


def test_logits_and_every_gradient_are_equal(pair):
    them, us, _ = pair
    ids, packed = torch.tensor([PROMPT]), Packed.of([PROMPT])
    close(our_logits(us, PROMPT), their_logits(them, PROMPT), FP32)
    loss = them(ids, labels=ids).loss
    loss.backward()
    (-sequence_logprobs(us, packed, packed.positions > 0)[0].sum() / (len(PROMPT) - 1)).backward()
    expected = {name: p.grad for name, p in them.named_parameters()}
    found = {family_name(name, BLOOM): p.grad for name, p in us.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        close(gradient, expected[name], FP32)
        assert gradient.abs().max() > 1e-3, f"{name}: too small to compare"


@torch.no_grad()
def test_a_long_text_is_equal(pair):
    """In fp32 the bias at a late position bounds both: 300 there have scores of up to 200."""
    them, us, _ = pair
    ids = torch.randint(64, (300,), generator=torch.Generator().manual_seed(3)).tolist()
    torch.testing.assert_close(our_logits(us, ids), their_logits(them, ids), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_greedy_text_is_equal(pair):
    them, us, _ = pair
    ids, length = torch.tensor([PROMPT]), 40
    mask = torch.ones_like(ids)
    out = them.generate(ids, attention_mask=mask, max_new_tokens=length, do_sample=False, eos_token_id=None)
    assert generate(us, [PROMPT], length, temperature=0, eos_ids=()) == [out[0, len(PROMPT) :].tolist()]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [FP32, torch.float16, torch.bfloat16])
def test_what_is_saved_is_the_familys_own_form(pair, dtype):
    them, us, folder = pair
    save_llama(us.to(dtype), folder / "ours", max_shard_bytes=20_000)
    read, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "ours", output_loading_info=True, dtype=dtype
    )
    assert type(read) is type(them) and not any(report.values()), report
    for (name, one), (other, two) in zip(them.to(dtype).named_parameters(), read.named_parameters(), strict=True):
        assert name == other and torch.equal(one, two)
    for key in ("n_layer", "n_head", "hidden_size", "layer_norm_epsilon", "tie_word_embeddings", "bos_token_id"):
        assert getattr(read.config, key) == getattr(them.config, key), key
    assert load_model(folder / "ours").config == us.config


@torch.no_grad()
def test_a_file_without_the_prefix_is_the_same(pair):
    them, _, folder = pair
    them.transformer.save_pretrained(folder / "bare")
    close(our_logits(load_model(folder / "bare"), PROMPT), their_logits(them, PROMPT), FP32)


@torch.no_grad()
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("length", [10, 600])
def test_half_precision_arithmetic_is_no_worse_than_theirs(pair, half, length):
    """Both are compared with fp64 on the same rounded weights."""
    them, _, folder = pair
    ids = (PROMPT * 60)[:length]
    expected = our_logits(load_model(folder / "theirs", half).double(), ids)
    rounded = transformers.AutoModelForCausalLM.from_pretrained(folder / "theirs", dtype=half).eval()
    off = (our_logits(load_model(folder / "theirs", half), ids).double() - expected).norm()
    assert off < 1.5 * (their_logits(rounded, ids).double() - expected).norm()
    assert off < 10 * torch.finfo(half).eps * expected.norm()


@pytest.mark.parametrize("changes", TARGETS.values(), ids=TARGETS)
def test_their_adapters_are_read_with_their_gradients(pair, changes):
    them, us, folder = pair
    bare = their_logits(them, PROMPT).detach()
    adapted = their_adapter(them, folder / "adapter", **changes)
    load_peft(us, folder / "adapter", "x")
    expected, got = their_logits(adapted, PROMPT), our_logits(us, PROMPT, "x")
    close(got, expected, FP32)
    assert (expected - bare).abs().max() > 0.05  # control: the adapter says something
    expected.pow(2).mean().backward()
    got.pow(2).mean().backward()
    gradients = {n.replace(".default", ""): p.grad for n, p in adapted.named_parameters() if p.grad is not None}
    matrices = adapter_parameters(us, "x").items()
    found = {f"base_model.model.{family_name(n, BLOOM)}.weight": p.grad for n, p in matrices}
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        scale = gradients[name].abs().max()
        close(gradient / scale, gradients[name] / scale, FP32)
    merge_adapter(us, "x")
    with torch.no_grad():
        close(our_logits(us, PROMPT), their_logits(adapted.merge_and_unload(), PROMPT), FP32)


@torch.no_grad()
@pytest.mark.parametrize("targets", [("query_key_value",), ("query_key_value", "dense", "dense_4h_to_h")])
def test_adapters_are_written_for_them(pair, targets):
    peft = pytest.importorskip("peft")
    them, us, folder = pair
    add_adapter(us, "x", rank=3, alpha=7, dropout=0.2, targets=targets)
    for number, matrix in enumerate(adapter_parameters(us, "x").values()):
        matrix.copy_(0.2 * torch.randn(matrix.shape, generator=torch.Generator().manual_seed(number)))
    save_peft(us, "x", folder / "adapter", base=folder / "theirs")
    read = peft.AutoPeftModelForCausalLM.from_pretrained(folder / "adapter", dtype=FP32).eval()
    close(their_logits(read, PROMPT), our_logits(us, PROMPT, "x"), FP32)
    assert (our_logits(us, PROMPT, "x") - our_logits(us, PROMPT)).abs().max() > 0.05


@torch.no_grad()
def test_peft_opens_a_reward_model_and_gives_its_raw_scores(tmp_path):
    peft = pytest.importorskip("peft")
    line, sequences = make_line(tmp_path, bloom), [*PROBE, [1, *range(40, 90), 2]]
    classifier = transformers.AutoModelForSequenceClassification
    bare = classifier.from_pretrained(line.base, num_labels=1, dtype=FP32).eval()
    them = peft.PeftModel.from_pretrained(bare, line.reward).eval()
    us = load_model(line.base)
    head = load_peft_with_head(us, line.reward, "x")
    packed = Packed.of(sequences)
    scores = head(us(packed, "x")[packed.last]).tolist()
    assert [them(torch.tensor([ids])).logits.item() for ids in sequences] == pytest.approx(scores, abs=1e-5)
    assert max(scores) - min(scores) > 0.05
