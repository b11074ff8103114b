"""The ranking loss against loops and closed forms, what it recovers, and the calibration that follows it."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import pytest
import torch

from tests.rl.tiny import close, exact, normal, tiny
from zj.model import Packed, ScalarHead
from zj.rl import CalibratedHead, Calibration, count_ranked, pair_accuracy, ranked_pairs, ranking_loss

# Three prompts, their answers interleaved; ties in prompt 0; prompt 5 ranks only two.
RANKS = torch.tensor([2, 1, 1, 3, 2, 4, 2, 3, 1, 2])
GROUPS = torch.tensor([0, 7, 0, 7, 7, 0, 0, 7, 5, 5])


def by_hand(scores, ranks, groups) -> tuple[float, int]:
    """(sum over prompts of the mean over pairs, prompts that have one), pair by pair."""
    total = prompts = 0
    for prompt in set(groups.tolist()):
        mine = [i for i in range(len(groups)) if groups[i] == prompt]
        pairs = [(i, j) for i in mine for j in mine if ranks[i] < ranks[j]]
        losses = [math.log1p(math.exp(float(scores[j] - scores[i]))) for i, j in pairs]
        total, prompts = total + sum(losses) / max(1, len(pairs)), prompts + bool(pairs)
    return total, prompts


def one_group(count: int):
    return torch.zeros(count, dtype=torch.int64)


# --- the loss in closed form


def test_the_loss_is_the_mean_over_prompts_of_the_mean_over_their_pairs():
    scores = normal(10)
    total, prompts = by_hand(scores, RANKS, GROUPS)
    assert prompts == count_ranked(RANKS, GROUPS) == 3
    close(ranking_loss(scores, RANKS, GROUPS), total / 3)
    close(ranking_loss(scores, RANKS, GROUPS, denominator=8), total / 8)
    # controls: the mean over all pairs, and pairs between prompts, are other losses
    better, worse, _ = ranked_pairs(RANKS, GROUPS)
    assert abs(torch.nn.functional.softplus(scores[worse] - scores[better]).mean() - total / 3) > 1e-3
    assert abs(ranking_loss(scores, RANKS, one_group(10)) - total / 3) > 1e-3


@pytest.mark.parametrize("count", [2, 4, 7])
def test_equal_scores_give_log_2(count):
    """Whatever K is: the mean over C(K, 2) pairs."""
    close(
        ranking_loss(torch.full((count,), 3.0, dtype=torch.float64), torch.arange(count), one_group(count)),
        math.log(2),
        1e-15,
    )


@pytest.mark.parametrize("margin", [-3.0, -0.1, 0.0, 2.0])
def test_two_answers_are_a_pairwise_loss_whose_gradient_is_the_chance_of_being_wrong(margin):
    scores = torch.tensor([margin, 0.0], dtype=torch.float64, requires_grad=True)
    loss = ranking_loss(scores, torch.tensor([1, 2]), one_group(2))
    loss.backward()
    wrong = 1 / (1 + math.exp(margin))
    close(loss, -math.log(1 - wrong))
    close(scores.grad, exact([-wrong, wrong]))


def test_the_other_way_round_costs_the_margin_more():
    """-log sigma(-d) = -log sigma(d) + d"""
    scores = exact([0.3, -1.4])
    loss = [ranking_loss(scores, torch.tensor(ranks), one_group(2)) for ranks in ([1, 2], [2, 1])]
    close(loss[1] - loss[0], 1.7)


@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e4, 0.0, 0.0), (-1e4, 1e4, -1.0)])
def test_far_margins_are_exact_and_finite(margin, loss, slope):
    scores = torch.tensor([margin, 0.0], requires_grad=True)
    found = ranking_loss(scores, torch.tensor([1, 2]), one_group(2))
    found.backward()
    assert found == loss and scores.grad.tolist() == [slope, -slope]
    assert margin > 0 or (-torch.tensor(margin).sigmoid().log()).isinf()  # control: as it must not be written


def test_gradients_equal_finite_differences():
    scores = normal(10).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: ranking_loss(s, RANKS, GROUPS), (scores,))


@pytest.mark.parametrize(("given", "kept"), [(torch.float16, torch.float32), (torch.float64, torch.float64)])
def test_it_is_computed_in_fp32_or_better(given, kept):
    scores = normal(10).to(given)
    loss = ranking_loss(scores, RANKS, GROUPS)
    assert loss.dtype == kept
    close(loss.double(), ranking_loss(scores.double(), RANKS, GROUPS), 1e-6)


# --- what changes nothing


def test_a_constant_for_each_prompt_changes_nothing():
    scores = normal(10).requires_grad_()
    close(ranking_loss(scores + GROUPS, RANKS, GROUPS), ranking_loss(scores, RANKS, GROUPS))
    ranking_loss(scores, RANKS, GROUPS).backward()
    sums = torch.zeros(8).double().index_add(0, GROUPS, scores.grad)
    close(sums, torch.zeros(8).double())
    assert scores.grad.abs().min() > 1e-3  # control: every answer here is in some pair


def test_the_order_and_the_names_of_answers_and_prompts_do_not_matter():
    scores, shuffled = normal(10), torch.randperm(10, generator=torch.Generator().manual_seed(0))
    expected = ranking_loss(scores, RANKS, GROUPS)
    close(ranking_loss(scores[shuffled], RANKS[shuffled], GROUPS[shuffled]), expected)
    close(ranking_loss(scores, RANKS * 10 - 3, 100 - GROUPS), expected)  # only the order of the ranks is told


def test_ties_make_no_pair_and_the_mean_is_over_those_that_remain():
    ranks, scores = torch.tensor([1, 2, 2, 3]), normal(4)
    better, worse, weights = ranked_pairs(ranks, one_group(4))
    assert set(zip(better.tolist(), worse.tolist(), strict=True)) == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    assert weights.tolist() == [1 / 5] * 5
    close(ranking_loss(scores, ranks, one_group(4)), by_hand(scores, ranks, one_group(4))[0])


def test_a_prompt_of_ties_weighs_nothing():
    scores = normal(13).requires_grad_()
    ranks, groups = torch.cat([RANKS, torch.full((3,), 2)]), torch.cat([GROUPS, torch.full((3,), 6)])
    loss = ranking_loss(scores, ranks, groups)
    loss.backward()
    close(loss, ranking_loss(scores[:10], RANKS, GROUPS))
    assert not scores.grad[10:].any() and count_ranked(ranks, groups) == 3


def test_nothing_but_ties_is_zero_with_a_zero_gradient():
    scores = normal(3).requires_grad_()
    loss = ranking_loss(scores, torch.ones(3), one_group(3))
    loss.backward()
    assert loss == 0 and not scores.grad.any()


def test_prompts_cut_into_packs_give_the_gradient_of_the_whole():
    scores = normal(10).requires_grad_()
    (whole,) = torch.autograd.grad(ranking_loss(scores, RANKS, GROUPS), scores)
    parts = [(GROUPS == 7), (GROUPS != 7)]

    def cut(denominator):
        losses = [ranking_loss(scores[part], RANKS[part], GROUPS[part], denominator) for part in parts]
        return torch.autograd.grad(sum(losses), scores)[0]

    close(cut(denominator=3), whole)
    assert (cut(None) / 2 - whole).abs().max() > 1e-3  # control: the mean of the packs' means is another gradient


def test_each_answer_read_once_gives_the_gradient_of_all_pairs_read_apart():
    """Four answers in one pack, against six packs of two: the same gradient of every weight."""
    model, head = tiny(), ScalarHead(16).double()
    answers, ranks = [[1, 5, 9, 2], [1, 5, 2], [1, 5, 11, 7, 3, 2], [1, 5, 8, 2]], torch.tensor([3, 1, 4, 2])
    weights = [w for name, w in model.named_parameters() if name != "lm_head.weight"] + [head.weight]

    def loss(chosen, denominator):
        packed = Packed.of([answers[k] for k in chosen])
        return ranking_loss(head(model(packed)[packed.last]), ranks[list(chosen)], one_group(len(chosen)), denominator)

    once = torch.autograd.grad(loss(range(4), 1), weights)
    apart = torch.autograd.grad(sum(loss(pair, 6) for pair in combinations(range(4), 2)), weights)
    for one, other in zip(once, apart, strict=True):
        close(one, other, 1e-11)  # gradients of size 1 through two layers
    assert max(gradient.abs().max() for gradient in once) > 0.1


# --- what it recovers

TRUE = exact([1.2, -0.5, 0.0, 2.0, -1.4, 0.7, 0.3, -2.3])  # adds up to 0, as what Newton's method finds does


def minimum(gradient, count: int, steps: int):
    """Newton's method from 0. All answers are in all rankings, so the curvature does not depend on who won."""
    scores = torch.zeros(count, dtype=torch.float64)
    for _ in range(steps):
        chance = (scores[:, None] - scores).sigmoid()
        slope = chance * (1 - chance) / math.comb(count, 2)
        curvature = slope.sum(1).diag() - slope
        scores = scores - torch.linalg.pinv(curvature, hermitian=True, rtol=1e-9) @ gradient(scores)
    return scores


def gradient_of(orders, often, scores, at_once: int = 1):
    """Of the mean over rankings (a row of `orders` each, best first), through the loss, so many prompts a call."""
    scores = scores.clone().requires_grad_()
    for some, p in zip(orders.split(at_once), often.split(at_once), strict=True):
        ranks = torch.arange(len(scores)).repeat(len(some))
        groups = torch.arange(len(some)).repeat_interleave(len(scores))
        (p[0] * ranking_loss(scores[some.reshape(-1)], ranks, groups, 1)).backward()
    return scores.grad


def test_the_population_minimum_is_the_truth():
    """All 24 rankings of four answers, each as often as Plackett and Luce say."""
    true = TRUE[:4] - TRUE[:4].mean()
    orders = torch.tensor(list(permutations(range(4))))
    often = torch.stack([(true[o[i:]].log_softmax(0)[0]) for o in orders for i in range(4)]).view(24, 4).sum(1).exp()
    close(often.sum(), 1.0)
    close(minimum(lambda s: gradient_of(orders, often, s), 4, 7), true, 1e-12)
    equal = torch.full((24,), 1 / 24, dtype=torch.float64)  # control: rankings by lot say that all are equal
    close(minimum(lambda s: gradient_of(orders, equal, s), 4, 7), torch.zeros(4).double(), 1e-12)


def test_simulated_rankings_recover_the_scores():
    """20,000 rankings of 8. The largest of eight errors was .019, .020 and .023 with three seeds; this is the first."""
    uniform = torch.rand(20_000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    orders = (TRUE - (-uniform.log()).log()).argsort(dim=1, descending=True)  # Gumbel noise: Plackett-Luce rankings
    often = torch.full((20_000,), 5e-5, dtype=torch.float64)
    found = minimum(lambda s: gradient_of(orders, often, s, at_once=25), 8, 4)
    assert (found - TRUE).abs().max() < 0.03


# --- how often it is right


def test_accuracy_by_pairs_rank_gap_and_length():
    """Prompt 0: answers a > b = c > d, scores 3 1 3 2; prompt 1: a pair the wrong way round."""
    ranks, groups = torch.tensor([1, 2, 2, 3, 1, 2]), torch.tensor([0, 0, 0, 0, 1, 1])
    scores, lengths = torch.tensor([3.0, 1.0, 3.0, 2.0, 0.0, 5.0]), torch.tensor([9, 4, 4, 6, 7, 7])
    # right: a > b 1, a = c 1/2, a > d 1, b < d 0, c > d 1; and prompt 1: 0
    assert pair_accuracy(scores, ranks, groups, lengths) == {
        "accuracy": (3.5, 6),
        "accuracy_gap_1": (2.5, 5),
        "accuracy_gap_2": (1.0, 1),
        "accuracy_better_longer": (2.5, 3),
        "accuracy_better_shorter": (1.0, 2),
    }


def test_accuracy_counts_pairs_of_one_prompt_only():
    scores, lengths = normal(10), torch.arange(10)
    right = [
        (scores[i] > scores[j]).item()
        for i in range(10)
        for j in range(10)
        if GROUPS[i] == GROUPS[j] and RANKS[i] < RANKS[j]
    ]
    assert pair_accuracy(scores, RANKS, GROUPS, lengths)["accuracy"] == (sum(right), len(right))
    assert pair_accuracy(-scores, RANKS, GROUPS, lengths)["accuracy"] == (len(right) - sum(right), len(right))


# --- calibration


def test_calibrated_scores_have_mean_0_and_deviation_1_in_the_same_order():
    scores = 5 * normal(9) + 40
    rewards = Calibration.of(scores)(scores)
    close(rewards.mean(), 0.0)
    close((rewards**2).mean(), 1.0)
    assert rewards.argsort().tolist() == scores.argsort().tolist()
    lengths = torch.arange(10)
    scores = normal(10)
    calibrated = Calibration.of(scores)(scores)
    assert pair_accuracy(calibrated, RANKS, GROUPS, lengths) == pair_accuracy(scores, RANKS, GROUPS, lengths)


def test_calibration_forgets_the_scale_and_the_offset_of_the_scores():
    scores = normal(9)
    close(Calibration.of(3 * scores - 7)(3 * scores - 7), Calibration.of(scores)(scores))


def test_no_calibration_changes_nothing():
    scores = normal(9)
    assert torch.equal(Calibration()(scores), scores)


@pytest.mark.parametrize("scores", [[2.0, 2.0, 2.0], [1.0], []])
def test_scores_without_a_difference_cannot_be_calibrated(scores):
    with pytest.raises(ValueError, match=f"{len(scores)} scores without any difference"):
        Calibration.of(torch.tensor(scores))


def test_a_calibrated_head_is_its_head_calibrated():
    head, hidden = ScalarHead(16).double(), normal(5, 16)
    close(CalibratedHead(head, Calibration(2.0, -1.0))(hidden), 2 * head(hidden) - 1)
    assert [name for name, _ in CalibratedHead(head, Calibration()).named_parameters()] == ["head.weight"]
