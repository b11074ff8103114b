"""Rewards, advantages and KL estimates against closed forms, matrices and whole enumerations."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from tests.rl.tiny import close, exact, normal
from zj.rl import answer_rewards, explained_variance, gae, grpo, kl_estimates, kl_rewards, policy_loss, rloo, whiten

BOUNDS = torch.tensor([0, 4, 5, 11])  # three answers, one of a single token
REWARDS, VALUES = normal(11, seed=1), normal(11, seed=2)
LAST = BOUNDS[1:] - 1
SETTINGS = [(1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (0.7, 1.0), (1.0, 1.0), (0.0, 0.9)]


def answers(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x.split(BOUNDS.diff().tolist())


def suffix_sums(x: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """sum_k factor^k x_{t+k} within each answer, as a matrix."""
    parts = []
    for part in answers(x):
        steps = torch.arange(len(part))[None] - torch.arange(len(part))[:, None]
        parts.append(torch.where(steps >= 0, exact(factor) ** steps.clamp(min=0), 0.0) @ part)
    return torch.cat(parts)


def next_values(values: torch.Tensor) -> torch.Tensor:
    return values.roll(-1).index_fill(0, LAST, 0.0)


# --- rewards


def test_every_token_pays_for_its_kl_and_the_last_one_gets_the_score():
    logprobs, ref, scores = normal(11), normal(11, seed=3), normal(3, seed=4)
    rewards = kl_rewards(logprobs, ref, scores, BOUNDS, beta=0.3)
    expected = [-0.3 * float(logprobs[t] - ref[t]) for t in range(11)]
    for answer, last in enumerate((3, 4, 10)):
        expected[last] += float(scores[answer])
    close(rewards, exact(expected))


def test_an_answers_rewards_add_up_to_its_score_less_its_kl():
    logprobs, ref, scores = normal(11), normal(11, seed=3), normal(3, seed=4)
    rewards = kl_rewards(logprobs, ref, scores, BOUNDS, beta=0.3)
    total = torch.stack([(a - b).sum() for a, b in zip(answers(logprobs), answers(ref), strict=True)])
    close(answer_rewards(rewards, BOUNDS), scores - 0.3 * total)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_only_scores_are_left_without_a_penalty_or_without_a_difference(beta):
    logprobs, scores = normal(11), normal(3, seed=4)
    ref = logprobs if beta else normal(11, seed=3)
    rewards = kl_rewards(logprobs, ref, scores, BOUNDS, beta)
    assert torch.equal(rewards[LAST], scores) and rewards.count_nonzero() == 3


def test_no_gradient_flows_through_a_reward():
    rewards = kl_rewards(normal(11).requires_grad_(), normal(11, seed=3).requires_grad_(), normal(3), BOUNDS, 0.1)
    assert not rewards.requires_grad


def test_scores_and_bounds_may_come_in_other_types():
    """The head speaks fp32, `Packed.bounds` is int32."""
    logprobs, ref, scores = normal(11), normal(11, seed=3), exact([1.0, 2.0, 3.0])
    other = kl_rewards(logprobs, ref, scores.float(), BOUNDS.int(), 0.1)
    assert torch.equal(other, kl_rewards(logprobs, ref, scores, BOUNDS, 0.1)) and other.dtype == torch.float64


# --- generalised advantage estimation


@pytest.mark.parametrize(("gamma", "lam"), SETTINGS)
def test_advantages_are_the_inverse_of_a_matrix(gamma, lam):
    """A = (I - gamma lam S)^-1 delta, where S takes the next token of the same answer."""
    advantages, returns = gae(REWARDS, VALUES, BOUNDS, gamma, lam)
    shift = torch.zeros(11, 11, dtype=torch.float64)
    for t in range(10):
        shift[t, t + 1] = t not in LAST
    delta = REWARDS + gamma * shift @ VALUES - VALUES
    expected = torch.linalg.solve(torch.eye(11, dtype=torch.float64) - gamma * lam * shift, delta)
    close(advantages, expected)
    close(returns, expected + VALUES)


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_lam_1_is_the_discounted_return_less_the_value(gamma):
    advantages, returns = gae(REWARDS, VALUES, BOUNDS, gamma, 1.0)
    close(advantages, suffix_sums(REWARDS, gamma) - VALUES)
    close(returns, suffix_sums(REWARDS, gamma))
    assert (gae(REWARDS, VALUES, BOUNDS, gamma, 0.99)[0] - advantages).abs().max() > 1e-3  # control


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_lam_0_is_the_error_of_one_step(gamma):
    advantages, returns = gae(REWARDS, VALUES, BOUNDS, gamma, 0.0)
    close(advantages, REWARDS + gamma * next_values(VALUES) - VALUES)
    close(returns, REWARDS + gamma * next_values(VALUES))


def test_without_discounts_the_errors_telescope():
    """A_t = sum of the deltas from t on = all rewards still to come - V_t."""
    deltas = gae(REWARDS, VALUES, BOUNDS, 1.0, 0.0)[0]
    close(gae(REWARDS, VALUES, BOUNDS, 1.0, 1.0)[0], suffix_sums(deltas))


@pytest.mark.parametrize(("gamma", "lam"), SETTINGS)
def test_the_last_advantage_is_score_less_kl_less_value(gamma, lam):
    """Nothing stands after an answer's last token: no value is read there, and no discount falls on the score."""
    logprobs, ref, scores = normal(11), normal(11, seed=3), normal(3, seed=4)
    advantages, _ = gae(kl_rewards(logprobs, ref, scores, BOUNDS, 0.3), VALUES, BOUNDS, gamma, lam)
    close(advantages[LAST], scores - 0.3 * (logprobs - ref)[LAST] - VALUES[LAST])
    close(advantages[4], scores[1] - 0.3 * (logprobs - ref)[4] - VALUES[4])  # an answer of one token is only that


@pytest.mark.parametrize("poison", [math.nan, 1e30])
@pytest.mark.parametrize("answer", [0, 1, 2])
def test_an_answers_neighbours_are_never_read(answer, poison):
    own = torch.zeros(11, dtype=torch.bool)
    own[BOUNDS[answer] : BOUNDS[answer + 1]] = True
    spoiled = [torch.where(own, x, poison) for x in (REWARDS, VALUES)]
    for found, expected in zip(gae(*spoiled, BOUNDS, 0.9, 0.8), gae(REWARDS, VALUES, BOUNDS, 0.9, 0.8), strict=True):
        assert torch.equal(found[own], expected[own])


def test_answers_together_are_answers_apart():
    together = gae(REWARDS, VALUES, BOUNDS, 0.9, 0.8)
    for index, (r, v) in enumerate(zip(answers(REWARDS), answers(VALUES), strict=True)):
        for one, all_of_them in zip(gae(r, v, torch.tensor([0, len(r)]), 0.9, 0.8), together, strict=True):
            assert torch.equal(one, answers(all_of_them)[index])


@pytest.mark.parametrize(("gamma", "lam"), SETTINGS)
def test_values_that_foresee_everything_leave_no_advantage(gamma, lam):
    """Deterministic rewards and V_t = their discounted sum: A = 0, and the returns are the values."""
    foreseen = suffix_sums(REWARDS, gamma)
    advantages, returns = gae(REWARDS, foreseen, BOUNDS, gamma, lam)
    close(advantages, torch.zeros(11))
    close(returns, foreseen)
    shifted, _ = gae(REWARDS, foreseen + 0.1, BOUNDS, gamma, lam)
    assert shifted.abs().max() > 0.05  # control: values that are off leave some


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_a_constant_on_scores_and_values_cancels(lam):
    """gamma = 1: r_T + c and V + c."""
    rewards = REWARDS.index_add(0, LAST, torch.full((3,), 5.0, dtype=torch.float64))
    advantages, returns = gae(rewards, VALUES + 5, BOUNDS, 1.0, lam)
    expected = gae(REWARDS, VALUES, BOUNDS, 1.0, lam)
    close(advantages, expected[0])
    close(returns, expected[1] + 5)


def test_advantages_and_returns_are_constants():
    advantages, returns = gae(REWARDS.clone().requires_grad_(), VALUES.clone().requires_grad_(), BOUNDS, 1.0, 0.9)
    assert not advantages.requires_grad and not returns.requires_grad


# --- the answers to one prompt beside each other

GROUPS = normal(3, 4, seed=6)  # four answers to each of three prompts


def test_rloo_is_a_reward_less_the_mean_of_the_others():
    close(rloo(exact([[1.0, 2.0, 6.0], [5.0, 5.0, 5.0]])), exact([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))
    for prompt, row in enumerate(GROUPS.tolist()):
        for i, own in enumerate(row):
            close(rloo(GROUPS)[prompt, i], own - sum(row[:i] + row[i + 1 :]) / 3)
    close(rloo(GROUPS), 4 / 3 * (GROUPS - GROUPS.mean(1, keepdim=True)))  # k / (k - 1) (R - mean)


def test_grpo_is_standardized_within_a_prompt():
    close(grpo(exact([[1.0, 2.0, 6.0]]), eps=0), exact([[-2.0, -1.0, 3.0]]) / math.sqrt(14 / 3))
    close(grpo(exact([[3.0, 7.0]]), eps=0), exact([[-1.0, 1.0]]))  # the population's std; that of n - 1 gives 0.7
    found = grpo(GROUPS, eps=0)
    close(found.mean(1), torch.zeros(3))
    close((found**2).mean(1), torch.ones(3))
    close(grpo(1000 * GROUPS), grpo(GROUPS, eps=1e-7))  # eps is added to the std


@pytest.mark.parametrize("compare", [rloo, grpo])
def test_a_constant_for_a_prompt_changes_nothing_and_answers_may_be_permuted(compare):
    constants, order = exact([[3.0], [-7.0], [0.5]]), torch.tensor([2, 0, 3, 1])
    close(compare(GROUPS + constants), compare(GROUPS), 1e-12)
    assert (compare(GROUPS + constants * order) - compare(GROUPS)).abs().max() > 0.1  # control: other for each answer
    close(compare(GROUPS[:, order]), compare(GROUPS)[:, order], 1e-12)
    close(compare(GROUPS).sum(1), torch.zeros(3))
    assert compare(torch.full((2, 3), 0.3)).abs().max() < 2e-3  # equal answers, whose mean is rounded in fp32


def test_grpo_forgets_the_scale_of_a_prompt_and_rloo_keeps_it():
    scales = exact([[5.0], [0.2], [30.0]])
    close(grpo(scales * GROUPS, eps=0), grpo(GROUPS, eps=0), 1e-12)
    close(rloo(scales * GROUPS), scales * rloo(GROUPS), 1e-12)
    close(grpo(-GROUPS), -grpo(GROUPS), 1e-12)


@pytest.mark.parametrize("compare", [rloo, grpo])
def test_a_prompts_neighbours_are_never_read(compare):
    spoiled = GROUPS.clone()
    spoiled[1] = math.nan
    assert torch.equal(compare(spoiled)[[0, 2]], compare(GROUPS)[[0, 2]])


@pytest.mark.parametrize("k", [2, 3])
def test_the_gradient_of_rloo_is_unbiased(k):
    """All 4^k answers to one prompt, each with its probability, against the gradient of E[r] - beta KL."""
    beta, ref, scores = 0.4, normal(4, seed=2).log_softmax(0), normal(4, seed=3)
    logits = normal(4, seed=1).requires_grad_()
    policy = logits.log_softmax(0)
    (expected,) = torch.autograd.grad(policy.exp() @ (scores - beta * (policy - ref)), logits, retain_graph=True)
    drawn = torch.tensor([*product(range(4), repeat=k)])  # [4^k, k]
    old = policy.detach()
    rewards = (scores - beta * (old - ref))[drawn]
    probabilities = old[drawn].sum(1, keepdim=True).exp() / k

    def gradient(advantages: torch.Tensor) -> torch.Tensor:
        loss, _ = policy_loss(
            policy[drawn].flatten(), old[drawn].flatten(), (probabilities * advantages).flatten(), 0.2, 1
        )
        return -torch.autograd.grad(loss, logits, retain_graph=True)[0]

    close(gradient(rloo(rewards)), expected, 1e-12)
    own = rewards - rewards.mean(1, keepdim=True)  # control: a baseline that contains the answer's own reward
    close(gradient(own), (k - 1) / k * expected, 1e-12)


# --- whitening


def test_whitened_numbers_have_mean_0_and_variance_1():
    x = 3 * normal(50) + 7
    close(whiten(x).mean(), 0.0)
    close((whiten(x) ** 2).mean(), 1.0, 1e-8)  # the 1e-8 beside the variance of 9; the population's, not n - 1
    close(whiten(x), (x - x.mean()) / x.var(unbiased=False).sqrt(), 1e-8)


def test_without_the_shift_the_mean_stays():
    x = 3 * normal(50) + 7
    close(whiten(x, shift_mean=False).mean(), x.mean())
    close(whiten(x, shift_mean=False) - x.mean(), whiten(x))


@pytest.mark.parametrize("scale", [5.0, 0.2])
def test_whitening_forgets_scale_and_offset(scale):
    close(whiten(scale * normal(50) - 3), whiten(normal(50)), 1e-6)  # 1e-8 / variance
    close(whiten(-scale * normal(50)), -whiten(normal(50)), 1e-6)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_one_token_and_equal_tokens_stay_finite(shift_mean):
    for x in (exact([4.0]), exact([4.0, 4.0, 4.0])):
        close(whiten(x, shift_mean), torch.zeros_like(x) if shift_mean else x)


def test_half_precision_is_whitened_in_fp32():
    x = (normal(50) * 3 + 7).half()
    found = whiten(x)
    assert found.dtype == torch.float32
    close(found, whiten(x.double()), 1e-5)


# --- KL estimates


def log_policies(size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Two distributions over a vocabulary, far apart."""
    return normal(size).log_softmax(0), (2 * normal(size, seed=9)).log_softmax(0)


def test_both_estimates_expect_the_exact_kl():
    """Over all tokens of the vocabulary, weighted by the policy that drew them."""
    policy, ref = log_policies()
    kl = torch.nn.functional.kl_div(ref, policy, log_target=True, reduction="sum")  # KL(policy | ref)
    for estimate in kl_estimates(policy, ref):
        close(policy.exp() @ estimate, kl)
    # controls: k3 with the sign of its argument turned, and the KL the other way round
    wrong = (policy - ref).exp() - 1 - (policy - ref)
    assert abs(policy.exp() @ wrong - kl) > 0.1
    assert abs(ref.exp() @ (ref - policy) - kl) > 0.1


def test_k3_is_never_negative_and_k1_is_the_difference():
    logprobs, ref = normal(100), normal(100, seed=1)
    k1, k3 = kl_estimates(logprobs, ref)
    assert torch.equal(k1, logprobs - ref) and k1.min() < 0
    assert k3.min() >= 0


def test_equal_policies_have_no_kl():
    for estimate in kl_estimates(normal(9), normal(9)):
        assert not estimate.any()


def test_k3_of_small_differences_keeps_its_digits():
    """k3 = k1^2 / 2 there: exp(-1e-4) - 1 + 1e-4 in fp32 would be noise."""
    k1 = torch.tensor([1e-4, -1e-4])
    _, k3 = kl_estimates(k1, torch.zeros(2))
    close(k3, k1.double() ** 2 / 2, 1e-10)  # fp32 keeps k1 = 1e-4 to 1e-11


def tree(seed: int) -> dict[tuple[int, ...], torch.Tensor]:
    """Log-probs over 3 tokens after every prefix of up to 2 tokens."""
    prefixes = [p for n in range(3) for p in product(range(3), repeat=n)]
    return {p: normal(3, seed=100 * seed + n).log_softmax(0) for n, p in enumerate(prefixes)}


def paths(tree) -> torch.Tensor:
    """[27, 3] log-probs of the three tokens of every sequence."""
    return torch.stack([torch.stack([tree[s[:t]][s[t]] for t in range(3)]) for s in product(range(3), repeat=3)])


def test_the_kl_of_sequences_is_the_expected_sum_over_their_tokens():
    """V = 3, T = 3: all 27 sequences. Both estimates, added up over tokens, against sum p log(p / q) of sequences."""
    policy, ref = paths(tree(1)), paths(tree(2))
    p, q = policy.sum(1).exp(), ref.sum(1).exp()
    close(p.sum(), 1.0)
    kl = (p * (p / q).log()).sum()
    for estimate in kl_estimates(policy.reshape(-1), ref.reshape(-1)):
        close(p @ estimate.view(27, 3).sum(1), kl)
    assert abs(p @ kl_estimates(policy, ref)[0].mean(1) - kl) > 0.1  # control: the mean over tokens is not it


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_exact_values_leave_no_advantage_on_average(lam):
    """All 27 answers with rewards by lot, V_t the exact expectation: E[A_t | what stands before t] = 0."""
    policy, scores = paths(tree(1)), normal(27, seed=5)
    rewards = kl_rewards(policy.reshape(-1), paths(tree(2)).reshape(-1), scores, 3 * torch.arange(28), 0.2).view(27, 3)
    p = policy.sum(1).exp()
    to_come = rewards.flip(1).cumsum(1).flip(1)
    values = torch.stack([expected_in_blocks(to_come[:, t], p, 27 // 3**t) for t in range(3)], dim=1)
    advantages, _ = gae(rewards.reshape(-1), values.reshape(-1), 3 * torch.arange(28), 1.0, lam)
    for t in range(3):
        close(expected_in_blocks(advantages.view(27, 3)[:, t], p, 27 // 3**t), torch.zeros(27))
    assert advantages.abs().max() > 0.1  # control: single answers do differ


def expected_in_blocks(x: torch.Tensor, p: torch.Tensor, size: int) -> torch.Tensor:
    """E[x] over each run of `size` sequences, those that begin alike; given back to each of them."""
    weights = p.view(-1, size) / p.view(-1, size).sum(1, keepdim=True)
    return (x.view(-1, size) * weights).sum(1).repeat_interleave(size)


# --- explained variance


def test_explained_variance_of_known_cases():
    returns, noise = normal(500), 0.5 * normal(500, seed=1)
    assert explained_variance(returns, returns) == 1
    assert explained_variance(returns + 3, returns) == pytest.approx(1)  # an offset is no variance
    assert explained_variance(torch.full((500,), 2.0), returns) == pytest.approx(0)
    expected = 1 - noise.var() / returns.var()
    assert explained_variance(returns + noise, returns) == pytest.approx(float(expected))
    assert explained_variance(returns, torch.ones(500)) == 0  # nothing to explain
