"""Delta weights: base + delta is the published model, and a delta never passes for a model nor a model for a delta."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zj.model import LlamaConfig, Packed
from zj.model.llama import Llama
from zj.weights import load_llama
from zj.weights.delta import _Sum, apply_delta
from zj.weights.huggingface import is_delta
from zj.weights.tensors import open_checkpoint

BASE = replace(LlamaConfig.named("nano", vocab_size=40), tie_word_embeddings=False)
TARGET = replace(BASE, vocab_size=52)  # as Ziya: 39424 rows on a base of 32000
OWN = ("model.embed_tokens.weight", "lm_head.weight")


def weights(config: LlamaConfig, seed: int, dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    model = Llama(config)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "norm" in name:
            p.data.uniform_(0.05, 0.6, generator=generator)
    return {name: p.detach().to(dtype) for name, p in model.named_parameters()}


def trained_from(base: dict[str, torch.Tensor], config: LlamaConfig) -> dict[str, torch.Tensor]:
    """A model whose every weight moved a little away from the base's, with an embedding and a head of its own."""
    moved, fresh = weights(config, seed=2), weights(config, seed=3)
    return {name: t if name in OWN else (base[name] + 0.02 * moved[name]).half() for name, t in fresh.items()}


def difference(target: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """How the published ones are made: fp16, embedding and head whole, and the rotary frequencies left in."""
    delta = {name: t if name in OWN else (t.float() - base[name].float()).half() for name, t in target.items()}
    return delta | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.rand(4)}


def write(folder: Path, config: LlamaConfig, tensors: dict[str, torch.Tensor], pickled: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    if pickled:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def published(tmp_path):
    """(directories of base and delta, the weights they stand for)"""
    base = weights(BASE, seed=1)
    target = trained_from(base, TARGET)
    delta = difference(target, base)
    return write(tmp_path / "base", BASE, base), write(tmp_path / "delta", TARGET, delta, pickled=True), target


def test_base_plus_delta_is_the_model(published, tmp_path):
    base, delta, target = published
    apply_delta(base, delta, tmp_path / "out", max_shard_bytes=20_000)
    model, stored = load_llama(tmp_path / "out", torch.float16), open_checkpoint(base)
    assert model.config == TARGET
    for name, p in model.named_parameters():
        if name in OWN:
            continue
        # two roundings to fp16, of the difference when it was published and of the sum now
        wanted, ours = target[name].float(), stored[name][...].float()
        bound = 2**-11 * (wanted.abs() + (wanted - ours).abs()) + 2**-24
        assert ((p.float() - wanted).abs() <= bound).all(), name
    assert all(torch.equal(dict(model.named_parameters())[name], target[name]) for name in OWN)
    assert all(t.dtype == torch.float16 for t in open_checkpoint(tmp_path / "out").values())


def test_the_sum_is_rounded_once_from_fp32(published, tmp_path):
    """Where an fp16 base and an fp16 delta are added in fp32, the exact sum is rounded once."""
    base, delta, _ = published
    apply_delta(base, delta, tmp_path / "out")
    theirs, ours, out = open_checkpoint(delta), open_checkpoint(base), open_checkpoint(tmp_path / "out")
    for name in out.keys() - set(OWN):
        exact = theirs[name][...].double() + ours[name][...].double()  # fp16 + fp16 is exact in fp64
        assert torch.equal(out[name][...], exact.half()), name


def test_the_result_computes_what_the_trained_model_does_and_the_delta_would_not(published, tmp_path):
    base, delta, target = published
    apply_delta(base, delta, tmp_path / "out")
    trained = load_llama(write(tmp_path / "target", TARGET, target))
    packed = Packed.of([list(range(1, 20))])
    wanted, got = (model.logits(model(packed)) for model in (trained, load_llama(tmp_path / "out")))
    assert (wanted - got).norm() < 1e-3 * wanted.norm()  # fp16 roundings of weights
    unmerged = Llama(TARGET)
    unmerged.load_state_dict(
        {k: v.float() for k, v in torch.load(delta / "pytorch_model.bin").items() if "inv" not in k}
    )
    assert (wanted - unmerged.logits(unmerged(packed))).norm() > 0.5 * wanted.norm()  # control: deltas alone babble


@pytest.mark.parametrize("rows", [..., slice(None), slice(3, 9), slice(38, 45), slice(44, 50), slice(1, 50, 7)])
def test_rows_of_a_sum_read_no_others(rows):
    """A rank of a sharded model takes its rows; those of a larger vocabulary are the delta's alone."""
    base, delta = torch.randn(40, 4), torch.randn(52, 4)
    read: list[int] = []

    class Reading(torch.Tensor):
        def __getitem__(self, index):
            found = torch.Tensor.__getitem__(self.as_subclass(torch.Tensor), index)
            read.append(len(found))
            return found

    whole = torch.cat([base, torch.zeros(12, 4)]) + delta
    found = _Sum(base.as_subclass(Reading), delta.as_subclass(Reading))[rows]
    assert torch.equal(found, whole[rows]) and max(read) == len(whole[rows])
    assert torch.equal(whole[:40], base + delta[:40])  # both are as they were


def test_a_delta_is_refused_as_a_model_with_the_command_that_helps(published):
    _, delta, _ = published
    with pytest.raises(ValueError) as error:
        load_llama(delta)
    assert f"python scripts/export.py apply-delta --base DIR --delta {delta} --out DIR" in str(error.value)
    assert "\n" not in str(error.value)


# --- the other kind: embedding and head are differences too


def vicuna(base: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(target, delta of all tensors) of a model with 12 more rows than its base, which were subtracted from zeros."""
    moved, fresh = weights(BASE, seed=2), weights(TARGET, seed=3)
    target = {name: (base[name] + 0.02 * moved[name]).half() for name in base}
    for name in OWN:
        target[name] = torch.cat([target[name], fresh[name][40:]])
    delta = {name: target[name].float() for name in target}
    for name, tensor in delta.items():
        tensor[: len(base[name])] -= base[name].float()
    return target, {name: tensor.half() for name, tensor in delta.items()}


def test_a_delta_of_all_tensors_is_added_in_all(tmp_path):
    base = weights(BASE, seed=1)
    target, delta = vicuna(base)
    ours, theirs = write(tmp_path / "base", BASE, base), write(tmp_path / "delta", TARGET, delta, pickled=True)
    assert apply_delta(ours, theirs, tmp_path / "out", special_ids=(5, 7)) == "embeddings added"
    out = open_checkpoint(tmp_path / "out")
    for name, wanted in target.items():
        assert (out[name][...].float() - wanted.float()).abs().max() < 1e-3, name
    assert (out[OWN[0]][...] - delta[OWN[0]]).abs().max() > 0.01  # control: copied, it would be another embedding
    assert torch.equal(out[OWN[0]][40:], target[OWN[0]][40:])  # the rows that the base lacks
    config = LlamaConfig.from_hf(tmp_path / "out")
    assert (config.vocab_size, config.bos_token_id, config.eos_token_id) == (52, 5, 7)


def test_a_delta_of_whole_embeddings_is_told_from_it(published, tmp_path):
    base, delta, _ = published
    assert apply_delta(base, delta, tmp_path / "out") == "embeddings whole"


@pytest.mark.parametrize("fault", ["neither", "head alone is whole"])
def test_an_undecidable_delta_is_refused(published, tmp_path, fault):
    base, _, target = published
    tensors = difference(target, open_weights(base))
    embedding, head = (tensors[name] for name in OWN)
    tensors |= {OWN[0]: embedding * 0.4} if fault == "neither" else {OWN[0]: embedding * 0.01, OWN[1]: head}
    unclear = write(tmp_path / "unclear", TARGET, tensors)
    with pytest.raises(ValueError, match="cannot tell whether embedding and head are whole or differences"):
        apply_delta(base, unclear, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def open_weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: stored[...] for name, stored in open_checkpoint(folder).items()}


# --- what is a delta: gains of models seen in the wild, and differences of many kinds


def gains(*layers: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"model.layers.{i}.input_layernorm.weight": gain for i, gain in enumerate(layers)}


def spread(mean: float, std: float, width: int = 512) -> torch.Tensor:
    return mean + std * torch.randn(width, generator=torch.Generator().manual_seed(0))


MODELS = {
    "fresh": gains(*[torch.ones(512)] * 4),
    "LLaMA-1": gains(*[spread(mean, mean / 4) for mean in (0.03, 0.06, 0.15, 0.25, 0.3, 0.35, 0.4, 0.5)]),
    "small first layers": gains(*[spread(mean, mean / 2) for mean in (0.005, 0.01, 0.03, 0.06, 0.1)]),
    "some negative gains": gains(*[spread(0.3, 0.3)] * 4),
    "bf16": gains(*[spread(0.3, 0.05).bfloat16()] * 4),
}
DELTAS = {
    "of equal models": gains(*[torch.zeros(512, dtype=torch.float16)] * 4),
    "short training": gains(*[spread(0, 1e-4).half()] * 4),
    "long training": gains(*[spread(0, 0.1)] * 4),  # too large for the size rule, without sign
    "weight decay on the gains": gains(*[spread(-0.05, 0.01)] * 4),
    "one layer was not trained": gains(torch.zeros(512), *[spread(0, 0.03)] * 3),
    "drift one way": gains(*[spread(0.01, 0.002)] * 4),  # with sign, without size
}


@pytest.mark.parametrize("kind", MODELS)
def test_gains_of_models_are_not_taken_for_differences(kind):
    assert not is_delta(MODELS[kind])


@pytest.mark.parametrize("kind", DELTAS)
def test_differences_are_recognised(kind):
    assert is_delta(DELTAS[kind])


def test_a_real_model_is_not_a_delta(shared_data):
    assert not is_delta(open_checkpoint(shared_data / "stories260K"))


# --- what does not belong together


def test_parts_in_the_wrong_place_are_refused(published, tmp_path):
    base, delta, target = published
    whole = write(tmp_path / "whole", TARGET, target)
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="not delta weights but a whole model"):
        apply_delta(base, whole, out)
    with pytest.raises(ValueError, match="these are delta weights"):
        apply_delta(delta, delta, out)
    wider = replace(BASE, intermediate_size=97)
    other = write(tmp_path / "other", wider, weights(wider, seed=1))
    with pytest.raises(ValueError, match=r"mlp.gate_proj.weight: \[97, 32\] in the base, \[96, 32\] in the delta"):
        apply_delta(other, delta, out)
    deeper = replace(TARGET, num_hidden_layers=3)
    deep = write(tmp_path / "deep", deeper, {name: t * 1e-3 for name, t in weights(deeper, seed=1).items()})
    with pytest.raises(ValueError, match=r"layers.2.self_attn.q_proj.weight: absent in the base, \[32, 32\]"):
        apply_delta(base, deep, out)
    against = {name: -t if "norm" in name else t for name, t in weights(BASE, seed=1).items()}
    undone = write(tmp_path / "undone", BASE, {name: (t * 0.999).half() for name, t in against.items()})
    with pytest.raises(ValueError, match="it gives no model"):
        apply_delta(base, undone, out)
    assert not out.exists()


def test_differences_to_a_vocabulary_in_another_order_are_refused(tmp_path):
    """Their rows are as long as those of a whole embedding, which is not refused: the control."""
    base = weights(BASE, seed=1)
    target = trained_from(base, BASE)
    order = torch.randperm(BASE.vocab_size, generator=torch.Generator().manual_seed(0))
    target |= {name: base[name][order] for name in OWN}
    ours = write(tmp_path / "base", BASE, base)
    differences = {name: (target[name].float() - base[name].float()).half() for name in target}
    theirs = write(tmp_path / "delta", BASE, differences)
    with pytest.raises(
        ValueError, match="model.safetensors: rows of model.embed_tokens.weight point away from"
    ) as error:
        apply_delta(ours, theirs, tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    whole = write(tmp_path / "whole", BASE, differences | {name: target[name] for name in OWN})
    assert apply_delta(ours, whole, tmp_path / "out") == "embeddings whole"


def test_fewer_rows_than_the_base_has_name_the_file(tmp_path):
    base = weights(BASE, seed=1)
    delta = {name: t[:30].contiguous() if name in OWN else t for name, t in vicuna(base)[1].items()}
    ours, short = write(tmp_path / "base", BASE, base), write(tmp_path / "short", replace(BASE, vocab_size=30), delta)
    with pytest.raises(ValueError, match=r"short/model.safetensors: model.embed_tokens.weight: \[40, 32\] in the base"):
        apply_delta(ours, short, tmp_path / "out")
