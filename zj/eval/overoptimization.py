"""Gold against proxy: does the gold score rise with the reward model's score?

Gao et al. 2023, "Scaling laws for reward model overoptimization": the proxy keeps rising, gold rises and then falls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from zj.clinic import Question, judge, question_of
from zj.eval.statistics import Interval, bootstrap_interval


@dataclass(frozen=True)
class GradedValidation:
    """One validation: the same answers scored by the clinic's judge (gold) and by the reward model (proxy)."""

    step: int
    kl: float  # from the reference, nats per answer
    gold: Interval  # 0 to 1
    proxy: float  # mean score


def grade(samples: Iterable[Mapping[str, Any]], kl: Mapping[int, float]) -> tuple[list[GradedValidation], str]:
    """(the graded validations, of the steps that have a KL; the id of a prompt that is not the clinic's, or "").

    `samples` are the rows of a PPO run's samples.jsonl, ordered by step, with `step`, `where` (the prompt's id),
    `answer` and `score`. Answers to other questions than the clinic's are ignored: their truth is unknown.
    """
    graded, foreign = [], ""
    for step, rows in groupby(samples, key=lambda row: row["step"]):
        pairs = [(find_question(row["where"]), row) for row in rows]
        foreign = next((row["where"] for question, row in pairs if question is None), foreign)
        known = [(question, row) for question, row in pairs if question is not None]
        if known and step in kl:
            scores = [judge(question, row["answer"]).score for question, row in known]
            gold = bootstrap_interval(scores, clusters=[question.cluster for question, _ in known])
            graded.append(GradedValidation(step, kl[step], gold, sum(row["score"] for _, row in known) / len(known)))
    return graded, foreign


@cache
def find_question(id: str) -> Question | None:
    """The clinic's question with this id, or None."""
    try:
        return question_of(id)
    except ValueError:
        return None
