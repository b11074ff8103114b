"""The interval covers the truth as often as it says, and comparing question by question is what makes it narrow."""

from __future__ import annotations

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
    monkeypatch.setattr("zj.eval.statistics.AT_ONCE", 3 * len(values))
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


def test_what_cannot_be_measured_is_refused():
    for values, message in (([], "at least one"), ([[1.0]], "shape"), ([1.0, float("nan")], "nan")):
        with pytest.raises(ValueError, match=message):
            bootstrap_interval(values)
    for compare in (paired_difference, win_tie_loss):
        with pytest.raises(ValueError, match="2 and 3"):
            compare([1, 2], [1, 2, 3])


def test_no_torch_is_needed():
    code = "import sys, zj.eval; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
