"""The two sides of a run: what it trains on, and what it validates on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from zj.data.batching import question, split
from zj.data.held_out import normalised
from zj.data.records import Record

R = TypeVar("R", bound=Record)


def sides(records: Sequence[R], valid: Sequence[R] | None, fraction: float, limit: int = 0) -> Sides[R]:
    """The two sides of a run: `split`, or, with records for validation, those of `records` that ask none of the same.

    Of the training side the first `limit` in that order (0: all).
    """
    if valid is None:
        train, held_out = split(records, fraction)
        return Sides(train[: limit or None], held_out)
    train = split(without_questions(records, valid), 0)[0]
    return Sides(train[: limit or None], split(valid, 0)[0], len(records) - len(train))


def without_questions(records: Sequence[R], valid: Sequence[Record]) -> list[R]:
    """The records that ask nothing that one of `valid` asks."""
    questions = {normalised(question(record)) for record in valid}
    return [record for record in records if normalised(question(record)) not in questions]


def about_both(number: int) -> str:
    """What a run prints of `asked_in_both`."""
    return f"--valid-data: {number:,} records of --data ask what is asked there, left out of training"


class Sides(NamedTuple, Generic[R]):
    train: list[R]
    valid: list[R]
    asked_in_both: int = 0  # training records left out, since they ask what a record for validation asks
