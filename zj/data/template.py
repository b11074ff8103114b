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
from pathlib import Path

from zj.data.records import Dialogue, Document, Prompt
from zj.data.sequences import Counts, Encoded, Spanned
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


def encode_all(
    records: Iterable[Dialogue | Document], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> tuple[list[Encoded], Counts]:
    """(records encoded for training, in order; counts of what was shortened and dropped)."""
    sequences, counts = encode_spans(records, tokenizer, template, max_tokens)
    return [sequence.encoded() for sequence in sequences], counts


def encode_spans(
    records: Iterable[Dialogue | Document], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> tuple[list[Spanned], Counts]:
    """`encode_all`, with the tokens that are trained on as spans."""
    records, sequences = list(records), list[Spanned]()
    documents = iter(tokenizer.encode_each([record.text for record in records if isinstance(record, Document)]))
    shortened = dropped = empty = 0
    for record in records:
        if isinstance(record, Document):
            pieces = _cut(next(documents), record.where, tokenizer, max_tokens)
        elif layout := _lay_out(record.system, record.turns, tokenizer, template, max_tokens, record.trained):
            pieces = [Spanned(layout.ids, layout.spans, record.where)]
            shortened += layout.dropped_turns > 0
        else:
            pieces = []
            dropped += 1
        counted = [piece for piece in pieces if piece.spans]
        empty += len(pieces) - len(counted)
        sequences += counted
    tokens, spans = (
        sum(len(sequence.ids) for sequence in sequences),
        [x for sequence in sequences for x in sequence.spans],
    )
    trained = sum(spans[1::2]) - sum(spans[::2])
    return sequences, Counts(len(records), shortened, dropped, empty, len(sequences), tokens, trained)


def encode_dialogue(dialogue: Dialogue, tokenizer: Tokenizer, template: str, max_tokens: int | None = None) -> Encoded:
    """A dialogue for training; if it exceeds `max_tokens`, its oldest turns are dropped.

    The system text and the last turn are never cut. Raises ValueError if they alone exceed `max_tokens`.
    """
    layout = _lay_out(dialogue.system, dialogue.turns, tokenizer, template, max_tokens, dialogue.trained)
    if layout is None:
        raise ValueError(
            f"{dialogue.where}: found a last turn that exceeds --max-tokens {max_tokens}, expected it to fit"
        )
    return Spanned(layout.ids, layout.spans, dialogue.where).encoded()


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
    pieces = _cut(tokenizer.encode(document.text), document.where, tokenizer, max_tokens)
    return [piece.encoded() for piece in pieces]


def _cut(text: list[int], where: str, tokenizer: Tokenizer, max_tokens: int | None) -> list[Spanned]:
    ids = [tokenizer.bos_id, *text, tokenizer.eos_id]
    step = len(ids) if max_tokens is None else max_tokens
    if step < 2:
        raise ValueError(f"--max-tokens {max_tokens}: expected at least 2")
    pieces = [ids[at : at + step] for at in range(0, len(ids), step)] if len(ids) > step else [ids]
    return [Spanned(piece, [1, len(piece)] if len(piece) > 1 else [], where) for piece in pieces]


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
    spans: list[int]  # of the tokens that are trained on
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
        encode = tokenizer.encode if system else tokenizer.encode_part
        head += encode((system or style.system) + style.after_system)
    between = tokenizer.encode_part(style.between) if style.between else []
    parts = [(_question(user, tokenizer, style), _answer(answer, tokenizer)) for user, answer in turns]

    first = 0
    if max_tokens is not None:
        sizes = [len(between) + len(question) + len(answer) for question, answer in parts]
        first = _first_that_fits(sizes, max_tokens - len(head) + len(between))  # no separator before the first turn
        if first == len(parts):
            return None

    ids, spans = head, []
    for number, (question, answer) in enumerate(parts[first:], first):
        ids += between + question if number > first else question
        if not trained or trained[number]:
            spans += [len(ids), len(ids) + len(answer)]
        ids += answer
    return _Layout(ids, spans, first)


def _question(user: str, tokenizer: Tokenizer, style: Template) -> list[int]:
    ids: list[int] = []
    for part in style.ask:
        if part in style.specials:
            ids.append(tokenizer.special(part))
        elif "{user}" in part:
            ids += tokenizer.encode(part.replace("{user}", user))
        else:
            ids += tokenizer.encode_part(part)
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
