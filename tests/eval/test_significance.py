"""Intervals cover as often as they say, tests err as often as they say, and what they can see is what they announce."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zj.eval.significance import detectable, holm, normal_p, randomization_test
from zj.eval.statistics import bootstrap_interval, figure_intervals
from zj.eval.text import PRESETS
from zj.eval.text.distinct import corpus_distinct, jackknife_error
from zj.eval.text.formulas import figures_of

BLEU = PRESETS["official"].measures[0]


def ratio(sums):
    return sums[..., :1] / sums[..., 1:]


def bleu(sums):
    return figures_of(BLEU, sums)[..., 3:]


def sample_means(rng, groups):
    """Figures of 1 to 3 answers of each dialogue, skewed and alike within it; their mean is 1."""
    sizes = rng.integers(1, 4, groups)
    clusters = np.repeat(np.arange(groups), sizes)
    values = rng.gamma(3, 1 / 3, groups)[clusters] * rng.gamma(4, 1 / 4, sizes.sum())
    return np.stack([values, np.ones(len(values))], 1), list(map(str, clusters))


def sample_counts(rng, groups):
    """Counts of BLEU of 1 to 3 answers of each dialogue, some of which are easy."""
    sizes = rng.integers(1, 4, groups)
    clusters = np.repeat(np.arange(groups), sizes)
    easy, lengths = rng.beta(2, 4, groups)[clusters], rng.integers(20, 120, (2, sizes.sum()))
    totals = lengths[0][:, None] - np.arange(4)
    matches = [rng.binomial(totals[:, 0], 0.2 + 0.7 * easy)]
    for order, share in enumerate((0.55, 0.6, 0.65), 1):
        matches.append(rng.binomial(np.minimum(matches[-1], totals[:, order]), share))
    counts = np.concatenate([np.stack(matches, 1), totals, lengths.T], 1).astype(float)
    return counts, list(map(str, clusters))


def covered(sample, figure, truth, simulations, groups, resamples, clustered=True, seed=5):
    """Share of simulated test sets whose interval holds the truth."""
    rng, hits = np.random.default_rng(seed), 0
    for number in range(simulations):
        statistics, clusters = sample(rng, groups)
        (interval,), _ = figure_intervals(figure, statistics, clusters if clustered else None, number, resamples)
        hits += interval.low <= truth <= interval.high
    return hits / simulations


def test_the_interval_covers_and_one_that_ignores_dialogues_does_not():
    """600 test sets of 60 dialogues: a standard error of 0.9 %."""
    assert 0.92 < covered(sample_means, ratio, 1.0, 600, 60, 300) < 0.975
    assert covered(sample_means, ratio, 1.0, 300, 60, 300, clustered=False) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("sample, figure, least", [(sample_means, ratio, 0.94), (sample_counts, bleu, 0.925)])
def test_the_interval_covers_95_percent(sample, figure, least):
    """4,000 test sets of 200 dialogues: a standard error of 0.35 %. Those of BLEU are a little too narrow."""
    truth = float(figure(sum(sample(np.random.default_rng(n), 100_000)[0].sum(0) for n in range(10)))[0])
    share = covered(sample, figure, truth, 4000, 200, 2000)
    print(f"{figure.__name__}: {share:.2%}")
    assert least < share < 0.96


@pytest.mark.slow
def test_the_jackknife_of_distinct_covers_at_least_95_percent():
    """1,500 test sets of 60 answers of words by Zipf's law; the truth is the mean over all of them."""
    rng, found = np.random.default_rng(3), []
    for _ in range(1500):
        words = np.minimum(rng.zipf(1.3, (60, 30)), 5000)
        found.append(corpus_distinct([list(map(str, row)) for row in words], 1, list(map(str, range(60)))))
    truth = np.mean([one.value for one in found])
    share = np.mean([one.interval.low <= truth <= one.interval.high for one in found])
    print(f"distinct: {share:.2%}")
    assert share > 0.94


def test_it_agrees_with_the_plain_interval_where_it_may():
    """Many values without skewness: the two are the same but for chance."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    (found,), errors = figure_intervals(ratio, np.stack([values, np.ones(2000)], 1), resamples=5000)
    plain = bootstrap_interval(values)
    assert [found.mean, found.low, found.high] == pytest.approx([plain.mean, plain.low, plain.high], abs=0.01)
    assert errors[0] == pytest.approx(values.std(ddof=1) / np.sqrt(2000), rel=1e-6)


def test_a_constant_and_a_single_dialogue_have_points():
    for statistics, clusters in ((np.ones((9, 2)), None), (np.array([[3.0, 1], [1.0, 1]]), ["d", "d"])):
        (found,), errors = figure_intervals(ratio, statistics, clusters, resamples=50)
        assert found.low == found.mean == found.high == ratio(statistics.sum(0))[0] and errors[0] == 0


def test_the_interval_is_the_same_on_any_scale():
    """Also on that of a BLEU without a match of four, 1e-77; and it stays where the figures of resamples are."""
    statistics = np.stack([np.random.default_rng(1).exponential(1, 40), np.ones(40)], 1)
    (found,), _ = figure_intervals(ratio, statistics, resamples=400)
    (tiny,), _ = figure_intervals(lambda sums: 1e-160 * ratio(sums), statistics, resamples=400)
    assert [1e160 * x for x in (tiny.mean, tiny.low, tiny.high)] == pytest.approx([found.mean, found.low, found.high])
    (power,), _ = figure_intervals(lambda sums: ratio(sums) ** 3, statistics, resamples=400)
    assert [power.low, power.high] == pytest.approx([found.low**3, found.high**3], rel=0.05) and power.low > 0


# ---- tests


def rejected(simulations, groups, effect=0.0, clustered=True, permutations=199, seed=9):
    """Share of simulated comparisons with p <= 0.05: each system's answers to a dialogue share an own luck."""
    rng, count = np.random.default_rng(seed), 0
    for number in range(simulations):
        luck = np.repeat(rng.normal(0, 1, (2, groups)), 3, axis=1) + rng.normal(0, 0.5, (2, 3 * groups))
        clusters = list(map(str, np.repeat(np.arange(groups), 3))) if clustered else None
        a, b = (np.stack([x, np.ones(3 * groups)], 1) for x in luck + np.array([[effect], [0.0]]))
        count += randomization_test(a, b, ratio, clusters, number, permutations)[0] <= 0.05
    return count / simulations


def test_equal_systems_differ_as_often_as_the_level_says():
    """600 comparisons: a standard error of 0.9 %. A test that ignores dialogues errs more often."""
    assert 0.03 < rejected(600, 30) < 0.07
    assert rejected(200, 30, clustered=False) > 0.15


@pytest.mark.slow
def test_equal_systems_differ_as_often_as_the_level_says_exactly():
    share = rejected(6000, 40)
    print(f"type I: {share:.2%}")
    assert 0.044 < share < 0.056


def test_the_detectable_difference_is_seen_four_times_of_five():
    """Its standard error is known here: two systems, dialogues with variance 1 + 0.25 / 3 each."""
    error = np.sqrt(2 * (1 + 0.25 / 3) / 100)
    assert 0.74 < rejected(600, 100, effect=detectable(error), seed=10) < 0.86
    assert detectable(1.0) == pytest.approx(1.959964 + 0.841621, abs=1e-5)


def test_randomization_by_hand():
    """Three dialogues, b better by 1 on each: 2 of the 8 exchanges differ as much, so p is 2/8 in the limit."""
    a, b = np.array([[1.0, 1], [2, 1], [3, 1]]), np.array([[2.0, 1], [3, 1], [4, 1]])
    assert randomization_test(a, b, ratio, permutations=20_000)[0] == pytest.approx(0.25, abs=0.02)
    assert randomization_test(a, a, ratio, permutations=50)[0] == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.6, 0.7]) == [1.0, 1.0]
    corrected = holm([0.2, 0.01, 0.03])
    assert all(x <= y for x, y in pairwise(sorted(corrected))) and min(corrected) == pytest.approx(0.03)


def test_normal_p():
    assert normal_p(1.959964, 1.0, 99) == pytest.approx(0.05, abs=1e-6) == normal_p(-1.959964, 1.0, 99)
    assert normal_p(0.0, 0.0, 9) == 1.0 and normal_p(60.0, 1.0, 9999) > 0
    assert [normal_p(0.1, 0.0, clusters) for clusters in (1, 2, 8)] == [1, 1 / 2, 1 / 128]  # as an exchange would give
    assert detectable(0.0) is None and detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert jackknife_error(np.array([1.0, 2.0, 3.0])) == pytest.approx(np.sqrt(4 / 3))
