"""Which layers a form of PEFT's config means, and modules that an adapter saves whole, against hand-made models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.weights.test_peft import NANO, PACKED, adapted, edit, make
from zj.lora import adapter_parameters, add_adapter_to, merge_adapter
from zj.lora.adapters import lora_layers
from zj.weights import check_stackable, load_beside, load_llama, load_model, load_peft, save_llama, save_peft
from zj.weights.adapter_config import AdapterKeys

UNTIED = replace(NANO, tie_word_embeddings=False)
LAYERS = [path for path, _ in lora_layers(adapted())]
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def ends(*names: str, blocks: str = "01") -> set[str]:
    return {path for path in LAYERS if path.endswith(tuple(f".{n}" for n in names)) and path.split(".")[2] in blocks}


def layers_of(**keys):
    config = AdapterKeys(EMBEDDING, {"r": 3, "lora_alpha": 6} | keys)  # type: ignore[arg-type]
    return config.layers([f"{path}.weight" for path in (*LAYERS, "model.embed_tokens", "model.norm", "lm_head")])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"target_modules": ["q_proj"]}, ends("q_proj")),
        ({"target_modules": ["self_attn.q_proj", "W_pack"]}, ends("q_proj")),
        ({"target_modules": ["model.layers.1.mlp.up_proj"]}, ends("up_proj", blocks="1")),
        ({"target_modules": r".*\.1\..*_proj"}, {path for path in LAYERS if ".1." in path}),
        ({"target_modules": "All-Linear"}, set(LAYERS)),
        ({"target_modules": ["q_proj"], "layers_to_transform": 0}, ends("q_proj", blocks="0")),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
            ends("q_proj", blocks="1"),
        ),
        ({"target_modules": ["q_proj"], "layers_to_transform": []}, ends("q_proj")),
        ({"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["v_proj"]}, ends("q_proj")),
        ({"target_modules": ["q_proj"], "exclude_modules": r".*\.0\..*"}, ends("q_proj", blocks="1")),
        ({"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["v_proj"]}, ends("q_proj")),
    ],
)
def test_targets_are_matched_as_peft_matches_them(keys, expected):
    assert expected and layers_of(**keys).keys() == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"target_modules": "q_proj"},  # an expression has to match the whole path
        {"target_modules": ["proj"]},  # an end begins after a dot
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "h"},
        {"target_modules": ["q_proj", "lm_head"]},
    ],
)
def test_what_matches_no_layer_or_another_one_is_refused(keys):
    with pytest.raises(ValueError, match=r"target_modules is .*, matches (no layer|lm_head)"):
        layers_of(**keys)


def test_ranks_and_alphas_may_differ_by_layer():
    patterns = {"rank_pattern": {"q_proj": 4, "layers.1.*": 2}, "alpha_pattern": {"0.mlp.up_proj": 9}}
    found = layers_of(target_modules=["q_proj", "up_proj"], **patterns)
    assert [found[path] for path in sorted(found)] == [(3, 3), (4, 1.5), (2, 3), (4, 1.5)]
    assert layers_of(target_modules=["q_proj"], use_rslora=True, rank_pattern={"1.*": 9})[LAYERS[7]] == (9, 2)


def test_uneven_adapters_are_written_and_read_back(tmp_path):
    shapes = {LAYERS[0]: (2, 1.5), LAYERS[9]: (5, 0.5), LAYERS[13]: (5, 2.0)}
    model, loaded = make(), make()
    add_adapter_to(model, "a", shapes, dropout=0.1)
    with torch.no_grad():
        for matrix in adapter_parameters(model, "a").values():
            matrix.copy_(torch.randn(matrix.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    save_peft(model, "a", tmp_path, base="x")
    load_peft(loaded, tmp_path, "a")
    found = {path: layer.scale_of("a") for path, layer in lora_layers(loaded) if layer.scale_of("a") is not None}
    assert found == {path: scale for path, (_, scale) in shapes.items()}
    assert torch.equal(loaded(PACKED, "a"), model(PACKED, "a"))
    assert (model(PACKED, "a") - model(PACKED)).abs().max() > 1e-3  # control
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == list(shapes)


# --- modules that are saved whole


def saving(folder, config, rows: int, *names: str, **keys):
    """An adapter in folder/adapter with random weights `names` of `rows` rows in place of the base's: those weights."""
    save_llama(make(config), folder / "base")
    save_peft(adapted(), "a", folder / "adapter", base=folder / "base")
    file = folder / "adapter" / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(5)
    whole = {name: torch.randn(rows, 32, generator=generator) * 0.1 for name in names}
    save_file(load_file(file) | {f"base_model.model.{name}": weight for name, weight in whole.items()}, file)
    (folder / "adapter" / "SHA256SUMS").unlink()
    edit(folder / "adapter", **keys)
    return whole


@pytest.mark.parametrize("rows", [64, 70])
@pytest.mark.parametrize("config", [NANO, UNTIED], ids=["tied", "untied"])
def test_saved_embedding_and_head_stand_in_place_of_the_bases(tmp_path, config, rows):
    names = ["embed_tokens", "lm_head"]
    whole = saving(tmp_path, config, rows, EMBEDDING, HEAD, modules_to_save=names)
    merged = load_model(tmp_path / "adapter")
    assert torch.equal(merged.model.embed_tokens.weight, whole[EMBEDDING]) and merged.config.vocab_size == rows
    assert torch.equal(merged.lm_head.weight, whole[HEAD]) and not merged.config.tie_word_embeddings
    beside = load_beside(tmp_path / "adapter", "x", torch.float32)
    torch.testing.assert_close(beside.logits(beside(PACKED, "x")), merged.logits(merged(PACKED)), rtol=1e-5, atol=1e-5)
    merge_adapter(beside, "x")
    save_llama(beside, tmp_path / "whole")
    assert torch.equal(load_llama(tmp_path / "whole")(PACKED), beside(PACKED))
    with pytest.raises(
        ValueError, match=r"it replaces .*lm_head.weight.* of its base, .*: merge it first .scripts/export"
    ):
        load_peft(make(config), tmp_path / "adapter", "x")
    with pytest.raises(ValueError, match="merge it first"):
        check_stackable(tmp_path / "adapter")
    check_stackable(tmp_path / "base")  # control


def test_a_tied_head_keeps_the_bases_rows_where_the_embedding_alone_is_saved(tmp_path):
    """As in PEFT; with more rows the two cannot belong together."""
    whole = saving(tmp_path, NANO, 64, EMBEDDING, modules_to_save=["embed_tokens"])
    merged = load_model(tmp_path / "adapter")
    assert torch.equal(merged.model.embed_tokens.weight, whole[EMBEDDING])
    assert torch.equal(merged.lm_head.weight, make().lm_head.weight)
    saving(tmp_path, NANO, 70, EMBEDDING, modules_to_save=["embed_tokens"])
    with pytest.raises(ValueError, match=r"have \[64, 70\] rows, expected as many in both"):
        load_model(tmp_path / "adapter")


def test_resized_embeddings_are_saved_without_being_named(tmp_path):
    whole = saving(tmp_path, UNTIED, 70, EMBEDDING, HEAD)
    merged = load_model(tmp_path / "adapter")
    assert torch.equal(merged.lm_head.weight, whole[HEAD]) and merged.config.vocab_size == 70
    for names in ((EMBEDDING, HEAD), (HEAD,)):
        saving(tmp_path, NANO, 70, *names)
        with pytest.raises(
            ValueError, match="ties lm_head.weight to model.embed_tokens.weight, but the saved two differ"
        ):
            load_model(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("names", "keys", "words"),
    [
        ([EMBEDDING], {"modules_to_save": ["embed_tokens", "lm_head"]}, "base_model.model.lm_head.weight is missing"),
        (["model.extra.weight"], {}, "base_model.model.model.extra.weight belongs to no layer"),
        (["model.layers.0.self_attn.q_proj.weight"], {}, "q_proj.weight belongs to no layer"),
    ],
)
def test_what_is_saved_and_what_is_named_have_to_agree(tmp_path, names, keys, words):
    saving(tmp_path, UNTIED, 64, *names, **keys)
    with pytest.raises(ValueError, match=words):
        load_model(tmp_path / "adapter")
