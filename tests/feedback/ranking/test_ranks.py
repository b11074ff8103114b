"""Orders with ties: their forms, places on a screen, and what two people who agree have in common."""

from __future__ import annotations

import itertools
import random

import pytest

from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.disagreement import joint_ranks
from zj.feedback.ranking.judgement import Judgement
from zj.feedback.ranking.ranks import (
    at_places,
    by_answer,
    competition_ranks,
    display_order,
    lexicographic,
    mean_order,
    tie_opposites,
)

WEAK = sorted({competition_ranks(keys) for keys in itertools.product(range(4), repeat=4)})


def sign(ranks, i, j):
    return (ranks[i] > ranks[j]) - (ranks[i] < ranks[j])


def test_there_are_75_weak_orders_of_four_answers():
    assert len(WEAK) == 75 and sum(len(set(ranks)) == 4 for ranks in WEAK) == 24
    assert competition_ranks((3, 1, 3, 9)) == (2, 1, 2, 4) and competition_ranks((1, 1, 2)) == (1, 1, 3)


def test_places_and_answers_are_inverse_and_no_annotator_has_the_order_of_another():
    orders = {display_order(0, name, f"i{n}", 4) for name in "ab" for n in range(200)}
    assert len(orders) == 24  # every order occurs
    for order in orders:
        assert by_answer(at_places("wxyz", order), order) == list("wxyz")
    turned = [order for order in orders if at_places(at_places("wxyz", order), order) != list("wxyz")]
    assert len(turned) == 14  # control: to apply it twice is the published tool's error


def test_the_first_dimension_decides_and_the_next_breaks_its_ties():
    assert lexicographic([(1, 1, 1, 4), (3, 1, 2, 1), (1, 1, 1, 1)]) == (3, 1, 2, 4)
    assert lexicographic([(1, 1, 3), (1, 1, 1), (2, 1, 1)]) == (2, 1, 3)


@pytest.mark.parametrize("ranks", WEAK, ids=str)
def test_two_who_say_the_same_are_one(ranks):
    assert mean_order([ranks, ranks]) == tie_opposites(ranks, [ranks, ranks]) == ranks
    back = tuple(reversed(ranks))
    assert mean_order([ranks, back]) == mean_order([back, ranks])


def test_no_pair_of_the_joint_order_contradicts_a_final_order_by_reversal():
    """Without the ties (control) many do: one ties a pair in safety, and the other ranks it there."""
    rng, before, after = random.Random(5), 0, 0
    for _ in range(400):
        one, other = (Judgement({key: rng.choice(WEAK) for key in DIMENSION_KEYS}, ((),) * 4) for _ in range(2))
        joint = Judgement(joint_ranks([one, other]), ()).final
        tied = tie_opposites(joint, [one.final, other.final])
        for i, j in itertools.combinations(range(4), 2):
            if sign(one.final, i, j) * sign(other.final, i, j) < 0:
                before += sign(joint, i, j) != 0
                after += sign(tied, i, j) != 0
            assert sign(tied, i, j) in (0, sign(joint, i, j))  # it only ties
    assert before > 100 and after == 0
