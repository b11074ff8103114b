"""Rankings with ties: their form, the order of dimensions, the mean of two people.

A ranking of K answers is a tuple `ranks` of K whole numbers: `ranks[k]` is the rank of answer k. Rank 1 is best, equal
ranks are ties, and the rank after a tie counts all before it: 1, 2, 2, 4.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

Ranks = tuple[int, ...]


def competition_ranks(keys: Sequence[Any]) -> Ranks:
    """The ranking of answers by sortable keys [K], the smallest first; equal keys tie."""
    ordered = sorted(keys)
    return tuple(1 + ordered.index(key) for key in keys)


def lexicographic(orders: Sequence[Ranks]) -> Ranks:
    """The ranking by the first order, its ties by the second, and so on (Table 2: the upper dimension decides)."""
    return competition_ranks(list(zip(*orders, strict=True)))


def mean_order(orders: Sequence[Ranks]) -> Ranks:
    """The ranking by the sum of several people's ranks; equal sums tie, so a pair that two people reverse alike ties.

    Tied answers count the mean of the places that they share, so each ranking has the same sum.
    """
    middle = [[sum((other < rank) + (other <= rank) for other in ranks) for rank in ranks] for ranks in orders]
    return competition_ranks([sum(places) for places in zip(*middle, strict=True)])


def tie_opposites(order: Ranks, given: Sequence[Ranks]) -> Ranks:
    """The order with a tie of each two answers that some two of the `given` orders rank in opposite ways.

    What stands between two such answers ties with them, so no pair of the result contradicts one of the given orders
    by the order of such a pair.
    """
    ranks = order
    for i, j in itertools.combinations(range(len(order)), 2):
        signs = {(one[i] > one[j]) - (one[i] < one[j]) for one in given}
        if {1, -1} <= signs:
            low, high = sorted((ranks[i], ranks[j]))
            ranks = tuple(low if low <= rank <= high else rank for rank in ranks)
    return competition_ranks(ranks)


def display_order(seed: int, annotator: str, item: str, number: int) -> tuple[int, ...]:
    """Which answer stands at each of `number` places on the annotator's screen: an order of their own for each item."""
    return tuple(random.Random(f"{seed}/{annotator}/{item}").sample(range(number), number))


def at_places(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Values by answer → values by place on the screen."""
    return [values[answer] for answer in order]


def by_answer(values: Sequence[Any], order: Sequence[int]) -> list[Any]:
    """Values by place on the screen → values by answer: the inverse of `at_places`."""
    result = list(values)
    for value, answer in zip(values, order, strict=True):
        result[answer] = value
    return result


def item_place(seed: int, item: str) -> float:
    """The place of an item in the queue, in [0, 1): departments and sources are mixed."""
    return random.Random(f"{seed}/{item}").random()
