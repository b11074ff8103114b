"""Schedule, guard, clipping and loss scaling: closed forms, and torch's own optimizer as the second implementation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zj.train import Explosion, Guard, Optim, Optimizer, learning_rate

NONE = 1e12  # a bound that nothing reaches


def problem(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(3, 4, dtype=dtype)), nn.Parameter(torch.randn(4, dtype=dtype))


def loss_of(weights, step):
    matrix, vector = weights
    return ((matrix * (step + 1)).sin().sum(0) * vector).sum()


class TestSchedule:
    config = Optim(lr=2.0 / 10, warmup=0.2)

    def test_first_step_moves_and_warmup_ends_at_the_peak(self):
        rates = [learning_rate(step, 10, self.config) for step in range(10)]
        assert rates[0] == pytest.approx(0.1) and rates[1] == rates[2] == pytest.approx(0.2)
        assert all(a > b for a, b in zip(rates[2:], rates[3:], strict=False)) and rates[-1] > 0

    def test_midpoint_last_and_after(self):
        cosine, linear = self.config, Optim(lr=0.2, warmup=0.2, schedule="linear")
        assert learning_rate(6, 10, cosine) == pytest.approx(0.1) == learning_rate(6, 10, linear)
        assert learning_rate(9, 10, linear) == pytest.approx(0.2 / 8)
        assert learning_rate(9, 10, cosine) == pytest.approx(0.1 * (1 + math.cos(math.pi * 7 / 8)))
        assert learning_rate(10, 10, cosine) == pytest.approx(0) and learning_rate(99, 10, linear) == 0

    def test_no_warmup_and_constant(self):
        assert learning_rate(0, 10, Optim(lr=0.2, warmup=0)) == 0.2
        assert [learning_rate(s, 4, Optim(lr=0.2, warmup=0.5, schedule="constant")) for s in range(4)] == [
            0.1,
            0.2,
            0.2,
            0.2,
        ]
        assert learning_rate(0, 1, Optim(lr=0.2, warmup=1.0)) == 0.2


def test_equals_adamw_with_clipping_and_schedule():
    ours, theirs = problem(), problem()
    moments = {"beta1": 0.8, "beta2": 0.9, "eps": 1e-2}
    config = Optim(lr=0.1, warmup=0.0, weight_decay=0.1, clip=0.5, schedule="linear", **moments)
    optimizer = Optimizer(ours, config, 8, torch.float32)
    groups = [{"params": [theirs[0]], "weight_decay": 0.1}, {"params": [theirs[1]], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.9), eps=1e-2)
    for step in range(8):
        optimizer.backward(loss_of(ours, step))
        said = optimizer.step()
        loss_of(theirs, step).backward()
        norm = nn.utils.clip_grad_norm_(theirs, 0.5)
        for group in reference.param_groups:
            group["lr"] = 0.1 * (1 - step / 8)
        reference.step()
        reference.zero_grad()
        assert said["grad_norm"] == pytest.approx(norm.item(), rel=1e-12)
    for a, b in zip(ours, theirs, strict=True):  # fused and plain kernels order their operations differently
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_a_frozen_weight_costs_nothing():
    frozen, trained = (
        nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16), requires_grad=kind) for kind in (False, True)
    )
    optimizer = Optimizer([frozen, trained], Optim(), 1, torch.bfloat16)
    assert len(optimizer.masters) == len(optimizer.state_dict()["masters"]) == 1
    with pytest.raises(AssertionError, match="nothing is trainable"):
        Optimizer([frozen], Optim(), 1, torch.bfloat16)


def test_gradient_is_the_same_however_the_loss_is_cut():
    whole, parts = problem(), problem()
    one = Optimizer(whole, Optim(lr=0.1), 1, torch.float32)
    many = Optimizer(parts, Optim(lr=0.1), 1, torch.float32)
    one.backward(loss_of(whole, 0) + loss_of(whole, 1))
    many.backward(loss_of(parts, 0))
    many.backward(loss_of(parts, 1))
    assert one.step()["grad_norm"] == pytest.approx(many.step()["grad_norm"], rel=1e-12)
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_16_bit_weights_are_added_up_in_fp32(dtype):
    """1 + 2^-12 is 1 in 16 bit, so a sum kept there would lose the second pack."""
    weight = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = Optimizer([weight], Optim(), 1, dtype)
    optimizer.backward(weight.float().sum())
    optimizer.backward(2**-12 * weight.float().sum())
    assert optimizer.step()["grad_norm"] == pytest.approx(2 * (1 + 2**-12), rel=1e-7)
    assert torch.ones((), dtype=dtype) + 2**-12 == 1


class TestGuard:
    def settled(self):
        guard = Guard(explosion=10.0)
        assert [guard.judge(1.0) for _ in range(20)] == [1.0] * 20
        return guard

    def test_an_explosion_halves_the_loss_and_decays_the_rate(self):
        guard = self.settled()
        assert guard.judge(10.5) == 0.5 and guard.lr_scale == pytest.approx(0.9) and guard.mean == pytest.approx(1)
        assert guard.judge(9.5) == 1.0 and guard.in_a_row == 0 and guard.lr_scale == pytest.approx(0.9)

    def test_not_finite_is_left_out(self):
        guard = self.settled()
        assert [guard.judge(x) for x in (math.nan, math.inf)] == [0.0, 0.0] and guard.in_a_row == 2
        assert guard.mean == pytest.approx(1) and guard.lr_scale == pytest.approx(0.9**2)

    def test_the_first_norms_are_never_explosions(self):
        guard = Guard(10.0)
        assert [guard.judge(x) for x in [1e-3] * 9 + [1e3]] == [1.0] * 10
        assert guard.judge(1e6) == 0.5  # the eleventh may be

    def test_skipped_counts_the_last_steps_that_were_not_finite(self):
        guard, found = Guard(10.0), []
        for norm in (math.nan, math.inf, 1.0, math.nan, math.nan):
            guard.judge(norm)
            found.append(guard.skipped)
        assert found == [1, 2, 0, 1, 2]

    @pytest.mark.parametrize("nothing", [0.0, 1e-9, 1e-6])
    def test_norms_of_nothing_are_no_measure_of_later_ones(self, nothing):
        """Ten batches in which no answer differs from another, then small gradients, then both in turn."""
        guard = Guard(10.0)
        norms = [nothing] * 10 + [1e-3] * 12 + [nothing, 0.5e-3] * 200
        assert {guard.judge(norm) for norm in norms} == {1.0}
        assert (guard.lr_scale, guard.in_a_row) == (1.0, 0) and guard.mean == pytest.approx(0.5e-3, rel=0.3)
        assert guard.judge(1e-1) == 0.5  # control: an explosion is still one
        assert guard.judge(nothing) == 1.0 and guard.in_a_row == 0

    def test_a_run_that_goes_on_otherwise_is_given_time_and_its_rate(self):
        guard = Guard(10.0)
        assert [guard.judge(math.nan) for _ in range(3)] == [0.0] * 3
        scale = guard.lr_scale
        guard.start_anew(counts=False, rate=False)
        assert (guard.in_a_row, guard.lr_scale) == (3, scale)
        guard.start_anew(counts=True, rate=False)
        assert (guard.in_a_row, guard.lr_scale) == (0, scale)
        guard.start_anew(counts=True, rate=True)
        assert (guard.in_a_row, guard.lr_scale) == (0, 1.0)

    def test_the_running_mean_is_plain_at_first_and_forgets_slowly_later(self):
        guard = Guard(10.0)
        assert [guard.judge(x) for x in (1.0, 2.0, 6.0)] == [1.0] * 3 and guard.mean == pytest.approx(3)
        guard = Guard(10.0)
        assert [guard.judge(1.0) for _ in range(200)] and guard.judge(2.0) == 1.0
        assert guard.mean == pytest.approx(0.98 * 1 + 0.02 * 2, rel=1e-12)


def test_what_clipping_and_an_explosion_leave_of_a_gradient():
    """Without momentum Adam's mean gradient is the gradient it was given: whole, clipped to 1, clipped and halved."""
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = Optimizer([weight], Optim(beta1=0.0, clip=1.0, explosion=3.0), 20, torch.float32)
    direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for norm, expected in [(0.8, 0.8)] * 10 + [(1.6, 1.0), (4.0, 0.5), (0.8, 0.8)]:
        optimizer.backward((weight * direction).sum() * norm)
        optimizer.step()
        given = optimizer.adam.state[weight]["exp_avg"]
        torch.testing.assert_close(given, expected * direction, rtol=2e-6, atol=0)  # 1e-6 is added to the norm


def test_the_guards_decay_reaches_the_learning_rate():
    weights = problem()
    optimizer = Optimizer(weights, Optim(lr=0.1, warmup=0, schedule="constant"), 10, torch.float32)
    rates = []
    for factor in (1.0, math.nan, 1.0):
        optimizer.backward(loss_of(weights, 0) * factor)
        rates.append(optimizer.step()["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.09]) and optimizer.adam.param_groups[0]["lr"] == rates[-1]


def test_halved_loss_halves_the_gradient_that_adam_sees():
    """Seen in Adam's own mean gradient: after one exploded step it is half of what an ordinary step leaves."""
    means = []
    for factor in (1.0, 0.5):
        weights = problem()
        optimizer = Optimizer(weights, Optim(clip=NONE), 10, torch.float32)
        if factor == 0.5:
            optimizer.guard = Guard(10.0, mean=1e-6, seen=99)
        optimizer.backward(loss_of(weights, 0))
        assert optimizer.step()["loss_factor"] == factor
        means.append(optimizer.adam.state[weights[0]]["exp_avg"])
    torch.testing.assert_close(means[0], 2 * means[1], rtol=1e-12, atol=0)


def test_nan_leaves_weights_and_optimizer_untouched_and_too_many_bad_steps_end_the_run():
    weights = problem()
    optimizer = Optimizer(weights, Optim(max_bad_steps=2), 10, torch.float32)
    optimizer.backward(loss_of(weights, 0))
    optimizer.step()
    before = [w.detach().clone() for w in weights], optimizer.adam.state[weights[0]]["exp_avg"].clone()
    optimizer.backward(loss_of(weights, 0) * math.nan)
    assert optimizer.step()["loss_factor"] == 0
    torch.testing.assert_close([w.detach() for w in weights], before[0], rtol=0, atol=0)
    torch.testing.assert_close(optimizer.adam.state[weights[0]]["exp_avg"], before[1], rtol=0, atol=0)
    optimizer.backward(loss_of(weights, 0) * math.nan)
    with pytest.raises(Explosion, match="2 explosions in a row"):
        optimizer.step()


def test_fp16_overflow_halves_the_scale_and_is_no_explosion():
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Optimizer([weight], Optim(lr=0.1, max_bad_steps=1), 10, torch.float16)
    scale = optimizer.scaler.get_scale()
    optimizer.backward((weight * math.inf).sum())
    said = optimizer.step()
    assert said["loss_factor"] == 0 and optimizer.scaler.get_scale() == scale / 2 and optimizer.guard.lr_scale == 1
    assert torch.equal(weight, torch.ones(2, 2))
    optimizer.backward((2 * weight).sum())
    assert optimizer.step()["grad_norm"] == pytest.approx(4.0)  # unscaled: sqrt(4 * 2^2)


def test_fp16_overflow_that_no_scale_mends_ends_the_run():
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = Optimizer([weight], Optim(max_bad_steps=2), 99, torch.float16)
    with pytest.raises(Explosion, match="2 explosions in a row"):
        for _ in range(99):
            optimizer.backward((weight * math.inf).sum())
            optimizer.step()
    assert optimizer.steps == 13 + 2  # the scale goes from 2^13 to 1, then max_bad_steps


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_weights_have_an_fp32_master(dtype):
    """A step of 1e-4 is lost on a 16-bit weight of 1 (spacing 2^-10 or 2^-7) but not on its master."""
    weight = nn.Parameter(torch.ones(2, 2, dtype=dtype))
    optimizer = Optimizer([weight], Optim(lr=1e-4, warmup=0, schedule="constant"), 100, dtype)
    for _ in range(100):
        optimizer.backward(weight.float().sum())
        optimizer.step()
    assert weight.dtype == dtype
    torch.testing.assert_close(weight.float(), torch.full((2, 2), 0.99), rtol=0, atol=2**-8)
    plain = torch.ones((), dtype=dtype)  # negative control: the same steps without a master go nowhere
    for _ in range(100):
        plain -= 1e-4
    assert plain == 1


@pytest.mark.parametrize(
    ("dtype", "compute"),
    [
        (torch.float32, torch.float32),
        (torch.float32, torch.float16),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16),
    ],
)
def test_a_restored_optimizer_goes_on_bitwise(dtype, compute):
    """Also after an overflow (step 3), with explosions, and with the fp32 masters of 16-bit weights."""

    def train(weights, optimizer, steps):
        for step in steps:
            optimizer.backward(loss_of(weights, step) * (math.inf if step == 3 else 1.0))
            optimizer.step()

    straight, first = problem(dtype), problem(dtype)
    config = Optim(lr=0.1, explosion=1.5, max_bad_steps=99)
    whole = Optimizer(straight, config, 30, compute)
    train(straight, whole, range(30))
    half = Optimizer(first, config, 30, compute)
    train(first, half, range(15))
    second = [nn.Parameter(w.detach().clone()) for w in first]
    resumed = Optimizer(second, config, 30, compute)
    resumed.load_state_dict(half.state_dict())
    train(second, resumed, range(15, 30))
    for a, b in zip(straight, second, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(straight[0], first[0])
    assert resumed.guard == whole.guard and resumed.scaler.state_dict() == whole.scaler.state_dict()
    for a, b in zip(whole.masters, resumed.masters, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"warmup": 2.0}, {"clip": 0.0}, {"explosion": 1.0}, {"weight_decay": -1.0}]
)
def test_impossible_numbers_name_their_flag(wrong):
    (name, value), *_ = wrong.items()
    flag = name.replace("_", "-")
    with pytest.raises(ValueError, match=f"^{flag} is {value}, expected"):
        Optim(**wrong)
    if isinstance(value, float):  # a group's name is put before by the parser, which alone knows it
        with pytest.raises(ValueError, match=f"^{flag} is nan, expected"):
            Optim(**{name: math.nan})


def test_a_bad_number_names_its_flag_as_it_is_typed():
    with pytest.raises(ValueError, match="^max-bad-steps is 0, expected more than 0$"):
        Optim(max_bad_steps=0)
    assert Optim(max_bad_steps=1).max_bad_steps == 1  # control


@pytest.mark.parametrize(("before", "after"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)])
def test_a_run_goes_on_where_weights_have_masters_and_had_none(before, after):
    """As between --shard none, whose 16-bit weights have masters, and zero2, whose weights are fp32."""

    def made(dtype):
        weights = [
            torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4).to(dtype)),
            torch.nn.Parameter(torch.ones(4, dtype=dtype)),
        ]
        return weights, Optimizer(weights, Optim(lr=1e-2, warmup=0), 10, torch.float32)

    def move(weights, optimizer, number):
        for count in range(number):
            optimizer.backward(sum(((w.float() - count) ** 2).sum() for w in weights))
            optimizer.step()

    weights, optimizer = made(before)
    move(weights, optimizer, 3)
    state, saved = optimizer.state_dict(), [w.detach().clone() for w in weights]
    others, other = made(after)
    with torch.no_grad():
        for mine, theirs in zip(others, saved, strict=True):
            mine.copy_(theirs)
    other.load_state_dict(state, saved)
    for one, two in zip(optimizer.masters, other.masters, strict=True):
        assert torch.equal(one.float(), two.float())  # nothing was rounded on the way
    assert other.steps == 3 and other.adam.state_dict()["state"].keys() == optimizer.adam.state_dict()["state"].keys()
    move(others, other, 1)
