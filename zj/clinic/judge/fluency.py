"""Fluency: coherence, consistency, warm tone (Zhongjing, Table 2): 4 minus the points of the faults."""

from __future__ import annotations

from zj.clinic.doctor import address
from zj.clinic.exam import Question
from zj.clinic.judge.reading import LISTS, Reading, names_in
from zj.clinic.language import REQUESTS

_ORDER = {"refuse": 0, "admit": 0, "reason": 1, "instead": 2}  # order in the answer to a request


def fluency(question: Question, reading: Reading) -> tuple[int, list[str]]:
    """(grade, faults)."""
    lost = {
        "repeats itself": _repeated(reading),
        "rambles": _rambles(question, reading),
        "greets or takes leave in the middle": _out_of_place(reading),
        "speaks of another person": int(_wrong_person(question, reading)),
        "beside the point": int(bool(question.case) and bool(reading.of(*REQUESTS))),
        "questions announced and not asked": int(bool(reading.acts) and reading.acts[-1].name == "lead"),
    }
    return max(0, 4 - sum(lost.values())), [fault for fault, points in lost.items() if points]


def _rambles(question: Question, reading: Reading) -> int:
    """Points for more sentences than the due topics need."""
    limit = 6 + 2 * len(question.due)
    return int(len(reading.acts) > limit) + int(len(reading.acts) > 2 * limit)


def _repeated(reading: Reading) -> int:
    """Number of repeated sentences and list items."""
    lists = [act.items(slot) for act in reading.acts for slot in LISTS if slot in act.slots]
    again = sum(len(items) - len(set(items)) for items in lists)
    return again + len(reading.acts) - len({act.text for act in reading.acts})


def _out_of_place(reading: Reading) -> int:
    """Points for a greeting after other sentences, sentences after a farewell, an alternative before the refusal."""
    names = [act.name for act in reading.acts]
    opening = sum(name in ("greet", "acknowledge") for name in names)
    late = any(name not in ("greet", "acknowledge") for name in names[:opening])
    parts = [_ORDER[name] for name in names if name in _ORDER]
    return int(late) + int("close" in names[:-1]) + int(parts != sorted(parts))


def _wrong_person(question: Question, reading: Reading) -> bool:
    """Whether the answer speaks of another person than the patient."""
    return question.case is not None and not set(names_in(reading.acts, "y")) <= {address(question.case)}
