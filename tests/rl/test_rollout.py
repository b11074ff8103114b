"""A rollout against one forward pass a token, and who may influence which of its numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.rl.tiny import EOS, close, exact, move, normal, tiny
from zj.inference import generate
from zj.lora import adapter_parameters, add_adapter, copy_adapter
from zj.model import Llama, Packed, ScalarHead, sequence_logprobs, sequence_values
from zj.rl import CalibratedHead, Calibration, Rollout, collect, evaluate_rollout, policy_loss, summary
from zj.rl.rollout import with_one_end

ROLES = ("policy", "reference", "value", "reward")
PROMPTS = [[1, 5, 9], [1], [1, EOS, 7, 3, 11], [1, 5, 9]]  # EOS is also a word of a conversation
ANSWERS = [[4, 8, EOS], [6, 6, 13, 10, 5], [EOS], [3]]
LENGTHS = [3, 5, 1, 1]
NUMBERS = ("logprobs", "entropy", "ref_logprobs", "values", "scores")


def heads(dtype: torch.dtype = torch.float64) -> tuple[ScalarHead, CalibratedHead]:
    """Of value and reward."""
    value, reward = (ScalarHead(16, seed).to(dtype) for seed in (1, 2))
    return value, CalibratedHead(reward, Calibration(2.0, -0.5))


def ask(model: Llama, prompts=PROMPTS, answers=ANSWERS, plan=None, temperature: float = 0.8) -> Rollout:
    value_head, reward_head = heads(model.lm_head.weight.dtype)

    def reward(packed: Packed) -> Tensor:
        return reward_head(model(packed, "reward")[packed.last])

    packs = (lambda lengths: plan) if plan else together
    return evaluate_rollout(model, prompts, answers, reward, value_head, packs, temperature=temperature, eos_ids=(EOS,))


def together(lengths) -> list[list[int]]:
    """All sequences in one pack."""
    return [list(range(len(lengths)))]


@pytest.fixture(scope="module")
def model() -> Llama:
    """To be read only."""
    return tiny(*ROLES)


@torch.no_grad()
def one_by_one(model: Llama, temperature: float) -> dict[str, Tensor]:
    """The same numbers with a forward pass for every token, over what stands before it."""
    value_head, reward_head = heads()
    told: dict[str, list] = {name: [] for name in NUMBERS}
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        for t, token in enumerate(answer):
            before = Packed.of([prompt + answer[:t]])
            policy, reference = (
                (model.logits(model(before, role)[-1]) / temperature).log_softmax(-1) for role in ROLES[:2]
            )
            told["logprobs"].append(policy[token])
            told["entropy"].append(-(policy.exp() @ policy))
            told["ref_logprobs"].append(reference[token])
            told["values"].append(value_head(model(before, "value")[-1]))
        told["scores"].append(2 * reward_head.head(model(Packed.of([prompt + answer]), "reward")[-1]) - 0.5)
    return {name: torch.stack(numbers) for name, numbers in told.items()}


def compare(one: Rollout, other: Rollout, tolerance: float = 1e-12) -> None:
    """Two layers in another order of summation: a thousand roundings."""
    for name in NUMBERS:
        close(getattr(one, name), getattr(other, name), tolerance)


# --- the numbers


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_number_is_that_of_a_forward_pass_of_its_own(model, temperature):
    rollout = ask(model, temperature=temperature)
    for name, expected in one_by_one(model, temperature).items():
        close(getattr(rollout, name), expected, 1e-12)
    other = one_by_one(model, temperature * 1.01)  # control: the tolerance would notice
    for name in ("logprobs", "entropy", "ref_logprobs"):
        assert (getattr(rollout, name) - other[name]).abs().max() > 1e-4
    assert (rollout.logprobs - rollout.ref_logprobs).abs().min() > 1e-3  # and the roles are of different minds


@pytest.mark.parametrize("plan", [[[0], [1], [2], [3]], [[3, 1], [0, 2]], [[2, 0, 3, 1]], [[1], [3, 2, 0]]])
def test_no_pack_plan_and_no_order_changes_anything(model, plan):
    compare(ask(model, plan=plan), ask(model))


def test_other_answers_of_the_batch_do_not_matter(model):
    alone = ask(model, PROMPTS[1:2], ANSWERS[1:2])
    close(alone.logprobs, ask(model).logprobs[3:8], 1e-12)
    close(alone.scores, ask(model).scores[1:2], 1e-12)


def test_a_later_token_changes_nothing_before_it_and_not_its_own_value(model):
    """V_t is read before token t is seen; its log-prob and all that follows change."""
    before, after = ask(model), ask(model, answers=[ANSWERS[0], [6, 6, 12, 10, 5], *ANSWERS[2:]])
    changed = {name: (getattr(after, name) - getattr(before, name)).abs() > 1e-9 for name in NUMBERS}
    at = 3 + 2  # the third token of the second answer
    assert changed["logprobs"].nonzero().flatten().tolist() == [at, at + 1, at + 2]
    assert changed["ref_logprobs"].nonzero().flatten().tolist() == [at, at + 1, at + 2]
    assert changed["entropy"].nonzero().flatten().tolist() == [at + 1, at + 2]
    assert changed["values"].nonzero().flatten().tolist() == [at + 1, at + 2]
    assert changed["scores"].nonzero().flatten().tolist() == [1]


def test_the_first_value_of_an_answer_is_of_its_prompt_alone(model):
    values = ask(model).values
    assert PROMPTS[0] == PROMPTS[3] and ANSWERS[0] != ANSWERS[3]
    close(values[0], values[9], 1e-12)


@torch.no_grad()
def test_values_of_a_whole_sequence_are_zero_where_nothing_stands_before(model):
    head, _ = heads()
    packed = Packed.of([prompt + answer for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)])
    values = sequence_values(model, packed, head, "value")
    first = packed.positions == 0
    assert not values[first].any() and values[~first].abs().min() > 1e-4
    rollout = ask(model)
    _, response = rollout.pack(range(4))
    close(values[response], rollout.values, 1e-12)  # and prompts are left out of a rollout


def test_the_value_head_hears_of_the_states_before_each_answer_token_and_of_no_other(model):
    """By its gradient: the state after the last token is never read, nor are those of the prompt but its last."""
    packed, response = ask(model).pack(range(4))
    hidden = normal(len(packed.tokens), 16).requires_grad_()
    head, _ = heads()
    sequence_values(lambda packed, adapter: hidden, packed, head, "value")[response].sum().backward()
    heard = hidden.grad.abs().sum(1) > 0
    assert heard.tolist() == [*response.tolist()[1:], False]
    assert not heard[packed.last].any() and heard.sum() == sum(LENGTHS)


# --- the ratio


def ratios(model: Llama, rollout: Rollout, chosen: list[int]) -> Tensor:
    """log pi / pi_old as training computes it first."""
    packed, response = rollout.pack(chosen)
    logprobs, _ = sequence_logprobs(model, packed, response, "policy", 0.8)
    return logprobs[response] - rollout.logprobs[rollout.tokens_of(chosen)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_ratio_is_exactly_1(dtype):
    """The same pack through the same forward pass, with the gradient on and in training mode."""
    model = tiny(*ROLES).to(dtype).train()
    rollout = ask(model)
    assert rollout.logprobs.dtype == dtype
    log_ratio = ratios(model, rollout, [0, 1, 2, 3])
    assert log_ratio.requires_grad and not log_ratio.detach().any()


@pytest.mark.parametrize("chosen", [[2], [3, 1], [1, 0, 2]])
def test_the_first_ratio_is_1_in_other_packs(model, chosen):
    close(ratios(model, ask(model), chosen).detach(), torch.zeros(sum(LENGTHS[s] for s in chosen)))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_first_gradient_is_that_of_reinforce_by_a_dense_softmax(temperature):
    """Of every matrix of the policy, through the clipped loss, against -mean(A log pi) of whole logits."""
    model, advantages = tiny(*ROLES), normal(10)
    rollout, matrices = ask(model, temperature=temperature), list(adapter_parameters(model, "policy").values())
    packed, response = rollout.pack(range(4))
    logprobs, _ = sequence_logprobs(model, packed, response, "policy", temperature)
    loss, _ = policy_loss(logprobs[response], rollout.logprobs, advantages, 0.2)
    log_p = (model.logits(model(packed, "policy")) / temperature).log_softmax(-1)
    at = response.nonzero().squeeze(1)
    dense = -(advantages * log_p[at - 1, packed.tokens[at]]).mean()
    gradients = [torch.autograd.grad(x, matrices) for x in (loss, dense)]
    for one, other in zip(*gradients, strict=True):
        close(one, other, 1e-12)
    assert max(gradient.abs().max() for gradient in gradients[0]) > 0.1  # control: there is something to compare


def test_dropout_would_show_in_the_ratio():
    """Negative control of the tests above: in training mode, an adapter that drops is another policy each time."""
    model = tiny(*ROLES, dropout=0.3).train()
    assert ratios(model, ask(model), [0, 1, 2, 3]).abs().max() > 1e-3
    model.eval()
    assert not ratios(model, ask(model), [0, 1, 2, 3]).detach().any()


# --- whose mind is whose


def test_a_fresh_adapter_is_exactly_its_reference():
    """B = 0 and an equal copy: the KL is 0 to the last bit."""
    model = tiny("value", "reward")
    add_adapter(model, "policy", 3, 6)
    copy_adapter(model, "policy", "reference")
    rollout = ask(model)
    assert torch.equal(rollout.logprobs, rollout.ref_logprobs)
    told = summary(rollout, rollout.scores)
    assert told["kl"] == told["kl_k3"] == 0


def test_without_a_value_role_there_are_no_values_and_the_rest_is_the_same(model):
    reward = lambda packed: heads()[1](model(packed, "reward")[packed.last])  # noqa: E731
    rollout = evaluate_rollout(model, PROMPTS, ANSWERS, reward, None, together, temperature=0.8, eos_ids=(EOS,))
    expected = ask(model)
    assert rollout.values.shape == (0,) and expected.values.shape == (10,)
    for name in set(NUMBERS) - {"values"}:
        assert torch.equal(getattr(rollout, name), getattr(expected, name)), name


@pytest.mark.parametrize("role", ROLES)
def test_each_adapter_moves_its_own_numbers_alone(role):
    model = tiny(*ROLES)
    before = ask(model)
    move(model, role, seed=99)
    after = ask(model)
    moved = {name for name in NUMBERS if not torch.equal(getattr(before, name), getattr(after, name))}
    expected = {"policy": {"logprobs", "entropy"}, "reference": {"ref_logprobs"}, "value": {"values"}}
    assert moved == expected.get(role, {"scores"})


def test_the_reference_is_the_fine_tuned_adapter_and_not_the_bare_base():
    """SFT is an adapter: "adapters off" would be a model that was never fine-tuned."""
    model = tiny("policy", "value", "reward")
    copy_adapter(model, "policy", "reference")
    packed = Packed.of(PROMPTS)
    sft = model.logits(model(packed, "policy")).detach()
    move(model, "policy", seed=99)
    with torch.no_grad():
        assert torch.equal(model.logits(model(packed, "reference")), sft)
        assert (model.logits(model(packed)) - sft).abs().max() > 0.1  # the base is another model
    rollout, response = ask(model), torch.cat([Packed.of([p + a]).positions >= len(p) for p, a in pairs()])
    whole = Packed.of([p + a for p, a in pairs()])
    with torch.no_grad():
        bare, _ = sequence_logprobs(model, whole, response, None, 0.8)
    assert (rollout.ref_logprobs - bare[response]).abs().max() > 0.1


def pairs():
    return list(zip(PROMPTS, ANSWERS, strict=True))


def test_policy_and_value_share_no_gradient():
    model, (head, _) = tiny(*ROLES), heads()
    packed, response = ask(model).pack(range(4))

    def touched() -> set[str]:
        roles = {name.rsplit(".", 1)[-1] for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad(set_to_none=True)
        return roles

    sequence_logprobs(model, packed, response, "policy")[0].sum().backward()
    assert touched() == {"policy"} and head.weight.grad is None
    sequence_values(model, packed, head, "value")[response].sum().backward()
    assert touched() == {"value"} and head.weight.grad.abs().max() > 0


def test_nothing_in_a_rollout_has_a_gradient(model):
    rollout = ask(model)
    assert not any(getattr(rollout, name).requires_grad for name in (*NUMBERS, "finished"))


# --- the record


def test_an_answer_is_finished_by_its_own_eos_alone(model):
    assert ask(model).finished.tolist() == [True, False, True, False]


def test_bounds_answers_and_indices(model):
    rollout = ask(model)
    assert rollout.bounds.tolist() == [0, 3, 8, 9, 10]
    assert [rollout.answer(s) for s in range(4)] == ANSWERS
    assert rollout.tokens_of([2, 0]).tolist() == [8, 0, 1, 2]
    packed, response = rollout.pack([2, 0])
    assert packed.tokens.tolist() == PROMPTS[2] + ANSWERS[2] + PROMPTS[0] + ANSWERS[0]
    assert packed.tokens[response].tolist() == ANSWERS[2] + ANSWERS[0]


# --- collect


def sample(model: Llama, prompts, new: int, temperature: float, seed: int = 0) -> Rollout:
    """Scored by the length of prompt and answer."""
    value_head, _ = heads()
    told = {"max_new_tokens": new, "temperature": temperature, "eos_ids": (EOS,), "seed": seed, "slots": 256}
    return collect(model, prompts, lambda packed: packed.bounds.diff().double(), value_head, together, **told)


def test_collect_lets_the_policy_answer_and_judges_just_that(model):
    rollout = sample(model, PROMPTS, 6, 0.8, seed=3)
    answers = generate(model, PROMPTS, 6, adapter="policy", temperature=0.8, eos_ids=(EOS,), seed=3)
    assert [rollout.answer(s) for s in range(4)] == answers
    assert answers != generate(model, PROMPTS, 6, adapter="reference", temperature=0.8, eos_ids=(EOS,), seed=3)
    judged = ask(model, answers=answers)
    close(rollout.logprobs, judged.logprobs, 1e-12)
    assert torch.equal(rollout.scores, exact([float(len(p + a)) for p, a in zip(PROMPTS, answers, strict=True)]))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_what_is_scored_is_what_was_sampled(model, temperature):
    """E[log p] = -entropy for tokens drawn from p, the policy's whole softmax at that temperature.

    600 answers of one token: the mean is within four standard errors. Scored as of another temperature it is not, nor
    would it be after top-k (control).
    """
    rollout = sample(model, [[1, 5, 9]] * 600, 1, temperature)

    def off(rollout: Rollout) -> float:
        """Standard errors."""
        excess = rollout.logprobs + rollout.entropy
        return float(excess.mean().abs() / excess.std()) * math.sqrt(len(excess))

    assert off(rollout) < 4
    likely = rollout.logprobs > rollout.logprobs.unique()[-6]  # what top-k with k = 5 would have left
    assert off(replace(rollout, logprobs=rollout.logprobs[likely], entropy=rollout.entropy[likely])) > 6
    answers = [rollout.answer(s) for s in range(600)]
    assert off(ask(model, [[1, 5, 9]] * 600, answers, temperature=0.7 * temperature)) > 6


def test_summary_by_hand():
    bounds, scores = [3, 1], exact([0.5, -2.0])
    logprobs, ref, entropy = normal(4), normal(4, seed=1), exact([1.0, 2.0, 3.0, 6.0])
    record = Rollout(
        [[1, 5, 6, 2], [1, 9]], [1, 1], torch.tensor([True, False]), logprobs, entropy, ref, entropy, scores
    )
    told = summary(record, exact([0.5, -3.5]))
    difference = (logprobs - ref).tolist()
    assert record.bounds.diff().tolist() == bounds
    assert told == pytest.approx(
        {
            "score": -1.5,  # of the scores as they were used
            "kl": sum(difference) / 2,  # per answer
            "kl_k3": sum(math.exp(-d) - 1 + d for d in difference) / 2,
            "entropy_per_token": 3.0,
            "length": 2.0,
            "eos_rate": 0.5,
        },
        rel=1e-12,
    )


def test_the_adapters_of_the_tests_differ(model):
    """Control of this file: four roles that say the same would pass most of it."""
    hidden = [model(Packed.of(PROMPTS), role).detach() for role in (*ROLES, None)]
    assert all((a - b).abs().max() > 0.1 for n, a in enumerate(hidden) for b in hidden[:n])
    assert len(adapter_parameters(model, "policy")) == 28


def test_a_prompt_of_several_answers_is_computed_once_and_nothing_changes(model):
    """Side by side they share it, each behind another prompt they do not: the same numbers, fewer tokens."""
    prompts, answers = PROMPTS[:2] * 2, [*ANSWERS[:2], ANSWERS[1], ANSWERS[0]]
    together_order = [0, 2, 1, 3]
    apart = ask(model, prompts, answers)
    shared = ask(model, [prompts[s] for s in together_order], [answers[s] for s in together_order])
    at = apart.tokens_of(together_order)
    for name in NUMBERS:
        expected = getattr(apart, name)[at if name != "scores" else torch.tensor(together_order)]
        torch.testing.assert_close(getattr(shared, name), expected, rtol=1e-12, atol=1e-12)
    assert (shared.logprobs - apart.logprobs[at].flip(0)).abs().max() > 1e-3  # control: the order matters
    saved = sum(len(prompt) - 1 for prompt in PROMPTS[:2])
    (packed, response), (whole, _) = shared.pack(range(4)), apart.pack(range(4))
    assert len(packed.tokens) == len(whole.tokens) - saved > 0
    assert packed.tokens[response].tolist() == [token for s in range(4) for token in shared.answer(s)]


def test_answers_to_one_prompt_stay_in_one_pack(model):
    """What is cut into packs are prompts with their answers, not answers."""
    rollout = ask(model, [PROMPTS[0]] * 3 + [PROMPTS[1]], [*ANSWERS[:3], ANSWERS[3]])
    sizes = []

    def one_each(lengths):
        sizes.extend(lengths)
        return [[number] for number in range(len(lengths))]

    found = [answers for answers, _, _ in rollout.packs([3, 0, 1, 2], one_each)]
    assert found == [[3], [0, 1, 2]]
    prompt = len(PROMPTS[0]) - 1
    assert sizes == [len(rollout.sequences[3]), prompt + sum(len(rollout.sequences[s]) - prompt for s in range(3))]


def test_a_score_does_not_depend_on_which_end_was_sampled():
    """The reward model learnt to score at the format's own end, the first of several."""
    packed = Packed.branching([[5, 9]], [[[6, 7, 3], [6, 2], [6, 8]]])
    same = with_one_end(packed, 3, (2, 3, 9))
    assert same.tokens.tolist() == [5, 9, 6, 7, 2, 6, 2, 6, 8]  # the trunk ends in 9 too, and stays
    assert with_one_end(packed, 3, (2,)) is packed  # control: with one end nothing changes
