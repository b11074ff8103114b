"""PEFT directories: the published names and keys, read back bit by bit; what does not fit is named in one line."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.line import unlist
from zj.lora import ALL_LINEAR, adapter_parameters, add_adapter, merge_adapter
from zj.model import Llama, LlamaConfig, Packed, ScalarHead
from zj.weights import load_model, load_peft, load_peft_with_head, peft_save, save_llama, save_peft

NANO = LlamaConfig.named("nano", vocab_size=64)
PACKED = Packed.of([[1, 5, 9, 30, 2], [1, 7]])
LAYER = "base_model.model.model.layers.1.self_attn.q_proj"


def make(config: LlamaConfig = NANO, dtype: torch.dtype = torch.float32) -> Llama:
    model = Llama(config)
    model.init_weights(0)
    for p in model.parameters():
        p.data.mul_(4)
    return model.to(dtype).eval()


def adapted(rank: int = 3, alpha: float = 6, dropout: float = 0.1, targets=ALL_LINEAR, dtype=torch.float32) -> Llama:
    model = make(dtype=dtype)
    add_adapter(model, "a", rank, alpha, dropout, targets)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for matrix in adapter_parameters(model, "a").values():
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * 0.1)
    return model


@pytest.fixture
def saved(tmp_path):
    """A base in tmp_path/base and an adapter of it in tmp_path/adapter."""
    save_llama(make(), tmp_path / "base")
    save_peft(adapted(), "a", tmp_path / "adapter", base=tmp_path / "base")
    return tmp_path / "adapter"


def edit(folder, **changes) -> None:
    raw = json.loads((folder / "adapter_config.json").read_text()) | changes
    (folder / "adapter_config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not ...}))
    unlist(folder / "adapter_config.json")


# --- what is written


def test_the_files_are_pefts_own(saved):
    assert sorted(f.name for f in saved.iterdir()) == [
        *("SHA256SUMS", "adapter_config.json", "adapter_model.safetensors", "base.json")
    ]
    config = json.loads((saved / "adapter_config.json").read_text())
    wanted = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 3,
        "lora_alpha": 6,
        "lora_dropout": 0.1,
        "bias": "none",
        "target_modules": list(ALL_LINEAR),
        "base_model_name_or_path": str(saved.parent / "base"),
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
    assert {key: config[key] for key in wanted} == wanted
    tensors = load_file(saved / "adapter_model.safetensors")
    assert len(tensors) == 2 * 2 * 7
    assert tensors[f"{LAYER}.lora_A.weight"].shape == (3, 32)
    assert tensors[f"{LAYER}.lora_B.weight"].shape == (32, 3)
    assert tensors["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"].shape == (3, 96)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("down_proj",), ALL_LINEAR])
@pytest.mark.parametrize(("rank", "alpha"), [(1, 16), (4, 0.5), (3, 7)])
def test_saving_and_loading_changes_no_bit(tmp_path, targets, rank, alpha):
    model = adapted(rank, alpha, targets=targets)
    save_peft(model, "a", tmp_path, base="published/name")
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "published/name"
    loaded = make()
    load_peft(loaded, tmp_path, "other")
    one, two = adapter_parameters(model, "a"), adapter_parameters(loaded, "other")
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
    assert all(p.requires_grad for p in two.values()) and not loaded.lm_head.weight.requires_grad
    # alpha / rank * rank / rank may differ in its last bit
    torch.testing.assert_close(loaded(PACKED, "other"), model(PACKED, "a"), rtol=1e-6, atol=1e-6)
    assert (model(PACKED, "a") - model(PACKED)).abs().max() > 1e-3  # control


def test_saving_writes_one_adapter_of_several(tmp_path):
    model = adapted()
    add_adapter(model, "b", rank=2, alpha=2)
    save_peft(model, "b", tmp_path, base="x")
    assert load_file(tmp_path / "adapter_model.safetensors")[f"{LAYER}.lora_A.weight"].shape == (2, 32)
    with pytest.raises(ValueError, match="unknown adapter 'c': this model has a, b"):
        save_peft(model, "c", tmp_path / "c", base="x")
    with pytest.raises(ValueError, match="base is empty"):
        save_peft(model, "b", tmp_path / "c", base="")
    with pytest.raises(ValueError, match="the model that the adapter was trained on is gone: no directory"):
        save_peft(model, "b", tmp_path / "c", base=tmp_path / "gone")
    assert not (tmp_path / "c").exists()


def test_what_was_written_is_compared(tmp_path, monkeypatch):
    """Negative control of every save: one wrong number is noticed and the directory does not look complete."""

    def wrong(tensors, file, metadata):
        tensors[f"{LAYER}.lora_B.weight"] = tensors[f"{LAYER}.lora_B.weight"] + 1e-6
        save_file(tensors, file, metadata)

    monkeypatch.setattr(peft_save, "save_file", wrong)
    with pytest.raises(AssertionError, match=r"q_proj.lora_B.weight"):
        save_peft(adapted(), "a", tmp_path, base="x")
    assert not (tmp_path / "adapter_config.json").exists()


# --- what is read


def test_older_spellings_are_read(saved):
    model = adapted()
    tensors = load_file(saved / "adapter_model.safetensors")
    for name in ("adapter_model.safetensors", "SHA256SUMS"):
        (saved / name).unlink()
    torch.save(tensors, saved / "adapter_model.bin", _use_new_zipfile_serialization=False)
    edit(saved, rank_pattern=..., alpha_pattern=..., use_dora=..., layers_to_transform=..., target_modules="all-linear")
    loaded = make()
    load_peft(loaded, saved, "a")
    assert torch.equal(loaded(PACKED, "a"), model(PACKED, "a"))


def test_rank_stabilised_adapters_are_scaled_by_the_root_of_the_rank(saved):
    edit(saved, use_rslora=True)
    model, wanted = make(), adapted(alpha=6 * 3**0.5)
    load_peft(model, saved, "a")
    torch.testing.assert_close(model(PACKED, "a"), wanted(PACKED, "a"), rtol=1e-6, atol=1e-6)
    assert (wanted(PACKED, "a") - adapted()(PACKED, "a")).abs().max() > 1e-3  # control


def test_half_precision_adapters_become_fp32(saved):
    tensors = {k: v.half() for k, v in load_file(saved / "adapter_model.safetensors").items()}
    save_file(tensors, saved / "adapter_model.safetensors")
    (saved / "SHA256SUMS").unlink()
    model = make()
    load_peft(model, saved, "a")
    for key, matrix in adapter_parameters(model, "a").items():
        assert matrix.dtype == torch.float32
        assert torch.equal(matrix, tensors[f"base_model.model.{key}.weight"].float())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"use_dora": True}, "use_dora is True, which is not understood here"),
        ({"alora_invocation_tokens": [7, 8]}, r"alora_invocation_tokens is \[7, 8\], which is not understood"),
        ({"use_qalora": True, "qalora_group_size": 16}, "use_qalora is True, which is not understood"),
        ({"trainable_token_indices": [3]}, r"trainable_token_indices is \[3\]"),
        ({"target_parameters": ["mlp.gate_proj.weight"]}, r"target_parameters is \['mlp.gate_proj.weight'\]"),
        ({"lora_bias": True}, "lora_bias is True"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication is"),
        ({"corda_config": {"corda_method": "kpm"}}, "corda_config is"),
        ({"megatron_config": {"a": 1}}, "megatron_config is"),
        ({"ensure_weight_tying": True}, "ensure_weight_tying is True"),
        ({"a_key_of_the_future": 3}, "a_key_of_the_future is 3, which is not understood here"),
        ({"bias": "all"}, "bias is 'all', this program computes 'none' only"),
        ({"modules_to_save": ["embed_tokens"]}, "base_model.model.model.embed_tokens.weight is missing"),
        ({"rank_pattern": {"q_proj": 8}}, r"q_proj.lora_A.weight is \[3, 32\], this model and rank need \[8, 32\]"),
        ({"rank_pattern": {"q_proj": "8"}}, r"rank_pattern is \{'q_proj': '8'\}, expected what PEFT writes there"),
        ({"layers_to_transform": [0]}, r"layers.1.\S+ belongs to no layer of this model \(14 such"),
        ({"layers_to_transform": ["0"]}, r"layers_to_transform is \['0'\], expected what PEFT writes"),
        ({"exclude_modules": ["q_proj"]}, r"q_proj.lora_A.weight belongs to no layer of this model \(4 such"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"peft_type": "IA3"}, "expected a JSON object with peft_type LORA"),
        ({"r": ...}, "r is None, expected a number"),
        ({"lora_alpha": "16"}, "lora_alpha is '16', expected a number"),
        ({"lora_dropout": 1.5}, "dropout is 1.5, expected 0 <= dropout < 1"),
        (
            {"target_modules": ["q_proj", "embed_tokens"]},
            "target_modules is .*, matches model.embed_tokens; expected some",
        ),
        ({"target_modules": "q_proj"}, "target_modules is 'q_proj', matches no layer of this model"),
        ({"target_modules": r".*(q_proj"}, "'.*.q_proj' is no regular expression"),
        ({"target_modules": None}, "target_modules is None"),
        ({"target_modules": ["q_proj"]}, r"belongs to no layer of this model \(24 such tensors\)"),
        ({"r": 4}, r"lora_A.weight is \[3, 32\], this model and rank need \[4, 32\]"),
    ],
)
def test_what_is_more_than_lora_or_does_not_fit_is_refused(saved, changes, words):
    edit(saved, **changes)
    refuse(make(), saved, words)


def refuse(model: Llama, folder, words: str) -> None:
    before = [name for name, _ in model.named_parameters()]
    with pytest.raises(ValueError, match=words) as error:
        load_peft(model, folder, "a")
    assert "\n" not in str(error.value)
    assert [name for name, _ in model.named_parameters()] == before, "a refused adapter left a trace"


def test_an_adapter_of_another_model_names_the_tensor_and_both_shapes(saved):
    refuse(make(replace(NANO, intermediate_size=80)), saved, r"mlp.\w+_proj.lora_\w.weight is \[\S+ \S+\], .* need \[")
    refuse(make(replace(NANO, num_hidden_layers=3)), saved, r"model.layers.2.\S+ is missing \(14 of 42 tensors are\)")
    refuse(make(replace(NANO, num_hidden_layers=1)), saved, r"layers.1.\S+ belongs to no layer of this model \(14 such")
    refuse(adapted(), saved, "adapter 'a' is there already")


def test_broken_directories_are_named(saved, tmp_path):
    refuse(make(), tmp_path / "none", "no adapter_config.json there; expected a PEFT adapter directory")
    (saved / "SHA256SUMS").unlink()
    content = (saved / "adapter_model.safetensors").read_bytes()
    (saved / "adapter_model.safetensors").write_bytes(content[:-9])
    refuse(make(), saved, "adapter_model.safetensors: broken or cut off")
    (saved / "adapter_model.safetensors").unlink()
    refuse(make(), saved, "no adapter_model.safetensors or adapter_model.bin there")
    torch.save({"x": argparse.Namespace()}, saved / "adapter_model.bin")
    refuse(make(), saved, "adapter_model.bin: not a file of tensors alone")
    (saved / "adapter_config.json").write_bytes(b"\xff\x00")
    refuse(make(), saved, "adapter_config.json: not JSON")


# --- with a score head


def test_a_reward_model_is_an_adapter_with_a_head_and_never_read_without(saved, tmp_path):
    model, head = adapted(), ScalarHead(32, seed=3)
    save_peft(model, "a", tmp_path / "rm", base=saved.parent / "base", head=head)
    config = json.loads((tmp_path / "rm" / "adapter_config.json").read_text())
    assert (config["task_type"], config["modules_to_save"]) == ("SEQ_CLS", ["score"])
    tensors, plain = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "rm", saved))
    assert tensors.keys() - plain.keys() == {"base_model.model.score.weight"}
    loaded = make()
    assert torch.equal(load_peft_with_head(loaded, tmp_path / "rm", "x").weight, head.weight)
    assert torch.equal(loaded(PACKED, "x"), model(PACKED, "a"))
    refuse(make(), tmp_path / "rm", "is a reward model .LoRA and score head., expected an adapter without a score head")
    with pytest.raises(ValueError, match="is an adapter without a score head, expected a reward model"):
        load_peft_with_head(make(), saved, "x")
    edit(tmp_path / "rm", task_type="CAUSAL_LM")  # a head that nobody would ask for is surplus
    refuse(make(), tmp_path / "rm", "score.weight belongs to no layer of this model")


# --- a model from an adapter's directory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_comes_from_either_kind_of_directory(saved, dtype):
    bare, merged = load_model(saved.parent / "base", dtype), load_model(saved, dtype)
    expected = make()
    load_peft(expected, saved, "x")
    merge_adapter(expected, "x")
    expected.to(dtype)  # the sum is rounded once
    for one, other in zip(merged.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other) and one.dtype == dtype
    assert all(torch.equal(p, q) for p, q in zip(bare.parameters(), make(dtype=dtype).parameters(), strict=True))
    assert all(p.requires_grad for p in merged.parameters()) and not merged.training
    save_llama(merged, saved.parent / "whole")  # it carries no adapter any more


def test_adapters_stand_on_adapters(saved, tmp_path):
    top = load_model(saved)
    add_adapter(top, "b", rank=2, alpha=4, targets=("q_proj",))
    with torch.no_grad():
        for matrix in adapter_parameters(top, "b").values():
            matrix.fill_(0.05)
    save_peft(top, "b", tmp_path / "top", base=saved)
    torch.testing.assert_close(load_model(tmp_path / "top")(PACKED), top(PACKED, "b"), rtol=1e-5, atol=1e-5)
