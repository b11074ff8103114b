"""Four roles on one frozen backbone: who begins as whom, who is trained, and what 13B of them weigh."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from scripts.train_ppo import Config
from tests.line import PROBE, make_other, make_reward, make_sft, say_something
from zj.lora import add_adapter, copy_adapter
from zj.model import Llama, LlamaConfig, Packed, ScalarHead, sequence_logprobs, sequence_values
from zj.rl import CalibratedHead, Calibration
from zj.stages.roles import Reward, add_value, load_reward, open_roles, save_reward, score_all
from zj.train import ALONE
from zj.weights import load_model, load_peft

IDS = [[1, 9, 30, 44, 101, 250, 2], [1, 300, 7], [1, 12, 13, 14, 15, 2]]
PACKED = Packed.of(IDS)


def roles_of(model, reward, **more):
    return open_roles(Config(model=str(model), reward=str(reward), **more), torch.float32, ALONE)


@torch.no_grad()
def logprobs(model, adapter=None):
    return sequence_logprobs(model, PACKED, PACKED.positions > 0, adapter)[0]


@pytest.fixture(params=["base", "adapter", "merged"])
def start(request, line, tmp_path):
    """(the model that becomes policy and reference, the reward model on the same backbone)."""
    if request.param == "base":  # SFT is the backbone itself, under a fresh adapter
        return line.base, line.reward
    if request.param == "adapter":  # SFT is an adapter of the backbone
        return line.sft, line.reward
    return line.sft, make_reward(tmp_path / "on_sft", line.sft)  # the reward model began as the SFT (HuatuoGPT)


# --- policy and reference


def test_policy_and_reference_begin_as_the_fine_tuned_model(start, line):
    model, reward = start
    roles = roles_of(model, reward)
    assert torch.equal(logprobs(roles.model, "policy"), logprobs(roles.model, "reference"))
    told, bare = logprobs(load_model(model)), logprobs(load_model(line.base))
    # an adapter beside its base and one merged into it are rounded differently
    torch.testing.assert_close(logprobs(roles.model, "reference"), told, rtol=0, atol=2e-5)
    if model != line.base:
        assert (told - bare).abs().max() > 0.1  # control: the fine-tuned model is not its bare base


def test_another_backbone_is_refused_in_one_line(line, tmp_path):
    copy, other = shutil.copytree(line.base, tmp_path / "copy"), make_other(tmp_path / "other", line.base)
    cases = {
        other: "is a model of its own",
        make_sft(tmp_path / "sft", other): "is an adapter of",
        line.reward: "is a reward model",
    }
    for model, words in cases.items():
        with pytest.raises(ValueError, match=words) as error:
            roles_of(model, line.reward)
        assert "\n" not in str(error.value) and str(model) in str(error.value)
    roles_of(make_sft(tmp_path / "same", copy), line.reward)  # control: the same numbers are the same backbone


def test_only_policy_value_and_its_head_are_trained_and_nothing_is_dropped(start):
    roles = roles_of(*start)
    trained = {name.rsplit(".", 1)[-1] for name, p in roles.model.named_parameters() if p.requires_grad}
    frozen = {name.rsplit(".", 1)[-1] for name, p in roles.model.named_parameters() if not p.requires_grad}
    assert (trained, frozen) == ({"policy", "value"}, {"weight", "reference", "reward"})
    assert all(p.requires_grad for p in roles.value_head.parameters())
    assert not any(p.requires_grad for p in roles.reward.head.parameters())
    evaluated = {name: logprobs(roles.model.eval(), name) for name in ("policy", "reference", "reward", "value")}
    for name, expected in evaluated.items():
        assert torch.equal(logprobs(roles.model.train(), name), expected)


@pytest.mark.parametrize("advantage", ["rloo", "grpo"])
def test_there_is_no_value_role_where_answers_are_compared(line, advantage):
    roles, four = roles_of(line.sft, line.reward, advantage=advantage, answers=2), roles_of(line.sft, line.reward)
    names, all_names = ({name for name, _ in one.model.named_parameters()} for one in (roles, four))
    assert roles.value_head is None and all_names - names == {name for name in all_names if name.endswith(".value")}
    for name in ("policy", "reference", "reward"):
        assert torch.equal(logprobs(roles.model, name), logprobs(four.model, name))


def test_an_adapter_keeps_its_dropout_elsewhere(line):
    """Negative control of the test above: train() does drop, where nobody has switched it off."""
    model = load_model(line.base)
    load_peft(model, line.sft, "a")
    assert not torch.equal(logprobs(model.train(), "a"), logprobs(model.eval(), "a"))


@pytest.mark.parametrize("layers", [1, 2])
def test_last_layers_leaves_the_lower_blocks_of_the_policy_alone(line, layers):
    model = roles_of(line.sft, line.reward, last_layers=layers).model
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert {name.split(".")[2] for name in trained if name.endswith("policy")} == set("01"[-layers:])
    assert {name.split(".")[2] for name in trained if name.endswith("value")} == {"0", "1"}
    with pytest.raises(ValueError, match="--last-layers is 3, expected at most 2"):
        roles_of(line.sft, line.reward, last_layers=3)


# --- reward and value


@torch.no_grad()
def test_the_value_of_a_token_is_the_reward_models_score_of_what_stands_before_it(line):
    """V_t = r(tokens 0 … t - 1): what the shift leaves of "value begins as the reward model". First tokens have 0."""
    roles = roles_of(line.sft, line.reward)
    values = sequence_values(roles.model, PACKED, roles.value_head, "value")
    assert not values[PACKED.bounds[:-1].long()].any()
    for (first, end), ids in zip(PACKED.spans, IDS, strict=True):
        before = [roles.reward(Packed.of([ids[:t]])).item() for t in range(1, len(ids))]
        torch.testing.assert_close(values[first + 1 : end], torch.tensor(before), rtol=0, atol=1e-5)
    scores = roles.reward(PACKED)
    assert (values[PACKED.last] - scores).abs().min() > 1e-3  # control: not the score itself, which sees the last token
    longer = Packed.of([[*ids, 77] for ids in IDS])
    seen = sequence_values(roles.model, longer, roles.value_head, "value")[longer.last]
    torch.testing.assert_close(seen, scores, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_zero_head_expects_nothing_and_learns(line):
    roles = roles_of(line.sft, line.reward, value_head="zero")
    assert not sequence_values(roles.model, PACKED, roles.value_head, "value").any()
    with torch.enable_grad():
        sequence_values(roles.model, PACKED, roles.value_head, "value").sum().backward()
    assert roles.value_head.head.weight.grad.abs().max() > 0
    assert roles.reward.head.head.weight.abs().max() > 0  # the reward model keeps its own


@pytest.mark.parametrize("saved", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loaded", [torch.float32, torch.bfloat16, torch.float16])
def test_a_reward_model_opens_in_any_precision(line, tmp_path, saved, loaded):
    """Its probe is held to fp32 rounding where both are fp32, else to 16-bit rounding of scores of deviation 1."""
    model = load_model(line.base, saved)
    add_adapter(model, "reward", 2, 4)
    say_something(model, "reward")
    raw = CalibratedHead(ScalarHead(32), Calibration())
    calibration = Calibration.of(torch.tensor(score_all(Reward(model, raw), IDS)))
    save_reward(tmp_path, model, CalibratedHead(raw.head, calibration), str(line.base), IDS)
    reward = load_reward(load_model(line.base, loaded), tmp_path)
    expected = json.loads((tmp_path / "reward.json").read_text())["probe"]["scores"]
    assert score_all(reward, IDS) == pytest.approx(expected, abs=0 if saved == loaded else 0.1)
    with torch.no_grad():
        assert reward(PACKED).mean().item() == pytest.approx(0, abs=0.1)


def spoil(card, how):
    probe = card["probe"]
    if how == "text":
        return '{"calibration"'
    changes = {
        "no probe": {"calibration": card["calibration"]},
        "a list": [1, 2],
        "more of a calibration": card | {"calibration": card["calibration"] | {"scale": 1}},
        "no number": card | {"calibration": {"gain": "1", "bias": 0}},
        "a score less": card | {"probe": probe | {"scores": probe["scores"][:1]}},
        "an unknown id": card | {"probe": probe | {"sequences": [[1, 99999], [1, 2]]}},
        "an empty sequence": card | {"probe": probe | {"sequences": [[], [1, 2]]}},
    }
    return json.dumps(changes[how])


DAMAGES = ("text", "no probe", "a list", "more of a calibration", "no number", "a score less", "an unknown id")


@pytest.mark.parametrize("how", [*DAMAGES, "an empty sequence"])
def test_a_damaged_card_is_refused(line, tmp_path, how):
    folder = shutil.copytree(line.reward, tmp_path / "reward")
    card = json.loads((folder / "reward.json").read_text())
    (folder / "reward.json").write_text(spoil(card, how))
    with pytest.raises(ValueError, match=r"reward.json: damaged \(.*\), expected calibration and probe") as error:
        load_reward(load_model(line.base), folder)
    assert "\n" not in str(error.value)
    (folder / "reward.json").unlink()
    with pytest.raises(ValueError, match="no reward.json there, expected the calibration"):
        load_reward(load_model(line.base), folder)


def test_what_is_not_what_it_was_scores_its_probe_off(line):
    model = load_model(line.base)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0] += 0.5
    with pytest.raises(ValueError, match=r"scores its own probe 0\.\d+ off: its base or its weights are not what"):
        load_reward(model, line.reward)
    reward = load_reward(load_model(line.base), line.reward)  # control: nothing is off where nothing has changed
    assert json.loads((line.reward / "reward.json").read_text())["probe"]["scores"] == score_all(reward, PROBE)


# --- memory


def bytes_of(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def test_four_roles_of_13b_weigh_a_tenth_more_than_one():
    """fp16 weights, fp32 adapters of rank 16 on all linear layers, gradients and AdamW's two moments: a ratio of 1.10.

    On the meta device: shapes without memory. DESIGN.md promises about 1.1.
    """
    with torch.device("meta"):
        model = Llama(LlamaConfig.named("13b")).half()
        head = CalibratedHead(ScalarHead(5120), Calibration()).requires_grad_(False)
    weights = bytes_of(model.parameters())
    assert weights == pytest.approx(26.18e9, rel=1e-3)
    add_adapter(model, "policy", 16, 32)
    copy_adapter(model, "policy", "reference")
    add_adapter(model, "reward", 16, 32)
    value_head = add_value(model, head, zero_head=False)
    parameters = [*model.parameters(), *head.parameters(), *value_head.parameters()]
    assert all(p.is_meta for name, p in model.named_parameters() if "lora_" not in name)
    for name, p in model.named_parameters():  # as load_reward leaves it
        p.requires_grad_(p.requires_grad and not name.endswith("reward"))
    trained = [p for p in parameters if p.requires_grad]
    assert len(trained) == 2 * 40 * 7 * 2 + 1 and all(p.dtype == torch.float32 for p in trained)
    whole = bytes_of(parameters) + 3 * bytes_of(trained)
    assert whole / weights == pytest.approx(1.096, abs=0.002) and whole <= 1.15 * weights
    with torch.device("meta"):  # control: a model for each role
        copies = [Llama(LlamaConfig.named("13b")).half() for _ in range(4)]
    assert bytes_of(p for copy in copies for p in copy.parameters()) > 1.15 * weights
