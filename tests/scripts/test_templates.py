"""--template wherever a model is read, and the prompt format of a model that stores none."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pytest

import zj.data.prompt_formats
from scripts.train_sft import Config
from tests.scripts.conftest import ppo
from tests.scripts.test_judge import write_prompts
from zj.cli import parse
from zj.data.prompt_formats import FILE, load_template, save_template
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.llm import answers
from zj.stages.config import with_template

SHORT = ("--device", "cpu", "--max-new-tokens", 2)


@pytest.fixture
def bare(model, tmp_path):
    """A model without a stored format."""
    folder = shutil.copytree(model, tmp_path / "bare")
    (folder / FILE).unlink()
    return folder


def calls(bare, line, tmp_path):
    exam = write_prompts(tmp_path / "exam.jsonl", 3, held_out=True)
    reward = shutil.copytree(line.reward, tmp_path / "reward")
    (reward / FILE).unlink()
    return {
        "rank": ("rank", "--model", bare, "--data", exam, "--out", tmp_path / "r.jsonl", *SHORT),
        "judge": ("judge", "--models", f"it={bare}", "--data", exam, "--out", tmp_path / "r.json", *SHORT),
        "consult": ("consult", "--model", bare, "--data", line.dialogues, "--number", 1, *SHORT),
        "score": ("score", "--reward", reward, "--data", line.dialogues, "--device", "cpu"),
        "chat": ("chat", "--model", bare, *SHORT),
    }


@pytest.mark.parametrize("script", ["rank", "judge", "consult", "score", "chat"])
def test_a_format_may_be_told(command, bare, line, tmp_path, monkeypatch, script):
    call = calls(bare, line, tmp_path)[script]
    monkeypatch.setattr("scripts.judge.PRACTICE", 4)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    refused = command(*call)
    assert refused.status == 2 and FILE in refused.err and "--template" in refused.err
    unknown = command(*call, "--template", "klingon")
    assert unknown.status == 2 and "--template klingon: unknown, expected one of ziya, huatuo" in unknown.err
    done = command(*call, "--template", "huatuo")
    assert done.status == 0, done.err


def test_the_format_that_is_told_is_the_one_that_prompts(command, bare, line, tmp_path, spied):
    seen = spied(answers, "encode_prompt")
    assert command(*calls(bare, line, tmp_path)["rank"], "--template", "huatuo").status == 0
    ids = [tuple(encode_prompt(arguments[0], Tokenizer.load(bare), "huatuo", *arguments[3:])) for arguments, _ in seen]
    assert ids and ids == [tuple(found) for _, found in seen]


def test_ppo_stores_the_format_that_is_told(command, line, tmp_path):
    done = command(*ppo(line, tmp_path / "run", "--epochs", 1, "--template", "huatuo", "--max-tokens", 400))
    assert done.status == 0, done.err
    assert load_template(tmp_path / "run") == "huatuo" and load_template(line.sft) == "ziya"
    chat = json.loads((tmp_path / "run" / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    assert "<HuatuoGPT>" in chat


@pytest.fixture
def huatuo(line, tmp_path):
    """The fine-tuned adapter of the line, which stores another format than the default."""
    folder = shutil.copytree(line.sft, tmp_path / "huatuo")
    save_template(folder, "huatuo")
    return folder


def test_training_goes_on_in_the_format_of_its_model(command, line, huatuo, tmp_path):
    few = ("--device", "cpu", "--max-tokens", 400, "--batch-size", 32, "--epochs", 1, "--valid-fraction", 0)
    flags = ("--data", line.dialogues, *few)
    done = command("train_sft", "--model", huatuo, "--out", tmp_path / "run", *flags)
    assert done.status == 0 and "was trained with" not in done.err, done.err
    assert load_template(tmp_path / "run") == "huatuo"
    assert 'template = "huatuo"' in (tmp_path / "run" / "config.toml").read_text(encoding="utf-8")


def test_the_default_format_is_the_models_of_its_base_or_ziya(line, huatuo, tmp_path, capsys):
    def chosen(*flags):
        return with_template(parse(Config, list(map(str, flags)))).template

    assert chosen() == chosen("--model", line.sft) == chosen("--model", tmp_path / "nowhere") == "ziya"
    assert chosen("--model", huatuo) == "huatuo"
    (huatuo / FILE).unlink()
    assert chosen("--model", huatuo) == "ziya"  # of the base of the adapter
    assert capsys.readouterr().err == ""
    zj.data.prompt_formats._warn.cache_clear()  # each is told once
    assert chosen("--model", line.sft, "--template", "huatuo") == "huatuo"
    told = capsys.readouterr().err
    assert told == f"warning: --template huatuo: {line.sft} was trained with the format ziya\n"


def test_what_is_written_is_never_relabelled(command, line, tmp_path):
    done = command("export", "merge", "--model", line.sft, "--out", tmp_path / "out", "--template", "huatuo")
    assert done.status == 2 and done.err.count("\n") == 1 and not (tmp_path / "out").exists()
    assert f"--template huatuo: {line.sft} was trained with ziya, as its template.json says" in done.err
    assert command("export", "merge", "--model", line.sft, "--out", tmp_path / "out", "--template", "ziya").status == 0
