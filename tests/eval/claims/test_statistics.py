"""Two intervals and a verdict: exact quantiles, symmetries, and how often no effect is confirmed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from zj.eval.claims.statistics import (
    CONFIRMED,
    LEVEL_OF_SEEDS,
    NOT_CONFIRMED,
    OPPOSITE,
    Difference,
    Pairs,
    difference_of,
    student_interval,
    student_quantile,
    verdict,
)
from zj.eval.statistics import Interval, paired_difference


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_quantiles_of_student_are_exact(freedom, level):
    assert student_quantile(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-9)
    with pytest.raises(ValueError, match="degrees of freedom"):
        student_quantile(level, 0)


def test_the_interval_over_seeds_is_students():
    values = [0.3, 0.1, 0.35]
    low, high = stats.t.interval(LEVEL_OF_SEEDS, 2, np.mean(values), stats.sem(values))
    found = student_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high))


def experiment(seeds=3, size=120, lift=0.1, spread=0.0, seed=0):
    """(seed, values) of a system that is better by `lift`, and in each seed by a random number more."""
    rng, made = np.random.default_rng(seed), []
    for number in range(seeds):
        easy, own = rng.random(size), lift + spread * rng.standard_normal()
        a, b = (easy + shift + 0.1 * rng.standard_normal(size) for shift in (own, 0.0))
        made.append((number, Pairs(a, b, [f"c{n // 2}" for n in range(size)])))
    return made


def test_the_interval_over_questions_is_the_bootstrap_of_each_seed_and_their_mean():
    seeds = experiment()
    found = difference_of(seeds)
    for (_, pairs), interval in zip(seeds, found.of_seeds, strict=True):
        other = paired_difference(pairs.a, pairs.b, clusters=pairs.clusters)
        assert interval.mean == pytest.approx(other.mean)
        assert (interval.low, interval.high) == pytest.approx((other.low, other.high), abs=0.002)
    widths = [one.high - one.low for one in found.of_seeds]
    together = found.over_questions.high - found.over_questions.low
    assert together == pytest.approx(sum(w**2 for w in widths) ** 0.5 / 3, rel=0.05)  # of independent seeds
    assert found.over_questions.mean == pytest.approx(np.mean([one.mean for one in found.of_seeds]))


def test_clusters_count_and_the_order_of_questions_does_not():
    (seed, pairs), *others = experiment()
    alone = Pairs(pairs.a, pairs.b, [str(n) for n in range(len(pairs.a))])
    same = Pairs(np.repeat(pairs.a, 3), np.repeat(pairs.b, 3), np.repeat(alone.clusters, 3).tolist())
    one, thrice = (difference_of([(seed, of)]).over_questions for of in (alone, same))
    assert (one.low, one.high) == pytest.approx((thrice.low, thrice.high))  # three answers to a question tell no more
    order = np.random.default_rng(0).permutation(len(alone.a))
    moved = Pairs(alone.a[order], alone.b[order], [alone.clusters[n] for n in order])
    again = difference_of([(seed, moved)]).over_questions
    assert again.mean == pytest.approx(one.mean) and again.low == pytest.approx(one.low, abs=0.002)


def test_exchanging_the_systems_turns_sign_and_verdict():
    seeds = experiment()
    turned = [(seed, Pairs(of.b, of.a, of.clusters)) for seed, of in seeds]
    found, other = difference_of(seeds), difference_of(turned)
    assert other.over_questions.mean == pytest.approx(-found.over_questions.mean)
    assert other.over_questions.low == pytest.approx(-found.over_questions.high)
    assert other.over_seeds.low == pytest.approx(-found.over_seeds.high)
    assert [verdict(found, expected) for expected in ("higher", "lower")] == [CONFIRMED, OPPOSITE]
    assert [verdict(other, expected) for expected in ("higher", "lower")] == [OPPOSITE, CONFIRMED]
    assert {verdict(one, "equal", 0.3) for one in (found, other)} == {CONFIRMED}
    assert {verdict(one, "equal", 0.01) for one in (found, other)} == {OPPOSITE}
    assert {verdict(one, "equal", 0.1) for one in (found, other)} == {NOT_CONFIRMED}


def made_of(means, error):
    """The difference of seeds with these means, each with this standard error over questions."""
    of_seeds = tuple(Interval(m, m - 1.96 * error, m + 1.96 * error) for m in means)
    middle, half = float(np.mean(means)), 1.96 * error / len(means) ** 0.5
    return Difference(of_seeds, Interval(middle, middle - half, middle + half), student_interval(list(means)))


def test_each_part_of_the_rule_can_refuse():
    assert verdict(made_of([0.9, 1.0, 1.1], 0.1), "higher") == CONFIRMED
    assert verdict(made_of([0.9, 1.0, 1.1], 2.0), "higher") == NOT_CONFIRMED  # questions
    assert verdict(made_of([0.2, 1.0, 1.8], 0.1), "higher") == NOT_CONFIRMED  # trainings
    many = [-0.01, *[1.0] * 9]
    assert verdict(made_of(many, 0.01), "higher") == NOT_CONFIRMED  # one sign
    assert verdict(made_of([0.01, *many[1:]], 0.01), "higher") == CONFIRMED  # control


def rates(spread, effect=0.0, tries=1500, seed=0):
    """Shares of experiments without an effect that are confirmed: (by the rule, by equal signs and questions alone).

    Three seeds; an error over questions of 1 in each, and trainings that differ with this standard deviation.
    """
    rng = np.random.default_rng(seed)
    made = [made_of(effect + np.hypot(1, spread) * rng.standard_normal(3), 1.0) for _ in range(tries)]
    by_rule = sum(verdict(one, "higher") == CONFIRMED for one in made)
    alone = sum(one.over_questions.low > 0 and all(of.mean > 0 for of in one.of_seeds) for one in made)
    return by_rule / tries, alone / tries


def test_no_effect_is_confirmed_at_most_one_time_in_twenty():
    """Of trainings that are alike; that differ as much as questions do (grades); four times as much (lengths)."""
    found = [rates(spread) for spread in (0.0, 1.0, 4.0)]
    assert all(by_rule < 0.06 for by_rule, _ in found)
    assert [by_rule for by_rule, _ in found] == pytest.approx([0.012, 0.027, 0.048], abs=0.012)
    assert [alone for _, alone in found] == pytest.approx([0.021, 0.057, 0.119], abs=0.02)  # control: too liberal
    by_rule, _ = rates(1.0, effect=3 * 2**0.5)
    assert by_rule == pytest.approx(0.93, abs=0.03)  # power, of an effect of three deviations of a seed


@pytest.mark.slow
@pytest.mark.parametrize("spread, most", [(0.0, 0.03), (0.013, 0.05), (0.052, 0.065)])
def test_no_effect_is_rarely_confirmed_by_the_whole_method(spread, most):
    """Resampled clusters and all: errors over questions of 0.013 in each seed."""
    found = [difference_of(experiment(lift=0.0, spread=spread, seed=seed), 400) for seed in range(3000)]
    assert sum(verdict(one, "higher") == CONFIRMED for one in found) / len(found) < most
