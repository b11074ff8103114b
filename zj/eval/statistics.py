"""Confidence intervals of means: the percentile bootstrap over questions (Efron & Tibshirani 1993, chapters 13 and 14).

N questions are resampled with replacement 10,000 times; the interval holds 95 % of the resampled means. Two models that
answered the same questions are compared question by question: the difficulty of a question cancels.

Questions of one template are not independent: thirty fillings tell little more than one. They form a cluster, and whole
clusters are resampled (Davison & Hinkley 1997, section 3.8, strategy 1; Cameron, Gelbach & Miller 2008). The mean of a
resample is over the questions of its clusters: a ratio of two sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
DRAWS_IN_MEMORY = 2_000_000  # indices drawn at a time, 16 MB

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A mean over questions and its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def wilson_interval(right: int, number: int) -> Interval:
    """Share of right answers among independent questions: Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta
    2001). It stays within 0 and 1, and is no point where all are right. ValueError without a question."""
    if not 0 <= right <= number or not number:
        raise ValueError(f"found {right} right of {number} questions, expected at least one question")
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, scale = right / number, 1 + z * z / number
    middle = (share + z * z / (2 * number)) / scale
    half = z / scale * sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    low, high = (0.0 if right == 0 else middle - half), (1.0 if right == number else middle + half)
    return Interval(share, low, high)


def bootstrap_interval(
    values: Values, seed: int = 0, resamples: int = RESAMPLES, clusters: Sequence[str] | None = None
) -> Interval:
    """Mean of values [N], one per question, with its percentile interval. The same seed gives the same interval.

    `clusters` [N] names the cluster of each value (None: each value by itself). With few clusters the interval is too
    narrow, with one it is a point. Raises ValueError if there is no value, if one is not finite, or if there is not one
    cluster per value.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"found values of shape {x.shape}, expected one number of each question, at least one")
    if not np.isfinite(x).all():
        raise ValueError(f"found value {x[~np.isfinite(x)][0]}, expected finite numbers")
    sums, counts = _cluster_sums(x, clusters)
    rng = np.random.default_rng(seed)
    rows = max(1, DRAWS_IN_MEMORY // len(sums))
    means = np.concatenate(
        [
            _mean_of_draws(sums, counts, rng.integers(len(sums), size=(min(rows, resamples - at), len(sums))))
            for at in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def paired_difference(a: Values, b: Values, seed: int = 0, clusters: Sequence[str] | None = None) -> Interval:
    """Mean of a - b, where a[i] and b[i] answer the same question. Raises ValueError if their lengths differ."""
    return bootstrap_interval(_differences(a, b), seed, clusters=clusters)


def win_tie_loss(
    a: Values, b: Values, seed: int = 0, clusters: Sequence[str] | None = None
) -> tuple[Interval, Interval, Interval]:
    """Shares of the questions on which a is above, equal to and below b; they add up to 1."""
    d = _differences(a, b)
    win, tie, loss = (bootstrap_interval(side, seed, clusters=clusters) for side in (d > 0, d == 0, d < 0))
    return win, tie, loss


def _cluster_sums(x: np.ndarray, clusters: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """(sum of values, number of values) of each cluster, in order of first occurrence."""
    if clusters is None:
        return x, np.ones(len(x))
    if len(clusters) != len(x):
        raise ValueError(f"found {len(clusters)} clusters of {len(x)} values, expected one of each value")
    index_of = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    indices = [index_of[name] for name in clusters]
    return np.bincount(indices, x), np.bincount(indices).astype(np.float64)


def _mean_of_draws(sums: np.ndarray, counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean [R] over the questions of the drawn clusters [R, G]."""
    return sums[drawn].sum(1) / counts[drawn].sum(1)


def _differences(a: Values, b: Values) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"found {len(a)} and {len(b)} values, expected one of each question on both sides")
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
