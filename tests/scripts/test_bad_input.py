"""What users get wrong, for every script: one clear line, status 2, nothing overwritten."""

from __future__ import annotations

import gzip
import json
import os
import shutil

import pytest

from tests.line import make_other, make_reward, unlist
from zj.clinic import question
from zj.data.prompt_formats import save_template
from zj.data.records import as_json

GOOD = {"messages": [{"role": "user", "content": "头痛怎么办？"}, {"role": "assistant", "content": "多休息。"}]}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


FILES = {  # name -> (content, what the line must say)
    "empty.jsonl": (b"", "empty.jsonl"),
    "blank.jsonl": (b"\n\n", "blank.jsonl"),
    "binary.jsonl": (bytes(range(256)) * 4, "binary.jsonl"),
    "latin.jsonl": ('{"text": "déjà vu, très bien"}\n'.encode("latin-1") * 3, "UTF-8"),
    "notjson.jsonl": (b'{"messages": [\n', "notjson.jsonl:"),
    "keys.jsonl": (lines(GOOD, {"foo": 1, "bar": 2}), "keys.jsonl:2"),
    "answer.jsonl": (lines(GOOD, GOOD, {"instruction": "问", "output": ""}), "answer.jsonl:3"),
    "number.jsonl": (lines({"instruction": 5, "output": "答"}), "number.jsonl:1"),
    "list.json": (b"[1, 2, 3]", "list.json:1"),
    "order.jsonl": (lines({"messages": GOOD["messages"][::-1]}), "order.jsonl:1"),
    "cut.jsonl.gz": (gzip.compress(lines(GOOD) * 50)[:40], "cut.jsonl.gz"),
    "none.jsonl": (None, "none.jsonl"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("script", ["train_sft", "train_pretrain", "train_tokenizer", "show_sample", "rank", "judge"])
def test_bad_data_is_named_with_its_line(command, model, tmp_path, script, name):
    content, message = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if script in ("train_pretrain", "train_tokenizer") and name == "order.jsonl":
        pytest.skip("a document may be any text of a conversation")
    if script in ("rank", "judge") and name == "answer.jsonl":
        pytest.skip("an answer behind a prompt is not looked at")
    more = ("--tokenizer", model) if script == "show_sample" else ("--out", tmp_path / "out")
    more += {"rank": ("--model", model), "judge": ("--models", f"it={model}")}.get(script, ())
    done = command(script, "--data", tmp_path / name, *more)
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err and "error:" in done.err


def spoiled(model, tmp_path, how):
    """A copy of the model directory with one thing wrong."""
    folder = tmp_path / "spoiled"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    if how == "no tokenizer":
        (folder / "tokenizer.model").unlink()
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "cut weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "other architecture":
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    elif how == "other shape":
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    elif how == "small embedding":
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    elif how == "config is no JSON":
        (folder / "config.json").write_text("{")
    unlist(folder / "config.json")
    return folder


@pytest.mark.parametrize("script", ["train_sft", "train_pretrain", "chat", "consult", "rank", "judge"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no tokenizer", "tokenizer"),
        ("no weights", "spoiled"),
        ("cut weights", "model.safetensors"),
        ("no config", "config.json"),
        ("other architecture", "model_type"),
        ("other shape", "64"),
        ("small embedding", "100"),
        ("config is no JSON", "config.json"),
    ],
)
def test_a_spoiled_model_is_refused(command, corpus, model, tmp_path, script, how, message):
    folder = spoiled(model, tmp_path, how)
    data = corpus / ("documents.jsonl" if script == "train_pretrain" else "dialogues.jsonl")
    if script in ("rank", "judge"):
        data = tmp_path / "prompts.jsonl"
        data.write_bytes(lines(as_json(question(0, 0).prompt)))
    more = () if script == "chat" else ("--data", data)
    more += () if script in ("chat", "consult") else ("--out", tmp_path / "out")
    done = command(script, *(("--models", f"it={folder}") if script == "judge" else ("--model", folder)), *more)
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err


FLAGS = [
    (("--batch-size", "0"), "--batch-size is 0"),
    (("--epochs", "0"), "--epochs is 0"),
    (("--max-tokens", "1"), "--max-tokens is 1"),
    (("--tokens-per-pack", "0"), "--tokens-per-pack is 0"),
    (("--valid-fraction", "1.5"), "--valid-fraction is 1.5"),
    (("--memory-gb", "-1"), "--memory-gb is -1.0, expected a number from 0"),
    (("--memory-gb", "inf"), "--memory-gb is inf"),
    (("--lora.rank", "-1"), "--lora.rank is -1"),
    (("--lora.dropout", "1"), "--lora.dropout is 1"),
    (("--lora.targets", "w_q"), "w_q"),
    (("--optim.lr", "-1"), "--optim.lr"),
    (("--template", "gpt"), "gpt"),
    (("--size", "huge"), "huge"),
    (("--dtype", "fp8"), "fp8"),
    (("--model", "nowhere"), "nowhere"),
    (("--tokenizer", "nowhere"), "nowhere"),
    (("--vocab-size", "10"), "--vocab-size 10"),
    (("--vocab-size", "900000"), "--vocab-size 900000"),
    (("--optim.lrr", "1"), "did you mean --optim.lr?"),
    (("--seed", "x"), "--seed"),
]


@pytest.mark.parametrize("script", ["train_sft", "train_pretrain"])
@pytest.mark.parametrize(
    ("flags", "message"), FLAGS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_a_wrong_flag_is_named(command, corpus, tmp_path, script, flags, message):
    data = corpus / ("documents.jsonl" if script == "train_pretrain" else "dialogues.jsonl")
    done = command(script, "--data", data, "--out", tmp_path / "out", "--vocab-size", "400", "--size", "nano", *flags)
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert message in done.err


def test_mix_names_its_mistakes(command, corpus, tmp_path):
    for mix, message in (("multi", "--mix multi"), ("multi=7,elsewhere=1", "--mix"), ("multi=0", "--mix multi=0")):
        flags = ("--data", corpus / "dialogues.jsonl", "--out", tmp_path / mix, "--mix", mix, "--vocab-size", "400")
        done = command("train_sft", *flags)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert message in done.err


def test_absurd_lengths_are_counted_not_hidden(command, tmp_path):
    """A dialogue too long for --max-tokens is dropped and counted; if nothing is left, that is the user's to know."""
    long = {"messages": [{"role": "user", "content": "痛" * 5000}, {"role": "assistant", "content": "多休息。" * 2000}]}
    (tmp_path / "long.jsonl").write_bytes(lines(*([long | {"id": str(n)} for n in range(20)])))
    flags = ("--data", tmp_path / "long.jsonl", "--out", tmp_path / "out", "--vocab-size", "270", "--size", "nano")
    done = command("train_sft", *flags, "--max-tokens", "64")
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert "dropped" in done.out and "--max-tokens" in done.err


def test_skipping_bad_rows_counts_them(command, tmp_path):
    answers = [{"role": "assistant", "content": f"休息{n}天。"} for n in range(12)]
    good = [{"messages": [GOOD["messages"][0], answer]} for answer in answers]
    (tmp_path / "mixed.jsonl").write_bytes(lines(*good, {"foo": 1}, {"instruction": "问", "output": ""}))
    flags = ("--data", tmp_path / "mixed.jsonl", "--out", tmp_path / "out", "--vocab-size", "280", "--size", "nano")
    done = command("train_sft", *flags, "--on-bad-row", "skip", "--epochs", "1", "--device", "cpu")
    assert done.status == 0, done.err
    assert "12 dialogues read of 14 rows, 2 rows skipped" in done.out and "mixed.jsonl:13" in done.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_named(command, corpus, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = command("train_sft", "--data", corpus / "dialogues.jsonl", "--out", tmp_path / "locked" / "run")
    assert (done.status, done.err.count("\n")) == (2, 1) and "locked" in done.err


def test_a_path_through_a_file_cannot_be_written(command, corpus, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        done = command("train_sft", "--data", corpus / "dialogues.jsonl", "--out", out)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert str(tmp_path / "file") in done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_what_stands_beside_a_config_toml_that_is_not_this_runs_stays(command, line, tmp_path):
    """Another program's project, and another stage's run that stopped before its first step."""
    for number, first in enumerate(('name = "mine"', "# sft")):
        out = tmp_path / f"{number}"
        (out / "tokenizer").mkdir(parents=True)
        (out / "tokenizer" / "mine").write_text("mine")
        (out / "config.toml").write_text(first + "\n")
        assert f"--out {out}: its config.toml is not that of a dpo run" in preferences(command, line, out, "train_dpo")
        assert (out / "tokenizer" / "mine").exists() and (out / "config.toml").read_text() == first + "\n"


def test_a_finished_run_without_its_metrics_is_finished(command, line, tmp_path):
    flags = ("--model", line.sft, "--data", line.rankings, "--out", tmp_path / "out", "--device", "cpu")
    assert command("train_dpo", *flags).status == 0
    (tmp_path / "out" / "metrics.jsonl").unlink()
    again = command("train_dpo", *flags)
    assert (again.status, "is finished" in again.out) == (0, True) and not (tmp_path / "out" / "metrics.jsonl").exists()


def test_an_adapter_of_another_shape_is_refused(command, corpus, model, tmp_path):
    from safetensors.torch import load_file, save_file

    flags = ("--data", corpus / "dialogues.jsonl", "--device", "cpu", "--epochs", "1")
    assert command("train_sft", *flags, "--model", model, "--lora.rank", "2", "--out", tmp_path / "a").status == 0
    file = tmp_path / "a" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    tensors[name] = tensors[name][:, :-1].contiguous()
    file.unlink()
    save_file(tensors, file)
    done = command("consult", "--model", tmp_path / "a", "--data", corpus / "dialogues.jsonl")
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert name.split(".lora_")[0].split("layers")[1] in done.err


# --- the stages of preferences

PREFERENCES = {
    "train_reward": {"--model": "base", "--data": "rankings"},
    "train_dpo": {"--model": "sft", "--data": "rankings"},
    "train_ppo": {"--model": "sft", "--reward": "reward", "--data": "dialogues"},
}
EACH = [
    (("--model", ""), "--model is missing"),
    (("--model", "nowhere"), "--model nowhere: no such directory"),
    (("--model", "pyproject.toml"), "--model pyproject.toml: no such directory"),
    (("--lora.rank", "0"), "--lora.rank is 0, expected 1 or more"),
    (("--lora.alpha", "0"), "--lora.alpha is 0.0"),
    (("--valid-limit", "0"), "--valid-limit is 0"),
    (("--batch-size", "0"), "--batch-size is 0"),
]
OWN = {
    "train_reward": [(("--calibrate-on", "0"), "--calibrate-on is 0"), (("--template", "gpt"), "--template gpt")],
    "train_dpo": [
        (("--beta", "-0.1"), "--beta is -0.1"),
        (("--beta", "nan"), "--beta is nan"),
        (("--label-smoothing", "0.6"), "--label-smoothing is 0.6, expected 0 to 0.5"),
        (("--sft", "-1"), "--sft is -1.0"),
        (("--lora.dropout", "0.1"), "--lora.dropout is 0.1, expected 0"),
        (("--reference", "frozen"), "--reference"),
    ],
    "train_ppo": [
        (("--reward", ""), "--reward is missing"),
        (("--reward", "nowhere"), "--reward nowhere: no such directory"),
        (("--lora.dropout", "0.1"), "--lora.dropout is 0.1, expected 0"),
        (("--value-optim.lr", "-1"), "--value-optim.lr is -1.0"),
        (("--answers", "0"), "--answers is 0"),
        (("--advantage", "rloo"), "--answers is 1, expected at least 2: --advantage rloo compares the answers"),
        (("--advantage", "grpo", "--answers", "1"), "--answers is 1, expected at least 2: --advantage grpo"),
        (("--slots", "0"), "--slots is 0"),
        (("--beta", "inf"), "--beta is inf"),
        (("--gamma", "1.1"), "--gamma is 1.1"),
        (("--lam", "nan"), "--lam is nan"),
        (("--clip", "0"), "--clip is 0"),
        (("--temperature", "0"), "--temperature is 0"),
        (("--kl-target", "-1"), "--kl-target is -1"),
        (("--kl-horizon", "0"), "--kl-horizon is 0"),
        (("--unfinished", "nan"), "--unfinished is nan"),
        (("--early-stop", "nan"), "--early-stop is nan"),
        (("--minibatches", "0"), "--minibatches is 0"),
        (("--max-new-tokens", "1024"), "--max-new-tokens 1024: expected less than --max-tokens 1024"),
        (("--ptx", "0.1"), "--ptx and --ptx-data: expected both"),
        (("--last-layers", "-1"), "--last-layers is -1"),
    ],
}
WRONG = [(script, *case) for script in PREFERENCES for case in EACH + OWN[script]]


def preferences(command, line, out, script, *more):
    flags = [word for flag, name in PREFERENCES[script].items() for word in (flag, getattr(line, name))]
    done = command(script, *flags, "--out", out, "--device", "cpu", "--valid-fraction", "0.25", *more)
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    return done.err


@pytest.mark.parametrize(("script", "flags", "message"), WRONG, ids=lambda v: " ".join(v) if type(v) is tuple else v)
def test_a_wrong_number_is_named_and_nothing_written(command, line, tmp_path, script, flags, message):
    assert message in preferences(command, line, tmp_path / "out", script, *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", PREFERENCES)
def test_a_model_that_is_not_whole_is_refused_by_name(command, line, tmp_path, script):
    name = PREFERENCES[script]["--model"]
    for missing in ("tokenizer.model", "template.json", "config.json" if name == "base" else "adapter_config.json"):
        folder = shutil.copytree(getattr(line, name), tmp_path / missing)
        (folder / missing).unlink()
        message = preferences(command, line, tmp_path / "out", script, "--model", folder)
        # what is no adapter is taken for a model
        words = {"train_dpo": "no config.json", "train_ppo": "is a model of its own"} if "adapter" in missing else {}
        assert str(folder) in message and words.get(script, missing) in message
    if script != "train_ppo":
        bad = preferences(command, line, tmp_path / "out", script, "--data", line.dialogues)
        assert "dialogues.jsonl:1: found keys query, response, expected a ranking" in bad
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_a_reward_model_of_another_kind_is_refused(command, line, tmp_path):
    """Of other token ids, without a head, no adapter at all, damaged, on another backbone; it says which and stops."""
    other = make_other(tmp_path / "other", line.base)
    on_other = make_reward(tmp_path / "on_other", other)
    damaged = shutil.copytree(line.reward, tmp_path / "damaged")
    (damaged / "reward.json").write_text("{}")
    foreign = shutil.copytree(line.reward, tmp_path / "foreign")
    (foreign / "added_tokens.json").write_text('{"<think>": 320}')
    dialect = shutil.copytree(line.reward, tmp_path / "dialect")
    save_template(dialect, "huatuo")
    cases = {
        line.sft: f"{line.sft}: is an adapter without a score head, expected a reward model",
        line.base: f"{line.base}: no adapter_config.json there",
        damaged: "reward.json: damaged",
        foreign: f"--reward {foreign}: its tokenizer gives other ids than that of --model {line.sft}",
        dialect: f"--reward {dialect}: its template is huatuo, that of --model {line.sft} ziya; expected the same, or",
        on_other: f"--model {line.sft}: is an adapter of {line.base}, but the reward model's base is {other}",
    }
    for reward, words in cases.items():
        assert words in preferences(command, line, tmp_path / "out", "train_ppo", "--reward", reward)
    more = ("--ptx", "0.1", "--ptx-data", line.dialogues, "--max-tokens", "16", "--max-new-tokens", "2")
    assert "--ptx-data: nothing is left" in preferences(command, line, tmp_path / "out", "train_ppo", *more)
    assert "--last-layers is 3" in preferences(command, line, tmp_path / "out", "train_ppo", "--last-layers", "3")
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
