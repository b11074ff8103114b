"""Fluency: coherence, consistency, warm tone (Zhongjing, Table 2). Four, less what is wrong."""

from __future__ import annotations

from zj.clinic.doctor import you
from zj.clinic.exam import Question
from zj.clinic.judge.reading import LISTS, Reading, names_in
from zj.clinic.language import REQUESTS

_ORDER = {"refuse": 0, "admit": 0, "reason": 1, "instead": 2}  # in which a request is answered


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
    """More sentences than three times what is due takes."""
    limit = 6 + 2 * len(question.due)
    return int(len(reading.acts) > limit) + int(len(reading.acts) > 2 * limit)


def _repeated(reading: Reading) -> int:
    """Sentences, and things of a list, that stand there again."""
    lists = [act.items(slot) for act in reading.acts for slot in LISTS if slot in act.slots]
    again = sum(len(items) - len(set(items)) for items in lists)
    return again + len(reading.acts) - len({act.text for act in reading.acts})


def _out_of_place(reading: Reading) -> int:
    """A greeting behind other words, words behind a farewell, an alternative before the refusal."""
    names = [act.name for act in reading.acts]
    opening = sum(name in ("greet", "acknowledge") for name in names)
    late = any(name not in ("greet", "acknowledge") for name in names[:opening])
    parts = [_ORDER[name] for name in names if name in _ORDER]
    return int(late) + int("close" in names[:-1]) + int(parts != sorted(parts))


def _wrong_person(question: Question, reading: Reading) -> bool:
    """Another person's parents or child."""
    return question.case is not None and not set(names_in(reading.acts, "y")) <= {you(question.case)}
