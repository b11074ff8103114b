"""Who tries to be graded well without helping anybody: what the gold judge must not be taken in by.

A constant answer, text torn from the clinic's own answers, compliance dressed as refusal; and the other side, which it
must not be too strict with: refusals in other words of the clinic than any reference.

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
    """The seed's first questions of practice (or of the exam) about these conditions or departments (none: all).

    Raises ValueError for a name without any: what is in the textbook only is never practised.
    """
    known = [c for c in CONDITIONS.values() if held_out or not c.textbook_only]
    if unknown := set(about) - {name for c in known for name in (c.name, c.department)}:
        raise ValueError(f"about: found {min(unknown)}, expected conditions or departments that have questions")
    wanted = {c.name for c in known if not about or {c.name, c.department} & set(about)}
    numbers = (number for number in count() if subject(seed, number, held_out).name in wanted)
    return [question(seed, number, held_out) for number in islice(numbers, size)]
