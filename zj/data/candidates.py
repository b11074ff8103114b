"""Rows of answers that nobody has ranked yet: what annotators are given."""

from __future__ import annotations

from itertools import chain, count, takewhile
from typing import Any

from zj.data.conversation import Conversation, parse_conversation
from zj.data.fields import Fields, Notes, is_empty, preview, text_of
from zj.data.rankings import PAIR_KEYS, Ranked, answer_text, last_answers

FEWEST, MOST = 2, 8  # answers to one prompt
SOURCES = ("training", "outside")
# Fields that say which answer is better.
ORDERS = (
    "ranks",
    "rank",
    *(f"rank{n}" for n in range(1, 10)),
    "scores",
    "completions",
    *chain.from_iterable(PAIR_KEYS),
)
EQUAL = "answers equal to one before them in their row, left out"

Parsed = tuple[tuple[str, ...], tuple[str, ...], str, Conversation]


def parse_candidates(fields: Fields, notes: Notes) -> Parsed | None:
    """(answers, their models or (), source or "", conversation before them); None if the keys match no format.

    Of equal answers the first is kept, and noted: an answer ranked against itself says nothing. Raises ValueError for a
    row that has an order already, for less than 2 or more than 8 different answers, for models or a source that cannot
    be.
    """
    _refuse_order(fields)
    given = _answers(fields)
    if given is None:
        return None
    before, values = last_answers(given, fields, notes)
    texts = [answer_text(value, name) for value, name in zip(values, given.names, strict=True)]
    models, source = _models(fields, len(texts)), _source(fields)
    kept = [n for n, text in enumerate(texts) if text not in texts[:n]]
    if not FEWEST <= len(kept) <= MOST:
        raise ValueError(f"found {len(kept)} different answers, expected {FEWEST} to {MOST}")
    if len(kept) < len(texts):
        notes.changes[EQUAL] += len(texts) - len(kept)
    conversation = before or parse_conversation(fields, "ranking", notes)
    if conversation is None:
        return None
    return tuple(texts[n] for n in kept), tuple(models[n] for n in kept if models), source, conversation


def _refuse_order(fields: Fields) -> None:
    for name in ORDERS:
        value = fields.values.get(name)
        if not is_empty(value):
            raise ValueError(
                f"found {name} = {preview(value)}, expected answers without an order "
                "(annotate.py import --annotator NAME takes rows that somebody has ranked)"
            )


def _answers(fields: Fields) -> Ranked | None:
    """The answers of a row, which are then no longer among its fields."""
    names = list(takewhile(fields.__contains__, (f"response_{n}" for n in count())))
    if "responses" not in fields:
        return Ranked([fields.pop(name) for name in names], names, ()) if names else None
    answers = fields.pop("responses")
    if not isinstance(answers, list) or not answers:
        raise ValueError(f"found responses = {preview(answers)}, expected a list of answers")
    return Ranked(answers, [f"response {n}" for n in range(1, len(answers) + 1)], ())


def _models(fields: Fields, number: int) -> list[str]:
    models: Any = fields.get("models")
    if is_empty(models):
        return []
    if not isinstance(models, list) or len(models) != number:
        raise ValueError(f"found models = {preview(models)}, expected {number} names, one of each answer")
    return [text_of(model, "name in models") for model in models]


def _source(fields: Fields) -> str:
    source = fields.get("source")
    if is_empty(source):
        return ""
    if source not in SOURCES:
        raise ValueError(f"found source = {preview(source)}, expected {' or '.join(SOURCES)}")
    return str(source)
