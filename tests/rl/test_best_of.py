"""Best-of-n: which answer is kept, what its score is expected to be, and how far it is from the model."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import pytest
import torch

from zj.rl.best_of import best_of_kl, choose, expected_best


def test_the_first_of_the_best_is_kept_and_the_control_does_not_look():
    scores, rng = [1.0, 3.0, 3.0, -2.0, -2.0], random.Random(0)
    assert (choose(scores, "best", rng), choose(scores, "worst", rng)) == (1, 3)
    drawn = Counter(choose(scores, "random", rng) for _ in range(5000))
    assert all(count == pytest.approx(1000, abs=150) for count in drawn.values()) and len(drawn) == 5


def test_the_mean_over_draws_is_the_mean_over_all_subsets():
    scores = [0.3, -1.2, 2.5, 0.3, -2.0, 1.1]
    for k in range(1, 7):
        draws = list(combinations(scores, k))
        assert expected_best(scores, k) == pytest.approx(sum(map(max, draws)) / len(draws), rel=1e-12)
    assert expected_best(scores, 1) != expected_best(scores, 2)


def test_the_divergence_of_best_of_n_is_that_of_the_highest_of_n_uniform_numbers():
    """KL = integral of n u^(n - 1) log(n u^(n - 1)) over 0 to 1, by the midpoint rule."""
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for n in (1, 2, 4, 16):
        density = n * u ** (n - 1)
        assert best_of_kl(n) == pytest.approx((density * density.log()).mean().item(), abs=1e-8)
    assert best_of_kl(2) == pytest.approx(math.log(2) - 0.5)
