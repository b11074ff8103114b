"""Figures of a preset for all systems, with 95 % intervals, and each system against one of them.

statistics of each answer → resampled together over whole dialogues → figures of the sums
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zj.eval.answer_file import AnswerRow, Systems
from zj.eval.significance import detectable, holm, normal_p, randomization_test
from zj.eval.statistics import RESAMPLES, Interval, figure_intervals, opened
from zj.eval.text.distinct import CorpusDistinct, corpus_distinct, jackknife_error
from zj.eval.text.formulas import figures_of, statistics_of
from zj.eval.text.presets import Measure, Preset, signature
from zj.eval.text.tokens import TOKENS


@dataclass(frozen=True)
class Comparison:
    """A system minus the one that it is compared with, on the same questions."""

    difference: Interval
    p: float  # two-sided
    p_holm: float  # corrected for all comparisons of the preset
    detectable: float | None  # the difference that such a test sees in 80 of 100 test sets of this size, at p < 0.05


@dataclass(frozen=True)
class MetricScores:
    """One metric of all systems."""

    metric: str
    signature: str
    scores: dict[str, Interval]  # by system
    comparisons: dict[str, Comparison]  # by system, without the one that all are compared with


def score_texts(
    preset: Preset, systems: Systems, against: str = "", seed: int = 0, resamples: int = RESAMPLES
) -> list[MetricScores]:
    """The metrics of a preset. Those that need a reference are of the questions that have one, if there are any.

    `against`: the system that all others are compared with ("": no comparison).
    """
    scored: list[MetricScores] = []
    for measure in preset.measures:
        needs_reference = measure.formula != "Distinct"
        rows = {
            name: [row for row in rows if row.reference.strip() or not needs_reference]
            for name, rows in systems.items()
        }
        if next(iter(rows.values())):
            score = score_corpus_distinct if (measure.formula, measure.level) == ("Distinct", "corpus") else score_sums
            scored += score(measure, rows, against, seed, resamples)
    return with_holm(scored)


def with_holm(scored: Sequence[MetricScores]) -> list[MetricScores]:
    """With the corrected p of all comparisons."""
    corrected = iter(holm([c.p for row in scored for c in row.comparisons.values()]))
    return [
        replace(
            metric, comparisons={name: replace(c, p_holm=next(corrected)) for name, c in metric.comparisons.items()}
        )
        for metric in scored
    ]


def score_sums(measure: Measure, systems: Systems, against: str, seed: int, resamples: int) -> list[MetricScores]:
    """Figures that are functions of sums of statistics."""
    statistics = {
        name: statistics_of(measure, [row.answer for row in rows], [row.reference for row in rows])
        for name, rows in systems.items()
    }
    clusters, names, compared = clusters_of(systems), list(systems), others(systems, against)
    together = np.stack(list(statistics.values()), 1)  # [N, S, K]

    def of_system(sums: np.ndarray) -> np.ndarray:
        return figures_of(measure, sums)

    def figures(sums: np.ndarray) -> np.ndarray:
        """Those of all systems, then the differences: [..., (S + compared) × M]."""
        found = of_system(sums.reshape(*sums.shape[:-1], *together.shape[1:]))  # [..., S, M]
        differences = [found[..., names.index(name), :] - found[..., names.index(against), :] for name in compared]
        return np.concatenate([*np.moveaxis(found, -2, 0), *differences], -1)

    intervals, errors = figure_intervals(figures, together.reshape(len(together), -1), clusters, seed, resamples)
    width, floor, dialogues = len(measure.names), len(names) * len(measure.names), len(set(clusters))
    intervals = [
        opened(interval, dialogues, 0 if at < floor else -measure.scale, measure.scale)
        for at, interval in enumerate(intervals)
    ]
    scores = {name: intervals[at * width :][:width] for at, name in enumerate(names)}
    comparisons: dict[str, list[Comparison]] = {}
    for at, name in enumerate(compared):
        p = randomization_test(statistics[name], statistics[against], of_system, clusters, seed, resamples)
        here = slice(floor + at * width, floor + (at + 1) * width)
        comparisons[name] = [
            Comparison(interval, float(value), 1.0, detectable(float(error)))
            for interval, value, error in zip(intervals[here], p, errors[here], strict=True)
        ]
    return rows_of(measure, systems, scores, comparisons)


def score_corpus_distinct(
    measure: Measure, systems: Systems, against: str, seed: int, resamples: int
) -> list[MetricScores]:
    """Distinct of all answers together; its intervals and p-values are the jackknife's."""
    clusters, cut = clusters_of(systems), TOKENS[measure.tokens]
    dialogues = len(set(clusters))
    texts = {name: [cut(row.answer) for row in rows] for name, rows in systems.items()}
    orders = [int(name[-1]) for name in measure.names]
    found = {name: [corpus_distinct(tokens, n, clusters) for n in orders] for name, tokens in texts.items()}

    def compared(one: CorpusDistinct, other: CorpusDistinct) -> Comparison:
        difference = CorpusDistinct(one.value - other.value, one.without - other.without)
        error = jackknife_error(difference.without)
        p = normal_p(difference.value, error, dialogues)
        return Comparison(opened(difference.interval, dialogues, -1), p, 1.0, detectable(error))

    scores = {name: [opened(one.interval, dialogues) for one in ratios] for name, ratios in found.items()}
    comparisons = {
        name: [compared(*pair) for pair in zip(found[name], found[against], strict=True)]
        for name in others(systems, against)
    }
    return rows_of(measure, systems, scores, comparisons)


def rows_of(
    measure: Measure,
    systems: Systems,
    scores: dict[str, list[Interval]],
    comparisons: dict[str, list[Comparison]],
) -> list[MetricScores]:
    """One row of each name of the measure."""
    cut, clusters = TOKENS[measure.tokens], clusters_of(systems)
    empty = {name: sum(not "".join(cut(row.answer)).strip() for row in rows) for name, rows in systems.items()}
    line = signature(measure, len(clusters), len(set(clusters)), empty)
    return [
        MetricScores(
            metric,
            line,
            {name: intervals[m] for name, intervals in scores.items()},
            {name: pairs[m] for name, pairs in comparisons.items()},
        )
        for m, metric in enumerate(measure.names)
    ]


def clusters_of(systems: Systems) -> list[str]:
    rows: Sequence[AnswerRow] = next(iter(systems.values()))
    return [row.dialogue for row in rows]


def others(systems: Systems, against: str) -> list[str]:
    return [name for name in systems if against and name != against]
