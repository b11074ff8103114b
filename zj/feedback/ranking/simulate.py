"""Annotators of known noise, and what must come of their judgements: the theory that the ranking tool is tested by.

An annotator gives the gold ranks of all dimensions with probability 1 - noise, else mixes the answers up: each gets the
gold ranks of another one, by a uniformly random permutation, drawn for this annotator and item. An expert never errs.

Of two annotators both are right with probability q = (1 - noise)². Else at least one permutation is uniform, so the
order of one as seen from the other is random, and they agree as by chance. Of an item with K answers, of whose pairs
the share t ties, and whose ties have sizes s:

    exact = q + (1 - q) (product of s!) / K!        tau-b = q, or 1 if all answers tie
    pairwise = q + (1 - q) (t² + (1 - t)² / 2)      alpha = 1 - (1 - q) within / all

within: the mean over items of the squared distance of two ranks drawn from one item; all: of two drawn from all items.
Of orders without ties both are the same, so alpha = tau-b = q.

Without an expert the final orders that two people reverse tie (`tie_opposites`): few pairs are wrong then, but many are
lost. What the rule of disagreement lets pass is counted over all permutations (`label_noise`). Of four answers without
ties, in all dimensions alike, the rule stops every difference: with an expert wrong are only pairs of two who are wrong
alike, noise² / 48.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from statistics import fmean

import numpy as np

from zj.clinic import Question, judge
from zj.data.batching import question as question_text
from zj.data.records import Candidates
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.disagreement import disagreement, joint_ranks
from zj.feedback.ranking.judgement import Judgement, Outcome
from zj.feedback.ranking.ranks import Ranks, competition_ranks, lexicographic, tie_opposites

ANNOTATORS = ("P1", "P2", "P3", "P4", "P5", "P6")  # Zhongjing: six doctors
EXPERT = "E1"
Gold = tuple[Ranks, ...]  # the true ranks of the answers in each dimension


def gold_ranks(question: Question, answers: Sequence[str]) -> Gold:
    """The ranking of answers to a question of the clinic, by its judge's grades."""
    verdicts = [judge(question, answer) for answer in answers]
    return tuple(competition_ranks([-getattr(verdict, key) for verdict in verdicts]) for key in DIMENSION_KEYS)


def simulate(
    items: Iterable[tuple[Candidates, Gold]], noise: float, seed: int = 0, adjudicated: bool = True
) -> Iterator[Outcome]:
    """Each item judged by two of six annotators, and by the expert where they disagree.

    `adjudicated` False: no expert; the order is the mean of the two, whether they agree or not.
    """
    for item, gold in items:
        rng = random.Random(f"{seed}/{item.id}")
        names = sorted(rng.sample(ANNOTATORS, 2))
        one, other = (_judgement(_mixed(gold, _permutation(rng, len(item.answers), noise))) for _ in names)
        people = tuple(zip(names, (one, other), strict=True))
        if adjudicated and disagreement(one, other):
            decision = _judgement(gold)
            yield Outcome(item, decision.ranks, EXPERT, (*people, (EXPERT, decision)))
        else:
            yield Outcome(item, joint_ranks([one, other]), "", people)


def judged(outcomes: Iterable[Outcome]) -> list[tuple[str, list[tuple[str, Judgement]]]]:
    """What `zj.feedback.ranking.agreement` takes: the annotators' judgements, not the expert's."""
    return [(question_text(o.item), [(name, j) for name, j in o.judgements if name != EXPERT]) for o in outcomes]


def _judgement(gold: Gold) -> Judgement:
    return Judgement(dict(zip(DIMENSION_KEYS, gold, strict=True)), ((),) * len(gold[0]))


def _permutation(rng: random.Random, answers: int, noise: float) -> tuple[int, ...]:
    if rng.random() >= noise:
        return tuple(range(answers))
    return tuple(rng.sample(range(answers), answers))


def _mixed(gold: Gold, permutation: Sequence[int]) -> Gold:
    return tuple(tuple(ranks[k] for k in permutation) for ranks in gold)


# ---- theory


def expected_agreement(golds: Sequence[Ranks], noise: float) -> dict[str, float]:
    """The figures of `zj.feedback.ranking.agreement` that two annotators reach on many items with these gold orders."""
    q = (1 - noise) ** 2
    ways = [math.prod(map(math.factorial, Counter(gold).values())) / math.factorial(len(gold)) for gold in golds]
    tied = [sum(gold[i] == gold[j] for i, j in _pairs(gold)) for gold in golds]
    number = [math.comb(len(gold), 2) for gold in golds]
    chance = [(t / n) ** 2 + (1 - t / n) ** 2 / 2 for t, n in zip(tied, number, strict=True)]
    return {
        "exact": q + (1 - q) * fmean(ways),
        "pairwise": q + (1 - q) * fmean(chance, number),
        "tau_b": q + (1 - q) * fmean(t == n for t, n in zip(tied, number, strict=True)),
        "alpha": 1 - (1 - q) * _within_over_all(golds),
    }


def _within_over_all(golds: Sequence[Ranks]) -> float:
    """The mean squared distance of two ranks of one item, over that of two ranks of any items."""
    counts = np.array([np.bincount(gold, minlength=10) for gold in golds], dtype=np.float64)  # [items, rank]
    shares = counts.sum(0) / counts.sum()
    middle = shares.cumsum() - shares / 2
    distance = (middle[:, None] - middle) ** 2
    within = np.einsum("nc,nk,ck,n->", counts, counts, distance, 1 / counts.sum(1)) / counts.sum()
    return float(within / (shares @ distance @ shares))


@dataclass(frozen=True)
class LabelNoise:
    """Of the pairs of answers that gold orders: how many the final order orders alike, in reverse, and ties."""

    right: float
    wrong: float
    tied: float
    expert: float  # share of the items that go to the expert

    @property
    def accuracy(self) -> float:
        """Of the pairs that are exported: those that are right."""
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Of the pairs that gold orders: those that are exported and right."""
        return self.right / (self.right + self.wrong + self.tied)


def label_noise(golds: Iterable[Gold], noise: float, adjudicated: bool = True) -> LabelNoise:
    """The mean counts an item, over all permutations of both annotators."""
    chances = np.array([(1 - noise) ** 2, 2 * noise * (1 - noise), noise**2])  # of none, one, both who mix up
    means = [chances @ _means(tuple(sorted(zip(*gold, strict=True))), adjudicated) for gold in golds]
    return LabelNoise(*np.mean(means, axis=0).tolist())


@cache
def _means(answers: tuple[tuple[int, ...], ...], adjudicated: bool) -> np.ndarray:
    """[3, 4]: right, wrong, tied, expert if none, one or both annotators mix the answers up.

    `answers` are the gold ranks of each answer, sorted: the order of the answers changes nothing.
    """
    gold = tuple(zip(*answers, strict=True))
    all_mixed = [_judgement(_mixed(gold, order)) for order in permutations(range(len(answers)))]
    right = _judgement(gold)
    none = _counts(gold, right, right, adjudicated)
    one = np.mean([_counts(gold, right, other, adjudicated) for other in all_mixed], axis=0)
    both = np.mean([_counts(gold, a, b, adjudicated) for a in all_mixed for b in all_mixed], axis=0)
    return np.stack([none, one, both])


def _counts(gold: Gold, one: Judgement, other: Judgement, adjudicated: bool) -> list[int]:
    truth, expert = lexicographic(gold), bool(adjudicated and disagreement(one, other))
    joint = Judgement(joint_ranks([one, other]), ()).final
    final = truth if expert else tie_opposites(joint, [one.final, other.final])
    return [*pair_counts(truth, final), expert]


def pair_counts(gold: Ranks, final: Ranks) -> tuple[int, int, int]:
    """Of the pairs of answers that gold orders: (alike, reversed, tied) in the final order."""
    products = [(gold[i] - gold[j]) * (final[i] - final[j]) for i, j in _pairs(gold) if gold[i] != gold[j]]
    return sum(p > 0 for p in products), sum(p < 0 for p in products), products.count(0)


def _pairs(ranks: Ranks) -> Iterator[tuple[int, int]]:
    return combinations(range(len(ranks)), 2)
