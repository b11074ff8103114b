"""Distinct-n (Li et al. 2016): different n-grams / n-grams, of one text or of all texts together.

A resample of the questions holds some of them twice, and repeats are what Distinct counts. So the ratio of a corpus has
its interval by the jackknife: each cluster is left out once (Efron & Stein 1981 show that it errs on the wide side).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from zj.eval.statistics import LEVEL, Interval

Ngram = tuple[str, ...]


def ngrams(tokens: Sequence[str], order: int) -> list[Ngram]:
    return [tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1)]


def ratio(grams: Sequence[Ngram]) -> float:
    """Different / all; 0 of none."""
    return len(set(grams)) / max(1, len(grams))


@dataclass(frozen=True)
class CorpusDistinct:
    """The ratio of all texts, and without each cluster in turn [G]."""

    value: float
    without: np.ndarray

    @property
    def interval(self) -> Interval:
        half = NormalDist().inv_cdf((1 + LEVEL) / 2) * jackknife_error(self.without)
        return Interval(self.value, self.value - half, self.value + half)


def corpus_distinct(texts: Sequence[Sequence[str]], order: int, clusters: Sequence[str]) -> CorpusDistinct:
    """Of texts as tokens, each of a cluster."""
    by_cluster: dict[str, Counter[Ngram]] = defaultdict(Counter)
    for tokens, cluster in zip(texts, clusters, strict=True):
        by_cluster[cluster].update(ngrams(tokens, order))
    holders = Counter(gram for grams in by_cluster.values() for gram in grams)
    total, different = sum(grams.total() for grams in by_cluster.values()), len(holders)
    without = [
        (different - sum(holders[gram] == 1 for gram in grams)) / max(1, total - grams.total())
        for grams in by_cluster.values()
    ]
    return CorpusDistinct(different / max(1, total), np.array(without))


def jackknife_error(without: np.ndarray) -> float:
    """The standard error of a figure from its values without each of G clusters."""
    groups = len(without)
    return float(np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum()))
