"""Dialogue → token ids, and which of them are trained on. The formats are those of `zj.data.prompt_formats`.

What stands before an answer and the answer are tokenized separately and their ids concatenated. So the prompt at
inference is a prefix of the training ids, turn by turn, and the answer and its end follow it as in training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from zj.data.prompt_formats import Template, find_template
from zj.data.records import Dialogue, Document, Prompt
from zj.data.sequences import Counts, Encoded, Spanned
from zj.data.tokenizer import Tokenizer


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
    encoded_answers = [_answer(text, tokenizer, find_template(template)) for text in answers]
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
    ids = [*tokenizer.beginning, *text, tokenizer.eos_id]
    step = len(ids) if max_tokens is None else max_tokens
    if step < 2:
        raise ValueError(f"--max-tokens {max_tokens}: expected at least 2")
    pieces = [ids[at : at + step] for at in range(0, len(ids), step)] if len(ids) > step else [ids]
    return [Spanned(piece, [1, len(piece)] if len(piece) > 1 else [], where) for piece in pieces]


def stop_ids(tokenizer: Tokenizer, template: str) -> tuple[int, ...]:
    """All ids that end an answer, the format's own first."""
    return tuple(dict.fromkeys((_end(tokenizer, find_template(template)), *tokenizer.eos_ids)))


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
    style = find_template(template)
    answers = [_answer(answer, tokenizer, style) for _, answer in turns]

    @cache
    def question(number: int, begins: bool) -> list[int]:
        """Ids between the answer before and the answer of this turn; of the first one that stays, with the system."""
        last = number == len(turns) - 1
        return _question(turns[number][0], tokenizer, style, system or style.default_system, begins, last)

    def size(first: int) -> int:
        later = sum(len(question(n, False)) + len(answers[n]) for n in range(first + 1, len(turns)))
        return len(tokenizer.beginning) + len(question(first, True)) + len(answers[first]) + later

    first = 0
    if max_tokens is not None:
        while first < len(turns) and size(first) > max_tokens:
            first += 1
        if first == len(turns):
            return None

    ids, spans = tokenizer.beginning, list[int]()
    for number in range(first, len(turns)):
        ids += question(number, number == first)
        if not trained or trained[number]:
            spans += [len(ids), len(ids) + len(answers[number])]
        ids += answers[number]
    return _Layout(ids, spans, first)


def _question(user: str, tokenizer: Tokenizer, style: Template, system: str, begins: bool, last: bool) -> list[int]:
    """The parts of a turn before its answer, as ids. `begins`: it is the first turn, after the system text if any."""
    parts = style.ask + (style.before_last if last else ())
    if begins and system and style.system_in_user:
        user = "".join(style.system).replace("{system}", system) + user
    elif begins and system:
        parts = style.system + parts
    elif not begins:
        parts = style.between + parts
    texts = {"{user}": user, "{system}": system}
    ids: list[int] = []
    for special, group in groupby(parts, key=style.specials.__contains__):
        if special:
            ids += map(tokenizer.special, group)
        elif PLACES.search(text := "".join(group)):
            ids += tokenizer.encode(PLACES.sub(lambda place: texts[place[0]], text))
        else:
            ids += tokenizer.encode_part(text)
    return ids


PLACES = re.compile(r"\{user\}|\{system\}")


def _answer(text: str | None, tokenizer: Tokenizer, style: Template) -> list[int]:
    return [] if text is None else [*tokenizer.encode(style.answer.replace("{answer}", text)), _end(tokenizer, style)]


def _end(tokenizer: Tokenizer, style: Template) -> int:
    return tokenizer.special(style.end) if style.end else tokenizer.eos_id
