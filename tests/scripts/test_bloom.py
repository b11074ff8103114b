"""The five stages on a tiny Bloom of six heads: each learns, and its result is Bloom's own form."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.line import make_line, write_rows
from tests.parallel.conftest import STAGES, job
from tests.scripts.conftest import column, instead
from zj.model import Bloom, BloomConfig, network
from zj.weights import load_model

OF_BLOCKS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]


def bloom(vocabulary: int):
    model = network(BloomConfig.of(vocabulary, 48, 3, 6))
    model.init_weights(0)
    return model.eval()


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Backbone, adapter, reward model and data on a Bloom."""
    folder = tmp_path_factory.mktemp("bloom")
    made = make_line(folder, bloom)
    rows = [json.loads(row) for row in made.dialogues.read_text(encoding="utf-8").splitlines()]
    write_rows(folder / "documents.jsonl", [{"text": row["query"] + row["response"]} for row in rows])
    return made


def run(line, stage, out, *more):
    """A call of one epoch of a stage."""
    return instead(job(line, stage, out), ("--epochs", 1, *more))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_runs_on_it(command, line, tmp_path, stage):
    more = ("--last-layers", 2, "--tokens-per-pack", 60) if stage == "train_ppo" else ("--optim.lr", "3e-3")
    out = tmp_path / "run"
    done = command(*run(line, stage, out, *more))
    assert done.status == 0, done.err
    losses = column(out, "loss")
    assert len(losses) >= 4 and all(map(torch.isfinite, map(torch.tensor, losses)))
    if stage == "train_pretrain":
        assert losses[-1] < losses[0]
        assert "transformer.h.2.self_attention.query_key_value.bias" in load_file(out / "model.safetensors")
        assert json.loads((out / "config.json").read_text())["model_type"] == "bloom"
        return
    tensors = load_file(out / "adapter_model.safetensors")
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["target_modules"] == OF_BLOCKS
    if stage == "train_ppo":
        before = load_file(line.sft / "adapter_model.safetensors")
        moved = {name.split(".")[4] for name in tensors if not torch.equal(tensors[name], before[name])}
        assert moved == {"1", "2"}  # the last two of three blocks
    if stage == "train_reward":
        assert "base_model.model.score.weight" in tensors
    else:
        assert isinstance(load_model(out), Bloom)


def test_an_adapter_is_merged(command, line, tmp_path):
    assert command("export", "merge", "--model", line.sft, "--out", tmp_path / "merged").status == 0
    assert isinstance(load_model(tmp_path / "merged"), Bloom)


def test_its_layers_are_named_where_a_target_is_none(command, line, tmp_path):
    done = command(*run(line, "train_sft", tmp_path / "run", "--model", line.base, "--lora.targets", "q_proj"))
    assert done.status == 2 and "targets ['q_proj'], expected some of query_key_value, dense" in done.err
    flags = ("--model", line.base, "--lora.targets", "query_key_value")
    assert command(*run(line, "train_sft", tmp_path / "run", *flags)).status == 0
    assert json.loads((tmp_path / "run" / "adapter_config.json").read_text())["target_modules"] == ["query_key_value"]
