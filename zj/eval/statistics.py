"""How sure a measured mean is: the bootstrap over questions (Efron & Tibshirani 1993, chapters 13 and 14).

The questions are what was drawn at random, so they are what is drawn again: with replacement, as many as there were,
10,000 times; 95 % of the means so found lie between the ends of the interval. Two models that answered the same
questions are compared question by question, because what makes a question hard is hard for both and cancels.
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


def bootstrap_interval(values: Values, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Mean of values [N], one of each question, with its percentile interval. The same seed gives the same interval.

    Raises ValueError where there is no value, or one that is not a finite number.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"found values of shape {x.shape}, expected one number of each question, at least one")
    if not np.isfinite(x).all():
        raise ValueError(f"found value {x[~np.isfinite(x)][0]}, expected finite numbers")
    rng = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // len(x))
    means = np.concatenate(
        [x[rng.integers(len(x), size=(min(rows, resamples - at), len(x)))].mean(1) for at in range(0, resamples, rows)]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def paired_difference(a: Values, b: Values, seed: int = 0) -> Interval:
    """Mean of a - b, where a[i] and b[i] answer the same question. Raises ValueError if they are not as many."""
    return bootstrap_interval(_differences(a, b), seed)


def win_tie_loss(a: Values, b: Values, seed: int = 0) -> tuple[Interval, Interval, Interval]:
    """Shares of the questions on which a is above, equal to and below b; they add up to 1."""
    d = _differences(a, b)
    return bootstrap_interval(d > 0, seed), bootstrap_interval(d == 0, seed), bootstrap_interval(d < 0, seed)


def _differences(a: Values, b: Values) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"found {len(a)} and {len(b)} values, expected one of each question on both sides")
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
