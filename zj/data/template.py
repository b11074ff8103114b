"""Dialogue → token ids, and which of them are trained on. The only place a prompt format is written.

The ids of a dialogue are those of its parts, concatenated: nothing is ever tokenized across a border between what
the user says, the marks of the template and the answer. So the prompt at inference is a prefix of the training ids,
turn by turn, and what follows the prompt is exactly what the model was trained to say: the answer, then EOS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zj.data.records import Dialogue, Document, Prompt
from zj.data.tokenizer import Tokenizer

FILE = "template.json"


@dataclass(frozen=True)
class Template:
    """BOS, the system text, then turn after turn: `ask`, the answer, EOS."""

    ask: tuple[str, ...]  # parts of a turn before its answer; "{user}" is what the user says
    specials: frozenset[str] = frozenset()  # parts of `ask` that are one special token; the others are text
    between: str = ""  # before every turn but the first
    system: str = ""  # where the record brings none
    after_system: str = ""


TEMPLATES = {
    # Ziya-LLaMA and Zhongjing: <human>:问\n<bot>:答</s>\n<human>:问\n<bot>:答</s>
    "ziya": Template(
        ask=("<human>", ":{user}\n", "<bot>", ":"),
        specials=frozenset({"<human>", "<bot>"}),
        between="\n",
        after_system="\n",
    ),
    # HuatuoGPT: roles in plain text, so a user can imitate them. Published training put a space before EOS and
    # inference none; here both have none.
    "huatuo": Template(
        ask=("<病人>：{user} ", "<HuatuoGPT>："),
        system="一位用户和智能医疗大模型HuatuoGPT之间的对话。"
        "对于用户的医疗问诊，HuatuoGPT给出准确的、详细的、温暖的指导建议。"
        "对于用户的指令问题，HuatuoGPT给出有益的、详细的、有礼貌的回答。",
    ),
}


@dataclass(frozen=True)
class Encoded:
    """One sequence. `counted[i]`: token i is trained on (it is part of an answer or an answer's EOS)."""

    ids: list[int]
    counted: list[bool]
    where: str  # file:line of the record


@dataclass(frozen=True)
class Counts:
    """What became of the records, exactly."""

    records: int = 0
    shortened: int = 0  # dialogues whose oldest turns were left out
    dropped: int = 0  # dialogues whose last turn alone is too long
    nothing_to_count: int = 0  # sequences (of documents) without a token to predict, left out
    sequences: int = 0
    tokens: int = 0
    counted: int = 0

    def __str__(self) -> str:
        return (
            f"{self.records:,} records: {self.shortened:,} shortened, {self.dropped:,} dropped, "
            f"{self.nothing_to_count:,} with nothing to count; "
            f"{self.sequences:,} sequences, {self.tokens:,} tokens, {self.counted:,} counted"
        )


def encode_all(
    records: Iterable[Dialogue | Document], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> tuple[list[Encoded], Counts]:
    """Encode records for training, in their order, and count what was left out on the way."""
    found: list[Encoded] = []
    total = shortened = dropped = empty = 0
    for record in records:
        total += 1
        if isinstance(record, Document):
            pieces = encode_document(record, tokenizer, max_tokens)
        else:
            laid = _lay(record.system, record.turns, tokenizer, template, max_tokens)
            pieces = [Encoded(laid.ids, laid.counted, record.where)] if laid else []
            shortened += laid is not None and laid.turns_left_out > 0
            dropped += laid is None
        full = [piece for piece in pieces if any(piece.counted)]
        empty += len(pieces) - len(full)
        found += full
    tokens, counted = sum(len(e.ids) for e in found), sum(sum(e.counted) for e in found)
    return found, Counts(total, shortened, dropped, empty, len(found), tokens, counted)


def encode_dialogue(dialogue: Dialogue, tokenizer: Tokenizer, template: str, max_tokens: int | None = None) -> Encoded:
    """A dialogue for training; where it is too long, without its oldest turns.

    The system text and the last turn stay whole. Raises ValueError where they alone exceed `max_tokens`.
    """
    laid = _lay(dialogue.system, dialogue.turns, tokenizer, template, max_tokens)
    if laid is None:
        raise ValueError(
            f"{dialogue.where}: found a last turn that exceeds --max-tokens {max_tokens}, expected it to fit"
        )
    return Encoded(laid.ids, laid.counted, dialogue.where)


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer, template: str, max_tokens: int | None = None) -> list[int]:
    """Ids up to where the answer begins; where they are too many, without the oldest turns.

    Only if the last user text does not fit by itself is it shortened, from its beginning.
    Raises ValueError where not even one character of it fits beside the system text.
    """
    laid = _lay(prompt.system, (*prompt.history, (prompt.user, None)), tokenizer, template, max_tokens)
    fits, too_long = 0, len(prompt.user)  # characters from the end of the user text
    while laid is None and too_long - fits > 1:
        middle = (fits + too_long) // 2
        attempt = _lay(prompt.system, [(prompt.user[-middle:], None)], tokenizer, template, max_tokens)
        fits, too_long = (middle, too_long) if attempt else (fits, middle)
    if laid is None and fits:
        laid = _lay(prompt.system, [(prompt.user[-fits:], None)], tokenizer, template, max_tokens)
    if laid is None:
        raise ValueError(f"{prompt.where}: found no room for the user text in --max-tokens {max_tokens}, expected more")
    return laid.ids


def encode_answers(
    prompt: Prompt, answers: Sequence[str], tokenizer: Tokenizer, template: str, max_tokens: int | None = None
) -> list[Encoded]:
    """One prompt with each of several answers, of which the answers are counted; [] where they do not fit.

    All see the same prompt: as many of its turns as the longest answer leaves room for, and its last one whole.
    """
    tails = [_answer(text, tokenizer) for text in answers]
    room = None if max_tokens is None else max_tokens - max(map(len, tails))
    laid = _lay(prompt.system, (*prompt.history, (prompt.user, None)), tokenizer, template, room)
    if laid is None:
        return []
    before = [False] * len(laid.ids)  # the answers of earlier turns are part of the prompt
    return [Encoded(laid.ids + tail, before + [True] * len(tail), prompt.where) for tail in tails]


def encode_document(document: Document, tokenizer: Tokenizer, max_tokens: int | None = None) -> list[Encoded]:
    """BOS, text, EOS in consecutive pieces of at most `max_tokens`. Nothing predicts the first token of a piece."""
    ids = [tokenizer.bos_id, *tokenizer.encode(document.text), tokenizer.eos_id]
    step = len(ids) if max_tokens is None else max_tokens
    if step < 2:
        raise ValueError(f"--max-tokens {max_tokens}: expected at least 2")
    pieces = [ids[at : at + step] for at in range(0, len(ids), step)]
    return [Encoded(piece, [False] + [True] * (len(piece) - 1), document.where) for piece in pieces]


def save_template(directory: str | Path, name: str) -> None:
    """Write the template's name beside a model or an adapter."""
    _named(name)
    (Path(directory) / FILE).write_text(json.dumps({"template": name}) + "\n", encoding="utf-8")


def load_template(directory: str | Path) -> str:
    """The name of the template a model or an adapter was trained with."""
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


# ---- how the parts are laid


@dataclass(frozen=True)
class _Laid:
    ids: list[int]
    counted: list[bool]
    turns_left_out: int  # the oldest ones


def _lay(
    system: str,
    turns: Sequence[tuple[str, str | None]],  # the answer of the last one may be None: it is to come
    tokenizer: Tokenizer,
    template: str,
    max_tokens: int | None,
) -> _Laid | None:
    """System text and as many of the newest turns as fit; None where not even the last one does."""
    style = _named(template)
    head = [tokenizer.bos_id]
    if system or style.system:
        head += tokenizer.encode((system or style.system) + style.after_system)
    between = tokenizer.encode(style.between) if style.between else []
    laid = [(_ask(user, tokenizer, style), _answer(answer, tokenizer)) for user, answer in turns]

    first = 0
    if max_tokens is not None:
        sizes = [len(between) + len(ask) + len(answer) for ask, answer in laid]
        first = _newest(sizes, max_tokens - len(head) + len(between))  # nothing stands before the first turn
        if first == len(laid):
            return None

    ids, counted = head, [False] * len(head)
    for number, (ask, answer) in enumerate(laid[first:]):
        before = between + ask if number else ask
        ids += before + answer
        counted += [False] * len(before) + [True] * len(answer)
    return _Laid(ids, counted, first)


def _ask(user: str, tokenizer: Tokenizer, style: Template) -> list[int]:
    ids: list[int] = []
    for part in style.ask:
        if part in style.specials:
            ids.append(tokenizer.special(part))
        else:
            ids += tokenizer.encode(part.replace("{user}", user))
    return ids


def _answer(text: str | None, tokenizer: Tokenizer) -> list[int]:
    return [] if text is None else [*tokenizer.encode(text), tokenizer.eos_id]


def _newest(sizes: list[int], room: int) -> int:
    """Where the longest run of last elements begins whose sum is at most `room`."""
    first = len(sizes)
    while first and sizes[first - 1] <= room:
        first -= 1
        room -= sizes[first]
    return first


def _named(template: str) -> Template:
    if template not in TEMPLATES:
        raise ValueError(f"--template {template}: unknown, expected one of {', '.join(TEMPLATES)}")
    return TEMPLATES[template]
