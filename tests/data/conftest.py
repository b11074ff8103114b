"""A tokenizer trained on a few lines, and a way to write files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from zj.data.prompt_formats import TEMPLATES
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import Tokenizer

LINES = [
    "医生，我头疼三天了，体温38.5度，还有点咳嗽，请问应该吃什么药？",
    "您好，头疼伴发热三天，多半是感冒。请问您有没有流鼻涕、嗓子疼？以前对药物过敏吗？",
    "没有过敏，嗓子有点疼。",
    "建议多喝水，体温超过38.5度时服用对乙酰氨基酚，每日不超过四次；三天不退热请到医院就诊。",
    "谢谢医生的解答。",
    "不客气，祝您早日康复！",
    "高血压患者应低盐饮食，按时服药，定期测量血压。",
]


SPECIALS = tuple(dict.fromkeys(mark for style in TEMPLATES.values() for mark in sorted(style.specials - {"<s>"})))


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return train_tokenizer(LINES, tmp_path_factory.mktemp("tokenizer"), 400)


@pytest.fixture(scope="session")
def rich(tmp_path_factory) -> Tokenizer:
    """With the special tokens of all prompt formats."""
    return train_tokenizer(LINES, tmp_path_factory.mktemp("rich"), 420, SPECIALS)


@pytest.fixture(scope="session")
def bpe(tmp_path_factory) -> Tokenizer:
    """tokenizer.json as Qwen's: byte-level BPE, the special tokens of all prompt formats, no BOS."""
    library = pytest.importorskip("tokenizers")
    made = library.Tokenizer(library.models.BPE())
    made.normalizer = library.normalizers.NFC()
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, library.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    made.add_special_tokens(["<|endoftext|>", "<s>", *(mark for mark in SPECIALS if mark != "<think>")])
    made.add_tokens(["<think>"])  # special in meaning, not by name, as Qwen3's is
    file = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    made.save(str(file))
    return Tokenizer.load(file)


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """write(name, content): bytes as they are, text as UTF-8, anything else as JSON on one line."""

    def write(name: str, content) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            path.write_bytes(text.encode())
        return path

    return write


@dataclass(frozen=True)
class Converted:
    status: int
    rows: list[dict]  # what was written to standard output
    told: str  # the report, or the error


@pytest.fixture
def convert(monkeypatch, capsys) -> Callable[..., Converted]:
    """convert(kind, file, flags …): scripts/convert.py in this process, onto standard output."""
    from scripts import convert as script
    from zj.cli import run_command

    def convert(kind: str, *words, out="-") -> Converted:
        flags = ["--kind", kind, "--out", str(out), "--data", *map(str, words)]
        monkeypatch.setattr(sys, "argv", ["convert.py", *flags])
        capsys.readouterr()
        try:
            run_command(script.main, script.Config)
            status = 0
        except SystemExit as stop:
            status = int(str(stop.code or 0))
        said, told = capsys.readouterr()
        return Converted(status, [json.loads(row) for row in said.splitlines()] if out == "-" else [], told or said)

    return convert
