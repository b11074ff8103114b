"""Texts, ids and names with control characters: files keep them, the terminal does not get them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_console import HOSTILE

ROOT = Path(__file__).resolve().parents[2]
TITLE = "\x1b]0;owned\x07\u202e\x9b2J\u2066"  # sets the title of a window, turns the text around, clears the screen


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A file with a hostile name, and rows with hostile ids, texts and fields."""
    file = tmp_path_factory.mktemp("hostile") / f"{TITLE}.jsonl"
    messages = [{"role": "user", "content": f"头痛{TITLE}三天"}, {"role": "assistant", "content": f"多喝水{HOSTILE}"}]
    rows = [{"id": f"{number}{TITLE}", TITLE: 1, "messages": messages} for number in range(2)]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def test_no_script_passes_them_on(command, hostile, model, tmp_path):
    data, out = ("--data", hostile), tmp_path / f"{TITLE}.out"
    calls = [
        (0, "convert", *data, "--out", "-"),
        (0, "convert", *data, "--out", out),
        (2, "convert", *data, "--out", out),  # it is there
        (0, "show_sample", *data, "--tokenizer", model),
        (0, "consult", *data, "--model", model, "--valid-fraction", "0.99", "--max-new-tokens", "2"),
        (0, "train_tokenizer", *data, "--out", tmp_path / f"{TITLE}.tokenizer", "--vocab-size", "380"),
        (2, "train_sft", *data, "--out", tmp_path / TITLE, "--model", TITLE),
        (2, "judge", "--models", f"a={model}", *data, "--out", tmp_path / "report.json"),
        (2, "chat", "--model", TITLE),
        (2, "convert", f"--{TITLE}"),
    ]
    for status, *call in calls:
        done = command(*call)
        assert done.status == status, (call, done.err)
        assert not set(done.out.replace("\r", "") + done.err.replace("\r", "")) & set(HOSTILE), call
    assert TITLE[-5:] in out.read_text(encoding="utf-8")  # control: in the file it is as it was


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii"])
def test_records_on_stdout_read_back_as_they_were(command, hostile, tmp_path, monkeypatch, encoding):
    raw, file = io.BytesIO(), tmp_path / "file.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
        command("convert", "--data", hostile, "--out", "-")
        screen = raw.getvalue().decode(encoding)
    command("convert", "--data", hostile, "--out", file)
    written = file.read_text(encoding="utf-8")
    assert screen != written  # control
    assert [*map(json.loads, screen.splitlines())] == [*map(json.loads, written.split("\n")[:-1])]


def test_a_script_finds_the_package_of_its_checkout_without_installation(tmp_path):
    def status(*path: str) -> int:
        code = f"import sys; sys.path[:0] = {path!r}; import zj.cli"
        return subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, env={}).returncode

    assert status(str(ROOT / "scripts")) == 0
    assert status() == 1  # control
