"""The statistics of decisions: against other hands, in simulation, and what happens at the ends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from zj.eval.judges.decisions import Decision, figures, implied_faults
from zj.eval.judges.length import length_controlled
from zj.eval.significance import holm, sign_test


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (7, 2), (2, 7), (30, 0), (61, 39), (300, 411)])
def test_the_sign_test_is_scipys(wins, losses):
    expected = scipy.stats.binomtest(wins, wins + losses, 0.5).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-12)


def test_the_sign_test_by_hand_and_where_floats_end():
    assert sign_test(3, 0) == 2 / 8 and sign_test(4, 1) == 2 * (1 + 5) / 32
    assert 0 < sign_test(1000, 0) == pytest.approx(2.0**-999) and 0 < sign_test(4000, 0) < 1e-300


def test_the_sign_test_keeps_its_level_exactly():
    """All that 25 fair coins can do: p < 0.05 has a probability of at most 0.05, and the next p would pass it."""
    chance = [math.comb(25, k) / 2**25 for k in range(26)]
    level = sum(c for k, c in enumerate(chance) if sign_test(k, 25 - k) < 0.05)
    assert 0.04 < level <= 0.05


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# ---- intervals


def simulated(rng, dialogues, effect=0.0, ties=0.2):
    """One to five questions of each dialogue, which has its own taste: standard deviation 1 on the logistic scale."""
    decisions = []
    for dialogue, taste in enumerate(rng.normal(effect, 1, dialogues)):
        for number in range(rng.integers(1, 6)):
            won = 1 if rng.random() < 1 / (1 + math.exp(-taste)) else -1
            outcome = 0 if rng.random() < ties else won
            decisions.append(Decision(f"{dialogue}/{number}", f"{dialogue}", "", "", (1, 1), outcome))
    return decisions


def covered(simulations, dialogues, effect=0.0, clustered=True, resamples=400):
    """(share of intervals of the score that hold the truth, share of sign tests below 0.05)."""
    taste, ties = np.random.default_rng(0).normal(effect, 1, 200_000), 0.2
    truth = ties / 2 + (1 - ties) * (1 / (1 + np.exp(-taste))).mean()
    rng, hits, rejected = np.random.default_rng(5), 0, 0
    for number in range(simulations):
        decisions = simulated(rng, dialogues, effect, ties)
        if not clustered:
            decisions = [Decision(one.id, one.id, *list(vars(one).values())[2:]) for one in decisions]
        found = figures(decisions, number, length_control=False, resamples=resamples)
        hits += found["score"]["low"] <= truth <= found["score"]["high"]
        rejected += found["sign_test"]["p"] < 0.05
    return hits / simulations, rejected / simulations


def test_the_interval_covers_and_the_test_keeps_its_level():
    """150 studies of 40 dialogues: standard error 1.8 %. The control forgets that questions share a dialogue."""
    share, rejected = covered(150, 40)
    assert 0.90 < share < 0.99 and rejected < 0.10
    share, rejected = covered(150, 40, clustered=False)
    assert share < 0.91 and rejected > 0.07


@pytest.mark.slow
@pytest.mark.parametrize(("dialogues", "effect"), [(40, 0.0), (100, 0.0), (100, 0.7)])
def test_the_interval_covers_95_percent(dialogues, effect):
    """3,000 studies: standard error 0.4 %."""
    share, rejected = covered(3000, dialogues, effect, resamples=1000)
    assert share == pytest.approx(0.95, abs=0.012)
    assert effect or rejected < 0.06


def test_what_all_dialogues_agree_in_is_no_point():
    """20 wins of 20: the interval ends where so many would be seen in one study of 40."""
    wins = [Decision(f"{n}", f"{n}", "", "", (1, 1), 1, (1, -1)) for n in range(20)]
    found = figures(wins)
    assert found["win"] == {"mean": 1.0, "low": pytest.approx(0.025 ** (1 / 20)), "high": 1.0}
    assert found["win"]["low"] == pytest.approx(scipy.stats.binomtest(20, 20).proportion_ci(0.95).low)
    assert found["loss"]["high"] == pytest.approx(1 - found["win"]["low"]) and found["detectable"] is None
    few = figures(wins[:3])
    assert few["score"]["low"] < 0.5  # three questions say little
    lengths = [replace(one, lengths=(n, 3)) for n, one in enumerate(wins[:3])]
    assert figures(lengths)["length_controlled"] == few["score"]  # lengths explain nothing of one outcome


def test_equal_lengths_are_not_known_better_than_the_score():
    """19 wins and a loss: resamples of the fit alone show an interval half as wide."""
    lengths = np.random.default_rng(0).integers(10, 90, 20)
    decided = [Decision(f"{n}", f"{n}", "", "", (int(at), 40), 1 if n else -1) for n, at in enumerate(lengths)]
    found = figures(decided)
    score, equal = found["score"], found["length_controlled"]
    assert equal["mean"] - equal["low"] >= score["mean"] - score["low"] > 0.1 and equal["high"] <= 1


def test_an_interval_is_of_the_dialogues_with_a_verdict():
    """One verdict of 100 questions says as little as one verdict of one question."""
    silent = [Decision(f"{n}", f"{n}", "", "", (1 + n, 1), None, (1, None)) for n in range(99)]
    one = Decision("a", "a", "", "", (2, 1), 1, (1, -1))
    alone, among = figures([one]), figures([one, *silent])
    assert among["unparsed"] == 99 and alone["score"]["low"] == pytest.approx(0.025)
    for name in ("win", "tie", "loss", "score", "consistent", "longer_wins", "noise"):
        assert among[name] == pytest.approx(alone[name]), name
    assert among["first_seat"]["low"] > 0.9  # of single verdicts there are 101


def test_the_detectable_difference_is_that_of_the_normal_limit():
    """Without ties the score has a standard deviation of 1/2: 2.8 of its standard errors, 0.14 at n = 100."""
    even = [Decision(f"{n}", f"{n}", "", "", (1, 1), 1 - 2 * (n % 2)) for n in range(100)]
    assert figures(even)["detectable"] == pytest.approx(2.8016 * 0.05, rel=0.03)


# ---- the judge's faults


@pytest.mark.parametrize("bias", [0.0, 0.3, 0.8, -0.4])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.4])
def test_implied_faults_invert_their_model(bias, noise):
    b = abs(bias)
    first, second = b + (1 - b) * (1 - noise), b + (1 - b) * noise  # for that seat, if the better one has it or not
    seat = (first + second) / 2
    seat, agree = seat if bias >= 0 else 1 - seat, first * (1 - second) + (1 - first) * second
    assert implied_faults(np.array(seat), np.array(agree)) == (pytest.approx(bias), pytest.approx(noise, abs=1e-6))


# ---- length


def test_the_fit_is_scipys():
    rng = np.random.default_rng(3)
    d = rng.normal(30, 50, 200).round()
    y = rng.choice([0, 0.5, 1], 200, p=[0.3, 0.2, 0.5])
    x = np.tanh(d / d.std())

    def loss(ab):
        eta = ab[0] + ab[1] * x
        return np.sum(np.logaddexp(0, eta) - y * eta) + 0.5 * (1e-3 * ab[0] ** 2 + 0.1 * ab[1] ** 2)

    a = scipy.optimize.minimize(loss, [0, 0], tol=1e-12).x[0]
    assert length_controlled(y, d, [str(n) for n in range(200)], resamples=10).mean == pytest.approx(
        1 / (1 + math.exp(-a)), abs=1e-6
    )


def test_where_lengths_are_equal_nothing_is_taken_out():
    y = np.array([1, 1, 0, 0.5, 1, 1, 0, 1] * 10)
    names = [str(n) for n in range(80)]
    assert length_controlled(y, np.zeros(80), names).mean == pytest.approx(y.mean(), abs=1e-3)
    longer = [Decision(f"{n}", f"{n}", "", "", (8, 1), 1 - 2 * (n % 2)) for n in range(80)]
    assert figures(longer)["length_controlled"] is None  # by the same everywhere: nobody knows


def test_a_fit_to_nothing_but_wins_ends():
    found = length_controlled(np.ones(50), np.arange(50.0), [str(n) for n in range(50)])
    assert 0.99 < found.low <= found.mean <= found.high <= 1
