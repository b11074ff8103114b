"""The forms in which models are published, tiny and random: each becomes the right model, or is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.data.conftest import LINES
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.model import Llama, LlamaConfig, Packed
from zj.weights import load_llama

Tensors = dict[str, torch.Tensor]
UNTIED = replace(LlamaConfig.named("nano", vocab_size=390), tie_word_embeddings=False)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
PACKED = Packed.of([[1, 5, 9, 300, 2], [1, 7]])


def weights(config: LlamaConfig = UNTIED, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensors:
    model = Llama(config)
    model.init_weights(seed)
    return {name: p.detach().to(dtype) for name, p in model.named_parameters()}


def near(base: Tensors) -> Tensors:
    """A model that was trained a little from the base."""
    return {name: base[name] + 0.01 * tensor for name, tensor in weights(seed=2).items()}


def write(folder: Path, tensors: Tensors, config: LlamaConfig = UNTIED, form: str = "safetensors") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    train_tokenizer(LINES, folder, 390)
    names = list(tensors)
    if form == "sharded bin":
        for part in (0, 1):
            torch.save({name: tensors[name] for name in names[part::2]}, folder / f"part-{part}.bin")
        index = {"weight_map": {name: f"part-{place % 2}.bin" for place, name in enumerate(names)}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    elif form == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors")
    return folder


def rotary(tensors: Tensors) -> Tensors:
    return tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.rand(4)}


def added(folder: Path, tokens: dict[str, int]) -> Path:
    (folder / "added_tokens.json").write_text(json.dumps(tokens))
    return folder


def spoiled() -> Tensors:
    tensors = weights(dtype=torch.float16)
    tensors["model.layers.1.mlp.up_proj.weight"][2, 3] = float("nan")
    return tensors


def padded() -> tuple[Tensors, LlamaConfig]:
    """64 rows more than the tokenizer has ids."""
    config = replace(UNTIED, vocab_size=454)
    return weights(config), config


TIED = replace(UNTIED, tie_word_embeddings=True)
RIGHT: dict[str, tuple[Callable[[Path], Path], Callable[[], tuple[Tensors, LlamaConfig]]]] = {
    "sharded .bin with rotary frequencies": (
        lambda f: write(f, rotary(weights()), form="sharded bin"),
        lambda: (weights(), UNTIED),
    ),
    "fp16 .bin": (
        lambda f: write(f, weights(dtype=torch.float16), form="bin"),
        lambda: (weights(dtype=torch.float16), UNTIED),
    ),
    "tied": (lambda f: write(f, weights(TIED), TIED), lambda: (weights(TIED), TIED)),
    "tied, the head stored too": (
        lambda f: write(f, weights(TIED) | {HEAD: weights(TIED)[EMBEDDING].clone()}, TIED),
        lambda: (weights(TIED), TIED),
    ),
    "padded vocabulary": (lambda f: write(f, *padded()), padded),
    "a pad token one past the embedding": (
        lambda f: added(write(f, weights()), {"<pad>": 390}),
        lambda: (weights(), UNTIED),
    ),
}


def export(command, source: Path, out: Path):
    return command("export", "merge", "--model", source, "--out", out, "--template", "ziya")


def check(out: Path, tensors: Tensors, config: LlamaConfig) -> None:
    """The written model computes what a model of these weights does."""
    expected = Llama(config)
    expected.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=not config.tie_word_embeddings)
    found = load_llama(out)
    wanted, got = (model.eval().logits(model.eval()(PACKED)) for model in (expected, found))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(got, wanted.roll(1, 0), atol=1e-2)  # control


@torch.no_grad()
@pytest.mark.parametrize("form", RIGHT)
def test_a_published_form_becomes_its_model(command, tmp_path, form):
    make, expected = RIGHT[form]
    done = export(command, make(tmp_path / "published"), tmp_path / "out")
    assert done.status == 0, done.err
    check(tmp_path / "out", *expected())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["embeddings whole", "embeddings added"])
def test_deltas_of_both_kinds_become_their_model(command, tmp_path, kind):
    base = weights()
    target = near(base)
    if kind == "embeddings whole":
        target |= {name: weights(seed=5)[name] for name in (EMBEDDING, HEAD)}
    whole = (EMBEDDING, HEAD) if kind == "embeddings whole" else ()
    delta = {name: tensor if name in whole else tensor - base[name] for name, tensor in target.items()}
    folders = ("--base", write(tmp_path / "base", base), "--delta", write(tmp_path / "delta", delta, form="bin"))
    done = command("export", "apply-delta", *folders, "--out", tmp_path / "out", "--template", "ziya")
    assert done.status == 0 and f"({kind})" in done.out, done.err
    check(tmp_path / "out", target, UNTIED)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "NaN": (lambda f: write(f, spoiled(), form="bin"), "mlp.up_proj.weight holds numbers that are not finite"),
    "one id too many": (lambda f: added(write(f, weights()), {"<think>": 390}), "391 ids, the model's embedding 390"),
    "a pad token and one more": (lambda f: added(write(f, weights()), {"<pad>": 390, "<x>": 391}), "has 392 ids"),
    "tied, but another head is stored": (
        lambda f: write(f, weights(TIED) | {HEAD: weights(UNTIED, 7)[HEAD]}, TIED),
        "the stored two differ",
    ),
    "a delta": (
        lambda f: write(f, {name: t * 1e-3 for name, t in weights().items()}),
        "these are delta weights",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_form_that_is_not_a_whole_model_is_refused_in_a_line(command, tmp_path, form):
    make, words = REFUSED[form]
    done = export(command, make(tmp_path / "published"), tmp_path / "out")
    assert (done.status, done.err.count("\n")) == (2, 1) and words in done.err, done.err
    assert not (tmp_path / "out").exists()
