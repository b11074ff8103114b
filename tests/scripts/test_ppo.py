"""PPO as its user runs it: resumed to the bit, with only the policy and the value role moved, in any precision."""

from __future__ import annotations

import json
import math
from importlib import import_module
from itertools import product

import pytest
import torch

from scripts import train_ppo
from tests.line import make_reward
from tests.scripts.conftest import column, least_gb, ppo, result, told
from zj.cli import parse
from zj.data.readers import read
from zj.lora import ALL_LINEAR
from zj.lora.adapters import adapter_layers
from zj.stages.roles import open_roles
from zj.stages.run_state import Run
from zj.train import ALONE, Log, Optimizer


def log_ratios(calls):
    return [(arguments[0] - arguments[1]).abs().max().item() for arguments, _ in calls]


POINTS = [(Run, "save", 1), (Run, "save", 2), (Optimizer, "step", 1), (Optimizer, "step", 23)]
POINTS += [(train_ppo, "validate", 3), (Log, "step", 3), (Run, "finish", 1)]


def test_interrupted_anywhere_it_ends_the_same(command, killed, line, tmp_path):
    """Even amid the passes over one rollout: beta, both optimizers, the value head, the answers, what was said."""
    more = ("--kl-target", 0.1, "--kl-horizon", 50, "--answers", 2, "--value-head", "zero", "--valid-every", 2)
    more += ("--ptx", 0.1, "--ptx-data", line.dialogues, "--save-every", 2)

    def everything(out):
        state = torch.load(out / "checkpoints" / "step-5" / "rank-0.pt")
        return (
            told(out),
            result(out),
            (out / "samples.jsonl").read_text(),
            json.dumps(state, default=torch.Tensor.tolist),
        )

    assert command(*ppo(line, tmp_path / "straight", *more)).status == 0
    expected = everything(tmp_path / "straight")
    assert len({row["beta"] for row in expected[0][1:]}) == 5 and '"value_head"' in expected[3]
    for number, point in enumerate(POINTS):
        out = tmp_path / f"cut{number}"
        killed(*point)(*ppo(line, out, *more))
        began = (out / "latest").exists() and point[1] != "finish"
        again = command(*ppo(line, out, *more))
        assert (again.status, "going on after step" in again.out) == (0, began), again.err
        for one, two in zip(everything(out), expected, strict=True):
            assert one == two, point
    finished = command(*ppo(line, tmp_path / "cut0", *more))
    assert (finished.status, "is finished" in finished.out) == (0, True)
    other = command(*ppo(line, tmp_path / "cut0", *more, "--value-optim.lr", "1e-3"))
    assert other.status == 2 and "its --value-optim.lr is 0.003, here it is 0.001" in other.err


def test_without_a_value_role_it_ends_the_same_and_nothing_is_of_values(command, killed, line, tmp_path):
    """RLOO, killed amid its passes over a rollout."""
    more = ("--advantage", "rloo", "--answers", 2, "--kl-target", 0.1, "--kl-horizon", 50, "--save-every", 2)
    assert command(*ppo(line, tmp_path / "straight", *more)).status == 0
    killed(Optimizer, "step", 11)(*ppo(line, tmp_path / "cut", *more))
    again = command(*ppo(line, tmp_path / "cut", *more))
    assert (again.status, "going on after step 2" in again.out) == (0, True), again.err
    states = [torch.load(tmp_path / name / "checkpoints" / "step-5" / "rank-0.pt") for name in ("straight", "cut")]
    assert json.dumps(states[0], default=torch.Tensor.tolist) == json.dumps(states[1], default=torch.Tensor.tolist)
    assert told(tmp_path / "straight") == told(tmp_path / "cut") and states[0]["controller"]["beta"] != 0.05
    assert result(tmp_path / "straight") == result(tmp_path / "cut")
    assert states[0].keys() == {"best", "best_step", "ranks", "model", "optimizer", "controller"}
    assert {name.rsplit(".", 1)[-1] for name in states[0]["model"]} == {"policy"}
    assert not {name for row in told(tmp_path / "cut") for name in row if "value" in name or "explained" in name}
    other = command(*ppo(line, tmp_path / "cut", *more, "--advantage", "gae"))
    assert other.status == 2 and "its --advantage is rloo, here it is gae" in other.err


def test_metrics_and_samples_tell_what_they_promise(command, line, tmp_path):
    assert command(*ppo(line, tmp_path / "run", "--valid-every", 0, "--epochs", 2)).status == 0
    rows = told(tmp_path / "run")
    promised = {
        "epoch",
        "beta",
        "score",
        "kl",
        "kl_k3",
        "entropy_per_token",
        "length",
        "eos_rate",
        "explained_variance",
    }
    promised |= {"loss", "value_loss", "approx_kl", "clip_fraction", "ratio", "value_clip_fraction", "value_error"}
    promised |= {"minibatches", "lr", "grad_norm", "value_grad_norm", "loss_factor", "loss_scale", "tokens"}
    assert all(promised <= row.keys() for row in rows[1:])
    raw = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all({"seconds_sample", "seconds_judge", "seconds_learn"} <= row.keys() for row in raw[1:])
    checked = [row for row in rows if {"valid_score", "valid_kl", "valid_length"} <= row.keys()]
    assert [row["step"] for row in checked] == [0, 5, 10] and checked[0]["valid_kl"] == 0
    said = [json.loads(row) for row in (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in said] == [0] * 4 + [5] * 4 + [10] * 4
    ids = {prompt.id for prompt in read([str(line.dialogues)], "prompt")[0]}
    assert all(row["where"] in ids and isinstance(row["answer"], str) for row in said)
    for row in checked:
        scores = [one["score"] for one in said if one["step"] == row["step"]]
        assert sum(scores) / 4 == pytest.approx(row["valid_score"], abs=1e-6)


def test_only_policy_and_value_have_moved(command, line, tmp_path, spied):
    """And of the policy, with --last-layers, only the last blocks; base, reference and reward keep every bit."""
    config = parse(train_ppo.Config, [*map(str, ppo(line, tmp_path / "run", "--last-layers", 1)[1:])])
    start = dict(named(open_roles(config, torch.float32, ALONE)))
    opened = spied(train_ppo, "open_roles")
    assert command(*ppo(line, tmp_path / "run", "--last-layers", 1)).status == 0
    ((_, roles),) = opened
    moved = {name for name, p in named(roles) if not torch.equal(p, start[name])}
    kinds = {name.rsplit(".", 1)[-1] if "lora_" in name else name for name in moved}
    assert kinds == {"policy", "value", "value_head.head.weight"}
    assert {name.split(".")[2] for name in moved if name.endswith("policy")} == {"1"}
    assert {name.split(".")[2] for name in moved if name.endswith("value")} == {"0", "1"}


def named(roles):
    yield from roles.model.named_parameters()
    yield from ((f"value_head.{name}", p) for name, p in roles.value_head.named_parameters())
    yield from ((f"reward_head.{name}", p) for name, p in roles.reward.head.named_parameters())


# --- the ratio


def test_with_learning_rates_of_0_nothing_ever_moves(command, line, tmp_path, spied):
    calls = spied(train_ppo, "policy_loss")
    more = ("--optim.lr", 0, "--value-optim.lr", 0, "--answers", 2, "--temperature", 0.7, "--tokens-per-pack", 60)
    assert command(*ppo(line, tmp_path / "run", *more)).status == 0
    assert len(calls) > 5 * 4 and max(log_ratios(calls)) < 1e-5  # packs of other sizes round otherwise
    assert column(tmp_path / "run", "clip_fraction") == [0] * 5
    assert column(tmp_path / "run", "kl") == [0] * 5 == column(tmp_path / "run", "kl_k3")
    assert column(tmp_path / "run", "ratio") == pytest.approx([1] * 5, abs=1e-6)


@pytest.mark.parametrize("dropped", [False, True], ids=["off", "control: forced on"])
def test_the_first_ratio_of_each_rollout_is_1(command, line, tmp_path, spied, monkeypatch, dropped):
    def open_roles(*arguments, real=train_ppo.open_roles):
        roles = real(*arguments)
        for _, layer in adapter_layers(roles.model, "policy"):
            layer.dropout["policy"] = 0.3 if dropped else 0.0
        roles.model.train()
        return roles

    monkeypatch.setattr(train_ppo, "open_roles", open_roles)
    calls = spied(train_ppo, "policy_loss")
    assert command(*ppo(line, tmp_path / "run")).status == 0
    ratios = log_ratios(calls)  # a rollout fits in one pack: 4 minibatches, 4 calls
    assert len(ratios) == 20
    assert (max(ratios[::4]) < 1e-5) is not dropped
    assert min(ratios[1::4]) > 1e-4  # after an optimizer step it is no longer 1


# --- other flags


def test_what_is_learnt_does_not_depend_on_packs_and_slots(command, line, tmp_path, spied):
    caches = spied(import_module("zj.inference.engine"), "Cache")
    other = {"one": ("--tokens-per-pack", 1), "few": ("--tokens-per-pack", 100), "slots": ("--slots", 3)}
    for folder, flags in ({"wide": ()} | other).items():
        assert command(*ppo(line, tmp_path / folder, *flags)).status == 0
    names = ("loss", "value_loss", "grad_norm", "value_grad_norm", "approx_kl", "score")
    for folder, name in product(other, names):  # two steps: later, a rounding may draw another token
        wide = column(tmp_path / "wide", name)[:2]
        assert column(tmp_path / folder, name)[:2] == pytest.approx(wide, rel=1e-3, abs=1e-5), name
    slots = [arguments[1] for arguments, _ in caches]
    assert max(slots[-len(slots) // 4 :]) == 3 < max(slots)  # the last run was the one with three


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_16_bit_runs_keep_close_to_ratio_1(command, line, tmp_path, spied, dtype):
    calls = spied(train_ppo, "policy_loss")
    run = ppo(line, tmp_path / "run", "--dtype", dtype)
    done = command(*run, "--memory-gb", least_gb(command, *run))
    assert done.status == 0, done.err
    assert all(row["loss_factor"] == 1 for row in told(tmp_path / "run")[1:])
    assert max(log_ratios(calls)[::4]) < (0.1 if dtype == "bf16" else 0.02)  # of 16-bit hidden states
    assert calls[0][0][0].dtype == torch.float32


def test_a_fresh_policy_has_what_the_flags_say_and_an_sft_adapter_its_own(command, line, tmp_path):
    """--model may be the backbone itself, here a merged SFT adapter as in HuatuoGPT: the policy is then fresh."""
    flags = ("--lora.rank", 5, "--lora.alpha", 10, "--lora.targets", "v_proj", "--epochs", 1)
    merged = tmp_path / "merged"
    assert command("export", "merge", "--model", line.sft, "--out", merged, "--template", "ziya").status == 0
    reward = make_reward(tmp_path / "reward", merged)
    cases = {"own": ((), (3, 6, list(ALL_LINEAR)), line.base)}
    cases["fresh"] = (("--model", merged, "--reward", reward), (5, 10, ["v_proj"]), merged)
    for name, (more, expected, base) in cases.items():
        done = command(*ppo(line, tmp_path / name, *more, *flags))
        assert done.status == 0, done.err
        config = json.loads((tmp_path / name / "adapter_config.json").read_text())
        assert (config["r"], config["lora_alpha"], config["target_modules"]) == expected
        assert config["base_model_name_or_path"] == str(base.resolve())


def test_an_explosion_saves_and_the_steps_stay_aligned(command, line, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "backward", lambda self, loss, real=Optimizer.backward: real(self, loss * math.nan))
        stopped = command(*ppo(line, tmp_path / "run", "--optim.max-bad-steps", 2))
    assert stopped.status == 1 and (tmp_path / "run" / "checkpoints" / "step-0").exists()
    again = command(*ppo(line, tmp_path / "run", "--optim.max-bad-steps", 2))
    assert again.status == 0, again.err
    assert [row["step"] for row in told(tmp_path / "run")] == list(range(6))
    state = torch.load(tmp_path / "run" / "checkpoints" / "step-5" / "rank-0.pt")
    assert state["optimizer"]["steps"] == state["value_optimizer"]["steps"] == 20


def test_the_clinics_prompts_stand_in_for_missing_data(command, line, tmp_path):
    more = ("--data", "--clinic-size", 8, "--max-tokens", 2048, "--max-new-tokens", 4)
    done = command(*ppo(line, tmp_path / "run", *more))
    assert done.status == 0, done.err
    assert (tmp_path / "run" / "clinic" / "prompt.jsonl").exists()
