"""The interval covers the truth as often as it says, and comparing question by question is what makes it narrow."""

from __future__ import annotations

import itertools
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest

from zj.eval import bootstrap_interval, paired_difference, win_tie_loss


def width(interval):
    return interval.high - interval.low


def covered(interval_of, truth, simulations=1500, questions=100):
    """Share of simulated exams whose interval holds the truth."""
    rng = np.random.default_rng(7)
    found = [interval_of(rng.random(questions) ** 3, number) for number in range(simulations)]
    return sum(i.low <= truth <= i.high for i in found) / simulations


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Skewed values in [0, 1] with mean 1/4. 1,500 exams: standard error 0.6 % of a share of 95 %."""
    share = covered(lambda values, seed: bootstrap_interval(values, seed, resamples=1000), 0.25)
    assert 0.93 < share < 0.97


def test_half_an_interval_does_not_cover():
    """Negative control: the same simulation sees an interval that is too narrow."""

    def half(values, seed):
        whole = bootstrap_interval(values, seed, resamples=1000)
        return type(whole)(whole.mean, (whole.mean + whole.low) / 2, (whole.mean + whole.high) / 2)

    assert covered(half, 0.25, simulations=400) < 0.8


def test_it_agrees_with_the_normal_limit():
    """Mean ± 1.96 sd / sqrt(n), as n grows; 10,000 resamples place an end within some 2 % of a standard error."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 5000)
    found = bootstrap_interval(values)
    error = values.std() / sqrt(len(values))
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_a_constant_is_certain_and_one_question_says_nothing_more():
    for values in ([0.3] * 50, [0.3]):
        found = bootstrap_interval(values)
        assert [found.mean, found.low, found.high] == pytest.approx([0.3] * 3, abs=1e-15)


def test_two_questions_by_hand():
    """0 and 1: a resample has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4, so the ends are 0 and 1."""
    found = bootstrap_interval([0.0, 1.0])
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_it_moves_with_shift_and_scale_and_depends_on_the_seed_alone():
    values = np.random.default_rng(2).random(80)
    base, moved = bootstrap_interval(values, 5), bootstrap_interval(4 * values + 1, 5)
    assert [moved.mean, moved.low, moved.high] == pytest.approx([4 * x + 1 for x in (base.mean, base.low, base.high)])
    assert base == bootstrap_interval(list(values), 5) != bootstrap_interval(values, 6)


def test_resamples_do_not_depend_on_how_they_are_cut(monkeypatch):
    values = np.random.default_rng(3).random(500)
    whole = bootstrap_interval(values)
    monkeypatch.setattr("zj.eval.statistics.DRAWS_IN_MEMORY", 3 * len(values))
    assert bootstrap_interval(values) == whole


def test_pairing_matters():
    """A model that is better by 0.02 on every one of 200 hard and easy questions: certain in pairs, unseen without."""
    rng = np.random.default_rng(4)
    difficulty = rng.random(200)
    a, b = difficulty + 0.02 + rng.normal(0, 0.02, 200), difficulty + rng.normal(0, 0.02, 200)
    paired = paired_difference(a, b)
    assert paired.mean == pytest.approx(a.mean() - b.mean(), abs=1e-12) and 0 < paired.low < 0.02 < paired.high
    mixed = paired_difference(a, rng.permutation(b))  # negative control: the same numbers, pairs torn apart
    assert mixed.mean == pytest.approx(paired.mean, abs=1e-12) and mixed.low < 0 < mixed.high
    assert width(mixed) > 5 * width(paired)


def test_wins_ties_and_losses_are_counted_and_add_up():
    a, b = [1, 2, 3, 4, 5, 5], [0, 2, 4, 4, 4, 4]
    win, tie, loss = win_tie_loss(a, b)
    assert (win.mean, tie.mean, loss.mean) == (3 / 6, 2 / 6, 1 / 6)
    assert win_tie_loss(b, a) == (loss, tie, win)
    win, tie, loss = win_tie_loss(a, a)
    assert (tie.mean, tie.low, tie.high) == (1, 1, 1) and win.high == loss.high == 0


# ---- questions that share their words


def of_templates(rng, templates=60):
    """Values of an exam in which a template decides nearly everything: (values, cluster of each). The mean is 1/2."""
    sizes = rng.integers(1, 10, templates)
    clusters = [f"harmful-{t:02d}" for t in np.repeat(np.arange(templates), sizes)]
    return np.repeat(rng.random(templates), sizes) + rng.normal(0, 0.05, len(clusters)), clusters


def test_a_cluster_of_each_question_by_itself_changes_nothing():
    values = np.random.default_rng(0).random(90)
    own = [f"exam-{number}" for number in range(90)]
    assert bootstrap_interval(values, 3, clusters=own) == bootstrap_interval(values, 3)
    other = values[::-1]
    assert paired_difference(values, other, 3, own) == paired_difference(values, other, 3)
    assert win_tie_loss(values, other, 3, own) == win_tie_loss(values, other, 3)


def test_two_clusters_by_hand():
    """Four times 0 and once 1: a resample has mean 0, 1/5 or 1 with probability 1/4, 1/2, 1/4, never 2/5."""
    found = bootstrap_interval([0, 1, 0, 0, 0], clusters=["a", "b", "a", "a", "a"])
    assert (found.mean, found.low, found.high) == (0.2, 0.0, 1.0)
    win, tie, loss = win_tie_loss([0, 1, 0, 0, 0], [0] * 5, clusters=["a", "b", "a", "a", "a"])
    assert (win.mean, win.low, win.high) == (0.2, 0.0, 1.0) and (tie.mean, tie.low, tie.high) == (0.8, 0.0, 1.0)
    assert (loss.mean, loss.low, loss.high) == (0, 0, 0)
    alone = bootstrap_interval([0, 1, 0, 0, 0], clusters=["a"] * 5)  # one cluster is all that can be drawn
    assert (alone.mean, alone.low, alone.high) == (0.2, 0.2, 0.2)


def test_it_agrees_with_all_draws_there_are():
    """Five clusters can be drawn in 5^5 ways; the quantiles of all of them, written anew with lists."""
    groups = [[0.1, 0.4], [0.9], [0.5, 0.5, 0.2], [0.7, 0.8], [0.3]]
    means = []
    for drawn in itertools.product(groups, repeat=5):
        values = [value for group in drawn for value in group]
        means.append(sum(values) / len(values))
    found = bootstrap_interval(
        [value for group in groups for value in group], clusters=[str(g) for g in groups for _ in g], resamples=200_000
    )
    assert found.mean == pytest.approx(sum(map(sum, groups)) / 9, abs=1e-15)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.005)


def test_it_agrees_with_the_linearised_ratio():
    """Standard error of a ratio of sums, as clusters grow many: sqrt(sum over them of (sum - count * mean)^2) / N."""
    values, clusters = of_templates(np.random.default_rng(5), templates=2000)
    found = bootstrap_interval(values, clusters=clusters)
    residuals: dict[str, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        residuals[cluster] = residuals.get(cluster, 0.0) + value - found.mean
    error = sqrt(sum(r**2 for r in residuals.values())) / len(values)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.1 * error)
    assert width(bootstrap_interval(values)) < 0.6 * width(found)


def test_drawing_whole_clusters_covers_the_truth_and_drawing_questions_does_not():
    """800 exams of 60 templates: standard error 0.8 % of a share of 95 %."""
    rng, clustered, naive = np.random.default_rng(11), 0, 0
    for number in range(800):
        values, clusters = of_templates(rng)
        whole = bootstrap_interval(values, number, 600, clusters)
        by_question = bootstrap_interval(values, number, 600)
        clustered += whole.low <= 0.5 <= whole.high
        naive += by_question.low <= 0.5 <= by_question.high  # the negative control: the same numbers, no clusters
    assert 0.92 < clustered / 800 < 0.975 and naive / 800 < 0.75


def test_pairing_matters_within_clusters_too():
    """What is better on every template by the same 0.02 is certain, however much the templates differ."""
    rng = np.random.default_rng(12)
    b, clusters = of_templates(rng)
    a = b + 0.02 + rng.normal(0, 0.01, len(b))
    found = paired_difference(a, b, clusters=clusters)
    assert 0.015 < found.low < 0.02 < found.high < 0.025
    apart = paired_difference(a, b[::-1], clusters=clusters)
    assert apart.low < 0 < apart.high


def test_what_cannot_be_measured_is_refused():
    for values, message in (([], "at least one"), ([[1.0]], "shape"), ([1.0, float("nan")], "nan")):
        with pytest.raises(ValueError, match=message):
            bootstrap_interval(values)
    for compare in (paired_difference, win_tie_loss):
        with pytest.raises(ValueError, match="2 and 3"):
            compare([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 clusters of 2 values"):
        bootstrap_interval([1, 2], clusters=["a"])


def test_no_torch_is_needed():
    code = "import sys, zj.eval; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
