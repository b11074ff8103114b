"""train_tokenizer.py and show_sample.py as a user calls them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.conftest import LINES
from zj.data.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
ROW = {
    "id": "d7",
    "messages": [
        {"role": "user", "content": "头疼</s>"},
        {"role": "assistant", "content": "多喝水。\n早休息。"},
    ],
}


def script(name: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "scripts" / name, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def data(write) -> Path:
    rows = [ROW, {"instruction": "谢谢", "output": "不客气"}]
    return write("rows.jsonl", "\n".join(json.dumps(row) for row in rows))


def test_train_tokenizer(write, tmp_path):
    """On files of all kinds: the ranked answers are known as well as the questions, and it says how well."""
    files = [
        write("a.txt", "\n".join(LINES)),
        write("b.jsonl", {"system": "乾坤", "query": "头疼", "response": "多喝水"}),
        write("c.jsonl", {"prompt": "咳嗽怎么办", "responses": ["煎服枇杷膏", "看呼吸科"], "ranks": [1, 2]}),
        write("d.jsonl", {"prompt": "失眠怎么办"}),
    ]
    talk = files[1]
    done = script("train_tokenizer.py", "--data", *files, "--vocab-size", 420, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    for kind, rows in {"document": len(LINES), "dialogue": 1, "ranking": 1, "prompt": 1}.items():
        assert f"{rows} {kind}" in done.stdout or kind == "prompt"  # a question alone is a document, too
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert len(tokenizer) == 420 and tokenizer.count_bytes(tokenizer.encode("枇杷膏失眠")) == 0
    assert tokenizer.count_bytes(tokenizer.encode("乾坤")) == 6  # control: a system text is not trained on
    told = [row for row in done.stdout.splitlines() if "of the tokens are bytes" in row]
    assert [row.partition(":")[0] for row in told] == list(map(str, files)), told
    assert ["; 0.00% of" in row for row in told] == [False, True, True, True]  # 420 pieces are too few for all of it

    before = (tmp_path / "out/tokenizer.model").read_bytes()
    again = script("train_tokenizer.py", "--data", talk, "--vocab-size", 300, "--out", tmp_path / "out")
    assert again.returncode == 2 and "--out" in again.stderr and again.stderr.count("\n") == 1
    assert (tmp_path / "out/tokenizer.model").read_bytes() == before


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("train_tokenizer.py", ["--out", "OUT"], "--data: found no file"),
        ("train_tokenizer.py", ["--data", "DATA"], "--out: found nothing"),
        ("train_tokenizer.py", ["--data", "DATA", "--out", "OUT", "--vocab-size", "5"], "--vocab-size 5: expected"),
        ("show_sample.py", ["--data", "DATA"], "--tokenizer: found nothing"),
        ("show_sample.py", ["--data", "DATA", "--tokenizer", "OUT"], "no such file or directory: OUT"),
        ("show_sample.py", ["--data", "DATA", "--tokenizer", "TOKENIZER", "--index", "2"], "--index 2 --number 1"),
        ("show_sample.py", ["--data", "DATA", "--tokenizer", "TOKENIZER", "--template", "x"], "--template x: unknown"),
    ],
)
def test_mistakes_are_one_line_and_status_2(name, arguments, message, data, tokenizer, tmp_path):
    places = {"DATA": data, "OUT": tmp_path / "out", "TOKENIZER": tokenizer.file.parent}
    done = script(name, *(places.get(word, word) for word in arguments))
    assert done.returncode == 2 and " counted" not in done.stdout
    assert message.replace("OUT", str(places["OUT"])) in done.stderr and done.stderr.count("\n") == 1
    assert not places["OUT"].exists()


def show(tokenizer, data, *arguments) -> str:
    done = script("show_sample.py", "--data", data, "--tokenizer", tokenizer.file.parent, *arguments)
    assert done.returncode == 0 and done.stderr == ""
    report, end, samples = done.stdout.partition(" repeats kept\n")
    assert end and report.startswith(f"{data}: 2 rows\n")
    return samples


def test_show_sample_brackets_what_is_counted(tokenizer, data):
    shown = show(tokenizer, data)
    assert shown.startswith(f"{data}:1  id d7: ") and "\x1b" not in shown
    counted = shown[shown.index("[") + 1 : shown.index("]")]
    assert counted.endswith("|</s>") and counted.replace("|", "").startswith("▁多喝水。<0x0A>\n早")
    assert shown.count("</s>") == 1  # the one the user typed is characters
    (tokens, number) = map(int, re.search(r"(\d+) tokens, (\d+) counted", shown).groups())
    assert tokens == sum(part != "" for part in re.split(r"[|\[\]\n]+", shown.split("\n", 1)[1]))
    assert number == len(counted.split("|"))


def test_show_sample_colours_ids_and_choice(tokenizer, data):
    shown = show(tokenizer, data, "--color", "always", "--ids", "--index", 1, "--template", "huatuo")
    assert ":2  id " in shown and "\x1b[32m▁不" in shown.replace("\x1b[32m▁|", "\x1b[32m▁") and "</s>·2\x1b[0m" in shown
    both = show(tokenizer, data, "--number", 5)
    assert both.count(" counted") == 2
    assert ", 0 counted" in show(tokenizer, data, "--kind", "prompt")


def test_show_sample_tells_what_is_left_out(tokenizer, data):
    assert "1 dropped" in show(tokenizer, data, "--max-tokens", 8)
