"""Which pairs of K answers are compared, and how the outcomes become ranks.

A plan is a generator: it yields the pairs of a round, is sent their outcomes, and returns the ranks. All items go
through a round together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from itertools import combinations
from typing import Literal

from zj.feedback.ranking.ranks import competition_ranks
from zj.llm.judging import Outcome

Pair = tuple[int, int]  # numbers of two answers
Ranked = dict[int, int]  # answer → rank, 1 is best; answers that could not be placed are not in it
Plan = Generator[list[Pair], Mapping[Pair, Outcome], Ranked]
Pairs = Literal["all", "tournament"]


def all_pairs(number: int) -> Plan:
    """K(K-1)/2 pairs in one round; ranked by Copeland's score: 1 for a win, 1/2 for a tie. A cycle becomes a tie.

    Copeland 1951; the score orders a set without cycles as the verdicts do. A pair without a verdict is no pair: ranked
    are the most answers that all have a verdict on each other, the first such set.
    """
    outcomes = yield list(combinations(range(number), 2))
    kept = next(
        chosen
        for size in range(number, -1, -1)
        for chosen in combinations(range(number), size)
        if all(outcomes[pair] is not None for pair in combinations(chosen, 2))
    )
    points = dict.fromkeys(kept, 0)  # twice Copeland's score, less the number of pairs
    for first, second in combinations(kept, 2):
        points[first] += outcomes[first, second] or 0
        points[second] -= outcomes[first, second] or 0
    return dict(zip(kept, competition_ranks([-points[answer] for answer in kept]), strict=True))


def tournament(number: int) -> Plan:
    """K-1 pairs in rounds: the winner of each goes on. It finds the best answer, and claims nothing about the others.

    Rank 1 is the last winner, rank 2 are all that it has beaten, or that those have beaten. After a tie the first of
    the two goes on and the other one leaves with all that it has beaten; without a verdict both leave.
    """
    left, beaten = list(range(number)), {answer: [answer] for answer in range(number)}  # each with itself
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        outcomes = yield pairs
        odd = left[len(pairs) * 2 :]
        left = []
        for first, second in pairs:
            outcome = outcomes[first, second]
            if outcome is None:
                continue
            winner, loser = (first, second) if outcome >= 0 else (second, first)
            beaten[winner] += beaten[loser] if outcome else []
            left.append(winner)
        left += odd
    return {answer: 1 if answer == best else 2 for best in left for answer in beaten[best]}


PLANS: dict[Pairs, Callable[[int], Plan]] = {"all": all_pairs, "tournament": tournament}
