"""How sure a measured mean is: the bootstrap over questions (Efron & Tibshirani 1993, chapters 13 and 14).

The questions are what was drawn at random, so they are what is drawn again: with replacement, as many as there were,
10,000 times; 95 % of the means so found lie between the ends of the interval. Two models that answered the same
questions are compared question by question, because what makes a question hard is hard for both and cancels.

Questions that share their words are no independent draws: thirty fillings of one template tell little more than one.
They are one cluster, and whole clusters are drawn (Davison & Hinkley 1997, section 3.8, strategy 1; Cameron, Gelbach
& Miller 2008). The mean of a resample is over the questions that came with its clusters: a ratio of two sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
AT_ONCE = 2_000_000  # drawn numbers held in memory, 16 MB

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A mean over questions and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Values, seed: int = 0, resamples: int = RESAMPLES, clusters: Sequence[str] | None = None
) -> Interval:
    """Mean of values [N], one of each question, with its percentile interval. The same seed gives the same interval.

    `clusters` [N] names what is drawn together (None: each question by itself). Few clusters make the interval too
    narrow, and one alone makes it a point. Raises ValueError where there is no value, or one that is not a finite
    number, or not one cluster of each value.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"found values of shape {x.shape}, expected one number of each question, at least one")
    if not np.isfinite(x).all():
        raise ValueError(f"found value {x[~np.isfinite(x)][0]}, expected finite numbers")
    sums, counts = _by_cluster(x, clusters)
    rng = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // len(sums))
    means = np.concatenate(
        [
            _mean_of_draws(sums, counts, rng.integers(len(sums), size=(min(rows, resamples - at), len(sums))))
            for at in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def paired_difference(a: Values, b: Values, seed: int = 0, clusters: Sequence[str] | None = None) -> Interval:
    """Mean of a - b, where a[i] and b[i] answer the same question. Raises ValueError if they are not as many."""
    return bootstrap_interval(_differences(a, b), seed, clusters=clusters)


def win_tie_loss(
    a: Values, b: Values, seed: int = 0, clusters: Sequence[str] | None = None
) -> tuple[Interval, Interval, Interval]:
    """Shares of the questions on which a is above, equal to and below b; they add up to 1."""
    d = _differences(a, b)
    win, tie, loss = (bootstrap_interval(side, seed, clusters=clusters) for side in (d > 0, d == 0, d < 0))
    return win, tie, loss


def _by_cluster(x: np.ndarray, clusters: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """(sum of the values, number of the values) of each cluster, in the order in which the clusters come."""
    if clusters is None:
        return x, np.ones(len(x))
    if len(clusters) != len(x):
        raise ValueError(f"found {len(clusters)} clusters of {len(x)} values, expected one of each value")
    place = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    at = [place[name] for name in clusters]
    return np.bincount(at, x), np.bincount(at).astype(np.float64)


def _mean_of_draws(sums: np.ndarray, counts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean [R] over the questions of the clusters drawn [R, G]."""
    return sums[drawn].sum(1) / counts[drawn].sum(1)


def _differences(a: Values, b: Values) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"found {len(a)} and {len(b)} values, expected one of each question on both sides")
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
