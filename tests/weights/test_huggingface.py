"""Model directories: what is written is read back bit by bit, and whatever does not fit is named in one line."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.line import unlist
from zj.lora import add_adapter
from zj.model import Llama, LlamaConfig
from zj.weights import check_tokenizer_fits, load_llama, save_llama
from zj.weights import tensors as files

EMBEDDING = "model.embed_tokens.weight"
NANO = LlamaConfig.named("nano", vocab_size=40)
UNTIED = replace(NANO, tie_word_embeddings=False)


def make(config: LlamaConfig = UNTIED, dtype: torch.dtype = torch.float32, seed: int = 0) -> Llama:
    model = Llama(config)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # gains that differ, so that mixing them up would show
                weight.uniform_(0.5, 1.5, generator=generator)
    return model.to(dtype)


def state(model: Llama) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_equal(model: Llama, expected: dict[str, torch.Tensor]) -> None:
    found = state(model)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def edit_config(folder: Path, **changes) -> None:
    raw = json.loads((folder / "config.json").read_text())
    raw |= changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not ...}))
    unlist(folder / "config.json")


def write(folder: Path, tensors: dict[str, torch.Tensor], form: str, config: LlamaConfig = UNTIED) -> Path:
    """A model directory as others write it: another program than the one under test."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    names = list(tensors)
    if "sharded" not in form:
        parts = {"": names}
    else:
        parts = {"-00001-of-00002": names[::2], "-00002-of-00002": names[1::2]}
    whole = "model.safetensors" if "safetensors" in form else "pytorch_model.bin"
    stem, suffix = whole.rsplit(".", 1)
    for part, held in parts.items():
        file, content = folder / f"{stem}{part}.{suffix}", {name: tensors[name] for name in held}
        if suffix == "safetensors":
            save_file(content, file)
        else:
            torch.save(content, file, _use_new_zipfile_serialization="legacy" not in form)
    if "sharded" in form:
        places = {name: f"{stem}{part}.{suffix}" for part, held in parts.items() for name in held}
        (folder / f"{whole}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


# --- what is saved is what is loaded


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("config", [NANO, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("shard", [10**9, 20_000], ids=["one file", "shards"])
def test_saving_and_loading_changes_no_bit(tmp_path, dtype, config, shard):
    model = make(config, dtype)
    save_llama(model, tmp_path, max_shard_bytes=shard)
    loaded = load_llama(tmp_path, dtype)
    assert loaded.config == config and not loaded.training
    assert_equal(loaded, state(model))
    stored = files.open_checkpoint(tmp_path)
    assert ("lm_head.weight" in stored) is not config.tie_word_embeddings
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) is config.tie_word_embeddings
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["torch_dtype"] == str(dtype).removeprefix("torch.") and raw["architectures"] == ["LlamaForCausalLM"]


def test_shards_keep_to_the_limit_and_the_index_tells_where_all_is(tmp_path):
    model, limit = make(), 20_000
    save_llama(model, tmp_path, max_shard_bytes=limit)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(p.nbytes for p in model.parameters())
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2 and {s.name for s in shards} == set(index["weight_map"].values())
    for number, shard in enumerate(shards, 1):
        held = load_file(shard)
        assert shard.name == f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        assert sum(t.nbytes for t in held.values()) <= limit
        assert set(held) == {name for name, file in index["weight_map"].items() if file == shard.name}


FORMS = ["safetensors", "sharded safetensors", "bin", "sharded bin", "legacy bin", "sharded legacy bin"]


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_is_read(tmp_path, form):
    tensors = state(make(dtype=torch.float16))
    frequencies = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.rand(4) for i in range(2)}  # fp32, as found
    folder = write(tmp_path / "m", tensors | frequencies, form)
    assert_equal(load_llama(folder, torch.float32), {name: t.float() for name, t in tensors.items()})
    assert_equal(load_llama(folder, torch.float16), tensors)


def test_loading_rounds_once_to_the_wanted_dtype(tmp_path):
    tensors = state(make(dtype=torch.float64))
    folder = write(tmp_path / "m", tensors, "safetensors")
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        assert_equal(load_llama(folder, dtype), {name: t.to(dtype) for name, t in tensors.items()})


def test_both_spellings_of_the_config_give_the_same_model(tmp_path):
    config = replace(NANO, rope_theta=50000.0)
    save_llama(make(config), tmp_path)
    assert load_llama(tmp_path).config == config
    edit_config(tmp_path, rope_theta=..., torch_dtype=..., dtype="float32", head_dim=config.head_dim)
    edit_config(tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 50000.0})
    assert load_llama(tmp_path).config == config


def test_a_tied_model_may_store_its_head_if_it_is_the_embedding(tmp_path):
    tensors = state(make(NANO))
    folder = write(tmp_path / "m", tensors | {"lm_head.weight": tensors[EMBEDDING].clone()}, "bin", NANO)
    assert_equal(load_llama(folder), tensors)
    other = tensors[EMBEDDING].clone()
    other[3, 5] += 1e-3
    write(folder, tensors | {"lm_head.weight": other}, "bin", NANO)
    with pytest.raises(ValueError, match="the stored two differ"):
        load_llama(folder)


# --- what does not fit is told in one line: (what is done to a good directory, words of the message)


def _without(name):
    return lambda t: {k: v for k, v in t.items() if k != name}


def _reshaped(name, shape):
    return lambda t: t | {name: torch.zeros(shape)}


TENSOR_FAULTS = {
    "missing": (_without("model.norm.weight"), ["model.norm.weight is missing", "(1 of 21 tensors are)"]),
    "surplus": (lambda t: t | {"model.x.bias": torch.zeros(3)}, ["model.x.bias is no part", "(1 such"]),
    "misshapen": (
        _reshaped("model.layers.1.mlp.up_proj.weight", (95, 32)),
        ["layers.1.mlp.up_proj.weight is [95, 32]", "asks for [96, 32]"],
    ),
    "rows": (_reshaped(EMBEDDING, (41, 32)), [f"{EMBEDDING} has 41 rows", "vocab_size 40"]),
    "head rows": (_reshaped("lm_head.weight", (39, 32)), ["lm_head.weight has 39 rows", "vocab_size 40"]),
    "integers": (lambda t: t | {EMBEDDING: torch.ones(40, 32, dtype=torch.int8)}, [EMBEDDING, "expected one of F64"]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_tensors_that_do_not_fit_are_named(tmp_path, form, fault):
    change, words = TENSOR_FAULTS[fault]
    folder = write(tmp_path / "m", change(state(make())), form)
    refused(folder, *words)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ValueError) as error:
        load_llama(folder)
    message = str(error.value)
    assert "\n" not in message and str(folder) in message and len(message) < 400
    for word in words:
        assert word in message, message


def _cut(file: str, tail: int):
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[:-tail] if tail < len(content) else b"")

    return damage


def _replace(file: str, content: bytes):
    return lambda folder: (folder / file).write_bytes(content)


def _pickle(content):
    return lambda folder: torch.save(content, folder / "pytorch_model.bin")


def _index(**changes):
    def damage(folder: Path) -> None:
        file = next(folder.glob("*.index.json"))
        raw = json.loads(file.read_text())
        raw["weight_map"] |= changes
        file.write_text(json.dumps(raw))

    return damage


DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
FILE_FAULTS = {
    "cut": ("safetensors", _cut("model.safetensors", 100), ["model.safetensors: broken or cut off", "bytes"]),
    "empty": ("safetensors", _cut("model.safetensors", 10**9), ["model.safetensors: broken or cut off, 0 bytes"]),
    "text": ("safetensors", _replace("model.safetensors", b"version https://git-lfs"), ["broken or cut off, 23 bytes"]),
    "bin cut": ("bin", _cut("pytorch_model.bin", 100), ["pytorch_model.bin", "broken or cut off"]),
    "bin empty": ("bin", _cut("pytorch_model.bin", 10**9), ["pytorch_model.bin", "broken or cut off, 0 bytes"]),
    "bin text": ("bin", _replace("pytorch_model.bin", b"version https://git-lfs"), ["broken or cut off, 23 bytes"]),
    "legacy cut": ("legacy bin", _cut("pytorch_model.bin", 10), ["pytorch_model.bin", "broken or cut off"]),
    "unsafe": ("bin", _pickle({"args": argparse.Namespace(lr=1)}), ["not a file of tensors alone", "Namespace"]),
    "number": ("bin", _pickle({"step": 3}), ["'step' is a int, expected a tensor"]),
    "list": ("bin", _pickle([torch.ones(1)]), ["holds a list, expected tensors by name"]),
    "shard": (
        "sharded safetensors",
        lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(),
        ["names 2 shards, 1 of them absent", "model-00002-of-00002.safetensors"],
    ),
    "index not JSON": ("sharded bin", _replace("pytorch_model.bin.index.json", b"{"), ["index.json: expected JSON"]),
    "index a list": (
        "sharded bin",
        _replace("pytorch_model.bin.index.json", b"[]"),
        ["expected JSON with a weight_map"],
    ),
    "index lies": (
        "sharded bin",
        _index(ghost="pytorch_model-00001-of-00002.bin"),
        ["ghost should be in pytorch_model-00001-of-00002.bin, but is not"],
    ),
    "no weights": ("bin", lambda folder: (folder / "pytorch_model.bin").unlink(), ["no weights there"]),
    "no config": ("bin", lambda folder: (folder / "config.json").unlink(), ["no config.json there"]),
    "config binary": ("bin", _replace("config.json", b"\xff\xfe\x00"), ["config.json: not JSON"]),
    "other network": ("bin", lambda f: edit_config(f, model_type="gpt2"), ["model_type is 'gpt2'"]),
    "no width": ("bin", lambda f: edit_config(f, hidden_size=...), ["hidden_size is None"]),
    "outside": (
        "sharded bin",
        _index(ghost="../other/pytorch_model.bin"),
        ["index.json: names '../other/pytorch_model.bin', expected files of its own directory"],
    ),
    "nested": ("bin", _replace("config.json", b"[" * 10**6), ["config.json: not JSON"]),
    "dynamic beside default": (
        "bin",
        lambda f: edit_config(f, rope_parameters=DEFAULT, rope_scaling={"type": "dynamic", "factor": 2.0}),
        ["config.json: rope_scaling: rotary scaling 'dynamic' is not computed here"],
    ),
    "default with a factor": (
        "bin",
        lambda f: edit_config(f, rope_scaling={"rope_type": "default", "factor": 4.0}),
        ["config.json: rope_scaling: factor is not understood here"],
    ),
    "two rope bases": (
        "bin",
        lambda f: edit_config(f, rope_theta=5e5, rope_parameters=DEFAULT),
        ["config.json: rope_theta is 500000.0 and 10000.0, expected one number"],
    ),
    "half of a head rotates": (
        "bin",
        lambda f: edit_config(f, partial_rotary_factor=0.5),
        ["config.json: partial_rotary_factor is 0.5"],
    ),
    "a million layers": ("bin", lambda f: edit_config(f, num_hidden_layers=10**6), ["num_hidden_layers is 1000000"]),
    "a long number": ("bin", lambda f: edit_config(f, hidden_size=10**4000), ["hidden_size is 100", "…"]),
    "heads that do not divide": (
        "bin",
        lambda f: edit_config(f, num_attention_heads=3),
        ["config.json: num_attention_heads 3"],
    ),
}


WRONG = {
    **dict.fromkeys(("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"), ("32", True, -1, 0, 2.0)),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim"), ("4", True, -2, 0, 4.0, [4])),
    "max_position_embeddings": ("2048", True, -1, 0, 1e4),
    **dict.fromkeys(("rms_norm_eps", "rope_theta"), ("1e-6", True, -1, 0, float("nan"), float("inf"))),
    **dict.fromkeys(("bos_token_id", "eos_token_id"), ("2", True, -1, 2.0, ["2"], [-1], {})),
    "tie_word_embeddings": ("false", 0, 1),
    **dict.fromkeys(
        ("rope_scaling", "rope_parameters"), ("dynamic", [], 2.0, {"rope_theta": "1e4"}, {"rope_theta": -1})
    ),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_value_of_another_type_is_named_with_file_and_key(tmp_path, key):
    save_llama(make(NANO), tmp_path)
    good = (tmp_path / "config.json").read_text()
    for value in WRONG[key]:
        (tmp_path / "config.json").write_text(json.dumps(json.loads(good) | {key: value}))
        with pytest.raises(ValueError, match=f"config.json: .*{'rope_theta|' if 'rope' in key else ''}{key}") as error:
            LlamaConfig.from_hf(tmp_path)
        assert "\n" not in str(error.value) and "expected" in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps(json.loads(good) | {key: None}))
    if key.startswith(("rope", "rms", "bos", "eos", "tie", "max", "head", "num_key")):
        LlamaConfig.from_hf(tmp_path)  # control: a null is an absent key


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_broken_directories_are_named(tmp_path, fault):
    form, damage, words = FILE_FAULTS[fault]
    folder = write(tmp_path / "m", state(make()), form)
    load_llama(folder)  # control: it is the damage that is refused
    damage(folder)
    refused(folder, *words)


def test_a_tensor_stored_twice_is_refused(tmp_path):
    folder = write(tmp_path / "m", tensors := state(make()), "sharded safetensors")
    save_file(tensors, folder / "model-00002-of-00002.safetensors")
    refused(folder, "is stored in model-00001-of-00002.safetensors already")


@pytest.mark.parametrize("form", ["safetensors", "bin", "sharded safetensors", "sharded bin"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_when_it_is_read(tmp_path, form, number):
    tensors = {name: tensor.clone() for name, tensor in state(make()).items()}
    load_llama(write(tmp_path / "whole", tensors, form))  # control
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name][3, 5] = number
    suffix = form.split()[-1]
    refused(write(tmp_path / "m", tensors, form), f".{suffix}: {name} holds numbers that are not finite")


def test_a_number_too_large_for_the_dtype_is_refused(tmp_path):
    tensors = {name: tensor.clone() for name, tensor in state(make()).items()}
    tensors["lm_head.weight"][1, 1] = 1e6
    folder = write(tmp_path / "m", tensors, "safetensors")
    load_llama(folder, torch.bfloat16)  # control: bf16 reaches as far as fp32
    with pytest.raises(ValueError, match=r"rounded to torch.float16: lm_head.weight holds numbers that are not finite"):
        load_llama(folder, torch.float16)


def test_a_number_that_is_not_finite_is_never_written(tmp_path):
    model = make(seed=1)
    save_llama(model, tmp_path / "m", max_shard_bytes=20_000)
    before = {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()}
    model.lm_head.weight.data[2, 2] = float("nan")
    with pytest.raises(ValueError, match="m: lm_head.weight holds numbers that are not finite"):
        save_llama(model, tmp_path / "m", max_shard_bytes=20_000)
    assert {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()} == before


def test_a_tokenizer_larger_than_the_embedding_names_both():
    check_tokenizer_fits(NANO, 40)
    check_tokenizer_fits(make(), 12)
    with pytest.raises(ValueError, match="tokenizer has 41 ids, the model's embedding 40 rows: take"):
        check_tokenizer_fits(make(), 41)


# --- saving never loses and never half-writes


def test_a_model_with_adapters_is_not_saved_without_them(tmp_path):
    model = make()
    add_adapter(model, "doctor", rank=2, alpha=4)
    with pytest.raises(ValueError, match=r"adapters \(doctor\) that would be lost"):
        save_llama(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_saving_over_a_model_replaces_it_and_touches_nothing_else(tmp_path):
    write(tmp_path, state(make(seed=1)), "sharded bin")
    (tmp_path / "tokenizer.model").write_text("mine")
    mine = {f.name for f in tmp_path.iterdir()}
    for seed, shard in ((2, 20_000), (3, 30_000), (4, 10**9), (5, 20_000)):
        save_llama(make(seed=seed), tmp_path, max_shard_bytes=shard)
        assert_equal(load_llama(tmp_path), state(make(seed=seed)))
        new = {f.name for f in tmp_path.iterdir()} - mine
        sharded = not (tmp_path / "model.safetensors").exists()
        assert sharded is (shard < 10**9) is ("model.safetensors.index.json" in new)
        assert len({name[-len("00003.safetensors") :] for name in new if "-of-" in name}) == int(sharded)
    assert mine <= {f.name for f in tmp_path.iterdir()}


def test_a_save_that_fails_half_way_leaves_the_old_model(tmp_path, monkeypatch):
    old = make(seed=1)
    save_llama(old, tmp_path, max_shard_bytes=20_000)
    before = sorted(f.name for f in tmp_path.iterdir())
    calls = []

    def full_disk(tensors, file, metadata):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(file))
        save_file(tensors, file, metadata)

    monkeypatch.setattr(files, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_llama(make(seed=2), tmp_path, max_shard_bytes=20_000)
    assert sorted(f.name for f in tmp_path.iterdir()) == before
    assert_equal(load_llama(tmp_path), state(old))


def test_what_was_written_is_compared_to_the_last_bit(tmp_path, monkeypatch):
    """Negative control of every save: one flipped bit in one weight is noticed."""

    def flip(tensors, file, metadata):
        tensors = {name: t.clone() for name, t in tensors.items()}
        next(iter(tensors.values())).view(torch.int32).view(-1)[7] ^= 1
        save_file(tensors, file, metadata)

    monkeypatch.setattr(files, "save_file", flip)
    with pytest.raises(AssertionError, match=EMBEDDING):
        save_llama(make(), tmp_path)


# --- host memory

MEASURE = """
import sys, torch
from zj.weights import load_llama
def rss(what):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(what)) * 1024
load_llama(sys.argv[2])  # kernels and libraries are in memory now
before = rss("VmRSS")
model = load_llama(sys.argv[1])
everything = sum(p.nbytes for p in model.parameters())
if len(sys.argv) > 3:
    twice = [p.clone() for p in model.parameters()]
print(rss("VmHWM") - before - everything)
"""


def memory_beyond_the_model(*arguments: str) -> int:
    """Peak resident bytes of loading, less those of the model itself."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, *arguments]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of resident memory")
def test_loading_takes_the_model_and_one_tensor(tmp_path):
    """100 MB of fp32 from 50 MB of fp16 in shards of 5 MB: beside the model stand one mapped shard and one tensor."""
    config = replace(LlamaConfig.named("small", vocab_size=3000), num_hidden_layers=7)
    tensors = state(make(config, torch.float16))
    size = sum(t.nbytes for t in tensors.values())
    assert size > 48e6
    save_llama(make(config, torch.float16), tmp_path / "big", max_shard_bytes=5_000_000)
    save_llama(make(), tmp_path / "nano")
    folders = str(tmp_path / "big"), str(tmp_path / "nano")
    shard, tensor = 5e6, max(t.nbytes for t in tensors.values())
    allowed = shard + tensor + 6e6  # pages touched around every norm weight, the allocator's own
    assert memory_beyond_the_model(*folders) < allowed < size / 2
    assert memory_beyond_the_model(*folders, "and a second copy") > size  # control: the measure sees a copy
