"""A message names the flag that is wrong and what to do."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import sys

import pytest
import torch

from tests.line import unlist
from zj.stages.config import StageConfig
from zj.stages.next_command import next_command
from zj.train import Optim, start

STAGES = ("train_pretrain", "train_sft", "train_reward", "train_dpo", "train_ppo")
FLAGS = {  # script -> the flags beside the directory that is named
    "rank": ("--data", "x", "--out", "{out}"),
    "consult": ("--data", "x"),
    "judge": ("--data", "x", "--out", "{out}"),
    "score": ("--data", "x"),
    "train_ppo": ("--reward", "{model}", "--data", "x", "--out", "{out}"),
}


def call(command, script, flag, folder, model, out):
    words = FLAGS.get(script, ("--data", "x", "--out", "{out}") if script in STAGES else ())
    named = f"it={folder}" if script == "judge" else folder
    return command(*script.split(), flag, named, *(word.format(model=model, out=out) for word in words))


@pytest.mark.parametrize(
    ("script", "flag"),
    [
        *((script, "--model") for script in (*STAGES, "chat", "consult", "rank", "plan", "export merge")),
        ("judge", "--models"),
        ("score", "--reward"),
    ],
)
def test_a_model_that_is_absent_or_unfinished_is_named_by_its_own_flag(command, model, tmp_path, script, flag):
    nowhere, run, out = tmp_path / "nowhere", tmp_path / "run", tmp_path / "out"
    done = call(command, script, flag, nowhere, model, out)
    assert (done.status, done.err.count("\n")) == (2, 1) and f"{flag} " in done.err, done.err
    assert str(nowhere) in done.err and "no " in done.err and "tokenizer" not in done.err
    (run / "best").mkdir(parents=True)
    (run / "config.toml").write_text("# sft\n")
    done = call(command, script, flag, run, model, out)
    assert (done.status, done.err.count("\n")) == (2, 1) and f"{flag} " in done.err, done.err
    assert f"an unfinished run; go on with it by the command that began it, or take {run / 'best'}" in done.err
    assert not out.exists()
    (run / "config.toml").unlink()  # control: a directory of something else
    assert "unfinished" not in call(command, script, flag, run, model, out).err


@pytest.mark.parametrize("script", [*STAGES[:4]])
def test_a_tokenizer_that_is_absent_is_named_by_its_own_flag(command, model, tmp_path, script):
    done = command(script, "--model", model, "--tokenizer", tmp_path / "nix", "--data", "x", "--out", tmp_path / "out")
    assert done.status == 2 and f"--tokenizer {tmp_path / 'nix'}: no such file or directory\n" in done.err


def test_fp16_on_a_cpu_is_said_to_be_slow(capsys):
    for dtype in ("fp32", "bf16"):
        start("cpu", dtype)
    assert capsys.readouterr().err == ""  # control
    start("cpu", "fp16")
    assert capsys.readouterr().err.startswith("--dtype fp16: a CPU is several times slower")


@pytest.mark.parametrize(
    "changed",
    [
        *({name: value} for name in ("beta1", "beta2") for value in (1.0, -0.1, float("nan"))),
        *({name: value} for name in ("eps", "weight_decay") for value in (-1.0, float("inf"), float("nan"))),
        {"eps": 0.0},
        {"warmup": 1.1},
        {"lr": float("nan")},
        {"clip": 0.0},
    ],
    ids=json.dumps,
)
def test_an_optimizer_that_cannot_work_is_refused(changed):
    ((name, value),) = changed.items()
    with pytest.raises(ValueError, match=f"^{name.replace('_', '-')} is {value}, expected "):
        Optim(**changed)
    Optim(beta1=0.0, beta2=0.999, eps=1e-12, weight_decay=0.1, warmup=1.0, clip=float("inf"))  # control


def test_a_run_on_one_rank_shards_nothing_and_says_so(command, line, tmp_path):
    flags = ("--model", line.base, "--data", line.dialogues, "--out", tmp_path / "run", *SHORT)
    done = command("train_sft", *flags, "--shard", "zero2")
    assert done.status == 0 and "--shard zero2: with one rank there is nothing to shard" in done.out, done.err
    assert 'shard = "none"' in (tmp_path / "run" / "config.toml").read_text()
    assert not torch.distributed.is_initialized()


SHORT = ("--device", "cpu", "--dtype", "bf16", "--epochs", 1, "--batch-size", 32, "--valid-fraction", 0.25)


def last_command(done) -> list[str]:
    """The words of the command that a run's last line advises."""
    assert done.status == 0, done.err
    script, *words = shlex.split(done.out.splitlines()[-1].partition("python scripts/")[2])
    assert words.count("--dtype") == words.count("--device") == 1
    return [script.removesuffix(".py"), *words]


def test_what_pretraining_advises_works_when_it_is_pasted(command, corpus, tmp_path):
    flags = ("--out", tmp_path / "my run", *SHORT, "--size", "nano", "--vocab-size", 400, "--lora.rank", 0)
    words = last_command(command("train_pretrain", "--data", corpus / "documents.jsonl", *flags))
    assert words[words.index("--data") + 1] == "FILE"  # the user's dialogues
    words[words.index("FILE")] = str(corpus / "dialogues.jsonl")
    assert command(*words).status == 0 and (tmp_path / "my run-sft" / "adapter_config.json").is_file()


def test_what_a_reward_model_advises_works_when_it_is_pasted(command, line, tmp_path):
    flags = ("--model", line.base, "--data", line.rankings, "--out", tmp_path / "my run", *SHORT)
    done = command(*last_command(command("train_reward", *flags)))
    assert done.status == 0 and "were held out by" in done.out and "accuracy: " in done.out


@pytest.mark.parametrize("script", ["train_sft", "train_dpo"])
def test_what_advises_to_talk_works_where_the_base_was_given(command, line, tmp_path, monkeypatch, script):
    moved = shutil.copytree(line.sft, tmp_path / "moved")
    settings = json.loads((moved / "adapter_config.json").read_text())
    unlist(moved / "adapter_config.json")
    (moved / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": "/absent"}))
    data = line.dialogues if script == "train_sft" else line.rankings
    flags = ("--model", moved, "--base", line.base, "--data", data, "--out", tmp_path / "my run", *SHORT)
    words = last_command(command(script, *flags))
    monkeypatch.setattr(sys, "stdin", io.StringIO("我头痛\n"))
    done = command(*words, "--max-new-tokens", 2)
    assert done.status == 0 and done.out.endswith("\n\n"), done.err
    assert command("chat", "--model", moved).status == 2  # control: of this one the base is not found


def test_a_stage_takes_the_recipe_beside_that_of_the_run(tmp_path, monkeypatch):
    for name in ("pretrain", "sft"):
        (tmp_path / f"{name}.toml").write_text("")
    config = StageConfig(out=str(tmp_path))
    for recipe, words in ((tmp_path / "pretrain.toml", f" --config {tmp_path}/sft.toml"), ("other/pretrain.toml", "")):
        monkeypatch.setattr(sys, "argv", ["here/train_pretrain.py", "--config", str(recipe)])
        assert next_command("train_sft", config, model="a b") == f"python here/train_sft.py{words} --model 'a b'"
        assert next_command("chat", config, model="a") == "python here/chat.py --model a"
