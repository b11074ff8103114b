"""Accuracy and what it has to be seen beside: chance, guesses without the question, the order of the options.

A question without a pick (unparsed reply, prompt that does not fit) counts as wrong. A set of letters is right if it is
exactly the set of right options. Intervals are 95 %: Wilson's where every question has a stem of its own, else the
bootstrap over stems.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from zj.eval.choice.question import ChoiceQuestion, Order, Picked
from zj.eval.statistics import Interval, share_interval


@dataclass(frozen=True)
class Reading:
    """What one method reads of a model at one question, in each order in which the options were shown."""

    question: ChoiceQuestion
    orders: list[Order]
    picks: list[Picked | None]  # None: there is none
    scores: list[list[float]] = field(default_factory=list)  # by order, of each option as published; nats
    texts: list[str] = field(default_factory=list)  # by order, the replies
    too_long: bool = False  # the prompt does not fit into the model

    @property
    def right(self) -> Picked:
        return self.question.picked(self.question.right)

    @property
    def averaged(self) -> Picked | None:
        """The option of the greatest mean probability over the orders; of replies, the most frequent pick. Equal ones:
        the first."""
        if self.scores:
            means = [sum(column) for column in zip(*map(softmax, self.scores), strict=True)]
            return frozenset({means.index(max(means))})
        picks = Counter(pick for pick in self.picks if pick is not None)
        return picks.most_common(1)[0][0] if picks else None


def best(scores: Sequence[float]) -> Picked:
    """The option with the greatest score, the first of equal ones."""
    return frozenset({max(range(len(scores)), key=scores.__getitem__)})


def softmax(scores: Sequence[float]) -> list[float]:
    """The probabilities of the options among themselves."""
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / sum(weights) for weight in weights]


@dataclass(frozen=True)
class Accuracy:
    """Of the questions of one kind by one method. Shares are of questions, but `unparsed`: of all picks."""

    questions: int
    published: Interval  # in the published order
    over_orders: Interval  # mean over all orders
    averaged: Interval  # of the pick after averaging over the orders
    consistent: float  # share with the same pick in every order; None is no pick
    unparsed: float
    too_long: int
    chance: float
    constant: Interval  # always the most frequent set of letters
    constant_letters: str
    longest: Interval  # always the longest option
    stems: int
    shuffled: int  # questions that were shown in more than one order


def accuracy(readings: Sequence[Reading], seed: int = 0) -> Accuracy:
    """Of at least one question."""
    questions = [reading.question for reading in readings]
    counts = Counter("".join(sorted(question.right)) for question in questions)
    constant = counts.most_common(1)[0][0]
    stems = [question.cluster for question in questions]

    def share(values: Sequence[float]) -> Interval:
        return share_interval(values, stems, seed)

    picks = [pick for reading in readings for pick in reading.picks]
    several_orders = [reading for reading in readings if len(reading.orders) > 1]
    same = [len(set(reading.picks)) == 1 and reading.picks[0] is not None for reading in several_orders]
    return Accuracy(
        len(questions),
        share([r.picks[0] == r.right for r in readings]),
        share([sum(pick == r.right for pick in r.picks) / len(r.picks) for r in readings]),
        share([r.averaged == r.right for r in readings]),
        sum(same) / len(same) if same else 1.0,
        sum(pick is None for pick in picks) / len(picks),
        sum(reading.too_long for reading in readings),
        sum(map(chance, questions)) / len(questions),
        share(["".join(sorted(question.right)) == constant for question in questions]),
        constant,
        share([question.right == {longest(question)} for question in questions]),
        len(set(stems)),
        len(several_orders),
    )


def chance(question: ChoiceQuestion) -> float:
    """Probability that a random option, or a random set of at least one option, is right."""
    n = len(question.options)
    return 1 / (2**n - 1) if question.several else 1 / n


def longest(question: ChoiceQuestion) -> str:
    """The letter of the longest option, the first of equal ones."""
    return max(question.letters, key=lambda letter: len(question.options[letter]))


def letter_bias(readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    """Letter → share of picks of it ("chosen"), and of questions where it is right ("right"), over all orders.

    Of questions with one right option and picks of one option. A model that is always right chooses a letter as often
    as it is right; one that prefers a letter does not, in whatever order the options stand.
    """
    chosen, right = Counter[str](), Counter[str]()
    for reading in readings:
        for order, pick in zip(reading.orders, reading.picks, strict=True):
            if len(reading.right) == 1 and pick is not None and len(pick) == 1:
                chosen[reading.question.letters[order.index(*pick)]] += 1
                right[reading.question.letters[order.index(*reading.right)]] += 1
    total = chosen.total()
    letters = sorted(chosen | right)
    return {letter: {"chosen": chosen[letter] / total, "right": right[letter] / total} for letter in letters}


def total_bias(bias: dict[str, dict[str, float]]) -> float:
    """The share of picks that would have to move for each letter to be chosen as often as it is right."""
    return sum(abs(shares["chosen"] - shares["right"]) for shares in bias.values()) / 2


def by_subject(readings: Sequence[Reading], seed: int = 0) -> dict[str, tuple[int, Interval]]:
    """Subject → (questions, accuracy in the published order), in order of first occurrence."""
    members: dict[str, list[Reading]] = {}
    for reading in readings:
        members.setdefault(reading.question.subject or "no subject", []).append(reading)
    return {
        name: (
            len(group),
            share_interval([r.picks[0] == r.right for r in group], [r.question.cluster for r in group], seed),
        )
        for name, group in members.items()
    }
