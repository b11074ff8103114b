"""Every form of adapter that is read gives peft's own logits, and peft reads what is written. pytest -m parity."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from zj.lora import adapter_parameters, add_adapter, train_embeddings
from zj.weights import load_beside, load_llama, load_model, load_peft, save_peft

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
from tests.parity.test_parity import PROMPT, close, our_logits, their_adapter, their_logits, theirs  # noqa: E402

FP32 = torch.float32
MLP = r"model\.layers\.[02]\.mlp\.(gate|up)_proj"


@dataclass(frozen=True)
class Form:
    """Keys of an adapter of peft, on a base that is tied or not."""

    keys: dict[str, Any]
    tied: bool = False
    saves: bool = False  # whole modules


FORMS = {
    "a regular expression": Form({"target_modules": MLP}),
    "whole paths and ends": Form({"target_modules": ["model.layers.1.self_attn.q_proj", "mlp.down_proj", "W_pack"]}),
    "chosen blocks": Form({"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0, 2]}),
    "one block": Form({"target_modules": ["o_proj"], "layers_to_transform": 1, "layers_pattern": "layers"}),
    "a path beats chosen blocks": Form({"target_modules": ["model.layers.1.mlp.up_proj"], "layers_to_transform": [0]}),
    "excluded ends": Form({"exclude_modules": ["k_proj", "model.layers.0.mlp.up_proj"]}),
    "an excluding expression": Form({"exclude_modules": r".*layers\.1\..*"}),
    "ranks and alphas": Form({"rank_pattern": {"q_proj": 2, "layers.1.mlp.*": 7}, "alpha_pattern": {"v_proj": 40}}),
    "rank-stabilised ranks": Form({"rank_pattern": {"down_proj": 9}, "use_rslora": True}),
    "fan_in_fan_out": Form({"fan_in_fan_out": True}),
    "without effect": Form({"init_lora_weights": "gaussian", "revision": "main"}),
    "saved embeddings": Form({"modules_to_save": ["embed_tokens", "lm_head"]}, saves=True),
    "a saved head": Form({"modules_to_save": ["lm_head"]}, saves=True),
    "saved norms": Form({"modules_to_save": ["norm"]}, saves=True),
    "a saved layer is no target": Form({"modules_to_save": ["q_proj"]}, saves=True),
    "a tied base, saved embedding": Form({"modules_to_save": ["embed_tokens"]}, tied=True, saves=True),
    "a tied base, saved head": Form({"modules_to_save": ["lm_head"]}, tied=True, saves=True),
    "a tied base, both saved": Form({"modules_to_save": ["embed_tokens", "lm_head"]}, tied=True, saves=True),
}


def make_form(folder: Path, form: Form) -> tuple[Path, torch.Tensor, torch.Tensor]:
    """(adapter directory with peft's files, peft's logits, logits of the base) in fp32."""
    them = theirs(form.tied, FP32)
    them.save_pretrained(folder / "base")
    them = transformers.LlamaForCausalLM.from_pretrained(folder / "base").eval()
    bare = their_logits(them, PROMPT)
    adapted = their_adapter(them, folder / "adapter", **form.keys)
    for name, weight in adapted.named_parameters():
        if "modules_to_save" in name:
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))))
    adapted.save_pretrained(folder / "adapter")
    read = transformers.LlamaForCausalLM.from_pretrained(folder / "base")
    read = peft.PeftModel.from_pretrained(read, folder / "adapter").eval()
    return folder / "adapter", their_logits(read, PROMPT), bare


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_their_form_is_read_as_they_read_it(tmp_path, form):
    adapter, expected, bare = make_form(tmp_path, form)
    assert (expected - bare).abs().max() > 0.02  # control: the adapter says something
    close(our_logits(load_model(adapter), PROMPT), expected, FP32)
    beside = load_beside(adapter, "x", FP32)
    close(our_logits(beside, PROMPT, "x"), expected, FP32)
    us = load_llama(tmp_path / "base")
    if form.saves:
        with pytest.raises(ValueError, match=r"it replaces .*: merge it first"):
            load_peft(us, adapter, "x")
        return
    load_peft(us, adapter, "x")
    close(our_logits(us, PROMPT, "x"), expected, FP32)
    save_peft(us, "x", tmp_path / "ours", base=tmp_path / "base")
    close(their_logits(open_theirs(tmp_path / "ours"), PROMPT), expected, FP32)


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_trained_embeddings_are_read_by_peft(tmp_path, tied):
    theirs(tied, FP32).save_pretrained(tmp_path / "base")
    us = load_llama(tmp_path / "base")
    bare = our_logits(us, PROMPT)
    add_adapter(us, "x", rank=2, alpha=4)
    train_embeddings(us)
    for weight in {id(p): p for p in us.parameters() if p.requires_grad}.values():
        weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(weight))))
    save_peft(us, "x", tmp_path / "ours", base=tmp_path / "base")
    expected = our_logits(us, PROMPT, "x")
    assert (expected - bare).abs().max() > 0.02  # control
    close(their_logits(open_theirs(tmp_path / "ours"), PROMPT), expected, FP32)
    close(our_logits(load_model(tmp_path / "ours"), PROMPT), expected, FP32)


def open_theirs(adapter: Path):
    return peft.AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=FP32).eval()


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "keys", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {}], ids=["trained", "resized only"]
)
def test_a_vocabulary_with_more_rows_than_the_bases(tmp_path, tied, keys):
    """As Chinese models were made of LLaMA; where nothing names them, peft saves the resized embeddings too."""
    theirs(tied, FP32).save_pretrained(tmp_path / "base")
    them = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    them.resize_token_embeddings(70)
    adapted = their_adapter(them, tmp_path / "adapter", **keys)
    expected = their_logits(adapted, PROMPT)
    us = load_model(tmp_path / "adapter")
    assert us.config.vocab_size == 70 and us.config.tie_word_embeddings == (tied and not keys)
    close(our_logits(us, PROMPT), expected, FP32)
    assert (expected[:, :64] - our_logits(load_llama(tmp_path / "base"), PROMPT)).abs().max() > 0.02  # control


@torch.no_grad()
def test_an_adapter_on_an_adapter_is_read_by_them_as_one(tmp_path):
    theirs(False, FP32).save_pretrained(tmp_path / "base")
    them = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    their_adapter(them, tmp_path / "first", target_modules=["q_proj", "up_proj"])
    us = load_model(tmp_path / "first")
    add_adapter(us, "second", rank=3, alpha=12, targets=("q_proj", "o_proj"))
    for index, matrix in enumerate(adapter_parameters(us, "second").values()):
        matrix.copy_(torch.randn(matrix.shape, generator=torch.Generator().manual_seed(index)) * 0.1)
    save_peft(us, "second", tmp_path / "second", base=tmp_path / "first")
    expected = our_logits(us, PROMPT, "second")
    close(their_logits(open_theirs(tmp_path / "second"), PROMPT), expected, FP32)
    close(our_logits(load_model(tmp_path / "second"), PROMPT), expected, FP32)
    assert (expected - our_logits(us, PROMPT)).abs().max() > 0.02  # control: the second adapter says something
    assert (our_logits(us, PROMPT) - our_logits(load_llama(tmp_path / "base"), PROMPT)).abs().max() > 0.02  # the first


def test_every_key_of_their_config_is_known_or_refused():
    """A key of a newer peft that is neither is refused where it says something."""
    from zj.weights import adapter_config

    names = set(json.loads(json.dumps(sorted(peft.LoraConfig().to_dict()))))
    known = adapter_config._READ | adapter_config._WITHOUT_EFFECT
    silent = {name for name in names - known if not peft.LoraConfig().to_dict()[name]}
    assert names - known == silent, f"defaults that would be refused: {names - known - silent}"
