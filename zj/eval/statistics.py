"""Confidence intervals of means: the percentile bootstrap over questions (Efron & Tibshirani 1993, chapters 13 and 14).

N questions are resampled with replacement 10,000 times; the interval holds 95 % of the resampled means. Two models that
answered the same questions are compared question by question: the difficulty of a question cancels.

Questions of one template are not independent: thirty fillings tell little more than one. They form a cluster, and whole
clusters are resampled (Davison & Hinkley 1997, section 3.8, strategy 1; Cameron, Gelbach & Miller 2008). The mean of a
resample is over the questions of its clusters: a ratio of two sums.

A figure that is no mean, such as corpus BLEU, is a function of sums of counts: `figure_intervals` resamples these, for
several systems and their differences at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
ROUNDING = 1e-9  # below it, a width or an error is rounding of sums
DRAWS_IN_MEMORY = 2_000_000  # indices drawn at a time, 16 MB
WEIGHTS_TO_KEEP = 20_000_000  # 40 MB: many metrics are of the same clusters, and drawing takes most of the time

Values = Sequence[float] | np.ndarray
Figures = Callable[[np.ndarray], np.ndarray]  # sums [..., K] of statistics → figures [..., M]


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
    return percentile_interval(float(x.mean()), resampled_means(x, clusters, seed, resamples))


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


def figure_intervals(
    figures: Figures,
    statistics: np.ndarray,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[list[Interval], np.ndarray]:
    """(interval of each of M figures, their standard errors [M]) from the statistics [N, K] of the questions.

    BCa: percentiles of the resamples, moved for the bias and the skewness of the figure (Efron 1987, equation 6.8), and
    a little outwards, as Student's t is wider than the normal distribution (Hesterberg 2015, "expanded"). It is the
    same on any scale, so no end lies where a figure cannot be. Skewness and errors are the jackknife's over clusters.
    With one cluster the interval is a point.
    """
    sums = cluster_sums(statistics, clusters)
    groups, total = len(sums), sums.sum(0)
    values = figures(total)
    if groups < 2:
        return [Interval(float(value), float(value), float(value)) for value in values], np.zeros(len(values))
    without = figures(total - sums)
    influence = (groups - 1) * (without.mean(0) - without)  # [G, M], of mean 0
    errors = np.sqrt((influence**2).sum(0) / (groups * (groups - 1)))
    resampled = figures(resampled_sums(sums, seed, resamples))
    intervals = [_bca(values[m], resampled[:, m], influence[:, m]) for m in range(len(values))]
    return intervals, errors


def _bca(value: float, resampled: np.ndarray, influence: np.ndarray) -> Interval:
    """Of one figure, from its values [R] in resamples and the influences [G] of the clusters."""
    groups, normal = len(influence), NormalDist()
    acceleration = 0.0
    if (largest := np.abs(influence).max()) > 0:
        x = influence / largest  # the square of a tiny figure would be lost
        acceleration = float((x**3).sum() / (6 * (x**2).sum() ** 1.5))
    below = float((resampled < value).sum() + (resampled <= value).sum()) / 2  # half of the ties
    bias = normal.inv_cdf(min(max(below, 1.0), len(resampled) - 1.0) / len(resampled))
    wide = _expanded(groups)
    shifted = (bias - wide, bias + wide)
    moved = (bias + z / (1 - min(acceleration * z, 0.9)) for z in shifted)  # 0.9: of three clusters, say, t is wide
    low, high = np.quantile(resampled, [normal.cdf(z) for z in moved])
    return Interval(float(value), float(low), float(high))


def _expanded(clusters: int) -> float:
    """How far out an interval of at least two clusters reaches, in place of the normal 1.96: Student's quantile, wider
    by sqrt(G / (G - 1)), as the bootstrap's variance is too small (Hesterberg 2015, section 5.3).

    The quantile is Fisher's expansion about the normal one (Abramowitz & Stegun, 26.7.5).
    """
    z, freedom = NormalDist().inv_cdf((1 + LEVEL) / 2), clusters - 1
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return sqrt(clusters / freedom) * student


def resampled_means(
    values: np.ndarray, clusters: Sequence[str] | None, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
    """Means [R] of the values [N], over the questions of the clusters of each resample."""
    sums = cluster_sums(np.stack([values, np.ones(len(values))], axis=1), clusters)
    totals, counts = resampled_sums(sums, seed, resamples).T
    means: np.ndarray = totals / counts
    return means


def resampled_sums(sums: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Sums [R, K] of R resamples of the rows of `sums` [G, K], one for each cluster."""
    weights = _kept_weights if resamples * len(sums) <= WEIGHTS_TO_KEEP else _weights
    return np.concatenate([part.astype(np.float64) @ sums for part in weights(len(sums), seed, resamples)])


@lru_cache(maxsize=12)
def _kept_weights(groups: int, seed: int, resamples: int) -> tuple[np.ndarray, ...]:
    return tuple(_weights(groups, seed, resamples))


def _weights(groups: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each cluster is in each resample, [R, G] in parts of so many rows that the draws stay in memory."""
    rng = np.random.default_rng(seed)
    rows = max(1, DRAWS_IN_MEMORY // groups)
    for at in range(0, resamples, rows):
        size = min(rows, resamples - at)
        drawn = rng.integers(groups, size=(size, groups)) + groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.uint16)


def cluster_sums(statistics: np.ndarray, clusters: Sequence[str] | None) -> np.ndarray:
    """Sums [G, K] of the statistics [N, K] in each cluster, in order of first occurrence."""
    if clusters is None:
        return statistics
    indices = cluster_indices(clusters, len(statistics))
    sums = np.zeros((max(indices) + 1, statistics.shape[1]))
    np.add.at(sums, indices, statistics)
    return sums


def cluster_indices(clusters: Sequence[str], values: int) -> list[int]:
    if len(clusters) != values:
        raise ValueError(f"found {len(clusters)} clusters of {values} values, expected one of each value")
    index_of = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    return [index_of[name] for name in clusters]


def _differences(a: Values, b: Values) -> np.ndarray:
    if len(a) != len(b):
        raise ValueError(f"found {len(a)} and {len(b)} values, expected one of each question on both sides")
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)


# ---- shares


def share_interval(values: Sequence[float], clusters: Sequence[str] | None = None, seed: int = 0) -> Interval:
    """Of a mean of values from 0 to 1: Wilson's of independent shares, and of as many clusters as there are where all
    agree; else the bootstrap's. It is no point. ValueError without a value."""
    groups = len(values) if clusters is None else len(set(clusters))
    if set(values) <= {0, 1} and (groups == len(values) or len(set(values)) == 1):
        return wilson_interval(groups * round(values[0]) if groups < len(values) else round(sum(values)), groups)
    return opened(bootstrap_interval(values, seed, clusters=clusters), groups)


def percentile_interval(value: float, resampled: np.ndarray, clusters: int | None = None) -> Interval:
    """The interval of a figure from its values [R] in resamples of so many clusters; with one cluster it is a point.
    Without `clusters` its ends are the plain percentiles.

    With `clusters` it is for shares: it stays within 0 and 1, and is no point where nearly all agree, as bootstrap-t
    is. Its ends lie a little further out than plain percentiles, as Student's t does, for few clusters (Hesterberg
    2015, section 5.3).
    """
    tail = NormalDist().cdf(-_expanded(clusters)) if clusters and clusters > 1 else (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


def opened(interval: Interval, clusters: int, least: float = 0.0, most: float = 1.0) -> Interval:
    """Inside of least … most, the values that one cluster can have; a point, of which resamples know nothing else,
    becomes an interval.

    Of what was never seen in G clusters the probability is at most u = 1 - 0.025^(1/G) (Clopper & Pearson 1934). It
    moves the mean to (1 - u) mean + u least at most, and to (1 - u) mean + u most.
    """
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / clusters) if interval.high - interval.low <= ROUNDING else 0.0
    low, high = ((1 - unseen) * end + unseen * far for end, far in ((interval.low, least), (interval.high, most)))
    return Interval(interval.mean, max(least, low), min(most, high))
