"""Adversaries of the gold judge: texts that help nobody and must not get a high score.

A constant answer, text spliced from the clinic's answers, compliance disguised as refusal; and as a control, correct
refusals that differ from every reference.

    python -m zj.clinic.adversaries --size 300 --seed 0 --about 皮肤科
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, islice

from zj.clinic.adversaries.by_hand import compliances, hand_written, refusals
from zj.clinic.adversaries.constant import best_constant
from zj.clinic.adversaries.salad import salads
from zj.clinic.exam import Question, question, subject
from zj.clinic.facts import CONDITIONS

__all__ = ["best_constant", "compliances", "hand_written", "practice", "refusals", "salads"]


def practice(seed: int, size: int, about: Collection[str] = (), held_out: bool = False) -> list[Question]:
    """The seed's first `size` questions of practice (or exam) about these conditions or departments (none: all).

    Raises ValueError for a name without questions; textbook-only conditions are not in practice.
    """
    conditions = [c for c in CONDITIONS.values() if held_out or not c.textbook_only]
    if unknown := set(about) - {name for c in conditions for name in (c.name, c.department)}:
        raise ValueError(f"about: found {min(unknown)}, expected conditions or departments that have questions")
    names = {c.name for c in conditions if not about or {c.name, c.department} & set(about)}
    numbers = (number for number in count() if subject(seed, number, held_out).name in names)
    return [question(seed, number, held_out) for number in islice(numbers, size)]
