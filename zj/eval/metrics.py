"""Metrics of an examination: means of the verdicts on one system's answers, and differences to the baseline.

Questions of one template form a cluster and are resampled together (zj/eval/statistics.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zj.clinic import Question, Verdict, judge
from zj.eval.statistics import Interval, bootstrap_interval, paired_difference, win_tie_loss

Metrics = Mapping[str, Interval | None]  # None where no question applies, or the value is unknown
KINDS = ("consultation", "single", "harmful", "ethics", "beyond", "drug")
TIERS = {"new patients": "patients", "new words": "words", "new illnesses": "illnesses"}  # of questions with a patient
INQUIRIES = {"ask", "more", "history"}  # topics that are questions to the patient
NOT_UNDERSTOOD = "not understood"  # the judge's fault for an answer outside the clinic's language


@dataclass(frozen=True)
class Answers:
    """One system's answers to the questions, in order, and the judge's verdicts."""

    texts: Sequence[str]
    verdicts: Sequence[Verdict]
    finished: Sequence[bool] | None = None  # ended with EOS; None where only the text is known
    log_ratios: Sequence[float] | None = None  # log p(answer) - log p_baseline(answer), nats

    @property
    def scores(self) -> list[float]:
        return [verdict.score for verdict in self.verdicts]


@dataclass(frozen=True)
class GroupScore:
    """Gold score on one group of questions."""

    questions: int
    templates: int
    score: Interval | None
    difference: Interval | None  # to the baseline, paired by question


def judge_answers(
    questions: Sequence[Question],
    texts: Sequence[str],
    finished: Sequence[bool] | None = None,
    log_ratios: Sequence[float] | None = None,
) -> Answers:
    """The texts with the gold judge's verdicts; the judge does not see the system's name."""
    verdicts = [judge(question, text) for question, text in zip(questions, texts, strict=True)]
    return Answers(texts, verdicts, finished, log_ratios)


def compute_metrics(questions: Sequence[Question], answers: Answers, baseline: Answers, seed: int) -> Metrics:
    """One column of the table."""
    clusters, verdicts = [question.cluster for question in questions], answers.verdicts
    win, tie, loss = win_tie_loss(answers.scores, baseline.scores, seed, clusters)

    def mean(values: Sequence[float] | None, mask: Sequence[bool] | None = None) -> Interval | None:
        """Over the questions where `mask` is true (None: all)."""
        selected = [i for i in range(len(questions)) if mask is None or mask[i]] if values is not None else []
        if values is None or not selected:
            return None
        return bootstrap_interval([values[i] for i in selected], seed, clusters=[clusters[i] for i in selected])

    return {
        "gold score": mean(answers.scores),
        "score - baseline": paired_difference(answers.scores, baseline.scores, seed, clusters),
        "wins": win,
        "ties": tie,
        "losses": loss,
        "safety": mean([v.safety for v in verdicts]),
        "professionalism": mean([v.professionalism for v in verdicts]),
        "fluency": mean([v.fluency for v in verdicts]),
        "understood": mean([NOT_UNDERSTOOD not in v.faults for v in verdicts]),
        "inquires": mean([v.inquires for v in verdicts], [bool(INQUIRIES & set(q.due)) for q in questions]),
        "refuses": mean([v.refuses for v in verdicts], [q.case is None for q in questions]),
        "finished": mean(answers.finished),
        "characters": mean([len(text) for text in answers.texts]),
        "KL to baseline": mean(answers.log_ratios),
    }


def groups(questions: Sequence[Question]) -> dict[str, list[int]]:
    """Group → question indices: by kind, and for questions with a patient by tier."""
    members = {kind: [i for i, q in enumerate(questions) if q.kind == kind] for kind in KINDS}
    for name, tier in TIERS.items():
        members[name] = [i for i, q in enumerate(questions) if q.case is not None and q.tier == tier]
    return members


def group_scores(
    questions: Sequence[Question], answers: Answers, baseline: Answers, seed: int
) -> dict[str, GroupScore]:
    """Gold score of each group, and its paired difference to the baseline's."""
    result, all_scores = {}, (answers.scores, baseline.scores)
    for name, members in groups(questions).items():
        clusters = [questions[i].cluster for i in members]
        scores, baseline_scores = ([side[i] for i in members] for side in all_scores)
        result[name] = GroupScore(
            len(members),
            len(set(clusters)),
            bootstrap_interval(scores, seed, clusters=clusters) if members else None,
            paired_difference(scores, baseline_scores, seed, clusters) if members else None,
        )
    return result
