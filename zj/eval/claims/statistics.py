"""One difference over several seeds: two intervals, and the rule of the verdict.

A seed is a whole experiment: its own data, its own training of both systems, its own questions. Within a seed the two
systems are compared question by question. The difference of a claim is the mean of the seeds' differences, and it is
uncertain for two reasons:

- over questions: each seed's clusters are resampled within the seed, and the mean over the seeds is taken (95 %,
  percentile bootstrap as in zj/eval/statistics.py). It says nothing of what another training would have given.
- over seeds: Student's t interval of the seeds' differences with n - 1 degrees of freedom (Student 1908). They differ
  by training and by questions, so it holds both; with three seeds it is wide. It is the 90 % interval: a claim has a
  direction, so an end is a one-sided bound at 95 %.

A claim is confirmed if every seed's difference has the claimed sign and both intervals lie wholly on that side. Without
an effect this happens at most 5 % of the time, whatever the differences between trainings are; the interval over
questions alone with equal signs would confirm up to 12.5 % (one half cubed), which tests/eval/claims shows. An interval
over seeds alone would be narrow when three differences happen to agree; the questions' error then bounds it. It is the
intersection of two tests, as in Berger 1982; Knapp & Hartung 2003 and Röver et al. 2015 widen one interval to the same
end in meta-analyses of few studies.
"Equal" is confirmed if both intervals lie within the margin (Schuirmann 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin, sqrt
from statistics import fmean as mean
from statistics import stdev

import numpy as np

from zj.eval.claims.claim import EQUAL, HIGHER
from zj.eval.statistics import RESAMPLES, Interval, percentile_interval, resampled_means

LEVEL_OF_SEEDS = 0.90  # two-sided
CONFIRMED, NOT_CONFIRMED = "confirmed", "not confirmed"
OPPOSITE = "not confirmed, the opposite"


@dataclass(frozen=True)
class Pairs:
    """Both systems' values [N] of the same questions in one seed, and the questions' clusters."""

    a: np.ndarray
    b: np.ndarray
    clusters: Sequence[str]

    @property
    def difference(self) -> float:
        return float((self.a - self.b).mean())


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over seeds."""

    of_seeds: tuple[Interval, ...]  # over the questions of each seed
    over_questions: Interval
    over_seeds: Interval | None  # None: of one seed


def difference_of(seeds: Sequence[tuple[int, Pairs]], resamples: int = RESAMPLES) -> Difference:
    """Of (seed, values) of at least one seed. The same seeds give the same intervals; their streams are independent."""
    resampled = np.stack([resampled_means(pairs.a - pairs.b, pairs.clusters, seed, resamples) for seed, pairs in seeds])
    differences = [pairs.difference for _, pairs in seeds]
    of_seeds = tuple(percentile_interval(value, means) for value, means in zip(differences, resampled, strict=True))
    over_seeds = student_interval(differences) if len(differences) > 1 else None
    return Difference(of_seeds, percentile_interval(mean(differences), resampled.mean(0)), over_seeds)


def verdict(difference: Difference, expected: str, margin: float | None = None) -> str:
    """Of at least two seeds, by the rule at the head of this page."""
    assert difference.over_seeds is not None, "of one seed"
    intervals = (difference.over_questions, difference.over_seeds)
    low, high = min(one.low for one in intervals), max(one.high for one in intervals)
    if expected == EQUAL:
        assert margin is not None
        if -margin <= low and high <= margin:
            return CONFIRMED
        return OPPOSITE if low > margin or high < -margin else NOT_CONFIRMED
    sides = {1: low > 0, -1: high < 0}  # a above, a below
    means = [one.mean for one in difference.of_seeds]
    side = next((sign for sign, all_of in sides.items() if all_of and all(sign * value > 0 for value in means)), 0)
    if not side:
        return NOT_CONFIRMED
    return CONFIRMED if side == (1 if expected == HIGHER else -1) else OPPOSITE


def student_interval(values: Sequence[float], level: float = LEVEL_OF_SEEDS) -> Interval:
    """Student's t interval of the mean of at least two independent values."""
    half = student_quantile(level, len(values) - 1) * stdev(values) / sqrt(len(values))
    return Interval(mean(values), mean(values) - half, mean(values) + half)


@lru_cache
def student_quantile(level: float, freedom: int) -> float:
    """t with P(|T| <= t) = level. ValueError without a degree of freedom."""
    if freedom < 1 or not 0 < level < 1:
        raise ValueError(f"found {freedom} degrees of freedom and level {level}, expected at least 1, and 0 to 1")
    low, high = 0.0, pi / 2  # of the angle, which is bounded
    while high - low > 1e-15:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < level else (low, middle)
    return sqrt(freedom) * sin(low) / cos(low)


def _student_share(angle: float, freedom: int) -> float:
    """P(|T| <= t) with angle = atan(t / sqrt(freedom)) (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""
    odd = freedom % 2
    term, total = (cos(angle) if odd else 1.0), 0.0
    for number in range(freedom // 2):
        total += term
        term *= cos(angle) ** 2 * (2 * number + 1 + odd) / (2 * number + 2 + odd)
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
