"""Print records as the model sees them: every token, those that are trained on in colour (without colour: in [ ]).

python scripts/show_sample.py --data FILE --tokenizer DIR --index 3 --number 2 --ids
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from zj.cli import run_command
from zj.data.readers import read
from zj.data.template import Encoded, encode_all, encode_prompt
from zj.data.tokenizer import Tokenizer

GREEN, GREY, END = "\x1b[32m", "\x1b[90m", "\x1b[0m"


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    tokenizer: str = ""  # directory of a model or a tokenizer, or a .model file
    kind: Literal["dialogue", "document", "prompt"] = "dialogue"  # what the rows are read as
    template: str = "ziya"  # prompt format
    max_tokens: int | None = None  # longest sequence (none: no limit)
    index: int = 0  # first record to show, counted from 0
    number: int = 1  # how many records to show
    ids: bool = False  # also print the id behind each token
    color: Literal["auto", "always", "never"] = "auto"  # auto: on a terminal
    on_bad_row: Literal["stop", "skip"] = "stop"  # what a row that cannot be read does


def main(config: Config) -> None:
    if not config.tokenizer:
        raise ValueError("--tokenizer: found nothing, expected a directory with a tokenizer.model or such a file")
    tokenizer = Tokenizer.load(config.tokenizer)
    records, skipped = read(config.data, config.kind, config.on_bad_row)
    chosen = records[config.index : config.index + config.number] if config.index >= 0 else []
    if not chosen:
        raise ValueError(f"--index {config.index} --number {config.number}: expected some of {len(records)} records")
    color = config.color == "always" or (config.color == "auto" and sys.stdout.isatty())
    for record in chosen:
        for encoded in sequences(record, tokenizer, config):
            print(f"{encoded.where}  id {record.id}: {len(encoded.ids)} tokens, {sum(encoded.counted)} counted")
            print(drawn(encoded, tokenizer, config.ids, color) + "\n")
    if skipped:
        print(f"{len(skipped):,} rows skipped, the first: {skipped[0]}")


def sequences(record, tokenizer: Tokenizer, config: Config) -> list[Encoded]:
    if config.kind == "prompt":
        ids = encode_prompt(record, tokenizer, config.template, config.max_tokens)
        return [Encoded(ids, [False] * len(ids), record.where)]
    encoded, counts = encode_all([record], tokenizer, config.template, config.max_tokens)
    if counts.shortened or not encoded:
        print(f"{record.where}: {counts}")
    return encoded


def drawn(encoded: Encoded, tokenizer: Tokenizer, ids: bool, color: bool) -> str:
    """The tokens as one text; counted runs are green or in brackets."""
    text = ""
    for counted, run_of in groupby(zip(encoded.ids, encoded.counted, strict=True), key=lambda pair: pair[1]):
        tokens = "|".join(token(id, tokenizer, ids) for id, _ in run_of)
        if color:
            text += f"{GREEN if counted else GREY}{tokens}{END}|"
        else:
            text += f"[{tokens}]" if counted else tokens
    return text


def token(id: int, tokenizer: Tokenizer, ids: bool) -> str:
    """One token; a line end is shown and taken."""
    piece = tokenizer.piece(id)
    return piece + (f"·{id}" if ids else "") + ("\n" if piece == "<0x0A>" else "")


if __name__ == "__main__":
    run_command(main, Config)
