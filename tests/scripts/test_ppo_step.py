"""What a step of PPO consists of: each part of it shown to do what its name says."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, pstdev

import pytest
import torch

from scripts import train_ppo
from tests.scripts.conftest import column, ppo, told
from zj.data.readers import read
from zj.data.template import encode_all
from zj.data.tokenizer import Tokenizer
from zj.model import Packed, sequence_logprobs
from zj.stages import ppo as stages_ppo
from zj.train import Optim, learning_rate
from zj.weights import load_model


@pytest.fixture
def say(monkeypatch):
    """say(score): the reward model's word is replaced by score(answer), and every answer counts as finished."""

    def instead(score, real=train_ppo.evaluate_rollout):
        def evaluate_rollout(*arguments, **named):
            rollout = real(*arguments, **named)
            scores = torch.tensor([float(score(rollout.answer(s))) for s in range(len(rollout.sequences))])
            return replace(rollout, scores=scores, finished=torch.ones_like(rollout.finished))

        monkeypatch.setattr(train_ppo, "evaluate_rollout", evaluate_rollout)

    return instead


def test_an_easy_reward_is_learnt_and_a_dear_kl_forbids_it(command, line, tmp_path, say):
    say(lambda answer: 4 * sum(token < 160 for token in answer) / len(answer))
    for beta, passes in ((0, 4), (50, 2)):
        more = ("--beta", beta, "--epochs", 5, "--batch-size", 16, "--valid-fraction", 0, "--optim.warmup", 0)
        assert command(*ppo(line, tmp_path / str(beta), *more, "--ppo-epochs", passes)).status == 0
    score, kl = column(tmp_path / "0", "score"), column(tmp_path / "0", "kl")
    assert len(score) == 15 and sum(score[-3:]) / 3 > sum(score[:3]) / 3 + 1 and kl[-1] > 1
    held = column(tmp_path / "50", "kl")
    assert abs(sum(held[-5:]) / 5) < 0.2


def test_the_flags_reach_the_equations_and_each_pass_sees_every_token_once(command, line, tmp_path, spied):
    names = ("evaluate_rollout", "kl_rewards", "gae", "policy_loss", "value_loss")
    judged, rewarded, estimated, policy, value = (spied(train_ppo, name) for name in names)
    more = ("--gamma", 0.9, "--lam", 0.8, "--clip", 0.11, "--value-clip", 0.22, "--beta", 0.03, "--ppo-epochs", 3)
    more += ("--tokens-per-pack", 50, "--valid-fraction", 0, "--batch-size", 7, "--minibatches", 3)
    assert command(*ppo(line, tmp_path / "run", *more)).status == 0
    assert {arguments[4] for arguments, _ in rewarded} == {0.03}
    assert {arguments[3:] for arguments, _ in estimated} == {(0.9, 0.8)}
    assert {arguments[3] for arguments, _ in policy} == {0.11} and {arguments[3] for arguments, _ in value} == {0.22}
    for (_, rollout), (_, rewards), (given, (advantages, returns)) in zip(judged, rewarded, estimated, strict=True):
        assert torch.equal(given[0], rewards) and torch.equal(given[1], rollout.values)
        whitened = (advantages - advantages.mean()) / advantages.std(unbiased=False)
        for _ in range(3):  # passes
            parts, denominators, tokens = [], [], 0
            while tokens < len(advantages):
                (_, old, part, _, count), _ = policy.pop(0)
                (_, old_values, target, _, same), _ = value.pop(0)
                assert len(old) == len(part) == len(target) and count == same >= len(part)
                parts.append(torch.stack([old, part, old_values, target]))
                denominators.append(len(part) / count)
                tokens += len(part)
            everything = torch.stack([rollout.logprobs, whitened, rollout.values, returns])
            ordered = (x[:, x.sort(dim=1).indices[0]] for x in (torch.cat(parts, dim=1), everything))
            torch.testing.assert_close(*ordered, rtol=1e-5, atol=1e-5)
            assert sum(denominators) == pytest.approx(
                min(3, len(rollout.sequences))
            )  # minibatches, in one or more packs
    assert not policy and not value


@pytest.mark.parametrize("advantage", ["rloo", "grpo"])
def test_every_token_has_the_advantage_of_its_answer_beside_the_others(command, line, tmp_path, spied, advantage):
    """Computed here one by one: the answer's score less beta times its log-ratio, and that of its prompt's others."""
    judged, learnt = spied(train_ppo, "evaluate_rollout"), spied(train_ppo, "policy_loss")
    more = ("--advantage", advantage, "--answers", 3, "--beta", 0.3, "--ppo-epochs", 1, "--minibatches", 1)
    more += ("--max-steps", 2, "--valid-fraction", 0, "--batch-size", 6, "--unfinished", -7, "--gamma", 0.5)
    assert command(*ppo(line, tmp_path / "run", *more)).status == 0
    (_, rollout), (given, _) = judged[-1], learnt[-1]  # in the second step policy and reference differ
    ends, expected = rollout.bounds.tolist(), torch.zeros(len(rollout.logprobs))
    kl = [(rollout.logprobs - rollout.ref_logprobs)[a:b].sum() for a, b in zip(ends, ends[1:], strict=False)]
    scores = [score if done else -7 for score, done in zip(rollout.scores, rollout.finished, strict=True)]
    rewards = [float(score - 0.3 * nats) for score, nats in zip(scores, kl, strict=True)]
    for s, own in enumerate(rewards):
        group = rewards[s // 3 * 3 :][:3]
        standardized = (own - fmean(group)) / (pstdev(group) + 1e-4)
        expected[ends[s] : ends[s + 1]] = own - (sum(group) - own) / 2 if advantage == "rloo" else standardized
    assert rollout.values.numel() == 0 and len(set(rewards)) > 12 and max(map(abs, kl)) > 0.1
    found = sorted(
        zip(given[1].tolist(), given[2].tolist(), strict=True)
    )  # (old log-prob, advantage), in its own order
    wanted = sorted(zip(rollout.logprobs.tolist(), expected.tolist(), strict=True))
    assert torch.tensor(found) == pytest.approx(torch.tensor(wanted), abs=2e-4)


def test_an_answer_without_eos_gets_a_fixed_score(command, line, tmp_path, spied, monkeypatch):
    monkeypatch.setattr(
        stages_ppo, "generate", lambda model, asked, *_, **__: [[9, 2] if n % 2 else [9, 30] for n in range(len(asked))]
    )
    judged, rewarded = spied(train_ppo, "evaluate_rollout"), spied(train_ppo, "kl_rewards")
    assert command(*ppo(line, tmp_path / "run", "--unfinished", -7, "--valid-fraction", 0)).status == 0
    for (_, rollout), (arguments, rewards) in zip(judged, rewarded, strict=True):
        scores = arguments[2].tolist()
        assert scores[::2] == [-7] * len(scores[::2]) and scores[1::2] == rollout.scores.tolist()[1::2]
        assert -7 not in rollout.scores.tolist()  # the reward model itself says something else
        assert rollout.bounds.tolist() == list(range(0, 2 * len(scores) + 1, 2))
        kl = (rollout.logprobs - rollout.ref_logprobs)[1::2]
        torch.testing.assert_close(rewards[1::2], arguments[2] - 0.05 * kl)  # on the last token, EOS or not
    assert column(tmp_path / "run", "eos_rate") == [0.5] * 6


def test_early_stop_ends_the_passes_and_keeps_the_schedule(command, line, tmp_path):
    for limit in (0, 1e-6):
        assert command(*ppo(line, tmp_path / str(limit), "--early-stop", limit)).status == 0
    assert column(tmp_path / "0", "minibatches") == [4] * 5
    assert column(tmp_path / "1e-06", "minibatches") == [2] * 5  # the first is at ratio 1, the second no longer
    optim = Optim(lr=3e-3, schedule="linear")
    for limit, last in ((0, 3), (1e-6, 1)):
        expected = [learning_rate(step * 4 + last, 20, optim) for step in range(5)]
        assert column(tmp_path / str(limit), "lr") == pytest.approx(expected, rel=1e-12)
    assert [row["step"] for row in told(tmp_path / "1e-06")] == list(range(6))


def test_ptx_adds_the_cross_entropy_of_dialogues(command, line, tmp_path, say):
    """With scores that are all alike and a zero value head nothing else moves the policy: the gradient is PTX's."""
    say(lambda answer: 0)
    norms = {}
    for ptx in (0, 0.5, 1.0):
        more = ("--value-head", "zero", "--beta", 0, "--optim.lr", 0, "--value-optim.lr", 0, "--batch-size", 48)
        more += ("--ptx", ptx, *(("--ptx-data", line.dialogues) if ptx else ()), "--valid-fraction", 0)
        assert command(*ppo(line, tmp_path / str(ptx), *more)).status == 0
        norms[ptx] = column(tmp_path / str(ptx), "grad_norm")[0]
    assert norms[0] == 0 and norms[1.0] == pytest.approx(2 * norms[0.5], rel=1e-4) and norms[0.5] > 0
    tokenizer, model = Tokenizer.load(line.sft), load_model(line.sft)
    examples, _ = encode_all(read([str(line.dialogues)], "dialogue")[0], tokenizer, "ziya")
    with torch.no_grad():
        packed, counted = Packed.of([e.ids for e in examples]), torch.tensor([c for e in examples for c in e.counted])
        expected = -sequence_logprobs(model, packed, counted)[0].sum().item() / int(counted.sum())
    assert column(tmp_path / "0.5", "ptx_loss") == pytest.approx([expected], rel=1e-5)
    assert not column(tmp_path / "0", "ptx_loss")


def test_the_answers_to_one_prompt_differ(command, line, tmp_path, spied):
    judged = spied(train_ppo, "evaluate_rollout")
    assert command(*ppo(line, tmp_path / "run", "--answers", 4, "--valid-fraction", 0)).status == 0
    seen, alike, groups = set(), 0, 0
    for _, rollout in judged:
        assert len(rollout.sequences) == 32
        for s in range(0, 32, 4):
            prompts = {tuple(rollout.sequences[s + k][: rollout.starts[s + k]]) for k in range(4)}
            answers = {tuple(rollout.answer(s + k)) for k in range(4)}
            assert len(prompts) == 1
            alike, groups = alike + (len(answers) == 1), groups + 1
            seen |= prompts
    assert len(seen) == groups == 48  # each prompt was asked once
    assert alike < 5  # the toy says EOS at once now and then, and four times in a row by chance


def test_the_controller_moves_beta_towards_its_target(command, line, tmp_path, spied):
    """KL 0 is below any target: beta falls by a fifth of answers / horizon. A policy that leaves is called back."""
    rewarded = spied(train_ppo, "kl_rewards")
    flags = {"below": ("--optim.lr", 0, "--kl-target", 1), "above": ("--kl-target", 1e-3), "off": ()}
    for name, more in flags.items():
        always = ("--kl-horizon", 32, "--answers", 2, "--valid-fraction", 0)
        assert command(*ppo(line, tmp_path / name, *always, *more)).status == 0
    assert column(tmp_path / "below", "beta") == pytest.approx([0.05 * 0.9**step for step in range(6)])
    kl, beta = column(tmp_path / "above", "kl"), column(tmp_path / "above", "beta")
    factors = [0.9 if k < 1e-3 * 0.8 else 1.1 if k > 1e-3 * 1.2 else math.nan for k in kl[:-1]]
    assert [b / a for a, b in zip(beta, beta[1:], strict=False)] == pytest.approx(factors) and 1.1 in factors
    assert column(tmp_path / "off", "beta") == [0.05] * 6
    assert [arguments[4] for arguments, _ in rewarded][6:12] == beta  # and it is beta that shapes the reward
