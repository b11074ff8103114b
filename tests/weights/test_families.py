"""Families by their tables: their names and fused tensors are this network's, block by block; the rest is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from tests.weights.test_huggingface import assert_equal, edit_config, make, state
from zj.inference import generate
from zj.lora import adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig, Packed
from zj.plan.job import Job
from zj.plan.memory import sampled
from zj.stages.setup import tell_positions
from zj.stages.validation import greedy_answers
from zj.train import ALONE
from zj.weights import load_beside, load_llama, load_model, load_peft, save_llama, save_peft
from zj.weights.adapter_base import fingerprint
from zj.weights.families import BAICHUAN_7B, QWEN_1, family_name, open_family, own_names
from zj.weights.huggingface import build_llama, shapes_of

LLAMA = replace(LlamaConfig.named("nano", vocab_size=40), tie_word_embeddings=False, num_key_value_heads=4)
QWEN2 = replace(LLAMA, qkv_bias=True, max_position_embeddings=32)
QKV = ("q_proj", "k_proj", "v_proj")
Tensors = dict[str, torch.Tensor]


PUBLISHED = {
    "model.layers.": "transformer.h.",
    "model.embed_tokens": "transformer.wte",
    "model.norm": "transformer.ln_f",
    "self_attn.q_proj": "attn.c_attn",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.w1",
    "mlp.gate_proj": "mlp.w2",
    "mlp.down_proj": "mlp.c_proj",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
}


def fused(tensors: Tensors, name: str) -> torch.Tensor:
    """The tensor; of q_proj the blocks of q, k and v."""
    return torch.cat([tensors[name.replace("q_proj", part)] for part in QKV]) if "q_proj" in name else tensors[name]


def as_qwen_1(folder: Path, tensors: Tensors, config: LlamaConfig) -> Path:
    """A directory of Qwen-1's form, with the names of its published modelling file, from tensors of Qwen2's names."""
    own = {}
    for name in [name for name in tensors if "k_proj" not in name and "v_proj" not in name]:
        path = name
        for here, there in PUBLISHED.items():
            path = path.replace(here, there)
        own[path] = fused(tensors, name)
    own["transformer.h.0.attn.rotary_emb.inv_freq"] = torch.rand(4)
    raw = {
        "architectures": ["QWenLMHeadModel"],
        "attn_dropout_prob": 0.0,
        "emb_dropout_prob": 0.0,
        "hidden_size": config.hidden_size,
        "intermediate_size": 2 * config.intermediate_size,
        "kv_channels": config.head_dim,
        "layer_norm_epsilon": config.rms_norm_eps,
        "max_position_embeddings": 8192,
        "model_type": "qwen",
        "no_bias": True,
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "onnx_safe": None,
        "rotary_emb_base": int(config.rope_theta),
        "rotary_pct": 1.0,
        "scale_attn_weights": True,
        "seq_length": config.max_position_embeddings,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_dynamic_ntk": True,
        "use_flash_attn": "auto",
        "use_logn_attn": True,
        "vocab_size": config.vocab_size,
    }
    return written(folder, own, raw)


def as_baichuan(folder: Path, tensors: Tensors, config: LlamaConfig) -> Path:
    """A directory of Baichuan-7B's form."""
    names = [name for name in tensors if "k_proj" not in name and "v_proj" not in name]
    own = {name.replace("q_proj", "W_pack"): fused(tensors, name) for name in names}
    published = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    raw = {name: getattr(config, name) for name in (*published, "max_position_embeddings", "rms_norm_eps")}
    raw |= {"architectures": ["BaiChuanForCausalLM"], "model_type": "baichuan", "hidden_act": "silu"}
    return written(folder, own, raw | {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})


def written(folder: Path, tensors: Tensors, raw: dict) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(raw))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(params=["Qwen-1", "Baichuan-7B"])
def published(tmp_path, request):
    """(a directory in the family's own form, the same model with this network's names)"""
    config, write = (QWEN2, as_qwen_1) if request.param == "Qwen-1" else (LLAMA, as_baichuan)
    model = random(config)
    return write(tmp_path / "base", state(model), config), model


def random(config: LlamaConfig, seed: int = 0) -> Llama:
    model = make(config, seed=seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(generator=torch.Generator().manual_seed(len(name)))
    return model


@torch.no_grad()
def logits(model: Llama, adapter: str | None = None) -> torch.Tensor:
    return model.logits(model(Packed.of([[1, 5, 9, 33, 2], [1, 7]]), adapter))


# --- names and blocks


def test_a_published_directory_is_this_network_bit_by_bit(published):
    folder, model = published
    loaded = load_llama(folder)
    assert_equal(loaded, state(model))
    settings = {
        name: getattr(loaded.config, name) for name in ("hidden_size", "intermediate_size", "head_dim", "qkv_bias")
    }
    assert settings == {name: getattr(model.config, name) for name in settings}
    assert loaded.config.max_position_embeddings == model.config.max_position_embeddings


def test_w2_is_the_gate_of_qwen_1(tmp_path):
    """Swapped, it would load without an error of shape."""
    folder = as_qwen_1(tmp_path / "m", state(random(QWEN2)), QWEN2)
    tensors, loaded = open_family(folder)[1], load_llama(folder).model.layers[0].mlp
    assert tensors["model.layers.0.mlp.gate_proj.weight"].name == "transformer.h.0.mlp.w2.weight"
    assert torch.equal(loaded.gate_proj.weight, tensors["model.layers.0.mlp.gate_proj.weight"][...])
    assert loaded.gate_proj.weight.shape == loaded.up_proj.weight.shape


@pytest.mark.parametrize("table", [QWEN_1, BAICHUAN_7B], ids=["Qwen-1", "Baichuan-7B"])
def test_every_name_has_one_here_and_back(table):
    for name in shapes_of(QWEN2):
        theirs = family_name(name, table)
        assert name in own_names(theirs, table)
        assert len(own_names(theirs, table)) == (3 if any(part in name for part in QKV) else 1)
        assert own_names(name, {}) == (name,)


class Counted:
    """A tensor in a file that counts the numbers that are read of it."""

    def __init__(self, source):
        self.source, self.numbers = source, 0

    def __getitem__(self, index):
        part = self.source[index]
        self.numbers += part.numel()
        return part


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_block_is_read_without_the_others(published, form):
    """As a rank of several reads its rows: from the file comes what it asks for, and nothing twice."""
    folder, model = published
    if form == "bin":
        torch.save({name: t[...] for name, t in open_raw(folder).items()}, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    name = "model.layers.1.self_attn.k_proj.weight"
    stored, weight = open_family(folder)[1][name], state(model)[name]
    whole = Counted(stored.source.source)
    object.__setattr__(stored.source, "source", whole)
    assert stored.shape == weight.shape
    for rows in (slice(3, 7), slice(0, 0), slice(30, 40), slice(None), ..., slice(None, None, 4), 5, -1):
        whole.numbers = 0
        part = stored[rows] if rows != slice(0, 0) else stored.source[rows]
        assert torch.equal(part, weight[rows]) and whole.numbers == weight[rows].numel()


def open_raw(folder):
    from zj.weights.tensors import open_checkpoint

    return open_checkpoint(folder)


def test_loading_reads_every_number_once(published):
    folder, model = published
    config, tensors = open_family(folder)
    counted = {}
    for tensor in tensors.values():
        holder = tensor.source if hasattr(tensor.source, "rows") else tensor
        source = counted.setdefault(tensor.name, Counted(holder.source))
        object.__setattr__(holder, "source", source)
    build_llama(config, dict(tensors), torch.float32, "cpu")
    assert sum(source.numbers for source in counted.values()) == sum(p.numel() for p in model.parameters())


def test_a_fused_tensor_that_does_not_divide_is_named(published):
    folder, _ = published
    tensors = {name: t[...] for name, t in open_raw(folder).items()}
    name = next(name for name in tensors if "c_attn.weight" in name or "W_pack" in name)
    tensors[name] = torch.cat([tensors[name], tensors[name][:1]])
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"model.safetensors: {name} is \[97, 32\], expected 3 equal blocks"):
        load_llama(folder)
    tensors[name] = torch.cat([tensors[name], tensors[name][:2]])  # 99: blocks of another height than a projection
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"q_proj.weight is \[33, 32\], config.json asks for \[32, 32\]"):
        load_llama(folder)


def test_a_tensor_by_both_names_is_refused(published):
    """And one without rows is no part of the network, by its name."""
    folder, _ = published
    tensors = {name: t[...] for name, t in open_raw(folder).items()}
    save_file(tensors | {"x": torch.tensor(1.0)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="x is no part of this network"):
        load_llama(folder)
    save_file(tensors | {"model.layers.0.self_attn.k_proj.weight": torch.ones(32, 32)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors: .* is stored as .* already"):
        load_llama(folder)
    name = next(name for name in tensors if "c_attn.weight" in name or "W_pack" in name)
    save_file(tensors | {name: torch.tensor(1.0)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"{name} is \[\], expected 3 equal blocks"):
        load_llama(folder)


def test_it_is_written_as_its_relative_and_stays_the_same_base(published, tmp_path):
    folder, model = published
    save_llama(load_llama(folder), tmp_path / "written")
    raw = json.loads((tmp_path / "written" / "config.json").read_text())
    assert raw["model_type"] == ("qwen2" if model.config.qkv_bias else "llama")
    assert_equal(load_llama(tmp_path / "written"), state(model))
    assert fingerprint(tmp_path / "written") == fingerprint(folder)
    edit_config(tmp_path / "written", rope_theta=5e5)
    assert fingerprint(tmp_path / "written") != fingerprint(folder)  # control


# --- adapters


def write_adapter(folder: Path, base: Path, targets: list[str], **more) -> tuple[Path, Tensors]:
    """An adapter as peft writes it for the published modelling file, and what it adds to each of the base's tensors."""
    folder.mkdir()
    generator, tensors, added = torch.Generator().manual_seed(3), {}, {}
    for name, weight in open_raw(base).items():
        path = name.removesuffix(".weight")
        if name.endswith(".weight") and path.endswith(tuple(targets)):
            A = torch.randn(2, weight.shape[1], generator=generator) * 0.3
            B = torch.randn(weight.shape[0], 2, generator=generator) * 0.3
            added[name] = 1.5 * B @ A
            tensors |= {f"base_model.model.{path}.lora_{k}.weight": m for k, m in (("A", A), ("B", B))}
    for name in more.get("modules_to_save", ()):
        whole = next(n for n in open_raw(base) if n.endswith(f"{name}.weight"))
        tensors[f"base_model.model.{whole}"] = open_raw(base)[whole][...] + 0.5
        added[whole] = torch.full_like(tensors[f"base_model.model.{whole}"], 0.5)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 3, "target_modules": targets, **more}
    config["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder, added


def merged(base: Path, added: Tensors, out: Path) -> Llama:
    """The model whose published tensors have the adapter added."""
    tensors = {name: t[...] + added[name] if name in added else t[...] for name, t in open_raw(base).items()}
    return load_llama(written(out, tensors, json.loads((base / "config.json").read_text())))


def test_an_adapter_of_the_published_layers_is_one_of_each(published, tmp_path):
    folder, model = published
    qwen = model.config.qkv_bias
    targets = ["c_attn", "c_proj", "w1"] if qwen else ["W_pack", "o_proj", "down_proj"]
    adapter, added = write_adapter(tmp_path / "adapter", folder, targets)
    expected = logits(merged(folder, added, tmp_path / "merged"))
    assert (logits(model) - expected).abs().max() > 0.05  # control: the adapter says something
    torch.testing.assert_close(logits(load_model(adapter)), expected, rtol=1e-4, atol=1e-5)
    us = load_llama(folder)
    load_peft(us, adapter, "x")
    assert {path.split(".")[4] for path in adapter_parameters(us, "x")} >= {*QKV, "o_proj", "down_proj"}
    torch.testing.assert_close(logits(us, "x"), expected, rtol=1e-4, atol=1e-5)
    save_peft(us, "x", tmp_path / "again", base=folder)  # with the names of what the base is written as
    torch.testing.assert_close(logits(load_model(tmp_path / "again")), expected, rtol=1e-4, atol=1e-5)
    save_llama(load_llama(folder), tmp_path / "written")
    for path in (adapter, tmp_path / "again"):
        found = logits(load_model(path, base=tmp_path / "written", strict=False))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


PATTERNS = {
    "ends": ["c_attn", "w2"],
    "an expression": r"transformer\.h\.[01]\.(attn\.c_attn|mlp\.w2)",
    "a path": ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn", "mlp.w2"],
}


@pytest.mark.parametrize("targets", PATTERNS.values(), ids=PATTERNS)
def test_patterns_are_those_of_the_familys_names(tmp_path, targets):
    folder = as_qwen_1(tmp_path / "base", state(random(QWEN2)), QWEN2)
    more = {"alpha_pattern": {"w2": 12}, "modules_to_save": ["wte", "lm_head"]}  # as the authors' recipe
    adapter, added = write_adapter(tmp_path / "adapter", folder, PATTERNS["ends"], **more)
    edit_keys(adapter, target_modules=targets)
    added = {name: delta * (4 if "w2" in name else 1) for name, delta in added.items()}
    expected = logits(merged(folder, added, tmp_path / "merged"))
    torch.testing.assert_close(logits(load_model(adapter)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(load_beside(adapter, "x", torch.float32), "x"), expected, rtol=1e-4, atol=1e-5)
    edit_keys(adapter, target_modules=["q_proj"])
    with pytest.raises(ValueError, match="target_modules is .*q_proj.*, matches no layer"):
        load_model(adapter)


def edit_keys(folder: Path, **keys) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def test_an_adapter_leaves_biases_and_norms_of_heads_alone(tmp_path):
    for config in (QWEN2, replace(LLAMA, qk_norm=True)):
        model = random(config)
        before = state(model)
        add_adapter(model, "x", rank=2, alpha=4)
        kept = dict(model.named_parameters())
        assert all(torch.equal(kept[name], tensor) and not kept[name].requires_grad for name, tensor in before.items())
        assert len(adapter_parameters(model, "x")) == 2 * 7 * config.num_hidden_layers
        assert torch.equal(logits(model, "x"), logits(random(config)))


# --- positions


def test_beyond_its_positions_qwen_1_is_refused(tmp_path):
    folder = as_qwen_1(tmp_path / "base", state(random(QWEN2)), QWEN2)
    model, ids = load_llama(folder), [1] * 33
    model(Packed.of([ids[:32]]))
    generate(model, [ids[:31]], 1)
    branching = Packed.branching([ids[:20]], [[ids[:13], ids[:2]]])
    tell_positions(32, model.config, ALONE)
    for act in (
        lambda: model(Packed.of([[1, 2], ids])),
        lambda: model(branching),
        lambda: generate(model, [ids[:32]], 1),
        lambda: tell_positions(33, model.config, ALONE),
    ):
        with pytest.raises(ValueError, match="33, the model has 32 positions: beyond them .* NTK and logn") as error:
            act()
        assert "\n" not in str(error.value)
    edit_config(folder, use_dynamic_ntk=False, use_logn_attn=False)
    load_llama(folder)(Packed.of([ids]))  # control: without them it is Qwen2


def test_samples_of_a_validation_keep_to_the_positions(tmp_path):
    """At the largest --max-tokens answers are shorter, and a prompt without room for one is left out."""
    folder = as_qwen_1(tmp_path / "base", state(random(QWEN2)), QWEN2)
    model, tokenizer = load_llama(folder), SimpleNamespace(eos_id=-1, decode=len)
    rows = greedy_answers(model, [[1] * 10, [1] * 30, [1] * 32], cast(Any, tokenizer), (-1,), None)
    assert [(row["prompt"], row["answer"]) for row in rows] == [(10, 22), (30, 2)]
    recipe = SimpleNamespace(max_tokens=32, valid_fraction=0.1)
    assert [sampled(Job("sft", recipe, config)) for config in (model.config, QWEN2)] == [(2, 32), (2, 96)]


@pytest.mark.parametrize("window, positions", [(16, 16), (64, 32), (None, None), (..., 32)])
def test_mistral_is_llama_up_to_its_window(tmp_path, window, positions):
    save_llama(make(replace(LLAMA, max_position_embeddings=32)), tmp_path)
    edit_config(tmp_path, model_type="mistral", sliding_window=window)
    config = LlamaConfig.from_hf(tmp_path)
    assert config.mistral and config.max_position_embeddings == (positions or 32)
    assert config.positions_end == (positions is not None)
    raw = config.to_hf()
    assert (raw["model_type"], raw["sliding_window"]) == ("mistral", positions)


# --- config.json


REFUSED = {
    "hidden_act": "gelu",
    "attention_bias": True,
    "mlp_bias": True,
    "attention_dropout": 0.1,
    "partial_rotary_factor": 0.5,
    "quantization_config": {"bits": 4},
    "num_local_experts": 8,
    "moe_intermediate_size": 64,
    "final_logit_softcapping": 30.0,
    "query_pre_attn_scalar": 256,
    "residual_multiplier": 0.2,
    "rope_interleaved": True,
    "use_qk_norm": True,
    "no_rope_layers": [1, 0],
    "use_alibi": True,
    "attention_chunk_size": 8192,
    "dual_chunk_attention_config": {"chunk_size": 8},
    "hidden_activation": "gelu",
    "embd_pdrop_dropout": 0.1,
    "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
    "rope_parameters": {"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0]},
}
QWEN_1_ALONE = {
    "seq_length": None,
    "intermediate_size": 191,
    "use_logn_attn": 1,
    "no_bias": False,
    "rotary_pct": 0.5,
    "scale_attn_weights": False,
    "emb_dropout_prob": 0.1,
}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("key", REFUSED)
def test_what_would_change_the_network_is_refused_by_name(tmp_path, key, family):
    shape = {"llama": LLAMA, "qwen2": QWEN2, "qwen3": replace(LLAMA, qk_norm=True)}
    raw = shape.get(family, replace(LLAMA, mistral=True)).to_hf()
    (tmp_path / "config.json").write_text(json.dumps(raw))
    LlamaConfig.from_hf(tmp_path)
    edit_config(tmp_path, **{key: REFUSED[key]})
    with pytest.raises(ValueError, match=f"config.json: {key}.* (is|computes|not)") as error:
        LlamaConfig.from_hf(tmp_path)
    assert "\n" not in str(error.value)
    if not key.startswith(("hidden_act", "rope", "partial")):
        off = False if REFUSED[key] is True else 0 if isinstance(REFUSED[key], int | float) else None
        edit_config(tmp_path, **{key: off})
        LlamaConfig.from_hf(tmp_path)  # control: switched off it changes nothing


@pytest.mark.parametrize("key", QWEN_1_ALONE)
def test_keys_of_qwen_1_are_refused_by_name(tmp_path, key):
    folder = as_qwen_1(tmp_path / "base", state(random(QWEN2)), QWEN2)
    edit_config(folder, **{key: QWEN_1_ALONE[key]})
    with pytest.raises(ValueError, match=f"config.json: ({key}|partial_rotary_factor) is"):
        load_llama(folder)


RELATED = {
    "Baichuan-13B": {"model_type": "baichuan", "architectures": ["BaichuanForCausalLM"]},
    "Baichuan of no class": {"model_type": "baichuan", "architectures": ...},
    "a window within the positions": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16},
    "layers with a window": {"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"]},
    "a window of LLaMA": {"sliding_window": 16},
    "another family": {"model_type": "gemma2"},
    "a list of families": {"model_type": ["llama"]},
    "two scalings": {
        "rope_scaling": {"type": "linear", "factor": 2.0},
        "rope_parameters": {"rope_type": "linear", "factor": 4.0},
    },
    "a key of another scaling": {"rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 32}},
    "DeepSeek's factors": {"rope_scaling": {"type": "yarn", "factor": 2.0, "mscale": 1.0}},
    "no factor": {"rope_scaling": {"type": "yarn"}},
    "no transition": {"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}},
}


@pytest.mark.parametrize("name", RELATED)
def test_relatives_that_compute_otherwise_are_refused_by_name(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA.to_hf()))
    edit_config(tmp_path, **RELATED[name])
    words = "architectures|sliding_window|layer_types|model_type|differ|beta_fast|mscale|factor"
    with pytest.raises(ValueError, match=f"config.json: .*({words})") as error:
        LlamaConfig.from_hf(tmp_path)
    assert "\n" not in str(error.value)


HARMLESS = {
    "_name_or_path": "x",
    "architectures": ["AnyForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_flash_llama.LlamaForCausalLM"},
    "initializer_range": 0.02,
    "max_window_layers": 28,
    "pretraining_tp": 2,
    "rope_interleaved": False,
    "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16"}},
    "transformers_version": "4.40.1",
    "unsloth_fixed": True,
    "use_cache": True,
    "use_sliding_window": False,
    "is_llama_config": True,
    "pad_token_id": 0,
}


def test_keys_that_change_nothing_are_read_over(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN2.to_hf() | HARMLESS))
    assert LlamaConfig.from_hf(tmp_path) == QWEN2


def test_llamas_own_file_has_no_key_of_the_switches():
    """Adapters record a fingerprint of it, and other programs read it."""
    assert list(LLAMA.to_hf())[:4] == ["model_type", "hidden_act", "attention_bias", "mlp_bias"]
    assert list(LLAMA.to_hf())[4:] == list(LLAMA.__dataclass_fields__)[:13] + ["architectures"]
