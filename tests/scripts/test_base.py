"""--base, wherever an adapter is read: training and merging refuse another base of the same shape, the others warn."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scripts import judge
from tests.line import Line, make_line, make_other, unlist
from tests.scripts.test_judge import write_prompts
from zj.weights import adapter_base, load_model
from zj.weights.checksums import file_digest

SMALL = ("--device", "cpu", "--max-tokens", 60, "--batch-size", 8, "--epochs", 1, "--valid-limit", 2)


@pytest.fixture(scope="module")
def moved(tmp_path_factory) -> tuple[Line, Path, Path]:
    """(a line whose adapters do not find their base, the base elsewhere, another base of the same shape)."""
    folder = tmp_path_factory.mktemp("moved")
    line, base = make_line(folder), folder / "elsewhere"
    shutil.move(line.base, base)
    other = make_other(folder / "other", base)
    for file in (line.rankings, line.dialogues):  # a few rows are enough
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(True)[:6]), encoding="utf-8")
    write_prompts(folder / "prompts.jsonl", 2, held_out=True)
    return line, base, other


def call(script: str, line: Line, out: Path) -> tuple[Any, ...]:
    """A short call of a command that reads an adapter."""
    prompts = line.base.parent / "prompts.jsonl"
    few, short = ("--device", "cpu", "--max-new-tokens", 4), ("--device", "cpu", "--max-new-tokens", 4, "--limit", 1)
    model, rankings = ("--model", line.sft), ("--data", line.rankings, *SMALL, "--out", out)
    return script, *{
        "train_sft": (*model, "--data", line.dialogues, *SMALL, "--out", out),
        "train_pretrain": (*model, "--data", line.dialogues, *SMALL, "--out", out),
        "train_reward": (*model, *rankings),
        "train_dpo": (*model, *rankings),
        "train_ppo": (
            *model,
            "--reward",
            line.reward,
            *SMALL,
            "--max-new-tokens",
            4,
            *("--data", line.dialogues, "--out", out),
        ),
        "export": ("merge", *model, "--out", out),
        "chat": (*model, *few),
        "consult": (*model, "--data", line.dialogues, "--number", 1, *few),
        "rank": (*model, "--data", prompts, "--out", out, *short),
        "judge": ("--models", f"x={line.sft}", "--data", prompts, "--out", out, *short),
    }[script]


@pytest.mark.parametrize("script", ["train_pretrain", "train_sft", "train_reward", "train_dpo", "train_ppo", "export"])
def test_training_and_merging_want_the_very_base(command, moved, tmp_path, script):
    line, base, other = moved
    name, *flags = call(script, line, tmp_path / "out")
    lost = command(name, *flags)
    assert lost.status == 2 and "no directory here: --base says where it is" in lost.err
    wrong = command(name, *flags, "--base", other, *(("--out", tmp_path / "out2") if name != "export" else ()))
    assert wrong.status == 2 and "are others: --base says where its base is" in wrong.err, wrong.err
    assert lost.err.strip().count("\n") == wrong.err.strip().count("\n") == 0
    if script in ("export", "train_sft"):  # the others differ in nothing that follows
        assert (
            command(name, *flags, "--base", base, *(("--out", tmp_path / "out3") if name != "export" else ())).status
            == 0
        )


@pytest.mark.parametrize("script", ["chat", "consult", "rank", "judge"])
def test_the_other_commands_warn_and_go_on(command, moved, tmp_path, monkeypatch, script):
    line, base, other = moved
    monkeypatch.setattr(judge, "best_constant", lambda *arguments, **named: ("您好。", 0.0))  # its search takes seconds
    name, *flags = call(script, line, tmp_path / "out")
    monkeypatch.setattr(sys, "stdin", io.StringIO("/exit\n"))
    lost = command(name, *flags)
    assert lost.status == 2 and "no directory here: --base says where it is" in lost.err, lost.err
    for folder, warned in ((other, True), (base, False)):
        monkeypatch.setattr(sys, "stdin", io.StringIO("/exit\n"))
        adapter_base._warn.cache_clear()
        done = command(*call(script, line, tmp_path / folder.name), "--base", folder)
        assert done.status == 0, done.err
        assert ("WARNING: " in done.err and "are others" in done.err) is warned


def test_a_reward_model_warns_and_its_probe_refuses(command, moved):
    line, base, other = moved
    flags = ("--reward", line.reward, "--data", line.rankings, "--kind", "ranking", "--device", "cpu")
    done = command("score", *flags, "--base", base)
    assert done.status == 0 and "WARNING" not in done.err, done.err
    wrong = command("score", *flags, "--base", other)
    assert wrong.status == 2 and "WARNING: " in wrong.err and "scores its own probe" in wrong.err


def test_an_adapter_of_another_base_than_the_model_in_a_chat_is_warned_about(command, moved, monkeypatch):
    line, base, other = moved
    for folder, warned in ((other, True), (base, False)):
        monkeypatch.setattr(sys, "stdin", io.StringIO("/exit\n"))
        done = command("chat", "--model", folder, "--adapter", line.sft, "--device", "cpu")
        assert done.status == 0 and ("WARNING: " in done.err) is warned, done.err


def test_an_adapter_that_replaces_the_embedding_is_merged_before_another_is_trained_on_it(command, moved, tmp_path):
    line, base, _ = moved
    whole = shutil.copytree(line.sft, tmp_path / "whole")
    (whole / "SHA256SUMS").unlink()
    tensors, model = load_file(whole / "adapter_model.safetensors"), load_model(base)
    rows = model.config.vocab_size + 8  # a larger vocabulary than the base's
    for name in ("model.embed_tokens", "lm_head"):
        torch.manual_seed(len(name))
        tensors[f"base_model.model.{name}.weight"] = torch.randn(rows, model.config.hidden_size)
    save_file(tensors, whole / "adapter_model.safetensors")
    for script in ("train_sft", "train_reward", "train_dpo"):
        name, *flags = call(script, line, tmp_path / script)
        refused = command(name, *flags, "--model", whole, "--base", base)
        assert refused.status == 2 and "merge it first (scripts/export.py merge --model" in refused.err, refused.err
    merged = command("export", "merge", "--model", whole, "--base", base, "--out", tmp_path / "merged")
    assert merged.status == 0, merged.err
    assert load_model(tmp_path / "merged").config.vocab_size == rows
    name, *flags = call("train_sft", line, tmp_path / "sft")
    assert command(name, *flags, "--model", tmp_path / "merged").status == 0  # control


def test_results_vouch_for_every_file_that_is_read_with_them(command, moved, tmp_path):
    """Adapter, reward model and merged model; and a tokenizer that is taken from one of them."""
    line, base, _ = moved
    for name in ("train_sft", "train_reward"):
        script, *flags = call(name, line, tmp_path / name)
        assert command(script, *flags, "--base", base).status == 0
    sft, merged = tmp_path / "train_sft", tmp_path / "merged"
    assert command("export", "merge", "--model", sft, "--base", base, "--out", merged).status == 0
    kinds = {sft: "adapter_", tmp_path / "train_reward": "adapter_", merged: ""}
    for folder, kind in kinds.items():
        rows = (folder / "SHA256SUMS").read_text().splitlines()
        listed = {name: digest for digest, name in (row.split("  ") for row in rows)}
        assert all(file_digest(folder / name) == digest for name, digest in listed.items())
        expected = {f"{kind}model.safetensors", f"{kind}config.json", "tokenizer.model", "template.json"}
        expected |= {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}
        expected |= {"base.json"} if kind else set()
        expected |= {"reward.json"} if "reward" in folder.name else set()
        assert listed.keys() == expected
    with (merged / "template.json").open("a") as file:
        file.write(" ")
    script, *flags = call("train_sft", line, tmp_path / "next")
    for more in (("--model", merged), ("--base", base, "--tokenizer", merged)):
        refused = command(script, *flags, *more)
        assert refused.status == 2 and "template.json: changed since it was written" in refused.err, refused.err
    unlist(merged / "template.json")
    assert command(script, *flags, "--model", merged).status == 0


@pytest.fixture
def stacked(line, tmp_path) -> Path:
    """An adapter on an adapter that stands in place of its base's embedding."""
    lower, top = (shutil.copytree(line.sft, tmp_path / name) for name in ("lower", "top"))
    file, embedding = lower / "adapter_model.safetensors", "model.embed_tokens.weight"
    whole = load_file(line.base / "model.safetensors")[embedding]
    save_file(load_file(file) | {f"base_model.model.{embedding}": whole}, file)
    (lower / "SHA256SUMS").unlink()
    (top / "base.json").unlink()
    (top / "SHA256SUMS").unlink()
    settings = json.loads((top / "adapter_config.json").read_text())
    (top / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": str(lower)}))
    return top


@pytest.mark.parametrize("script", ["train_pretrain", "train_sft", "train_reward", "train_dpo"])
def test_an_adapter_that_could_not_be_written_is_not_trained(command, line, stacked, tmp_path, monkeypatch, script):
    for module in ("zj.stages.setup", "scripts.train_reward", "scripts.train_dpo"):
        monkeypatch.setattr(f"{module}.load_model", lambda *rest, **named: pytest.fail("loaded"))
    data = line.dialogues if script in ("train_pretrain", "train_sft") else line.rankings
    done = command(script, "--model", stacked, "--data", data, *SMALL, "--out", tmp_path / "out")
    assert done.status == 2 and "lower: it replaces model.embed_tokens.weight of its base" in done.err, done.err
    assert done.err.strip().count("\n") == 0
    with pytest.raises(pytest.fail.Exception, match="loaded"):  # control: plain LoRA comes as far as that
        command(script, "--model", line.sft, "--data", data, *SMALL, "--out", tmp_path / "out2")


def test_a_merge_whose_logits_are_not_finite_is_a_line(command, line, tmp_path):
    """Each number of the adapter is finite, and so is each merged weight in fp32."""
    large = shutil.copytree(line.sft, tmp_path / "large")
    file = large / "adapter_model.safetensors"
    save_file({name: tensor * 1e17 for name, tensor in load_file(file).items()}, file)
    (large / "SHA256SUMS").unlink()
    done = command("export", "merge", "--model", large, "--out", tmp_path / "out")
    assert done.status == 2 and done.err.count("\n") == 1 and "are not finite" in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_all_models_are_looked_at_before_the_first_answers(command, line, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "load_chat_model", lambda *rest: pytest.fail("loaded"))
    exam = write_prompts(tmp_path / "exam.jsonl", 2, held_out=True)
    bare = shutil.copytree(line.sft, tmp_path / "bare")
    (bare / "tokenizer.model").unlink()
    flags = ("--data", exam, "--out", tmp_path / "report.json", "--models", f"one={line.sft}")
    done = command("judge", *flags, f"two={bare}")
    assert done.status == 2 and f"--models two: directory {bare} holds no tokenizer.model" in done.err, done.err
    long = command("judge", *flags, "--max-new-tokens", 4000)
    assert long.status == 2 and "--max-new-tokens is 4000, expected 1 to 2047" in long.err, long.err
    unused = command("judge", "--data", exam, "--out", tmp_path / "r.json", "--models", f"b={line.base}", "--base", ".")
    assert unused.status == 2 and "--base .: nothing is read from it" in unused.err, unused.err
