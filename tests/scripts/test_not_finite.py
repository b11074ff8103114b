"""A run whose numbers are not finite publishes nothing, and one without validation says so; no number is made up."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch

from zj.train import Optimizer
from zj.weights import load_model, save_llama

FLAGS = ("--size", "nano", "--vocab-size", 400, "--device", "cpu", "--batch-size", 8, "--optim.lr", "5e-3")
RESULTS = ("config.json", "adapter_config.json", "model.safetensors", "adapter_model.safetensors")


def sft(corpus, out, *more):
    return ("train_sft", "--data", corpus / "dialogues.jsonl", "--out", out, *FLAGS, *more)


@pytest.fixture
def nan_from(monkeypatch):
    """nan_from(step): gradients are NaN from this step on."""

    def call(first: int) -> None:
        def backward(self, loss, real=Optimizer.backward):
            real(self, loss * (math.nan if self.steps >= first else 1))

        monkeypatch.setattr(Optimizer, "backward", backward)

    return call


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("valid", [0.16, 0])
def test_a_run_shorter_than_the_guards_patience_publishes_nothing_after_nan(
    command, corpus, tmp_path, nan_from, first, valid
):
    nan_from(first)
    flags = sft(corpus, tmp_path / "run", "--valid-fraction", valid, "--epochs", 1)  # four steps, the patience is five
    for _ in range(2):  # and the same command does not publish it either
        done = command(*flags)
        assert done.status == 1
        assert not any((tmp_path / "run" / name).exists() for name in RESULTS)


def test_nan_that_is_over_at_the_end_is_skipped_as_before(command, corpus, tmp_path, monkeypatch):
    def backward(self, loss, real=Optimizer.backward):
        real(self, loss * (math.nan if self.steps == 1 else 1))

    monkeypatch.setattr(Optimizer, "backward", backward)
    done = command(*sft(corpus, tmp_path / "run", "--valid-fraction", 0, "--epochs", 1))
    assert done.status == 0 and (tmp_path / "run" / "adapter_config.json").exists(), done.err
    assert "done, no validation; talk to it" in done.out and "inf" not in done.out.split("done,")[1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_stops_the_run(command, corpus, tmp_path, monkeypatch, loss):
    losses = iter((loss, 5.0, loss))
    monkeypatch.setattr("zj.stages.run_state.held_out_losses", lambda *_, **more: (next(losses), {}))
    first = command(*sft(corpus, tmp_path / "a"))
    assert first.status == 2 and f"the validation loss is {loss} at step 0" in first.err
    assert "Traceback" not in first.err
    later = command(*sft(corpus, tmp_path / "b", "--epochs", 1, "--valid-every", 2))
    assert later.status == 1 and not any((tmp_path / "b" / name).exists() for name in RESULTS)


def test_the_first_block_that_overflows_is_named(command, model, corpus, tmp_path):
    """As Qwen's activations do in fp16."""
    net = load_model(model)
    with torch.no_grad():
        for part in ("up_proj", "down_proj"):  # finite in fp16, their products are not
            net.model.layers[1].get_submodule(f"mlp.{part}").weight.mul_(1e5)
    shutil.copytree(model, tmp_path / "base")
    save_llama(net, tmp_path / "base")
    flags = (*sft(corpus, tmp_path / "a"), "--model", tmp_path / "base", "--dtype")
    done = command(*flags, "fp16")
    assert done.status == 2 and "--dtype fp16: fp16 ends at 65504, take bf16; the validation loss is nan" in done.err
    assert "block 1 of 0 to 1 is the first whose output is not finite" in done.err
    assert "not finite" not in command(*flags, "bf16").err  # control


def test_training_beyond_the_positions_is_told_before_the_model_is_loaded(command, model, corpus, tmp_path):
    config = json.loads((model / "config.json").read_text())
    assert config["max_position_embeddings"] == 2048
    more = ("--model", model, "--epochs", 1, "--max-tokens")
    told = command(*sft(corpus, tmp_path / "a", *more, 2049)).out
    assert "--max-tokens 2049 is beyond the model's 2048 positions" in told
    assert told.index("beyond the model's") < told.index("parameters,")
    assert "beyond the model" not in command(*sft(corpus, tmp_path / "b", *more, 2048)).out  # control
