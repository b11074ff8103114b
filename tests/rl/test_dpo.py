"""DPO in closed form, by symmetry, and fed from a model as training feeds it."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from tests.rl.tiny import EOS, close, exact, move, normal, tiny
from zj.model import Packed, sequence_logprobs
from zj.rl import dpo_loss, ranked_pairs, ranking_loss

BETA = 0.3
SMOOTHINGS = [0.0, 0.1, 0.5]


def four(count: int = 9) -> tuple[torch.Tensor, ...]:
    """Log-probs of chosen and rejected answers: policy, policy, reference, reference."""
    return tuple(-20 - 4 * normal(count, seed=s) for s in range(4))


def loss_at(margin: float, smoothing: float = 0.0):
    """(loss, its derivative) where the implicit rewards differ by `margin`."""
    chosen = exact([margin / BETA]).requires_grad_()
    zero = torch.zeros(1, dtype=torch.float64)
    loss, _, _ = dpo_loss(chosen, zero, zero, zero, BETA, smoothing)
    loss.backward()
    return loss.detach(), chosen.grad / BETA


# --- closed forms


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_policy_that_is_its_reference_gives_log_2(smoothing):
    chosen, rejected, _, _ = four()
    loss, chosen_reward, rejected_reward = dpo_loss(chosen, rejected, chosen, rejected, BETA, smoothing)
    close(loss, math.log(2), 1e-15)
    assert not chosen_reward.any() and not rejected_reward.any()


def test_the_loss_and_the_implicit_rewards_pair_by_pair():
    logprobs = four()
    loss, chosen, rejected = dpo_loss(*logprobs, BETA)
    expected = []
    for c, r, ref_c, ref_r in zip(*(t.tolist() for t in logprobs), strict=True):
        expected.append(math.log1p(math.exp(-BETA * ((c - ref_c) - (r - ref_r)))))
    close(loss, sum(expected) / 9)
    close(chosen, BETA * (logprobs[0] - logprobs[2]))
    close(rejected, BETA * (logprobs[1] - logprobs[3]))


def test_the_gradient_is_beta_times_the_chance_of_being_wrong():
    """d loss / d log pi(chosen) = -beta sigma(-margin) / P; of rejected, the opposite. Rafailov et al., section 4."""
    policy_chosen, policy_rejected, *reference = four()
    policy_chosen.requires_grad_()
    policy_rejected.requires_grad_()
    loss, chosen, rejected = dpo_loss(policy_chosen, policy_rejected, *reference, BETA)
    assert not chosen.requires_grad and not rejected.requires_grad
    loss.backward()
    wrong = (rejected - chosen).sigmoid()
    close(policy_chosen.grad, -BETA * wrong / 9)
    close(policy_rejected.grad, BETA * wrong / 9)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_gradients_equal_finite_differences(smoothing):
    policy = [t.requires_grad_() for t in four()[:2]]
    assert torch.autograd.gradcheck(lambda c, r: dpo_loss(c, r, *four()[2:], BETA, smoothing)[0], policy)


def test_chosen_and_rejected_swapped_turn_the_margin():
    chosen, rejected, ref_chosen, ref_rejected = four(1)
    loss, reward, other = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, BETA)
    swapped, *rewards = dpo_loss(rejected, chosen, ref_rejected, ref_chosen, BETA)
    close(swapped - loss, (reward - other).item())  # -log sigma(-m) + log sigma(m) = m
    assert rewards == [other, reward] and abs(reward - other) > 0.1


@pytest.mark.parametrize(("margin", "loss", "slope"), [(1e4, 0.0, 0.0), (-1e4, 1e4, -1.0)])
def test_far_margins_are_finite(margin, loss, slope):
    found, gradient = loss_at(margin)
    close(found, loss)
    close(gradient, [slope])


# --- label smoothing


@pytest.mark.parametrize("margin", [-1.3, 0.2, 2.0])
def test_smoothing_is_the_expected_loss_under_turned_labels(margin):
    close(loss_at(margin, 0.2)[0], 0.8 * loss_at(margin)[0] + 0.2 * loss_at(-margin)[0])


def test_smoothing_of_one_half_does_not_know_which_is_better():
    close(loss_at(1.7, 0.5)[0], loss_at(-1.7, 0.5)[0])
    assert abs(loss_at(1.7, 0.4)[0] - loss_at(-1.7, 0.4)[0]) > 0.1  # control


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_the_smoothed_loss_is_least_where_the_margin_says_how_sure_the_labels_are(smoothing):
    """sigma(margin) = 1 - smoothing. Without smoothing there is no minimum: the margin grows for ever."""
    best = math.log((1 - smoothing) / smoothing)
    close(loss_at(best, smoothing)[1], [0.0])
    assert loss_at(best - 0.1, smoothing)[1] < 0 < loss_at(best + 0.1, smoothing)[1]
    assert loss_at(best)[1] < -0.05  # control


# --- many pairs


def test_a_batch_cut_into_packs_gives_the_gradient_of_the_whole():
    chosen, *others = four()
    chosen.requires_grad_()
    (whole,) = torch.autograd.grad(dpo_loss(chosen, *others, BETA)[0], chosen)

    def cut(denominator):
        pieces = zip(*(t.split([1, 6, 2]) for t in (chosen, *others)), strict=True)
        losses = [dpo_loss(*piece, BETA, denominator=denominator)[0] for piece in pieces]
        return torch.autograd.grad(sum(losses), chosen)[0]

    close(cut(9), whole)
    assert (cut(None) / 3 - whole).abs().max() > 1e-3  # control: the mean of the packs' means


@pytest.mark.parametrize("denominator", [None, 5])
def test_pairs_of_ranked_answers_are_the_ranking_loss_of_the_implicit_rewards(denominator):
    """Two prompts of four and three answers, with a tie: DPO is Bradley-Terry with beta log pi/ref as the score."""
    ranks, groups = torch.tensor([2, 1, 4, 2, 3, 1, 2]), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    policy, reference = normal(7), normal(7, seed=1)
    better, worse, weights = ranked_pairs(ranks, groups)
    loss, _, _ = dpo_loss(
        *(policy[better], policy[worse], reference[better], reference[worse], BETA),
        denominator=denominator or 2,
        weights=weights,
    )
    close(loss, ranking_loss(BETA * (policy - reference), ranks, groups, denominator))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_kept(dtype):
    given = [t.to(dtype) for t in four()]
    weights = torch.ones(9, dtype=torch.float64)  # as `ranked_pairs` gives them
    for found in (*dpo_loss(*given, BETA), *dpo_loss(*given, BETA, weights=weights)):
        assert found.dtype == dtype


# --- from a model


PROMPTS = [[1, 5, 9], [1, 7]]
CHOSEN, REJECTED = [[4, EOS], [6, 8, 10, 3, EOS]], [[11, 12, 13, 9, EOS], [EOS]]
SEQUENCES = [p + a for p, a in zip(PROMPTS * 2, CHOSEN + REJECTED, strict=True)]


def sums(model, adapter: str, sequences=SEQUENCES, starts=(3, 2, 3, 2)):
    packed = Packed.of(sequences)
    counted = packed.positions >= torch.tensor(starts).repeat_interleave(torch.tensor(packed.lengths))
    return packed.sums(sequence_logprobs(model, packed, counted, adapter)[0])


def loss_of(policy, reference):
    return dpo_loss(*policy.chunk(2), *reference.chunk(2), BETA)


@torch.no_grad()
def test_log_probs_of_an_answer_are_summed_eos_included_and_prompt_left_out():
    model = tiny("policy", "reference")
    rewards = []
    for prompt, answer in zip(PROMPTS * 2, CHOSEN + REJECTED, strict=True):
        reward = 0.0
        for t, token in enumerate(answer):
            before = Packed.of([prompt + answer[:t]])
            policy, reference = (
                model.logits(model(before, role)[-1]).log_softmax(-1)[token] for role in ("policy", "reference")
            )
            reward += BETA * float(policy - reference)
        rewards.append(reward)
    policy, reference = sums(model, "policy"), sums(model, "reference")
    loss, chosen, rejected = loss_of(policy, reference)
    close(torch.cat([chosen, rejected]), exact(rewards), 1e-12)
    margins = [rewards[0] - rewards[2], rewards[1] - rewards[3]]
    close(loss, sum(math.log1p(math.exp(-m)) for m in margins) / 2, 1e-12)
    lengths = exact([2, 5, 5, 1])
    means = loss_of(policy / lengths, reference / lengths)[0]
    assert abs(means - loss) > 1e-3  # control: the mean over tokens is another loss


def test_chosen_and_rejected_in_one_pack_are_the_same_as_apart():
    model = tiny("policy", "reference")
    whole = sums(model, "policy")
    apart = [sums(model, "policy", [ids], [start]) for ids, start in zip(SEQUENCES, (3, 2, 3, 2), strict=True)]
    close(whole.detach(), torch.cat(apart).detach(), 1e-12)


def test_one_step_raises_the_chosen_answers_over_the_rejected():
    """And the gradient is that of the policy alone."""
    model = tiny("policy", "reference")
    before = loss_of(sums(model, "policy"), sums(model, "reference").detach())
    before[0].backward()
    with torch.no_grad():
        for name, p in model.named_parameters():
            assert (p.grad is not None) == name.endswith(".policy")
            if p.grad is not None:
                p -= 1e-4 * p.grad
        after = loss_of(sums(model, "policy"), sums(model, "reference"))
    assert after[0] < before[0] and (after[1] - after[2]).sum() > (before[1] - before[2]).sum()


def test_a_cached_reference_is_a_live_one():
    """It is frozen: what it said before training is what it says after."""
    model = tiny("policy", "reference")
    cached = sums(model, "reference").tolist()
    move(model, "policy", seed=99)
    assert sums(model, "reference").tolist() == cached


# --- what it converges to


def test_the_minimum_over_all_pairs_is_the_policy_of_the_rewards():
    """Four answers, labels as often as Bradley and Terry say: the gradient is 0 where pi = ref exp(r / beta) / Z."""
    rewards, reference = exact([0.5, -1.0, 2.0, 0.1]), normal(4).log_softmax(0)
    pairs = torch.tensor([(i, j) for i, j in product(range(4), repeat=2) if i != j]).T
    often = (rewards[pairs[0]] - rewards[pairs[1]]).sigmoid()

    def gradient(policy):
        policy = policy.clone().requires_grad_()
        logprobs = policy.log_softmax(0)
        loss, _, _ = dpo_loss(*logprobs[pairs], *reference[pairs], BETA, denominator=1, weights=often)
        return torch.autograd.grad(loss, policy)[0]

    best = reference + rewards / BETA
    close(gradient(best), torch.zeros(4))
    assert gradient(best + 0.1 * normal(4)).abs().max() > 1e-3  # control
