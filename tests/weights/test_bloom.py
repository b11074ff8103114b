"""Bloom's files: read by every published spelling, written by its own names, and adapters the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.test_bloom import PROMPTS, tiny
from tests.weights.test_families import Counted, edit_keys, state, write_adapter
from tests.weights.test_huggingface import assert_equal, edit_config
from zj.lora import adapter_parameters, add_adapter, merge_adapter
from zj.model import BloomConfig, Packed, ScalarHead
from zj.stages.setup import tell_positions
from zj.train import ALONE
from zj.weights import load_model, load_peft, load_peft_with_head, save_llama, save_peft
from zj.weights.adapter_base import fingerprint
from zj.weights.checksums import check_sums
from zj.weights.families import open_family
from zj.weights.vocabulary import extend_vocabulary

PACKED = Packed.of(PROMPTS)


@pytest.fixture
def base(tmp_path):
    """(a directory, the model in it)"""
    model = tiny(3, torch.float32)
    save_llama(model, tmp_path / "base")
    return tmp_path / "base", model


@torch.no_grad()
def logits(model, adapter=None):
    return model.logits(model(PACKED, adapter))


def test_it_is_written_by_its_own_names(base):
    folder, model = base
    tensors = load_file(folder / "model.safetensors")
    layers = ("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    parts = [f"h.{i}.{part}" for i in (0, 1) for part in (*layers, "input_layernorm", "post_attention_layernorm")]
    expected = {
        f"transformer.{part}.{k}" for part in (*parts, "ln_f", "word_embeddings_layernorm") for k in ("weight", "bias")
    }
    assert tensors.keys() == expected | {"transformer.word_embeddings.weight"}  # the head is tied
    fused = model.model.layers[1].self_attn.query_key_value.weight
    assert torch.equal(tensors["transformer.h.1.self_attention.query_key_value.weight"], fused)
    check_sums(folder)


FORMS = ["no prefix", "bin", "sharded bin", "with its tied head"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_is_the_same_model_and_base(base, tmp_path, form, dtype):
    folder, model = base
    model.to(dtype)
    save_llama(model, folder)
    tensors, other = load_file(folder / "model.safetensors"), tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    if form == "no prefix":
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        edit_config(other, architectures=["BloomModel"])
    if form == "with its tied head":
        tensors["lm_head.weight"] = tensors["transformer.word_embeddings.weight"].clone()
    if form == "sharded bin":
        parts = {name: f"part-{number % 2}.bin" for number, name in enumerate(tensors)}
        for part in ("part-0.bin", "part-1.bin"):
            torch.save({name: tensors[name] for name in parts if parts[name] == part}, other / part)
        (other / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": parts}))
    elif form == "bin":
        torch.save(tensors, other / "pytorch_model.bin")
    else:
        save_file(tensors, other / "model.safetensors")
    assert_equal(load_model(other, dtype), state(model))
    assert fingerprint(other) == fingerprint(folder)
    edit_config(other, layer_norm_epsilon=1e-3)
    assert fingerprint(other) != fingerprint(folder)  # control


def test_untied_and_in_shards_it_comes_back(tmp_path):
    model = tiny(4, torch.float32, tie_word_embeddings=False)
    save_llama(model, tmp_path / "m", max_shard_bytes=9_000)
    assert len(list((tmp_path / "m").glob("model-*"))) > 2
    assert_equal(load_model(tmp_path / "m"), state(model))


def test_a_rank_reads_its_own_rows_of_the_fused_tensor(base):
    folder, model = base
    stored = open_family(folder)[1]["model.layers.1.self_attn.query_key_value.weight"]
    counted = Counted(stored.source)
    object.__setattr__(stored, "source", counted)
    assert torch.equal(stored[36:], model.model.layers[1].self_attn.query_key_value.weight[36:])
    assert counted.numbers == 36 * 24


def test_what_is_missing_or_surplus_is_named(base):
    folder, _ = base
    tensors = load_file(folder / "model.safetensors")
    (folder / "SHA256SUMS").unlink()
    save_file(tensors | {"transformer.h.0.mlp.gate.weight": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="gate.weight is no part of this network"):
        load_model(folder)
    del tensors["transformer.h.1.self_attention.query_key_value.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match="query_key_value.bias is missing"):
        load_model(folder)


# --- adapters


@torch.no_grad()
def test_adapters_have_pefts_names_and_come_back(base, tmp_path):
    folder, model = base
    add_adapter(model, "x", 2, 4, targets=("query_key_value", "dense"))
    for number, matrix in enumerate(adapter_parameters(model, "x").values()):
        matrix.normal_(0, 0.2, generator=torch.Generator().manual_seed(number))
    save_peft(model, "x", tmp_path / "adapter", base=folder)
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert "base_model.model.transformer.h.0.self_attention.query_key_value.lora_A.weight" in tensors
    assert all(name.startswith("base_model.model.transformer.h.") for name in tensors)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["query_key_value", "dense"] and (config["r"], config["lora_alpha"]) == (2, 4)
    assert json.loads((tmp_path / "adapter" / "base.json").read_text())["fingerprint"] == fingerprint(folder)
    assert (logits(model, "x") - logits(model)).abs().max() > 0.05  # control
    again = load_model(folder)
    load_peft(again, tmp_path / "adapter", "y")
    torch.testing.assert_close(logits(again, "y"), logits(model, "x"))
    torch.testing.assert_close(logits(load_model(tmp_path / "adapter")), logits(model, "x"), rtol=1e-4, atol=1e-5)
    merge_adapter(model, "x")
    save_llama(model, tmp_path / "merged")
    with pytest.raises(ValueError, match="its base is"):
        load_model(tmp_path / "adapter", base=tmp_path / "merged")


@torch.no_grad()
def test_some_blocks_and_a_head_come_back(base, tmp_path):
    """Paths of single layers, with a rank of their own, and a reward model's head."""
    folder, model = base
    adapter, _ = write_adapter(tmp_path / "adapter", folder, ["query_key_value"])
    tensors = {name: t for name, t in load_file(adapter / "adapter_model.safetensors").items() if ".h.1." in name}
    save_file(tensors, adapter / "adapter_model.safetensors")
    edit_keys(adapter, target_modules=["transformer.h.1.self_attention.query_key_value"])
    load_peft(model, adapter, "x")
    head = ScalarHead(24, seed=3)
    save_peft(model, "x", tmp_path / "again", base=folder, head=head)
    written = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert written["target_modules"] == ["transformer.h.1.self_attention.query_key_value"]
    again = load_model(folder)
    assert torch.equal(load_peft_with_head(again, tmp_path / "again", "y").weight, head.weight)
    torch.testing.assert_close(logits(again, "y"), logits(model, "x"))


def test_targets_of_llama_are_refused_by_name(base, tmp_path):
    adapter, _ = write_adapter(tmp_path / "adapter", base[0], ["query_key_value"])
    edit_keys(adapter, target_modules=["q_proj"])
    with pytest.raises(ValueError, match="target_modules is .*q_proj.*, matches no layer .* some of query_key_value"):
        load_model(adapter)
    edit_keys(adapter, target_modules=["word_embeddings"])
    with pytest.raises(ValueError, match="matches model.embed_tokens"):
        load_model(adapter)


@torch.no_grad()
def test_an_embedding_that_was_saved_whole_stands_in_place(base, tmp_path):
    folder, model = base
    more = {"modules_to_save": ["word_embeddings"]}
    adapter, added = write_adapter(tmp_path / "adapter", folder, ["dense"], **more)
    loaded = load_model(adapter)
    saved = model.model.embed_tokens.weight + added["transformer.word_embeddings.weight"]
    assert torch.equal(loaded.model.embed_tokens.weight, saved)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight) and not loaded.config.tie_word_embeddings


# --- what other commands do with a model


def test_a_vocabulary_grows(base, tmp_path):
    folder, model = base
    extend_vocabulary(folder, [*([i] for i in range(16)), [3, 5]], tmp_path / "more")
    more = load_model(tmp_path / "more")
    assert more.config == replace(model.config, vocab_size=17)
    torch.testing.assert_close(more.model.embed_tokens.weight[16], model.model.embed_tokens.weight[[3, 5]].mean(0))


def test_positions_beyond_pre_training_are_only_warned_about(capsys):
    tell_positions(3000, BloomConfig.of(16, 16, 1, 2), ALONE)
    assert "beyond the model's 2048 positions" in capsys.readouterr().out
