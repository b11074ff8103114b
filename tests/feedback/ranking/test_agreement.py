from __future__ import annotations

import math
import random
import statistics
import time
from collections import Counter
from itertools import combinations

import krippendorff
import numpy as np
import pytest
from scipy import stats

from zj.feedback.ranking import agreement as module
from zj.feedback.ranking.agreement import FINAL, agreement, alpha_interval, by_dimension, table
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.disagreement import kendall_tau_b
from zj.feedback.ranking.judgement import OVERALL, Judgement
from zj.feedback.ranking.ranks import competition_ranks


def order(rng: random.Random, answers: int, levels: int):
    return competition_ranks([rng.randrange(levels) for _ in range(answers)])


def random_items(seed: int, sizes=range(2, 9), levels: int = 4, number: int = 60):
    """Items of K answers by up to five people, some with one or none: half-alike orders with ties."""
    rng, items = random.Random(seed), []
    for index in range(number):
        answers = rng.choice(list(sizes))
        shared = order(rng, answers, levels)
        orders = [shared if rng.random() < 0.5 else order(rng, answers, levels) for _ in range(rng.randrange(6))]
        items.append((f"d{index // 3}", orders))
    return items


def values(items):
    """[people, units] as the library wants it: NaN where a person did not rank."""
    units = [unit for _, orders in items for unit in zip(*orders, strict=True)]
    return np.array([[*unit, *[math.nan] * (5 - len(unit))] for unit in units]).T


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [2, 4, 20])
def test_figures_are_those_of_krippendorff_and_scipy(seed, levels):
    items = random_items(seed, levels=levels)
    found = agreement(items)
    assert found.alpha == pytest.approx(krippendorff.alpha(values(items), level_of_measurement="ordinal"), abs=1e-12)
    assert found.alpha != pytest.approx(krippendorff.alpha(values(items), level_of_measurement="interval"), abs=1e-6)

    pairs = [pair for _, orders in items for pair in combinations(orders, 2)]
    taus = [stats.kendalltau(*pair).statistic for pair in pairs]
    constant = [len(set(one)) == 1 or len(set(other)) == 1 for one, other in pairs]
    taus = [float(one == other) if c else t for t, c, (one, other) in zip(taus, constant, pairs, strict=True)]
    assert found.tau_b == pytest.approx(statistics.fmean(taus), abs=1e-12)
    assert found.tau_b == pytest.approx(statistics.fmean(kendall_tau_b(*pair) for pair in pairs), abs=1e-12)
    assert found.exact == pytest.approx(statistics.fmean(one == other for one, other in pairs))
    alike = [
        ((one[i] > one[j]) - (one[i] < one[j])) == ((other[i] > other[j]) - (other[i] < other[j]))
        for one, other in pairs
        for i, j in combinations(range(len(one)), 2)
    ]
    assert found.pairwise == pytest.approx(statistics.fmean(alike))
    assert found.items == sum(len(orders) > 1 for _, orders in items)


def test_figures_of_perfect_opposite_and_constant_orders():
    same = agreement([("a", [(1, 2, 3, 4)] * 2), ("b", [(2, 1, 4, 3)] * 2)])
    assert (same.exact, same.pairwise, same.tau_b, same.alpha, same.low, same.high) == (1,) * 6
    opposite = agreement([("a", [(1, 2, 3, 4), (4, 3, 2, 1)])])
    assert (opposite.exact, opposite.pairwise, opposite.tau_b) == (0, 0, -1) and opposite.alpha < -0.7
    tied = agreement([("a", [(1, 1), (1, 1)])])
    assert (tied.exact, tied.pairwise, tied.tau_b, tied.tau_b_chance) == (1, 1, 1, 1)
    assert math.isnan(tied.alpha) and math.isnan(tied.low)  # no value differs from another one: nothing to say
    assert agreement([]).items == agreement([("a", [(1, 2)])]).items == 0
    assert math.isnan(agreement([]).exact)


def test_the_chance_level_is_what_mixing_up_the_answers_gives():
    """Against the mean over many mixtures; of four answers without ties it is 1/24, 1/2, 0."""
    plain = agreement([("a", [(1, 2, 3, 4), (1, 2, 3, 4)])])
    assert (plain.exact_chance, plain.pairwise_chance, plain.tau_b_chance) == (1 / 24, 1 / 2, 0)
    rng = random.Random(0)
    items = [(str(n), [order(rng, 3, 2), order(rng, 3, 2)]) for n in range(8_000)]  # already independent
    found = agreement(items)
    for name in ("exact", "pairwise", "tau_b"):
        assert getattr(found, name) == pytest.approx(getattr(found, f"{name}_chance"), abs=0.02), name
    assert found.alpha == pytest.approx(0, abs=0.03) and found.low < 0 < found.high
    assert found.exact_chance > 1 / 13 * 1.5  # control: not one in the number of weak orders


def clustered(rng: np.random.Generator, dialogues: int, agree: float):
    """Coincidences [dialogues, turns, answers, V, V]: two people agree on a whole dialogue, or draw independently.

    Ranks of four answers are uniform, so alpha of all dialogues that there could be is `agree`.
    """
    shape = (dialogues, 6, 4)
    first, second = (rng.permuted(np.broadcast_to(np.arange(4), shape), axis=2) for _ in range(2))
    second = np.where((rng.random(dialogues) < agree)[:, None, None], first, second)
    cells = np.eye(4)[first][..., :, None] * np.eye(4)[second][..., None, :]
    return cells + cells.swapaxes(-1, -2)


def test_the_interval_covers_the_truth_and_the_one_that_takes_answers_for_independent_does_not(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 200)
    rng, hits = np.random.default_rng(0), Counter[str]()
    for seed in range(160):
        cells = clustered(rng, 50, 0.6)
        low, high = alpha_interval(cells.sum((1, 2)), seed)
        hits["dialogues"] += low <= 0.6 <= high
        low, high = alpha_interval(cells.reshape(-1, 4, 4), seed)
        hits["answers"] += low <= 0.6 <= high
    assert 0.90 <= hits["dialogues"] / 160 <= 0.985, hits
    assert hits["answers"] / 160 < 0.65, hits


def test_agreement_resamples_dialogues_and_one_seed_gives_one_interval():
    items = random_items(3, number=200)
    same = agreement(items, seed=1)
    assert agreement(items, seed=1) == same != agreement(items, seed=2)
    alone = agreement([(f"{n}", orders) for n, (_, orders) in enumerate(items)])
    repeated = [(dialogue, orders) for dialogue, orders in items for _ in range(4)]
    narrow = agreement([(f"{n}", orders) for n, (_, orders) in enumerate(repeated)])
    wide = agreement(repeated, seed=1)
    assert (wide.low, wide.high) == pytest.approx((same.low, same.high), abs=0.01)  # nothing new was said
    assert narrow.high - narrow.low < 0.6 * (alone.high - alone.low)  # control: copies taken for independent


def test_twenty_thousand_items_of_three_dimensions_take_less_than_two_seconds():
    rng = np.random.default_rng(0)
    orders = [tuple(row) for row in (np.argsort(rng.random((40_000, 4))) + 1).tolist()]
    items = [(f"d{n // 2}", orders[2 * n : 2 * n + 2]) for n in range(20_000)]

    def seconds() -> float:
        start = time.process_time()
        agreement(items)
        return time.process_time() - start

    assert any(3 * seconds() < 2 for _ in range(3))  # other work on the machine may slow one of them


def judge(*orders, **other):
    return Judgement(dict(zip(DIMENSION_KEYS, orders, strict=True)) | other, ((),) * len(orders[0]))


def test_dimensions_pairs_of_people_and_groups():
    a, b = judge((1, 2), (1, 1), (2, 1)), judge((1, 2), (2, 1), (1, 2))
    tied = judge((1, 1), (1, 1), (1, 2))
    single = Judgement({OVERALL: (1, 2)}, ((), ()))
    judged = [("x", [("P1", a), ("P2", b)]), ("y", [("P2", tied), ("P1", b)]), ("z", [("P3", single), ("P1", a)])]
    found = by_dimension(iter(judged))
    assert [found[key].items for key in (*DIMENSION_KEYS, FINAL)] == [2, 2, 2, 3]
    assert [found[key].exact for key in (*DIMENSION_KEYS, FINAL)] == [1 / 2, 0, 1 / 2, 1]
    text = table(iter(judged), ["皮肤科", "", "皮肤科"])
    rows = {line.split("  ")[-1].strip(): line.split() for line in text.splitlines() if line}
    assert [row for row in rows if row[0] == "P"] == ["P1 P2", "P1 P3"] and rows["P1 P2"][0] == "2"
    assert rows["皮肤科"][0] == "2" and rows["-"][0] == "1" and rows["safety"][:3] == ["2", "0.500", rows["safety"][2]]
    assert "by department" not in table(judged) and "nan" not in text
