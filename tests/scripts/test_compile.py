"""--compile reaches the model of every stage, and what is learnt with it is the same."""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.scripts.conftest import column, ppo
from zj.plan import apply as fit

FEW = ("--device", "cpu", "--max-tokens", 60, "--batch-size", 8, "--epochs", 3, "--optim.lr", "3e-3")
FEW += ("--valid-fraction", 0.25)


def calls(line, corpus, out):
    """One short run of each stage, from the same backbone."""
    where = {
        "pretrain": ("--model", line.base, "--data", corpus / "documents.jsonl", "--lora.dropout", 0),
        "sft": ("--model", line.base, "--data", line.dialogues, "--lora.dropout", 0),
        "reward": ("--model", line.base, "--data", line.rankings, "--lora.dropout", 0),
        "dpo": ("--model", line.sft, "--data", line.rankings),
    }
    some = {name: (f"train_{name}", *flags, *FEW, "--out", out / name) for name, flags in where.items()}
    return some | {"ppo": ppo(line, out / "ppo")}


STAGES = pytest.mark.parametrize("name", ["pretrain", "sft", "reward", "dpo", "ppo"])


@STAGES
def test_every_stage_compiles_its_model_once_if_it_is_told_to(command, corpus, line, tmp_path, monkeypatch, name):
    compiled = []
    monkeypatch.setattr(fit, "compile_blocks", compiled.append)
    assert command(*calls(line, corpus, tmp_path / "plain")[name]).status == 0 and not compiled
    assert command(*calls(line, corpus, tmp_path / "told")[name], "--compile").status == 0 and len(compiled) == 1


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
@STAGES
def test_losses_are_those_of_plain_blocks(command, corpus, line, tmp_path, name):
    """In fp32, to rounding, while they change; PPO's first step only, after which an answer may be another."""
    torch.compiler.reset()
    found = []
    for kind, flags in (("plain", ()), ("compiled", ("--compile",))):
        done = command(*calls(line, corpus, tmp_path / kind)[name], *flags)
        assert done.status == 0, done.err
        losses = column(tmp_path / kind / name, "loss")
        found.append(torch.tensor(losses[:1] if name == "ppo" else losses, dtype=torch.float64))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)  # AdamW makes more of a gradient near 0
    assert name == "ppo" or (found[0] - found[0][0]).abs().max() > 0.02  # control: what is learnt is seen
