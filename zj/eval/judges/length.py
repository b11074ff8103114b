"""The win rate at equal lengths: what is left of it when the judge's, or anybody's, taste for length is taken away.

The model, after AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475) without its term of the question's difficulty:

    P(first system wins) = sigmoid(a + b tanh(d / s)),    d: characters of the first answer less those of the second

s is the standard deviation of d, not centred, so that d = 0 means equal lengths. A tie is half a win. The rate at equal
lengths is sigmoid(a). b has a normal prior of variance 10, a one of variance 1,000, without which a fit to nothing but
wins has no end. The interval comes of 1,000 resamples of whole clusters, each with a fit of its own.

It is an extrapolation where one system is longer nearly everywhere: the interval then is wide, and rightly so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zj.eval.statistics import DRAWS_IN_MEMORY, Interval, cluster_indices, percentile_interval

RESAMPLES = 1000
PRIOR = np.array([1e-3, 0.1])  # precisions of a and b
STEPS = 50  # of Newton's method
LONGEST_STEP = 1.0

Fit = tuple[np.ndarray, np.ndarray]  # a, b


def length_controlled(
    scores: np.ndarray, differences: np.ndarray, clusters: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The rate at equal lengths, of scores [N] (1 win, ½ tie, 0 loss) and differences [N] of lengths."""
    spread = float(np.sqrt(np.mean((differences - differences.mean()) ** 2)))
    x = np.tanh(differences / spread) if spread else np.zeros(len(scores))
    indices = np.array(cluster_indices(clusters, len(scores)))
    groups = int(indices.max()) + 1
    whole = _fit(scores, x, np.ones((1, len(scores))), (np.zeros(1), np.zeros(1)))
    rng, rows = np.random.default_rng(seed), max(1, DRAWS_IN_MEMORY // len(scores))
    rates = []
    for at in range(0, resamples, rows):
        drawn = rng.integers(groups, size=(min(rows, resamples - at), groups))
        weights = np.stack([np.bincount(one, minlength=groups) for one in drawn])[:, indices]
        rates.append(_sigmoid(_fit(scores, x, weights.astype(np.float64), whole)[0]))
    return percentile_interval(float(_sigmoid(whole[0])[0]), np.concatenate(rates), groups)


def _fit(y: np.ndarray, x: np.ndarray, weights: np.ndarray, start: Fit) -> Fit:
    """(a [R], b [R]) of the fits to scores y [N] at x [N] with weights [R, N], by Newton's method in short steps."""
    a, b = (np.repeat(one, len(weights)) for one in start)
    for _ in range(STEPS):
        p = _sigmoid(a[:, None] + b[:, None] * x)
        rest, curve = weights * (y - p), weights * p * (1 - p)
        slope_a, slope_b = rest.sum(1) - PRIOR[0] * a, rest @ x - PRIOR[1] * b
        aa, ab, bb = curve.sum(1) + PRIOR[0], curve @ x, curve @ (x * x) + PRIOR[1]
        determinant = aa * bb - ab * ab
        step_a, step_b = (bb * slope_a - ab * slope_b) / determinant, (aa * slope_b - ab * slope_a) / determinant
        a += np.clip(step_a, -LONGEST_STEP, LONGEST_STEP)
        b += np.clip(step_b, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step_a).max() + np.abs(step_b).max() < 1e-9:
            break
    return a, b


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
