"""Rankings: four answers to a practice question, ranked by the gold judge in place of an expert."""

from __future__ import annotations

import random

from zj.clinic import exam
from zj.clinic.exam import Question
from zj.clinic.faults import UNFLUENT, UNPROFESSIONAL, UNSAFE
from zj.clinic.judge import judge, rank
from zj.data.records import Ranking

ANSWERS = 4  # Zhongjing, section 3: K = 4
FIRST = 1_000_000  # number of the first ranked question; PPO's prompts come before it


def ranking(seed: int, number: int) -> Ranking:
    """Ranking `number` of the seed; with probability 3/4 one answer is the reference. Ties are kept."""
    question = exam.question(seed, FIRST + number)
    references = [question.reference] if random.Random(f"{seed}/ranking/{number}").random() < 0.75 else []
    for attempt in range(1000):
        rng = random.Random(f"{seed}/ranking/{number}/{attempt}")
        # For some questions no two degraded answers differ in grade: then add the reference.
        answers = references if attempt < 100 else [question.reference]
        answers = with_degraded(rng, question, answers, ANSWERS)
        ranks = rank([judge(question, answer) for answer in answers])
        if len(set(ranks)) > 1:
            return Ranking(question.prompt.id, question.prompt, tuple(answers), ranks)
    raise AssertionError(f"{question.prompt.id}: 1,000 times {ANSWERS} answers that all tie, expected different grades")


def with_degraded(rng: random.Random, question: Question, answers: list[str], number: int) -> list[str]:
    """`number` different answers in random order: the given ones, the rest degraded references."""
    texts = list(dict.fromkeys(answers))
    while len(texts) < number:
        worse = degrade(rng, question)
        if worse not in texts:
            texts.append(worse)
    return rng.sample(texts, len(texts))


def degrade(rng: random.Random, question: Question) -> str:
    """The reference with one or two faults; never equal to the reference."""
    worse = question.reference
    faults = rng.choice((1, 1, 2))
    while faults > 0 or worse == question.reference:
        fault = rng.choice(rng.choice((UNSAFE, UNSAFE, UNPROFESSIONAL, UNPROFESSIONAL, UNFLUENT)))
        changed = fault(rng, question, worse).strip()
        faults -= changed != worse
        worse = changed or worse
    return worse
