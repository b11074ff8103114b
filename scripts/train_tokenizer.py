"""Train a SentencePiece tokenizer on the data of all stages to come, and tell how well it spells each file.

python scripts/train_tokenizer.py --data FILE ... --vocab-size 8000 --out DIR

Files of every kind may be mixed: text, dialogues, rankings with all their answers, prompts, an examination. System
texts are not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj.cli import run_command
from zj.data.readers import files_of, read_any, texts_of
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import MODEL, Tokenizer


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories of text, dialogues, rankings, prompts
    out: str = ""  # directory that tokenizer.model is written to
    vocab_size: int = 8000  # number of pieces, including 256 bytes and the special tokens
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read


def main(config: Config) -> None:
    if not config.out:
        raise ValueError("--out: found nothing, expected a directory to write to")
    if (Path(config.out) / MODEL).exists():
        raise ValueError(f"--out {config.out}: found a {MODEL} there, expected a directory without one")
    texts: dict[Path, list[str]] = {}
    for path in files_of(config.data):
        records, report = read_any(path, config.on_bad_row)
        texts[path] = [text for record in records for text in texts_of(record, system=False)]
        print(report)
    tokenizer = train_tokenizer((text for part in texts.values() for text in part), config.out, config.vocab_size)
    for path, part in texts.items():
        print(f"{path}: {spelling(part, tokenizer)}")
    print(f"{config.out}: {len(tokenizer):,} ids")


def spelling(texts: list[str], tokenizer: Tokenizer) -> str:
    encoded = [tokenizer.encode(text) for text in texts]
    tokens, characters = sum(map(len, encoded)), sum(map(len, texts))
    spelled = sum(map(tokenizer.count_bytes, encoded))
    share = f"{spelled / max(1, tokens):.2%} of the tokens are bytes of characters that the tokenizer lacks"
    return f"{characters:,} characters, {characters / max(1, tokens):.2f} a token; {share}"


if __name__ == "__main__":
    run_command(main, Config)
