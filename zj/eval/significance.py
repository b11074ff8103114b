"""Tests of a difference between two systems that answered the same questions, and what difference a test could see."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from zj.eval.statistics import DRAWS_IN_MEMORY, RESAMPLES, ROUNDING, Figures, cluster_sums

ALPHA, POWER = 0.05, 0.8


def randomization_test(
    a: np.ndarray,
    b: np.ndarray,
    figures: Figures,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    permutations: int = RESAMPLES,
) -> np.ndarray:
    """Two-sided p [M] of "the systems are alike", by approximate randomization (Noreen 1989; Riezler & Maxwell 2005).

    a, b: statistics [N, K] of the same questions. The answers of the two systems are exchanged at random, in whole
    clusters. p = (1 + permutations whose difference is at least the one observed) / (1 + permutations), which is never
    below the truth.
    """
    total_a, total_b = a.sum(0), b.sum(0)
    change = cluster_sums(b - a, clusters)
    observed = np.abs(figures(total_a) - figures(total_b)) * (1 - 1e-9)  # a tie in other order of sums is a tie
    rng, rows = np.random.default_rng(seed), max(1, DRAWS_IN_MEMORY // len(change))
    as_large = np.zeros(observed.shape, dtype=np.int64)
    for at in range(0, permutations, rows):
        size = (min(rows, permutations - at), len(change))
        shift = rng.integers(0, 2, size=size, dtype=np.int8).astype(np.float64) @ change
        as_large += (np.abs(figures(total_a + shift) - figures(total_b - shift)) >= observed).sum(0)
    return (1 + as_large) / (1 + permutations)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given (Holm 1979): at most ALPHA to see one where none is."""
    adjusted, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = largest
    return adjusted


def normal_p(difference: float, error: float, clusters: int) -> float:
    """Two-sided p of a difference with this standard error, of so many clusters.

    Not below 2^(1 - clusters), the least that an exchange of two systems in whole clusters can give: an error of 0 is
    what few or equal clusters have.
    """
    p = 2 * NormalDist().cdf(-abs(difference) / error) if error > ROUNDING else float(abs(difference) <= ROUNDING)
    return max(p, 2.0 ** max(1 - clusters, sys.float_info.min_exp))


def detectable(error: float) -> float | None:
    """The difference that a two-sided test at ALPHA sees with POWER, if differences have this standard error; None of
    an error of 0, which tells nothing."""
    normal = NormalDist()
    return None if error <= ROUNDING else (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(POWER)) * error


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p of "either is as likely", exact: twice the binomial tail, at most 1 (Conover 1999, section 3.4).

    A p that no float can hold is the least float, not 0.
    """
    decided, most = wins + losses, max(wins, losses)
    term = tail = math.comb(decided, most)
    for number in range(most, decided):
        term = term * (decided - number) // (number + 1)
        tail += term
    return max(sys.float_info.min, float(min(Fraction(1), Fraction(2 * tail, 2**decided))))
