"""The rule of disagreement: which items go to the expert, and what two people who agree have said together.

Zhongjing: "if two annotators disagree, a medical expert makes the final decision". The paper does not say when they do.
"""

from __future__ import annotations

import itertools
import math

from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.judgement import OVERALL, Judgement
from zj.feedback.ranking.ranks import Ranks, mean_order

MIN_TAU = 2 / 3  # of four answers in random order 4 of 24 reach it


def disagreement(one: Judgement, other: Judgement, min_tau: float = MIN_TAU) -> str:
    """Why two judgements of one item disagree: "safety", "order", or "" if they agree.

    safety: of some pair of answers each calls another one safer. order: Kendall's tau-b of the final orders is below
    `min_tau`.
    """
    first = DIMENSION_KEYS[0]
    if first in one.ranks and first in other.ranks and reversed_pairs(one.ranks[first], other.ranks[first]):
        return first
    return "" if kendall_tau_b(one.final, other.final) >= min_tau - 1e-9 else "order"


def joint_ranks(judgements: list[Judgement]) -> dict[str, Ranks]:
    """The order of people who agree: of each dimension the mean of theirs; of the final orders if one has no other."""
    if all(OVERALL not in judgement.ranks for judgement in judgements):
        return {key: mean_order([judgement.ranks[key] for judgement in judgements]) for key in DIMENSION_KEYS}
    return {OVERALL: mean_order([judgement.final for judgement in judgements])}


def reversed_pairs(one: Ranks, other: Ranks) -> int:
    """The number of pairs of answers whose orders are opposite; a tie is opposite to nothing."""
    return sum(_sign(one, i, j) * _sign(other, i, j) < 0 for i, j in itertools.combinations(range(len(one)), 2))


def kendall_tau_b(one: Ranks, other: Ranks) -> float:
    """(pairs in one order - pairs in opposite order) / sqrt(untied pairs of one * untied pairs of the other).

    Kendall (1945). 1 where both tie all answers; 0 where one of them alone does: it says nothing about the order.
    """
    pairs = list(itertools.combinations(range(len(one)), 2))
    signs = [(_sign(one, i, j), _sign(other, i, j)) for i, j in pairs]
    untied = sum(a != 0 for a, _ in signs), sum(b != 0 for _, b in signs)
    if not all(untied):
        return float(untied == (0, 0))
    return sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1])


def _sign(ranks: Ranks, i: int, j: int) -> int:
    return (ranks[i] > ranks[j]) - (ranks[i] < ranks[j])
