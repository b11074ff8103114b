"""--lora.train-embeddings: embedding and head are trained whole beside the adapter, saved with it, and planned."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.scripts.conftest import column
from zj.cli import parse
from zj.lora import add_adapter, train_embeddings
from zj.model import BloomConfig, Llama, LlamaConfig, network
from zj.plan.job import Job, build
from zj.plan.memory import state_bytes
from zj.weights import load_model, save_llama


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, model, tmp_path):
    """A nano model with its tokenizer."""
    shutil.copytree(model, tmp_path / "base")
    if not request.param:
        shape = LlamaConfig.from_hf(model).to_hf() | {"tie_word_embeddings": False}
        (tmp_path / "shape.json").write_text(json.dumps(shape))
        net = Llama(LlamaConfig.from_hf(tmp_path / "shape.json"))
        net.init_weights(1)
        save_llama(net, tmp_path / "base")
    return tmp_path / "base"


def sft(base, corpus, out, *more):
    flags = ("--device", "cpu", "--batch-size", 8, "--max-steps", 6, "--optim.lr", "1e-2", "--valid-fraction", 0.2)
    return ("train_sft", "--model", base, "--data", corpus / "dialogues.jsonl", "--out", out, *flags, *more)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_they_are_trained_saved_and_read_again(command, corpus, base, tmp_path, dtype):
    done = command(*sft(base, corpus, tmp_path / "run", "--lora.train-embeddings", "--dtype", dtype))
    assert done.status == 0, done.err
    config = json.loads((tmp_path / "run/adapter_config.json").read_text())
    assert config["modules_to_save"] == ["embed_tokens", "lm_head"]
    stored = load_file(tmp_path / "run/adapter_model.safetensors")
    before, after = load_model(base), load_model(tmp_path / "run")
    for old, new, name in (
        (before.model.embed_tokens.weight, after.model.embed_tokens.weight, "model.embed_tokens"),
        (before.lm_head.weight, after.lm_head.weight, "lm_head"),
    ):
        assert not torch.equal(old, new) and torch.equal(stored[f"base_model.model.{name}.weight"].float(), new)
    if dtype == "fp32":  # the merged model has the loss that was logged
        found = command("evaluate", "loss", "--model", tmp_path / "run", "--data", corpus / "dialogues.jsonl",
                        "--held-out-of", tmp_path / "run", "--out", tmp_path / "loss.json")  # fmt: skip
        assert found.status == 0, found.err
        loss = json.loads((tmp_path / "loss.json").read_text(encoding="utf-8"))["losses"]["all"]
        assert loss == pytest.approx(min(column(tmp_path / "run", "valid_loss")), rel=1e-5)
    plain = command(*sft(base, corpus, tmp_path / "plain", "--dtype", dtype))  # control
    plain_keys = load_file(tmp_path / "plain/adapter_model.safetensors")
    assert plain.status == 0 and not any("embed" in key for key in plain_keys)


def test_other_stages_and_full_training_refuse_them(command, line, tmp_path, corpus):
    for script, data in (("train_reward", line.rankings), ("train_dpo", line.rankings)):
        done = command(script, "--model", line.base, "--data", data, "--out", tmp_path / "x", "--lora.train-embeddings")
        assert done.status == 2 and "--lora.train-embeddings: the adapters of this stage share one base" in done.err
    done = command("train_sft", "--data", corpus, "--out", tmp_path / "x", "--lora.rank", 0, "--lora.train-embeddings")
    assert done.status == 2 and "--lora.train-embeddings: without an adapter" in done.err


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "shard"), [("fp32", "none"), ("bf16", "none"), ("bf16", "zero3")])
def test_the_plan_counts_them(tied, dtype, shard):
    from scripts.train_sft import Config

    shape = LlamaConfig(96, 32, 64, 2, 4, 2, tie_word_embeddings=tied)
    jobs = [Job("sft", parse(Config, ["--lora.rank=4", f"--dtype={dtype}", *more]), shape, 1, shard)
            for more in ([], ["--lora.train-embeddings"])]  # fmt: skip
    plain, trained = (state_bytes(job, build(job)[1]) for job in jobs)
    numbers = (1 if tied else 2) * 96 * 32
    wide = dtype == "fp32" or shard == "zero3"  # sharded ones are kept in fp32
    assert trained[0] - plain[0] == (2 * numbers if wide and dtype != "fp32" else 0)
    assert trained[1] - plain[1] == (4 if wide else 6) * numbers
    assert trained[2] - plain[2] == (8 if wide else 12) * numbers


def test_a_tied_head_stays_tied():
    model = Llama(LlamaConfig.named("nano"))
    model.init_weights(0)
    add_adapter(model, "policy", 2, 4)
    train_embeddings(model)
    assert model.lm_head.weight is model.model.embed_tokens.weight and model.lm_head.weight.requires_grad
    trained = {name for name, p in model.named_parameters() if p.requires_grad and ".lora_" not in name}
    assert trained == {"model.embed_tokens.weight"}


def test_a_bloom_is_refused():
    config = BloomConfig(96, 32, 128, 2, 4, 4)
    with pytest.raises(ValueError, match="--lora.train-embeddings: only of LLaMA and its relatives, found a Bloom"):
        train_embeddings(network(config))
