"""--template wherever a model is read, and the prompt format of a model that stores none."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.scripts.conftest import ppo
from tests.scripts.test_judge import write_prompts
from zj.data.template import FILE, encode_prompt, load_template
from zj.data.tokenizer import Tokenizer
from zj.eval import answers

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
    monkeypatch.setattr("builtins.input", lambda *_: (_ for _ in ()).throw(EOFError))
    refused = command(*call)
    assert refused.status == 2 and FILE in refused.err and "--template" in refused.err
    unknown = command(*call, "--template", "alpaca")
    assert unknown.status == 2 and "--template alpaca: unknown, expected one of ziya, huatuo" in unknown.err
    done = command(*call, "--template", "huatuo")
    assert done.status == 0, done.err


def test_the_format_that_is_told_is_the_one_that_prompts(command, bare, line, tmp_path, spied):
    seen = spied(answers, "encode_prompt")
    assert command(*calls(bare, line, tmp_path)["rank"], "--template", "huatuo").status == 0
    ids = [tuple(encode_prompt(arguments[0], Tokenizer.load(bare), "huatuo", arguments[3])) for arguments, _ in seen]
    assert ids and ids == [tuple(found) for _, found in seen]


def test_ppo_stores_the_format_that_is_told(command, line, tmp_path):
    done = command(*ppo(line, tmp_path / "run", "--epochs", 1, "--template", "huatuo", "--max-tokens", 400))
    assert done.status == 0, done.err
    assert load_template(tmp_path / "run") == "huatuo" and load_template(line.sft) == "ziya"
    chat = json.loads((tmp_path / "run" / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    assert "<HuatuoGPT>" in chat
