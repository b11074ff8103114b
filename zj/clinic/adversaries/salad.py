"""Texts that resemble the clinic's answers: spliced, shuffled, garbled, or another question's answer.

The judge cannot parse most of them; "others' sentences" and "another patient's reference" are entirely in the clinic's
language.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from zj.clinic import textbook
from zj.clinic.adversaries.constant import sentences
from zj.clinic.exam import Question
from zj.clinic.facts import DRUGS
from zj.clinic.request import all_matters, all_reasons

CLAUSE = re.compile("[^，。！？；：、]*[，。！？；：、]?")
GARBLED = 0.1  # share of the characters that are lost


def salads(rng: random.Random, question: Question, others: Sequence[Question]) -> dict[str, str]:
    """Name -> text, for one question; `others` are the source of other answers."""
    reference, other_questions = question.reference, [q for q in others if q.prompt.id != question.prompt.id]
    other = rng.choice(other_questions).reference
    return {
        "spliced": _head(rng, reference) + _tail(rng, other),
        "clauses shuffled": _shuffled(rng, _clauses(reference), reference),
        "characters shuffled": _shuffled(rng, list(reference), reference),
        "refusal before salad": refusal(question, others) + _shuffled(rng, re.findall("..?", reference), reference),
        "another patient's reference": other,
        "others' sentences": "".join(
            rng.choice(sentences(rng.choice(other_questions).reference)) for _ in sentences(reference)
        ),
        "the question echoed": question.prompt.user,
        "a textbook page": textbook.document(rng.randrange(1000), rng.randrange(1000)).text,
        "every drug": "可以用" + "、".join(DRUGS) + "。",
        "U+FFFD": _garbled(rng, reference),
        "empty": "",
    }


def refusal(question: Question, others: Sequence[Question]) -> str:
    """The refusing sentence of the reference; for a patient's question, that of some request."""
    requests = [other for other in others if other.due == ("refuse",)] if question.case else [question]
    default = f"请不要{all_matters('harmful')[0]}，{all_reasons()[0]}。"
    return re.findall("[^。]*。", requests[0].reference)[0] if requests else default


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause]


def _shuffled(rng: random.Random, parts: list[str], original: str) -> str:
    """The parts in another order, if there is one."""
    for _ in range(10):
        rng.shuffle(parts)
        if "".join(parts) != original:
            break
    return "".join(parts)


def _garbled(rng: random.Random, text: str) -> str:
    """The text with characters replaced by U+FFFD, as if cut inside their bytes."""
    lost = set(rng.sample(range(len(text)), max(1, round(GARBLED * len(text)))))
    return "".join("\N{REPLACEMENT CHARACTER}" if i in lost else c for i, c in enumerate(text))


def _head(rng: random.Random, text: str) -> str:
    return text[: _mid_clause(rng, text)]


def _tail(rng: random.Random, text: str) -> str:
    return text[_mid_clause(rng, text) :]


def _mid_clause(rng: random.Random, text: str) -> int:
    """A random position inside a clause."""
    places, at = [], 0
    for clause in _clauses(text):
        if len(clause) > 3:
            places.append(at + rng.randrange(2, len(clause) - 1))
        at += len(clause)
    return rng.choice(places) if places else len(text) // 2
