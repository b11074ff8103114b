"""PPO's losses: where their gradients vanish and where they must not, and the controller of beta."""

from __future__ import annotations

import math

import pytest
import torch

from tests.rl.tiny import close, exact, normal
from zj.rl import AdaptiveKL, policy_loss, value_loss

CLIP = 0.2


def leaf(numbers) -> torch.Tensor:
    return exact(numbers).requires_grad_()


def random_case(count: int = 40):
    """(log-probs, old ones, advantages), with ratios on both sides of the range."""
    old = -normal(count, seed=1).abs()
    return (old + 0.3 * normal(count, seed=2)).requires_grad_(), old, normal(count, seed=3)


# --- the policy's loss


@pytest.mark.parametrize("advantage", [2.0, -2.0])
@pytest.mark.parametrize("ratio", [0.3, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0])
def test_one_token_by_sign_and_ratio(advantage, ratio):
    """The objective stops growing where the ratio has gone far enough the good way, and nowhere else."""
    logprobs = leaf([math.log(ratio) - 1.5])
    loss, _ = policy_loss(logprobs, exact([-1.5]), exact([advantage]), CLIP)
    loss.backward()
    stopped = ratio > 1 + CLIP if advantage > 0 else ratio < 1 - CLIP
    reached = min(max(ratio, 1 - CLIP), 1 + CLIP) if stopped else ratio
    close(loss, -reached * advantage)
    if stopped:
        assert logprobs.grad.item() == 0
    else:
        close(logprobs.grad, [-ratio * advantage])


def test_the_loss_is_never_below_the_unclipped_one():
    """min(...) makes the objective a lower bound; somewhere here the bound is not tight."""
    logprobs, old, advantages = random_case()
    losses = torch.stack([policy_loss(*one, CLIP)[0] for one in each(logprobs, old, advantages)])
    plain = -(logprobs - old).exp() * advantages
    assert (losses >= plain - 1e-15).all() and (losses > plain + 1e-3).any()


def each(*tensors: torch.Tensor):
    """Token by token."""
    return zip(*(t.split(1) for t in tensors), strict=True)


def test_the_loss_is_the_mean_over_tokens_or_their_sum_over_the_denominator():
    case = random_case()
    total = sum(policy_loss(*one, CLIP)[0] for one in each(*case))
    close(policy_loss(*case, CLIP)[0], total / 40)
    close(policy_loss(*case, CLIP, denominator=7)[0], total / 7)


def test_the_first_steps_gradient_is_that_of_reinforce():
    """Nothing has moved: -mean(A), ratio 1, nothing clipped, and the gradient of -mean(A log pi)."""
    _, old, advantages = random_case()
    logprobs = old.clone().requires_grad_()
    loss, stats = policy_loss(logprobs, old, advantages, CLIP)
    close(loss, -advantages.mean())
    assert stats == {"approx_kl": 0.0, "clip_fraction": 0.0, "ratio": 1.0}
    (gradient,) = torch.autograd.grad(loss, logprobs)
    (reinforce,) = torch.autograd.grad(-(advantages * logprobs).mean(), logprobs)
    close(gradient, reinforce)


def test_gradients_equal_finite_differences():
    logprobs, old, advantages = random_case()
    ratio = (logprobs - old).exp()
    assert ((ratio - 1).abs() - CLIP).abs().min() > 1e-3  # no token stands on a kink
    assert torch.autograd.gradcheck(lambda x: policy_loss(x, old, advantages, CLIP, 9)[0], (logprobs,))


def test_no_clip_range_is_the_importance_sampled_objective():
    logprobs, old, advantages = random_case()
    close(policy_loss(logprobs, old, advantages, 1e9)[0], -((logprobs - old).exp() * advantages).mean())


def test_statistics_by_hand():
    ratios = exact([0.5, 0.9, 1.0, 1.15, 1.5])
    _, stats = policy_loss(ratios.log() - 2, torch.full((5,), -2.0), torch.ones(5), CLIP)
    assert stats["clip_fraction"] == 2 / 5
    assert stats["ratio"] == pytest.approx(ratios.mean().item(), rel=1e-14)
    assert stats["approx_kl"] == pytest.approx((ratios - 1 - ratios.log()).mean().item(), rel=1e-12)


def test_approx_kl_expects_the_kl_from_the_old_to_the_new_policy():
    """Tokens are drawn by the old one: all of a vocabulary, weighted by it."""
    old, new = normal(6).log_softmax(0), normal(6, seed=9).log_softmax(0)
    found = [policy_loss(n, o, torch.zeros(1), CLIP)[1]["approx_kl"] for n, o in each(new, old)]
    close(old.exp() @ exact(found), (old.exp() * (old - new)).sum())
    assert abs(old.exp() @ exact(found) - (new.exp() * (new - old)).sum()) > 0.01  # control: the other KL


@pytest.mark.parametrize("far", [1e4, -1e4, 80.0, -80.0])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_extreme_ratios_stay_finite(far, advantage):
    logprobs = torch.tensor([far, 0.0], requires_grad=True)  # fp32, where e^89 is not
    loss, stats = policy_loss(logprobs, torch.zeros(2), torch.tensor([advantage, 1.0]), CLIP)
    loss.backward()
    assert loss.isfinite() and logprobs.grad.isfinite().all() and all(map(math.isfinite, stats.values()))
    assert logprobs.grad[1] == -0.5  # and leave the other token alone
    assert far != 1e4 or logprobs.detach().exp()[0].isinf()  # control


@pytest.mark.parametrize("loss", [policy_loss, value_loss])
def test_tokens_cut_into_packs_give_the_gradient_of_the_whole(loss):
    x, old, other = random_case()
    (whole,) = torch.autograd.grad(loss(x, old, other, CLIP)[0], x)

    def cut(denominator):
        pieces = zip(*(t.split([3, 30, 7]) for t in (x, old, other)), strict=True)
        return [loss(*piece, CLIP, denominator) for piece in pieces]

    (parts,) = torch.autograd.grad(sum(found for found, _ in cut(40)), x)
    close(parts, whole, 1e-15)
    _, stats = loss(x, old, other, CLIP)
    for name, number in stats.items():
        assert sum(told[name] for _, told in cut(40)) == pytest.approx(number, rel=1e-13)
    (means,) = torch.autograd.grad(sum(found for found, _ in cut(None)) / 3, x)
    assert (means - whole).abs().max() > 1e-3  # control: the mean of the packs' means is another gradient


# --- the value's loss


@pytest.mark.parametrize("moved", [-0.19, 0.0, 0.1])
def test_inside_the_band_it_is_half_the_squared_error(moved):
    values = leaf([1.0 + moved])
    loss, stats = value_loss(values, exact([1.0]), exact([3.0]), CLIP)
    loss.backward()
    close(loss, (3 - 1 - moved) ** 2 / 2)
    close(values.grad, [moved - 2])
    assert stats["value_clip_fraction"] == 0 and stats["value_error"] == pytest.approx((2 - moved) ** 2)


@pytest.mark.parametrize(
    ("value", "target", "counted", "gradient"),
    [
        (1.5, 3.0, 1.2, 0.0),  # far towards the return: the clipped value is farther from it, and a constant
        (0.5, 3.0, 0.5, -2.5),  # away from the return: the plain error is the larger
        (1.5, 0.0, 1.5, 1.5),
        (0.5, 0.0, 0.8, 0.0),
        (5.0, 1.1, 5.0, 3.9),  # far beyond the return
    ],
)
def test_outside_the_band_the_larger_error_counts(value, target, counted, gradient):
    values = leaf([value])
    loss, stats = value_loss(values, exact([1.0]), exact([target]), CLIP)
    loss.backward()
    close(loss, (counted - target) ** 2 / 2)
    close(values.grad, [gradient])
    assert stats["value_clip_fraction"] == (gradient == 0)


def test_the_loss_is_never_below_the_plain_one():
    values, old, returns = random_case()
    losses = torch.stack([value_loss(*one, CLIP)[0] for one in each(values, old, returns)])
    plain = (values - returns) ** 2 / 2
    assert (losses >= plain - 1e-15).all() and (losses > plain + 1e-3).any()


def test_no_band_is_half_the_mean_squared_error():
    values, old, returns = random_case()
    loss, stats = value_loss(values, old, returns, math.inf)
    close(loss, torch.nn.functional.mse_loss(values, returns) / 2)
    close(torch.autograd.grad(loss, values)[0], (values - returns) / 40)
    assert stats["value_clip_fraction"] == 0


@pytest.mark.parametrize("clip", [math.inf, 0.5])
def test_no_value_inside_the_band_is_told_to_be_clipped(clip):
    """fp32, where old + (value - old) is not the value to the last digit."""
    values, old, returns = normal(3, 1000).float()
    values, old, returns = (t[(values - old).abs() < 0.4] for t in (values, old, returns))
    near = old + (values - old).clamp(-clip, clip)
    assert ((near - returns) ** 2 > (values - returns) ** 2).any()  # control: comparing squares would tell of some
    assert value_loss(values, old, returns, clip)[1]["value_clip_fraction"] == 0


def test_value_gradients_equal_finite_differences():
    values, old, returns = random_case()
    assert ((values - old).abs() - CLIP).abs().min() > 1e-3  # no kink
    assert torch.autograd.gradcheck(lambda x: value_loss(x, old, returns, CLIP, 9)[0], (values,))


@pytest.mark.parametrize("loss", [policy_loss, value_loss])
def test_precision_is_kept_and_statistics_are_numbers(loss):
    for dtype in (torch.float32, torch.float64):
        found, stats = loss(*(t.to(dtype) for t in random_case()), CLIP)
        assert found.dtype == dtype and all(type(number) is float for number in stats.values())


# --- the controller


def test_on_target_beta_stays():
    controller = AdaptiveKL(0.1, target=6.0, horizon=1000)
    controller.update(6.0, 500)
    assert controller.beta == 0.1


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.6, 1.01), (5.4, 0.99), (60.0, 1.02), (0.0, 0.98), (-3.0, 0.98), (7.2, 1.02), (4.8, 0.98)],
)
def test_beta_follows_the_kl_but_not_far(kl, factor):
    """100 answers of a horizon of 1000: a tenth of the relative error, which counts up to 20 percent."""
    controller = AdaptiveKL(0.1, target=6.0, horizon=1000)
    controller.update(kl, 100)
    assert controller.beta == pytest.approx(0.1 * factor, rel=1e-14)


def test_an_infinite_horizon_keeps_beta():
    controller = AdaptiveKL(0.1, target=6.0)
    for kl in (0.0, 100.0):
        controller.update(kl, 512)
    assert controller.beta == 0.1


def test_beta_finds_the_value_that_keeps_the_target():
    """A policy whose KL is 0.3 / beta: from either side beta comes to 0.05, where KL = 6."""
    for start in (0.005, 0.5):
        controller = AdaptiveKL(start, target=6.0, horizon=1000)
        for _ in range(600):
            controller.update(0.3 / controller.beta, 100)
        assert controller.beta == pytest.approx(0.05, rel=1e-9)


def test_a_controller_goes_on_where_it_was_saved():
    whole, first = AdaptiveKL(0.1, 6.0, 1000), AdaptiveKL(0.1, 6.0, 1000)
    first.update(9.0, 64)
    second = AdaptiveKL(0.7, 6.0, 1000)
    second.load_state_dict(first.state_dict())
    second.update(1.0, 64)
    for kl in (9.0, 1.0):
        whole.update(kl, 64)
    assert second.beta == whole.beta != 0.1


def test_beta_stays_above_zero_however_short_the_horizon():
    controller = AdaptiveKL(0.1, target=6.0, horizon=10)
    for _ in range(50):
        controller.update(0.0, 64)  # 64 answers are 6.4 horizons: unbounded, beta would change its sign
    assert controller.beta == pytest.approx(0.1 * 0.8**50, rel=1e-12)
