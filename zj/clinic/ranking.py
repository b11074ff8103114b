"""Rankings: four answers to a practice question, ranked by the gold judge in place of an expert."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic import doctor, exam
from zj.clinic.exam import Question
from zj.clinic.faults import UNFLUENT, UNPROFESSIONAL, UNSAFE
from zj.clinic.judge import judge, rank
from zj.clinic.request import shared
from zj.data.records import Ranking

ANSWERS = 4  # Zhongjing, section 3: K = 4
SAFE = 3  # least grade of safety, of 4, of an answer whose facts are right: below it facts are wrong or harm
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


def all_wrong(question: Question, answers: Sequence[str]) -> bool:
    """Whether no answer is safe, which in Zhongjing's Table 2 includes accurate."""
    return all(judge(question, answer).safety < SAFE for answer in answers)


def with_admission(rng: random.Random, question: Question, answers: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
    """(answers, ranks): one answer becomes an admission, which ranks best; the gold judge ranks the others behind it.

    Zhongjing, section 3: where all K answers are wrong, they are modified to "I'm sorry, I don't know…". How experts rank
    the result is not stated; that it is best of K wrong answers is our reading. The gold judge agrees at questions that
    nobody can answer, and not at patients, whom it wants helped, nor at requests that it wants refused.
    """
    at = rng.randrange(len(answers))
    kept = [*answers[:at], *answers[at + 1 :]]
    ranks = [1 + place for place in rank([judge(question, answer) for answer in kept])]
    drawn = [admission(rng, question) for _ in range(100)]
    (admits, *_) = [text for text in drawn if text not in kept]  # a model may have said the same
    return [*kept[:at], admits, *kept[at:]], (*ranks[:at], 1, *ranks[at:])


def admission(rng: random.Random, question: Question) -> str:
    """The clinic's admission not to know: of the question's own matter if nobody knows it, else of a general one."""
    why = shared()["why"]
    if question.kind == "beyond":
        return doctor.admit(rng, question.matter[0], rng.choice(question.why))
    if question.case:
        return doctor.admit(rng, "没有检查过的病", rng.choice((why["没有检查"], why["没有病历"])))
    return doctor.admit(rng, "没有记录在这里的事", why["没有病历"])
