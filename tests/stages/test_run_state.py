"""What a checkpoint keeps of a run: the trained weights, and each part that the stage has named."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from zj.lora import add_adapter
from zj.model import Llama, LlamaConfig, Packed, ScalarHead
from zj.rl import AdaptiveKL
from zj.stages.config import Lora
from zj.stages.run_state import Run
from zj.train import Optim, Optimizer, World, load_checkpoint

PACKED = Packed.of([[1, 5, 9, 2], [1, 7, 2]])


def a_run(out, parts: bool = True, resume_with: str = ""):
    """A run of two adapters, a head and two optimizers; two optimizer steps make one of its own."""
    model = Llama(LlamaConfig.named("nano", 64))
    model.init_weights(0)
    add_adapter(model, "policy", 2, 4)
    add_adapter(model, "value", 2, 4, seed=1)
    head, controller = ScalarHead(32), AdaptiveKL(0.1, target=1.0, horizon=10)
    of = {name: [p for n, p in model.named_parameters() if n.endswith(name)] for name in ("policy", "value")}
    optimizer = Optimizer(of["policy"], Optim(lr=1e-2), 20, torch.float32)
    value_optimizer = Optimizer([*of["value"], *head.parameters()], Optim(lr=1e-2), 20, torch.float32)
    config, world = (
        SimpleNamespace(keep=1, stop_after="", shard="none", resume_with=resume_with, lora=Lora()),
        World(0, 1, torch.device("cpu")),
    )
    run = Run(out, config, world, model, "policy", "base", None, "ziya", optimizer, per_step=2)
    if parts:
        run.parts |= {"head": head, "value_optimizer": value_optimizer, "controller": controller}
    return run, head, value_optimizer, controller


def train(run, head, value_optimizer, controller, steps):
    for _ in range(steps * run.per_step):
        run.optimizer.backward(run.model(PACKED, "policy").square().mean())
        value_optimizer.backward(head(run.model(PACKED, "value")).square().mean() + head.weight.sum())
        run.optimizer.step()
        value_optimizer.step()
        controller.update(kl=3.0, episodes=1)
    return run.model(PACKED, "policy"), head(run.model(PACKED, "value")), controller.beta


def test_a_run_goes_on_with_all_its_parts(tmp_path):
    straight = a_run(tmp_path)
    train(*straight, 3)
    straight[0].best = 0.25
    straight[0].save()
    wanted = train(*straight, 2)
    resumed = a_run(tmp_path)
    resumed[0].load(load_checkpoint(tmp_path))
    assert (resumed[0].step, resumed[0].best, resumed[2].steps) == (3, 0.25, 6)
    got = train(*resumed, 2)
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1]) and got[2] == wanted[2]
    assert got[2] == pytest.approx(0.1 * 1.02**10)  # and beta went on from where it was


def test_what_is_no_part_is_not_kept(tmp_path):
    """Negative control: without its parts, the value role begins anew and goes another way."""
    straight = a_run(tmp_path, parts=False)
    train(*straight, 3)
    straight[0].save()
    wanted = train(*straight, 2)
    resumed = a_run(tmp_path, parts=False)
    resumed[0].load(load_checkpoint(tmp_path))
    got = train(*resumed, 2)
    assert torch.equal(got[0], wanted[0]) and not torch.equal(got[1], wanted[1]) and got[2] != wanted[2]


def test_a_checkpoint_of_another_stage_is_not_mistaken_for_ones_own(tmp_path):
    run, *_ = a_run(tmp_path)
    run.save()
    other, *_ = a_run(tmp_path)
    for name, parameter in other.model.named_parameters():
        if name.endswith("value"):
            parameter.requires_grad_(False)
    with pytest.raises(AssertionError, match="belongs to another model"):
        other.load(load_checkpoint(tmp_path))


def test_a_step_of_the_run_may_be_several_of_the_optimizer(tmp_path):
    run, *_ = a_run(tmp_path)
    assert (run.step, run.due(5), run.best) == (0, True, math.inf)
    found = []
    for steps in range(21):
        run.optimizer.steps = steps
        found.append((run.step, run.due(4)))
    assert [step for step, _ in found] == [steps // 2 for steps in range(21)]
    assert sorted({step for step, due in found if due}) == [0, 4, 8, 10]  # every fourth, and the last
