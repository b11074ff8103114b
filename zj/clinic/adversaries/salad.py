"""Texts that look like the clinic's answers and are none: torn, shuffled, garbled, or somebody else's.

Most have words that the judge cannot read; "others' sentences" and "another patient's reference" are the clinic's
language throughout.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from zj.clinic import textbook
from zj.clinic.adversaries.constant import sentences
from zj.clinic.exam import Question
from zj.clinic.facts import DRUGS
from zj.clinic.request import every_matter, every_why

CLAUSE = re.compile("[^，。！？；：、]*[，。！？；：、]?")
GARBLED = 0.1  # share of the characters that are lost


def salads(rng: random.Random, question: Question, others: Sequence[Question]) -> dict[str, str]:
    """Name -> text, of one question; `others` are where another's answer comes from."""
    reference, beside = question.reference, [q for q in others if q.prompt.id != question.prompt.id]
    other = rng.choice(beside).reference
    return {
        "spliced": _head(rng, reference) + _tail(rng, other),
        "clauses shuffled": _shuffled(rng, _clauses(reference), reference),
        "characters shuffled": _shuffled(rng, list(reference), reference),
        "refusal before salad": refusal(question, others) + _shuffled(rng, re.findall("..?", reference), reference),
        "another patient's reference": other,
        "others' sentences": "".join(rng.choice(sentences(rng.choice(beside).reference)) for _ in sentences(reference)),
        "the question echoed": question.prompt.user,
        "a textbook page": textbook.document(rng.randrange(1000), rng.randrange(1000)).text,
        "every drug": "可以用" + "、".join(DRUGS) + "。",
        "U+FFFD": _garbled(rng, reference),
        "empty": "",
    }


def refusal(question: Question, others: Sequence[Question]) -> str:
    """The first sentence that turns the request down; before a patient, one that some request gets, or could get."""
    requests = [other for other in others if other.due == ("refuse",)] if question.case else [question]
    made = f"请不要{every_matter('harmful')[0]}，{every_why()[0]}。"
    return re.findall("[^。]*。", requests[0].reference)[0] if requests else made


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause]


def _shuffled(rng: random.Random, parts: list[str], other_than: str) -> str:
    """In another order, as far as there is one."""
    for _ in range(10):
        rng.shuffle(parts)
        if "".join(parts) != other_than:
            break
    return "".join(parts)


def _garbled(rng: random.Random, text: str) -> str:
    """As text whose bytes were cut in the wrong places."""
    lost = set(rng.sample(range(len(text)), max(1, round(GARBLED * len(text)))))
    return "".join("\N{REPLACEMENT CHARACTER}" if i in lost else c for i, c in enumerate(text))


def _head(rng: random.Random, text: str) -> str:
    return text[: _inside(rng, text)]


def _tail(rng: random.Random, text: str) -> str:
    return text[_inside(rng, text) :]


def _inside(rng: random.Random, text: str) -> int:
    """A place in the middle of a clause."""
    places, at = [], 0
    for clause in _clauses(text):
        if len(clause) > 3:
            places.append(at + rng.randrange(2, len(clause) - 1))
        at += len(clause)
    return rng.choice(places) if places else len(text) // 2
