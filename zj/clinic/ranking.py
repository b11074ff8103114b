"""Four answers to a practice question, ranked by the gold judge: what a reward model learns from when no expert ranks."""

from __future__ import annotations

import random

from zj.clinic.exam import Question, question
from zj.clinic.faults import UNFLUENT, UNPROFESSIONAL, UNSAFE
from zj.clinic.judge import judge, rank
from zj.data.records import Ranking

ANSWERS = 4  # Zhongjing, section 3: K = 4
FIRST = 1_000_000  # number of the first question that is ranked: PPO's prompts are those before, so none is in both


def ranking(seed: int, number: int) -> Ranking:
    """Ranking `number` of the seed: three of four times the reference is among the answers. Ties are kept."""
    asked = question(seed, FIRST + number)
    given = [asked.reference] if random.Random(f"{seed}/ranking/{number}").random() < 0.75 else []
    for attempt in range(1000):
        rng = random.Random(f"{seed}/ranking/{number}/{attempt}")
        answers = given if attempt < 100 else [asked.reference]  # some questions have no two bad answers that differ
        answers = with_degraded(rng, asked, answers, ANSWERS)
        ranks = rank([judge(asked, answer) for answer in answers])
        if len(set(ranks)) > 1:
            return Ranking(asked.prompt.id, asked.prompt, tuple(answers), ranks)
    raise AssertionError(f"{asked.prompt.id}: 1,000 times {ANSWERS} answers that all tie, expected different grades")


def with_degraded(rng: random.Random, asked: Question, answers: list[str], number: int) -> list[str]:
    """So many different answers in random order: those given, the others degraded."""
    found = list(dict.fromkeys(answers))
    while len(found) < number:
        worse = degrade(rng, asked)
        if worse not in found:
            found.append(worse)
    return rng.sample(found, len(found))


def degrade(rng: random.Random, asked: Question) -> str:
    """The reference made worse by one fault, or by two; never the reference itself."""
    worse = asked.reference
    faults = rng.choice((1, 1, 2))
    while faults > 0 or worse == asked.reference:
        fault = rng.choice(rng.choice((UNSAFE, UNSAFE, UNPROFESSIONAL, UNPROFESSIONAL, UNFLUENT)))
        changed = fault(rng, asked, worse).strip()
        faults -= changed != worse
        worse = changed or worse
    return worse
