"""Train a SentencePiece tokenizer on text, dialogues, or questions and answers.

python scripts/train_tokenizer.py --data FILE ... --vocab-size 8000 --out DIR
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj.cli import run_command
from zj.data.readers import read
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import MODEL


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories of text or dialogues
    out: str = ""  # directory that tokenizer.model is written to
    vocab_size: int = 8000  # number of pieces, including 256 bytes and the special tokens
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read


def main(config: Config) -> None:
    if not config.out:
        raise ValueError("--out: found nothing, expected a directory to write to")
    if (Path(config.out) / MODEL).exists():
        raise ValueError(f"--out {config.out}: found a {MODEL} there, expected a directory without one")
    documents, report = read(config.data, "document", config.on_bad_row)
    tokenizer = train_tokenizer((document.text for document in documents), config.out, config.vocab_size)
    characters = sum(len(document.text) for document in documents)
    tokens = sum(len(tokenizer.encode(document.text)) for document in documents)
    print(report)
    print(f"{config.out}: {len(tokenizer):,} ids, {characters / tokens:.2f} characters per token on this text")


if __name__ == "__main__":
    run_command(main, Config)
