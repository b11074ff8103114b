"""How far people who rank the same answers agree, beside what chance would give.

Of N items, each ranked by m people (two or more) over K answers, both of which may vary between items:

exact      pairs of people who give the same order, of all pairs of people on one item
pairwise   pairs of answers that two people order alike (the same of <, =, >), of all such pairs
tau_b      mean of Kendall's tau-b over the pairs of people, with the conventions of `disagreement.kendall_tau_b`
alpha      Krippendorff's alpha for ordinal data (2019, chapter 12): a unit is one answer, its values are its ranks

Chance: the same people, each giving an order of hers with its answers mixed up, independently. Of tau-b it is 0 but for
orders that tie everything, of alpha it is 0 by construction. The coincidences of values, which alpha is made of, add up
over items. So a bootstrap over dialogues is a weighted sum of small matrices: turns of a dialogue are not independent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.judgement import Judgement
from zj.feedback.ranking.ranks import Ranks

RESAMPLES = 1000
LEVEL = 0.95
DRAWS_IN_MEMORY = 2_000_000  # dialogues drawn at a time, 16 MB
FINAL = "final"  # the name of the order that follows from those of the dimensions

Ranked = tuple[str, Sequence[Ranks]]  # (dialogue of an item, the ranks that each person gives its answers)
Judged = tuple[str, Sequence[tuple[str, Judgement]]]  # (dialogue of an item, (pseudonym, judgement) of each person)


@dataclass(frozen=True)
class Agreement:
    """The figures of items that two or more people ranked; NaN where nothing is to be compared."""

    items: int
    exact: float
    exact_chance: float
    pairwise: float
    pairwise_chance: float
    tau_b: float
    tau_b_chance: float
    alpha: float
    low: float  # 95 % interval of alpha
    high: float


def agreement(items: Sequence[Ranked], seed: int = 0) -> Agreement:
    """The figures of some items; those that fewer than two people ranked are left out. One seed gives one interval."""
    ranked = [(dialogue, orders) for dialogue, orders in items if len(orders) > 1]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(dialogue for dialogue, _ in ranked))}
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (_, orders) in enumerate(ranked):
        alike[len(orders), len(orders[0])].append(index)
    size = max((answers for _, answers in alike), default=1)
    sums, coincidences = np.zeros(8), np.zeros((len(number_of), size, size))
    for indices in alike.values():  # items of one shape are counted at once
        ranks = np.array([ranked[index][1] for index in indices])
        sums += _sums(ranks)
        coincidences += _coincidences(ranks, [number_of[ranked[index][0]] for index in indices], coincidences.shape)
    people, pairs = sums[:2]
    with np.errstate(invalid="ignore"):
        rates = (sums[2:] / [people, people, pairs, pairs, people, people]).tolist()
    figures = (*rates, float(_alpha(coincidences.sum(0, keepdims=True))[0]), *alpha_interval(coincidences, seed))
    return Agreement(len(ranked), *figures)


def by_dimension(judged: Iterable[Judged]) -> dict[str, Agreement]:
    """The figures of each dimension and of the final order; a judgement of one order alone counts for that alone."""
    judged, found = list(judged), {}
    for key in DIMENSION_KEYS:
        found[key] = agreement([(d, [j.ranks[key] for _, j in people if key in j.ranks]) for d, people in judged])
    return found | {FINAL: agreement(_final(judged))}


def table(judged: Iterable[Judged], departments: Sequence[str] = ()) -> str:
    """The figures as text: by dimension, of the final order by pair of people, and by department.

    `departments` are those of the items, in their order; (): none is shown.
    """
    judged = list(judged)
    rows = [("dimension", by_dimension(judged)), ("final order, by pair of annotators", _by_pair(judged))]
    if departments:
        members = defaultdict(list)
        for department, item in zip(departments, judged, strict=True):
            members[department or "-"].append(item)
        rows.append(("final order, by department", {key: agreement(_final(members[key])) for key in sorted(members)}))
    return "\n\n".join(_rows(title, figures) for title, figures in rows if figures)


def _final(judged: Sequence[Judged]) -> list[Ranked]:
    return [(dialogue, [judgement.final for _, judgement in people]) for dialogue, people in judged]


def _by_pair(judged: Sequence[Judged]) -> dict[str, Agreement]:
    of_pair: dict[str, list[Ranked]] = defaultdict(list)
    for dialogue, people in judged:
        for (one, first), (other, second) in combinations(sorted(people, key=lambda person: person[0]), 2):
            of_pair[f"{one} {other}"].append((dialogue, [first.final, second.final]))
    return {pair: agreement(of_pair[pair]) for pair in sorted(of_pair)}


def _rows(title: str, figures: dict[str, Agreement]) -> str:
    """Figures first: names may have characters of double width."""
    names = ("items", "exact", "chance", "pairwise", "chance", "tau-b", "chance", "alpha")
    lines = [" ".join([*(name.rjust(8) for name in names), "95 % interval".rjust(16), f" {title}"])]
    for name, a in figures.items():
        values = (a.exact, a.exact_chance, a.pairwise, a.pairwise_chance, a.tau_b, a.tau_b_chance, a.alpha)
        cells = [cell.rjust(8) for cell in (f"{a.items:,}", *map(_number, values))]
        lines.append(" ".join([*cells, f"{_number(a.low)} to {_number(a.high)}".rjust(16), f" {name}"]))
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


# ---- exact, pairwise, tau-b


def _sums(orders: np.ndarray) -> np.ndarray:
    """Of ranks [n, m, K]: pairs of people, pairs of answers of all of them, and their sums of each rate and chance."""
    first, second = np.triu_indices(orders.shape[2], 1)
    signs = np.sign(orders[:, :, first] - orders[:, :, second])  # [n, m, K (K - 1) / 2]
    untied = np.abs(signs).sum(2)
    exact = alike = tau = 0.0
    for one, other in combinations(range(orders.shape[1]), 2):
        same = signs[:, one] == signs[:, other]
        exact, alike = exact + same.all(1).sum(), alike + same.sum()
        tau += _tau_b((signs[:, one] * signs[:, other]).sum(1), untied[:, one], untied[:, other]).sum()
    people = len(orders) * math.comb(orders.shape[1], 2)
    pairs = people * len(first)
    tied = 1 - untied.mean() / len(first)
    pairwise_chance = tied**2 + (1 - tied) ** 2 / 2
    tau_chance = (untied == 0).mean() ** 2
    chances = people * _exact_chance(orders), pairs * pairwise_chance, people * tau_chance
    return np.array([people, pairs, exact, chances[0], alike, chances[1], tau, chances[2]])


def _tau_b(difference: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of pairs of orders: alike less reversed pairs of answers, and the untied pairs of each."""
    product = one * other
    return np.where(product > 0, difference / np.sqrt(np.maximum(product, 1)), one == other)


def _exact_chance(orders: np.ndarray) -> float:
    """The chance that two of the orders [n, m, K], drawn at random, are equal after their answers are mixed up.

    They have to tie alike (1, 2, 2, 4); then each of the K! / (product of t!) orders with ties of t is as likely.
    """
    size = orders.shape[2]
    rows = np.sort(orders.reshape(-1, size))
    _, first, counts = np.unique(rows @ (size + 1) ** np.arange(size), return_index=True, return_counts=True)
    ways = [math.prod(math.factorial(t) for t in np.bincount(row)) / math.factorial(size) for row in rows[first]]
    return float(((counts / counts.sum()) ** 2 * ways).sum())


# ---- Krippendorff's alpha


def alpha_interval(coincidences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of alpha from the coincidences [D, V, V] of D dialogues, which are resampled.

    Of few dialogues it is too narrow, of one it is a point.
    """
    number = len(coincidences)
    if not number:
        return math.nan, math.nan
    rng, flat = np.random.default_rng(seed), coincidences.reshape(number, -1)
    alphas = []
    rows = max(1, DRAWS_IN_MEMORY // number)
    for at in range(0, RESAMPLES, rows):
        drawn = rng.integers(number, size=(min(rows, RESAMPLES - at), number))
        drawn += number * np.arange(len(drawn))[:, None]  # of each resample its own bins
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        alphas.append(_alpha((times @ flat).reshape(-1, *coincidences.shape[1:])))
    found = np.concatenate(alphas)
    found = found[~np.isnan(found)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(found) else (math.nan, math.nan)
    return float(low), float(high)


def _coincidences(orders: np.ndarray, clusters: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """[D, V, V]: how often two people give an answer the values c and k, each ordered pair of m people 1 / (m - 1)."""
    people = orders.shape[1]
    cells = np.zeros(math.prod(shape))
    base = np.asarray(clusters)[:, None] * shape[1] * shape[2]
    for one, other in combinations(range(people), 2):
        cell = base + (orders[:, one] - 1) * shape[2] + orders[:, other] - 1
        cells += np.bincount(cell.ravel(), minlength=len(cells)) / (people - 1)
    found = cells.reshape(shape)
    return found + found.transpose(0, 2, 1)


def _alpha(coincidences: np.ndarray) -> np.ndarray:
    """Alpha [R] of coincidences [R, V, V]: 1 - observed / expected disagreement; NaN where all values are equal.

    The distance of the values c < k is the number of values from c to k, of c and of k themselves half.
    """
    counts = coincidences.sum(2)
    total = counts.sum(1)
    middle = counts.cumsum(1) - counts / 2
    distance = (middle[:, :, None] - middle[:, None]) ** 2
    observed = (coincidences * distance).sum((1, 2))
    expected = (counts[:, :, None] * counts[:, None] * distance).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (total - 1) * observed / expected, math.nan)
