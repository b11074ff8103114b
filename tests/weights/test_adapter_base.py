"""Which base an adapter belongs to: found where it was moved, refused where it is another one of the same shape."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.line import unlist
from tests.weights.test_peft import PACKED, adapted, edit, make
from zj.lora import adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig
from zj.stages.identity import model_digest
from zj.weights import (
    base_of,
    check_base,
    check_base_is_used,
    check_stackable,
    config_of,
    levels,
    load_llama,
    load_model,
    same_base,
    save_llama,
    save_peft,
)
from zj.weights.adapter_base import fingerprint


@pytest.fixture
def saved(tmp_path):
    """A base in tmp_path/runs/base and an adapter of it in tmp_path/runs/adapter."""
    save_llama(make(), tmp_path / "runs" / "base")
    save_peft(adapted(), "a", tmp_path / "runs" / "adapter", base=tmp_path / "runs" / "base")
    return tmp_path / "runs" / "adapter"


@pytest.fixture
def other(saved):
    """Another model of the same shape: one weight of one row differs."""
    return save_other(saved.parent / "other")


def save_other(folder):
    model = make()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 5] += 0.01
    save_llama(model, folder)
    return folder


# --- the fingerprint


def forget_base(adapter):
    """As PEFT writes one, without the record of its base."""
    (adapter / "base.json").unlink()
    unlist(adapter / "base.json")


def test_the_fingerprint_is_that_of_the_numbers_and_not_of_the_files(saved, tmp_path):
    base = saved.parent / "base"
    known = json.loads((saved / "base.json").read_text())["fingerprint"]
    save_llama(load_llama(base), tmp_path / "sharded", max_shard_bytes=10_000)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    (tmp_path / "pickled").mkdir()
    tensors = {name: p.detach() for name, p in load_llama(base).named_parameters()}
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    torch.save(tensors, tmp_path / "pickled" / "pytorch_model.bin")
    shutil.copy(base / "config.json", tmp_path / "pickled")
    assert {fingerprint(folder) for folder in (base, tmp_path / "sharded", tmp_path / "pickled")} == {known}
    save_llama(load_llama(base, torch.float16), tmp_path / "half")
    assert fingerprint(tmp_path / "half") != known  # rounded


@pytest.mark.parametrize(
    "name", ["model.norm.weight", "model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"]
)
def test_every_kind_of_tensor_counts(saved, tmp_path, name):
    """A file that is written again has another fingerprint: the cache notices."""
    model = make()
    before = fingerprint(saved.parent / "base")
    with torch.no_grad():
        dict(model.named_parameters())[name].view(-1)[0] += 0.01
    save_llama(model, saved.parent / "base")
    assert fingerprint(saved.parent / "base") != before
    with pytest.raises(ValueError, match="config.json or the weights in .*base are others"):
        load_model(saved)


# --- another base of the same shape


def test_another_base_of_the_same_shape_is_refused_and_in_a_chat_warned_about(saved, other, capsys):
    with pytest.raises(
        ValueError, match="adapter: its base is .*base, and config.json or the weights in .*other are others"
    ) as error:
        load_model(saved, base=other)
    assert "\n" not in str(error.value)
    load_model(saved, base=other, strict=False)
    assert capsys.readouterr().err.startswith("WARNING: ")
    load_model(saved, base=saved.parent / "base")  # control
    check_base(saved, saved.parent / "base")
    assert capsys.readouterr().err == ""
    assert same_base(saved.parent / "base", shutil.copytree(saved.parent / "base", saved.parent / "copy"))
    assert not same_base(saved.parent / "base", other)


def test_an_adapter_that_records_nothing_is_warned_about_once_where_the_name_differs(saved, other, capsys):
    forget_base(saved)
    load_model(saved)
    assert capsys.readouterr().err == ""  # control: the name is the same
    for _ in range(2):
        load_model(saved, base=other)
    said = capsys.readouterr().err
    assert said.count("WARNING") == 1 and "its base is called" in said


def test_a_damaged_record_is_named(saved):
    (saved / "base.json").write_text("{}")
    unlist(saved / "base.json")
    with pytest.raises(ValueError, match="base.json: damaged"):
        load_model(saved)


# --- where the base is


def test_base_and_adapter_may_move_together(saved, tmp_path, monkeypatch):
    shutil.move(tmp_path / "runs", tmp_path / "disk")
    monkeypatch.chdir("/")
    moved = tmp_path / "disk"
    assert base_of(moved / "adapter").samefile(moved / "base")
    shutil.copytree(moved / "adapter", moved / "adapter" / "best")
    assert base_of(moved / "adapter" / "best").samefile(moved / "base")
    save_other(moved / "adapter" / "base")  # one of the same name is nearer
    assert base_of(moved / "adapter" / "best").samefile(moved / "base")
    shutil.rmtree(moved / "base")  # control: another model is never found
    with pytest.raises(ValueError, match="its base is .*runs/base, no directory here: --base says where it is"):
        base_of(moved / "adapter")


def test_the_base_may_be_told_relative_to_the_adapter(saved, monkeypatch):
    edit(saved, base_model_name_or_path="../base")
    monkeypatch.chdir("/")
    assert base_of(saved).samefile(saved.parent / "base")
    edit(saved, base_model_name_or_path=str(saved.parent / "base").lstrip("/"))
    assert base_of(saved).samefile(saved.parent / "base")  # as PEFT reads it: relative to where one stands


def test_a_fingerprint_of_another_version_is_not_compared(saved, other, capsys):
    """The base is asked for by name; a record without a version is of the first one."""
    file = saved / "base.json"
    record = json.loads(file.read_text())
    assert record["version"] == 1
    unlist(file)
    file.write_text(json.dumps({"fingerprint": record["fingerprint"]}))
    load_model(saved)
    with pytest.raises(ValueError, match="are others"):
        load_model(saved, base=other)
    file.write_text(json.dumps(record | {"version": 2, "fingerprint": "of other tensors"}))
    with pytest.raises(ValueError, match=r"base.json: a fingerprint of version 2, .* computes version 1: --base says"):
        load_model(saved)
    load_model(saved, base=saved.parent / "base")
    assert capsys.readouterr().err == ""
    load_model(saved, base=other)
    assert "it has no base.json of version 1" in capsys.readouterr().err


def test_base_wins_over_what_is_written(saved, other):
    forget_base(saved)
    assert base_of(saved, other).samefile(other) and base_of(saved).samefile(saved.parent / "base")
    with pytest.raises(ValueError, match="--base nowhere: no such directory"):
        base_of(saved, "nowhere")


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("IDEA-CCNL/Ziya-LLaMA-13B-v1", "its base is IDEA-CCNL/Ziya-LLaMA-13B-v1, no directory here: --base says"),
        (None, "its base is not named, no directory here: --base says where it is"),
        (".", "the adapter itself is named as its base"),
    ],
)
def test_a_base_that_is_not_here_is_asked_for_in_one_line(saved, base, words):
    edit(saved, base_model_name_or_path=base)
    forget_base(saved)
    with pytest.raises(ValueError, match=words) as error:
        load_model(saved)
    assert "\n" not in str(error.value)
    if base != ".":
        assert same_numbers(load_model(saved, base=saved.parent / "base"), adapted())


def test_a_published_name_is_found_where_the_fingerprint_tells(saved):
    """A download beside the adapter is the base if its numbers are."""
    shutil.move(saved.parent / "base", saved.parent / "Ziya-LLaMA-13B-v1")
    edit(saved, base_model_name_or_path="IDEA-CCNL/Ziya-LLaMA-13B-v1")
    assert base_of(saved).samefile(saved.parent / "Ziya-LLaMA-13B-v1")


def same_numbers(merged: Llama, beside: Llama) -> bool:
    return torch.allclose(merged(PACKED), beside(PACKED, "a"), rtol=1e-5, atol=1e-5)


# --- an adapter that was trained on an adapter


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_adapter_trained_on_an_adapter_is_written_as_one_of_the_lowest_base(saved, tmp_path, dtype):
    top = load_model(saved, dtype)
    add_adapter(top, "b", rank=2, alpha=10, targets=("q_proj", "down_proj"))
    with torch.no_grad():
        for index, matrix in enumerate(adapter_parameters(top, "b").values()):
            matrix.copy_(torch.randn(matrix.shape, generator=torch.Generator().manual_seed(index)) * 0.1)
    save_peft(top, "b", tmp_path / "top", base=saved)
    keys = json.loads((tmp_path / "top" / "adapter_config.json").read_text())
    assert keys["base_model_name_or_path"] == str(saved.parent / "base") and keys["r"] == 3
    assert set(keys["rank_pattern"].values()) == {5} and len(keys["rank_pattern"]) == 4
    one, other = load_model(tmp_path / "top", dtype)(PACKED), top(PACKED, "b")
    # the weights below were rounded to dtype once more while the upper adapter was trained
    assert (one - other).norm() < 20 * torch.finfo(dtype).eps * other.norm()
    assert (other - top(PACKED)).norm() > 0.05 * other.norm()  # control: the upper adapter says something
    assert (load_model(saved.parent / "base", dtype)(PACKED) - top(PACKED)).norm() > 0.05 * other.norm()  # so the lower


def test_adapters_of_others_on_adapters_are_read(saved, tmp_path):
    """Nothing here writes them; `--base` is that of the lowest."""
    save_peft(adapted(rank=2), "a", tmp_path / "top", base=saved.parent / "base")
    forget_base(tmp_path / "top")
    edit(tmp_path / "top", base_model_name_or_path=str(saved))
    shutil.move(saved.parent / "base", tmp_path / "elsewhere")
    assert base_of(tmp_path / "top", tmp_path / "elsewhere") == saved
    found = load_model(tmp_path / "top", base=tmp_path / "elsewhere")
    expected = make()
    with torch.no_grad():
        for model in (adapted(), adapted(rank=2)):
            for layer, weight in ((p, w) for p, w in expected.named_parameters() if ".layers." in p and w.ndim == 2):
                weight += model.get_submodule(layer.removesuffix(".weight")).delta("a")
    torch.testing.assert_close(found(PACKED), expected(PACKED), rtol=1e-5, atol=1e-5)


# --- what a fingerprint reads


def many_rows(vocabulary: int = 5000) -> Llama:
    model = Llama(LlamaConfig.named("nano", vocab_size=vocabulary))
    model.init_weights(0)
    return model


def test_a_vocabulary_that_was_extended_anew_is_another_model(tmp_path):
    """The new rows alone differ, at the end, where four spaced rows never look."""
    save_llama(many_rows(), tmp_path / "first")
    model = many_rows()
    with torch.no_grad():
        model.model.embed_tokens.weight[-9:-7] += 0.01
    save_llama(model, tmp_path / "second")
    save_llama(many_rows(), tmp_path / "again")
    assert fingerprint(tmp_path / "first") == fingerprint(tmp_path / "again") != fingerprint(tmp_path / "second")


def change_config(folder, **keys):
    file = folder / "config.json"
    raw = json.loads(file.read_text()) | keys
    file.write_text(json.dumps({key: value for key, value in raw.items() if value is not ...}))
    unlist(file)


@pytest.mark.parametrize(
    "keys", [{"rope_theta": 5e5}, {"rms_norm_eps": 1e-5}, {"num_attention_heads": 2, "head_dim": 16}]
)
def test_a_config_that_computes_otherwise_is_another_model(saved, keys):
    base = saved.parent / "base"
    known = fingerprint(base)
    theta = {"rope_theta": ..., "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    change_config(base, **theta, max_position_embeddings=4096, eos_token_id=5, torch_dtype=..., dtype="float32")
    assert fingerprint(base) == known  # the other spelling, and what no number depends on
    load_model(saved)
    change_config(base, rope_parameters=..., **keys)
    assert fingerprint(base) != known
    with pytest.raises(ValueError, match="config.json or the weights in .*base are others"):
        load_model(saved)


# --- bases that are none


def test_adapters_that_name_each_other_are_told_in_one_line(saved, tmp_path):
    two = shutil.copytree(saved, tmp_path / "runs" / "two")
    for folder, base in ((saved, two), (two, saved)):
        forget_base(folder)
        edit(folder, base_model_name_or_path=str(base))
    for read in (load_model, config_of, base_of, lambda path: list(levels(path)), check_stackable, model_digest):
        with pytest.raises(ValueError, match="name each other as their base") as error:
            read(two)
        assert "\n" not in str(error.value)


def test_base_is_never_an_adapter(saved):
    shutil.copytree(saved, saved.parent / "copy")
    with pytest.raises(ValueError, match="--base .*copy: is an adapter, expected the directory of the model below"):
        load_model(saved, base=saved.parent / "copy")


def test_base_without_an_adapter_is_a_mistake(saved):
    base = str(saved.parent / "base")
    with pytest.raises(ValueError, match="--base .*: nothing is read from it, .*base is no adapter"):
        check_base_is_used(base, base, "")
    check_base_is_used(base, str(saved), base)
    check_base_is_used("", base)
    check_base_is_used(base, "")  # what is missing is told by others


@pytest.mark.parametrize("left", ["nothing", "config alone", "half a file"])
def test_a_moved_base_is_found_where_something_broken_stands_in_its_old_place(saved, tmp_path, left):
    moved = tmp_path / "disk"
    shutil.copytree(tmp_path / "runs", moved)
    old = saved.parent / "base"
    weights = (old / "model.safetensors").read_bytes()
    for file in old.iterdir():
        if left == "nothing" or file.name != "config.json":
            file.unlink()
    if left == "half a file":
        (old / "model.safetensors").write_bytes(weights[:1000])
    assert base_of(moved / "adapter").samefile(moved / "base")
    shutil.rmtree(moved / "base")
    with pytest.raises(ValueError, match="--base says where it is") as error:
        base_of(moved / "adapter")
    assert "\n" not in str(error.value)


def test_what_stands_on_saved_modules_is_told_at_every_level(saved, tmp_path):
    """Before the first step: written it could not be."""
    file, embedding = saved / "adapter_model.safetensors", "base_model.model.model.embed_tokens.weight"
    top = shutil.copytree(saved, tmp_path / "runs" / "top")
    edit(top, base_model_name_or_path=str(saved))
    forget_base(top)
    check_stackable(top)  # control
    save_file(load_file(file) | {embedding: load_llama(saved.parent / "base").model.embed_tokens.weight}, file)
    for folder in (saved, top):
        with pytest.raises(ValueError, match="adapter: it replaces model.embed_tokens.weight of its base"):
            check_stackable(folder)
