"""Dialogue → token ids, and which of them are trained on. Prompt formats are defined here only.

User text, template marks and answers are tokenized separately and their ids concatenated. So the prompt at inference is
a prefix of the training ids, turn by turn, and the answer and EOS follow it as in training.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import add
from pathlib import Path

from zj.data.records import Dialogue, Document, Prompt
from zj.data.tokenizer import Tokenizer

FILE = "template.json"
DEFAULT = "ziya"  # of fine-tuning where no model stores a format


@dataclass(frozen=True)
class Template:
    """BOS, the system text, then turn after turn: `ask`, the answer, EOS."""

    ask: tuple[str, ...]  # parts of a turn before its answer; "{user}" is the user's message
    specials: frozenset[str] = frozenset()  # parts of `ask` that are one special token; the others are text
    between: str = ""  # before every turn but the first
    system: str = ""  # for records without a system text
    after_system: str = ""


TEMPLATES = {
    # Ziya-LLaMA and Zhongjing: <human>:问\n<bot>:答</s>\n<human>:问\n<bot>:答</s>
    "ziya": Template(
        ask=("<human>", ":{user}\n", "<bot>", ":"),
        specials=frozenset({"<human>", "<bot>"}),
        between="\n",
        after_system="\n",
    ),
    # HuatuoGPT: roles are plain text, so a user can imitate them. The published training code puts a space before EOS,
    # its inference code none; here both have none.
    "huatuo": Template(
        ask=("<病人>：{user} <HuatuoGPT>：",),
        system="一位用户和智能医疗大模型HuatuoGPT之间的对话。"
        "对于用户的医疗问诊，HuatuoGPT给出准确的、详细的、温暖的指导建议。"
        "对于用户的指令问题，HuatuoGPT给出有益的、详细的、有礼貌的回答。",
    ),
}


# What a text carries that was put into a template before: it would be put into one twice.
MARKS = {
    "ziya": re.compile(r"<(?:human|bot)>\s*[:：]"),
    "huatuo": re.compile(r"<(?:病人|HuatuoGPT)>\s*[:：]|(?:^|\n)(?:问|答)[:：]"),
}


def marks_in(text: str) -> str:
    """The name of the template whose marks the text carries, or ""."""
    return next((name for name, marks in MARKS.items() if marks.search(text)), "")


@dataclass(frozen=True)
class Encoded:
    """One sequence. `counted[i]`: token i is trained on (part of an answer, or its EOS)."""

    ids: list[int]
    counted: list[bool]
    where: str  # file:line of the record


@dataclass(frozen=True)
class Counts:
    """How many records were encoded, shortened and dropped."""

    records: int = 0
    shortened: int = 0  # dialogues without their oldest turns
    dropped: int = 0  # dialogues whose last turn alone is too long
    nothing_to_count: int = 0  # dropped sequences without a token that is trained on
    sequences: int = 0
    tokens: int = 0
    counted: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, vars(self).values(), vars(other).values()))

    def __str__(self) -> str:
        return (
            f"{self.records:,} records: {self.shortened:,} shortened, {self.dropped:,} dropped, "
            f"{self.nothing_to_count:,} with nothing to count; "
            f"{self.sequences:,} sequences, {self.tokens:,} tokens, {self.counted:,} counted"
        )


def encode_all(
    records: Iterable[Dialogue | Document], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> tuple[list[Encoded], Counts]:
    """(records encoded for training, in order; counts of what was shortened and dropped)."""
    encoded: list[Encoded] = []
    total = shortened = dropped = empty = 0
    for record in records:
        total += 1
        if isinstance(record, Document):
            pieces = encode_document(record, tokenizer, max_tokens)
        else:
            layout = _lay_out(record.system, record.turns, tokenizer, template, max_tokens, record.trained)
            pieces = [Encoded(layout.ids, layout.counted, record.where)] if layout else []
            shortened += layout is not None and layout.dropped_turns > 0
            dropped += layout is None
        counted_pieces = [piece for piece in pieces if any(piece.counted)]
        empty += len(pieces) - len(counted_pieces)
        encoded += counted_pieces
    tokens, counted = sum(len(e.ids) for e in encoded), sum(e.counted.count(True) for e in encoded)
    return encoded, Counts(total, shortened, dropped, empty, len(encoded), tokens, counted)


def encode_dialogue(dialogue: Dialogue, tokenizer: Tokenizer, template: str, max_tokens: int | None = None) -> Encoded:
    """A dialogue for training; if it exceeds `max_tokens`, its oldest turns are dropped.

    The system text and the last turn are never cut. Raises ValueError if they alone exceed `max_tokens`.
    """
    layout = _lay_out(dialogue.system, dialogue.turns, tokenizer, template, max_tokens, dialogue.trained)
    if layout is None:
        raise ValueError(
            f"{dialogue.where}: found a last turn that exceeds --max-tokens {max_tokens}, expected it to fit"
        )
    return Encoded(layout.ids, layout.counted, dialogue.where)


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer, template: str, max_tokens: int | None = None) -> list[int]:
    """Ids up to the answer; if they exceed `max_tokens`, the oldest turns are dropped.

    If the last user text alone is too long, its beginning is cut. Raises ValueError if not one character of it fits
    beside the system text.
    """
    layout = _lay_out(prompt.system, (*prompt.history, (prompt.user, None)), tokenizer, template, max_tokens)
    fits, too_long = 0, len(prompt.user)  # characters from the end of the user text
    while layout is None and too_long - fits > 1:
        middle = (fits + too_long) // 2
        attempt = _lay_out(prompt.system, [(prompt.user[-middle:], None)], tokenizer, template, max_tokens)
        fits, too_long = (middle, too_long) if attempt else (fits, middle)
    if layout is None and fits:
        layout = _lay_out(prompt.system, [(prompt.user[-fits:], None)], tokenizer, template, max_tokens)
    if layout is None:
        raise ValueError(f"{prompt.where}: found no room for the user text in {max_tokens} tokens, expected more")
    return layout.ids


def encode_answers(
    prompt: Prompt, answers: Sequence[str], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> list[Encoded]:
    """One prompt with each of several answers, only the answers counted; [] if the longest does not fit.

    All answers get the same prompt: the newest turns that fit beside the longest answer, the last one whole.
    """
    encoded_answers = [_answer(text, tokenizer) for text in answers]
    room = None if max_tokens is None else max_tokens - max(map(len, encoded_answers))
    layout = _lay_out(prompt.system, (*prompt.history, (prompt.user, None)), tokenizer, template, room)
    if layout is None:
        return []
    uncounted = [False] * len(layout.ids)  # the answers of earlier turns are part of the prompt
    return [Encoded(layout.ids + tail, uncounted + [True] * len(tail), prompt.where) for tail in encoded_answers]


def encode_document(document: Document, tokenizer: Tokenizer, max_tokens: int | None = None) -> list[Encoded]:
    """BOS, text, EOS in consecutive pieces of at most `max_tokens`. The first token of a piece is not predicted."""
    ids = [tokenizer.bos_id, *tokenizer.encode(document.text), tokenizer.eos_id]
    step = len(ids) if max_tokens is None else max_tokens
    if step < 2:
        raise ValueError(f"--max-tokens {max_tokens}: expected at least 2")
    pieces = [ids[at : at + step] for at in range(0, len(ids), step)]
    return [Encoded(piece, [False] + [True] * (len(piece) - 1), document.where) for piece in pieces]


def save_template(directory: str | Path, name: str) -> None:
    """Write the template's name into the directory of a model or an adapter."""
    _find_template(name)
    (Path(directory) / FILE).write_text(json.dumps({"template": name}) + "\n", encoding="utf-8")


def load_template(directory: str | Path) -> str:
    """The name of the template that a model or an adapter was trained with."""
    file = Path(directory) / FILE
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["template"]
    except OSError:
        raise ValueError(f"{file}: cannot be read, expected the template's name in it (or --template)") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{file}: expected {{"template": "ziya"}} or another name') from None
    if name not in TEMPLATES:
        raise ValueError(f"{file}: found template {name!r}, expected one of {', '.join(TEMPLATES)}")
    return name


def choose_template(name: str, directory: str | Path) -> str:
    """The format of --template if one is given, else the one stored in the directory. ValueError for an unknown one.

    Where both are there and differ, a line on stderr says so.
    """
    if not name:
        return load_template(directory)
    _find_template(name)
    if (Path(directory) / FILE).is_file() and load_template(directory) != name:
        _warn(f"--template {name}: {directory} was trained with the format {load_template(directory)}")
    return name


def first_template(name: str, directories: Iterable[str | Path]) -> str:
    """As `choose_template`, of the first of the directories that stores a format; without any it is ziya."""
    first: str | Path = ""
    for directory in directories:  # of a generator that reads no further than needed
        first = first or directory
        if (Path(directory) / FILE).is_file():
            return choose_template(name, directory)
    if first and not name:
        _warn(f"{first} stores no prompt format, {DEFAULT} is taken; --template names another")
    return name or DEFAULT


@cache
def _warn(message: str) -> None:
    """Print a warning, once, on one rank."""
    if os.environ.get("RANK", "0") == "0":
        print(f"warning: {message}", file=sys.stderr, flush=True)


# ---- layout of the parts


@dataclass(frozen=True)
class _Layout:
    ids: list[int]
    counted: list[bool]
    dropped_turns: int  # the oldest ones


def _lay_out(
    system: str,
    turns: Sequence[tuple[str, str | None]],  # the last answer may be None: not written yet
    tokenizer: Tokenizer,
    template: str,
    max_tokens: int | None,
    trained: Sequence[bool] = (),  # of each turn; (): every answer is counted
) -> _Layout | None:
    """System text and as many of the newest turns as fit; None if the last turn does not fit."""
    style = _find_template(template)
    head = [tokenizer.bos_id]
    if system or style.system:
        head += tokenizer.encode((system or style.system) + style.after_system)
    between = tokenizer.encode(style.between) if style.between else []
    parts = [(_question(user, tokenizer, style), _answer(answer, tokenizer)) for user, answer in turns]

    first = 0
    if max_tokens is not None:
        sizes = [len(between) + len(question) + len(answer) for question, answer in parts]
        first = _first_that_fits(sizes, max_tokens - len(head) + len(between))  # no separator before the first turn
        if first == len(parts):
            return None

    ids, counted = head, [False] * len(head)
    for number, (question, answer) in enumerate(parts[first:], first):
        prefix = between + question if number > first else question
        ids += prefix + answer
        counted += [False] * len(prefix) + [trained[number] if trained else True] * len(answer)
    return _Layout(ids, counted, first)


def _question(user: str, tokenizer: Tokenizer, style: Template) -> list[int]:
    ids: list[int] = []
    for part in style.ask:
        if part in style.specials:
            ids.append(tokenizer.special(part))
        else:
            ids += tokenizer.encode(part.replace("{user}", user))
    return ids


def _answer(text: str | None, tokenizer: Tokenizer) -> list[int]:
    return [] if text is None else [*tokenizer.encode(text), tokenizer.eos_id]


def _first_that_fits(sizes: list[int], room: int) -> int:
    """Start of the longest suffix whose sum is at most `room`."""
    first = len(sizes)
    while first and sizes[first - 1] <= room:
        first -= 1
        room -= sizes[first]
    return first


def _find_template(template: str) -> Template:
    if template not in TEMPLATES:
        raise ValueError(f"--template {template}: unknown, expected one of {', '.join(TEMPLATES)}")
    return TEMPLATES[template]
