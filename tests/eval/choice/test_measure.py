"""Intervals, baselines, and what a biased reader looks like."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from tests.eval.choice.questions import own_rows, question
from zj.eval.choice.measure import Reading, accuracy, by_subject, letter_bias, softmax, total_bias
from zj.eval.choice.read import question_of
from zj.eval.statistics import bootstrap_interval, share_interval, wilson_interval


@pytest.mark.parametrize("right, number", [(0, 10), (1, 1), (7, 10), (81, 263), (500, 500)])
def test_wilson_equals_its_closed_form(right, number):
    found, expected = wilson_interval(right, number), binomtest(right, number).proportion_ci(0.95, "wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.mean == right / number
    for end in {found.low, found.high} - {0.0, 1.0}:  # an end is a share from which the data are 1.96 errors away
        assert abs(end - found.mean) == pytest.approx(1.959963984540054 * (end * (1 - end) / number) ** 0.5)
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)


def test_questions_of_one_stem_widen_the_interval():
    rng = random.Random(1)
    by_stem = [rng.random() < 0.6 for _ in range(40)]
    values, stems = [x for x in by_stem for _ in range(5)], [f"s{n}" for n in range(40) for _ in range(5)]
    alone = share_interval(values, [str(n) for n in range(200)], 0)
    shared = share_interval(values, stems, 0)
    assert alone == wilson_interval(sum(values), 200) and shared == bootstrap_interval(values, 0, clusters=stems)
    assert shared.high - shared.low > 1.8 * (alone.high - alone.low)
    assert share_interval([1] * 200, stems, 0) == wilson_interval(40, 40)  # no point: 40 stems, all right
    one_stem, halves = share_interval([0, 1] * 9, ["s"] * 18, 0), share_interval([0.5] * 4, ["a", "b", "c", "d"], 0)
    assert one_stem.high - one_stem.low > 0.9 and halves.high - halves.low > 0.5  # of several orders: half are right


# ---- readers of known kind


def asked(number: int):
    """Questions with one right option."""
    rows = [row | {"answer": "ABCD"[n % 4]} for n, row in enumerate(own_rows(number))]
    return [replace(question_of(row, None, {}), where=str(n)) for n, row in enumerate(rows)]


def reading(of, reader, shuffles=3):
    """`reader`: question as shown → letters, or None."""
    orders = of.orders(shuffles, 0)
    letters = [reader(of.shown(order)) for order in orders]
    picks = [None if one is None else of.picked(one, order) for one, order in zip(letters, orders, strict=True)]
    return Reading(of, orders, picks)


def biased(letter: str, share: float, seed: int):
    """Chooses a letter with this probability, else the right one."""
    rng = random.Random(seed)
    return lambda shown: letter if rng.random() < share else "".join(shown.right)


def test_a_reader_of_content_has_no_bias_and_every_order_gives_the_same():
    readings = [reading(q, lambda shown: "".join(shown.right)) for q in asked(60)]
    found = accuracy(readings)
    assert found.published.mean == found.over_orders.mean == found.averaged.mean == found.consistent == 1
    assert total_bias(letter_bias(readings)) == 0 and found.unparsed == 0
    by_content = [reading(q, lambda shown: max(shown.options, key=shown.options.__getitem__)) for q in asked(60)]
    wrong = accuracy(by_content)  # another reader of content, which is mostly wrong
    assert wrong.consistent == 1 and wrong.published.mean == wrong.over_orders.mean == wrong.averaged.mean < 0.5


def test_a_known_bias_is_recovered():
    """A is chosen in 40 % of the cases whatever it says: 0.4 + 0.6 / 4 of picks, and 0.4 · 3 / 4 are out of place."""
    readings = [reading(q, biased("A", 0.4, n), shuffles=5) for n, q in enumerate(asked(500))]
    bias, found = letter_bias(readings), accuracy(readings)
    assert bias["A"]["chosen"] == pytest.approx(0.55, abs=0.02) and bias["A"]["right"] == pytest.approx(0.25, abs=0.02)
    assert total_bias(bias) == pytest.approx(0.3, abs=0.02)
    assert found.over_orders.mean == pytest.approx(0.6 + 0.4 / 4, abs=0.02) and found.averaged.mean > 0.9
    assert found.over_orders.low < 0.7 < found.over_orders.high and found.consistent < 0.3


def test_no_pick_is_wrong_and_has_its_own_column():
    half = [reading(q, lambda shown, n=n: None if n % 2 else "".join(shown.right)) for n, q in enumerate(asked(40))]
    found = accuracy(half)
    assert found.published.mean == found.unparsed == found.consistent == 0.5
    assert sum(shares["chosen"] for shares in letter_bias(half).values()) == pytest.approx(1)


def test_a_set_is_right_only_if_it_is_exactly_that_set():
    several = question("哪些是发热？", "BD", options={"A": "36℃", "B": "38℃", "C": "35℃", "D": "39℃"})
    for letters, right in (("BD", 1), ("B", 0), ("BCD", 0), ("ABCD", 0)):
        assert accuracy([reading(several, lambda _, letters=letters: letters, shuffles=0)]).published.mean == right
    assert accuracy([reading(several, lambda _: "B", 0)]).chance == 1 / 15


def test_chance_and_guesses_without_the_question_stand_beside():
    longest = {"A": "短", "B": "这是最长的一个选项", "C": "中等的", "D": "短的"}
    questions = [question(f"问{n}", "B" if n < 7 else "C", options=longest) for n in range(10)]
    found = accuracy([reading(q, lambda _: "A") for q in questions])
    assert found.longest.mean == found.constant.mean == 0.7 and found.constant_letters == "B" and found.chance == 0.25
    assert found.constant == wilson_interval(7, 10) and found.published.mean == 0


def test_averaging_is_of_probabilities_by_option_and_subjects_are_apart():
    of = question()
    shares = [[0.9, 0.1, 1e-9, 1e-9], [0.05, 0.6, 0.35, 1e-9]]  # the mean is greatest at 0, the product at 1
    orders, scores = [(0, 1, 2, 3), (1, 0, 2, 3)], [[math.log(share) for share in row] for row in shares]
    both = Reading(of, orders, [frozenset({0}), frozenset({1})], scores)
    assert both.averaged == {0} and softmax(scores[1]) == pytest.approx(shares[1])
    assert Reading(of, orders, [None, frozenset({2})]).averaged == {2}
    assert Reading(of, orders, [None, None]).averaged is None
    found = by_subject([reading(q, lambda shown: "A") for q in asked(20)])
    assert {name: n for name, (n, _) in found.items()} == {"内科": 10, "外科": 10}
