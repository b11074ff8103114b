"""Gold against proxy: does what the reward model likes more and more stay good in the eyes of who knows the truth?

Gao et al. 2023, "Scaling laws for reward model overoptimization": the proxy climbs on, gold climbs, bends and falls.
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
class Graded:
    """One validation: the same answers, graded by the clinic's judge and by the reward model."""

    step: int
    kl: float  # from the reference, nats per answer
    gold: Interval  # 0 to 1
    proxy: float  # mean score


def grade(samples: Iterable[Mapping[str, Any]], kl: Mapping[int, float]) -> tuple[list[Graded], str]:
    """(every validation that has a KL, graded; the id of a prompt that is not the clinic's, "" if all are).

    `samples` are the rows of a PPO run's samples.jsonl, step by step, with `step`, `where` (the prompt's id), `answer`
    and `score`. Only answers to the clinic's questions are looked at: nobody knows the truth about the others.
    """
    found, foreign = [], ""
    for step, rows in groupby(samples, key=lambda row: row["step"]):
        said = [(known(row["where"]), row) for row in rows]
        foreign = next((row["where"] for asked, row in said if asked is None), foreign)
        ours = [(asked, row) for asked, row in said if asked is not None]
        if ours and step in kl:
            scores = [judge(asked, row["answer"]).score for asked, row in ours]
            gold = bootstrap_interval(scores, clusters=[asked.cluster for asked, _ in ours])
            found.append(Graded(step, kl[step], gold, sum(row["score"] for _, row in ours) / len(ours)))
    return found, foreign


@cache
def known(id: str) -> Question | None:
    """The clinic's question of this id, if it has one."""
    try:
        return question_of(id)
    except ValueError:
        return None
