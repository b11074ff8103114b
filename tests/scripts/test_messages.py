"""A message names the flag that is wrong and what to do."""

from __future__ import annotations

import json

import pytest

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
