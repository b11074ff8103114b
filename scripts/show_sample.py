"""Print records as tokens; counted (trained) tokens are green, or in [ ] without colour.

python scripts/show_sample.py --data FILE --tokenizer DIR --index 3 --number 2 --ids
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from zj.cli import print_styled, run_command, visible
from zj.data.prompt_formats import first_template
from zj.data.readers import read
from zj.data.sequences import Encoded
from zj.data.template import encode_all, encode_prompt
from zj.data.tokenizer import Tokenizer

GREEN, GREY, END = "\x1b[32m", "\x1b[90m", "\x1b[0m"


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    tokenizer: str = ""  # directory of a model or a tokenizer, or a .model file
    kind: Literal["dialogue", "document", "prompt"] = "dialogue"  # type of record to read rows as
    template: str = ""  # prompt format (none: the one stored beside the tokenizer, else ziya)
    max_tokens: int | None = None  # tokens of the longest sequence (none: no limit)
    index: int = 0  # first record to show, counted from 0
    number: int = 1  # number of records to show
    ids: bool = False  # print the id after each token
    color: Literal["auto", "always", "never"] = "auto"  # auto: on a terminal
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read


def main(config: Config) -> None:
    if not config.tokenizer:
        raise ValueError("--tokenizer: found nothing, expected a directory with a tokenizer.model or such a file")
    tokenizer = Tokenizer.load(config.tokenizer)
    config = replace(config, template=first_template(config.template, [config.tokenizer]))
    records, report = read(config.data, config.kind, config.on_bad_row)
    chosen = records[config.index : config.index + config.number] if config.index >= 0 else []
    if not chosen:
        raise ValueError(f"--index {config.index} --number {config.number}: expected some of {len(records)} records")
    print(report)
    color = config.color == "always" or (config.color == "auto" and sys.stdout.isatty())
    for record in chosen:
        for encoded in sequences(record, tokenizer, config):
            print(f"{encoded.where}  id {record.id}: {len(encoded.ids)} tokens, {sum(encoded.counted)} counted")
            print_styled(render(encoded, tokenizer, config.ids, color) + "\n")


def sequences(record, tokenizer: Tokenizer, config: Config) -> list[Encoded]:
    if config.kind == "prompt":
        ids = encode_prompt(record, tokenizer, config.template, config.max_tokens)
        return [Encoded(ids, [False] * len(ids), record.where)]
    encoded, counts = encode_all([record], tokenizer, config.template, config.max_tokens)
    if counts.shortened or not encoded:
        print(f"{record.where}: {counts}")
    return encoded


def render(encoded: Encoded, tokenizer: Tokenizer, ids: bool, color: bool) -> str:
    """The tokens as text; runs of counted tokens are green or in brackets."""
    text = ""
    for counted, run in groupby(zip(encoded.ids, encoded.counted, strict=True), key=lambda pair: pair[1]):
        tokens = "|".join(render_token(id, tokenizer, ids) for id, _ in run)
        if color:
            text += f"{GREEN if counted else GREY}{tokens}{END}|"
        else:
            text += f"[{tokens}]" if counted else tokens
    return text


def render_token(id: int, tokenizer: Tokenizer, ids: bool) -> str:
    """One token; a newline token also breaks the line."""
    piece = visible(tokenizer.piece(id))
    return piece + (f"·{id}" if ids else "") + ("\n" if piece == "<0x0A>" else "")


if __name__ == "__main__":
    run_command(main, Config)
