"""Scaled rotary positions by their formulas, one frequency at a time."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from zj.model import LlamaConfig
from zj.model.llama import rotary_angles
from zj.model.rope import RopeScaling

CONFIG = LlamaConfig(64, 32, 96, 1, 2, 2, head_dim=64, rope_theta=5e5)
LLAMA3 = RopeScaling("llama3", 8.0, 8192)
YARN = RopeScaling("yarn", 4.0, 8192)
PLAIN = [CONFIG.rope_theta ** (-2 * i / 64) for i in range(32)]


def divided(scaling: RopeScaling) -> list[float]:
    return scaling.divided(torch.tensor(PLAIN, dtype=torch.float64), CONFIG.rope_theta).tolist()


def angles(scaling: RopeScaling | None, positions: list[int]) -> torch.Tensor:
    cos, sin = rotary_angles(torch.tensor(positions), replace(CONFIG, rope_scaling=scaling), torch.float64)
    return torch.stack((cos, sin))


def test_linear_is_a_position_divided():
    linear = RopeScaling("linear", 4.0)
    torch.testing.assert_close(angles(linear, [0, 40, 400]), angles(None, [0, 10, 100]), rtol=0, atol=1e-12)
    assert not torch.allclose(angles(linear, [40]), angles(None, [40]), atol=1e-3)  # control
    assert torch.equal(angles(RopeScaling("linear", 1.0), [7]), angles(None, [7]))


def test_llama3_keeps_what_turns_four_times_and_divides_what_turns_less_than_once():
    """Between them a weight that is linear in the number of turns over the positions of pre-training."""
    kinds = set()
    for found, frequency in zip(divided(LLAMA3), PLAIN, strict=True):
        turns = 8192 * frequency / (2 * math.pi)
        kept = 1.0 if turns > 4 else 0.0 if turns < 1 else (turns - 1) / 3
        assert found == pytest.approx(kept * frequency + (1 - kept) * frequency / 8, rel=1e-12)
        kinds.add(math.ceil(kept) + math.floor(kept))
    assert kinds == {0, 1, 2}, "all three cases occur"
    assert LLAMA3.attention_factor == 1


def test_yarn_keeps_what_turns_32_times_and_divides_what_turns_less_than_once():
    """Between them a weight that is linear in the index, from the index below to the one above."""

    def index(turns):  # of the frequency that turns so often
        return 64 * math.log(8192 / (2 * math.pi * turns)) / (2 * math.log(5e5))

    first, last = math.floor(index(32)), math.ceil(index(1))
    for i, (found, frequency) in enumerate(zip(divided(YARN), PLAIN, strict=True)):
        kept = min(1.0, max(0.0, (last - i) / (last - first)))
        assert found == pytest.approx(kept * frequency + (1 - kept) * frequency / 4, rel=1e-12)
    assert found == pytest.approx(frequency / 4) and divided(YARN)[0] == 1.0


def test_yarns_factor_multiplies_cos_and_sin():
    assert YARN.attention_factor == 0.1 * math.log(4) + 1
    size = angles(YARN, [3, 900]).pow(2).sum(0).sqrt()
    torch.testing.assert_close(size, torch.full_like(size, YARN.attention_factor), rtol=1e-12, atol=0)
    assert replace(YARN, attention_factor=1.5).attention_factor == 1.5
    assert RopeScaling("yarn", 1.0, 8192).attention_factor == 1
    assert torch.equal(angles(LLAMA3, [3]).pow(2).sum(0).round(decimals=12), torch.ones(1, 1, 64).double())


@pytest.mark.parametrize("scaling", [LLAMA3, YARN])
def test_a_factor_of_one_changes_nothing(scaling):
    one = replace(scaling, factor=1.0, attention_factor=1.0)
    torch.testing.assert_close(angles(one, [5, 9000]), angles(None, [5, 9000]), rtol=0, atol=1e-11)
    assert not torch.allclose(angles(scaling, [9000]), angles(None, [9000]), atol=1e-3)  # control


def test_a_transition_that_is_none_is_refused():
    with pytest.raises(ValueError, match="low_freq_factor is 4.0, expected less than high_freq_factor 4.0"):
        replace(LLAMA3, low_freq_factor=4.0)
    with pytest.raises(ValueError, match="beta_slow is 40.0, expected less than beta_fast 32.0"):
        replace(YARN, beta_slow=40.0)


@pytest.mark.parametrize("scaling", [RopeScaling("linear", 4.0), LLAMA3, replace(YARN, beta_fast=16.0)])
def test_both_spellings_are_read_and_the_published_one_is_written(tmp_path, scaling):
    config = replace(CONFIG, rope_scaling=scaling)
    (tmp_path / "a.json").write_text(json.dumps(raw := config.to_hf()))
    assert LlamaConfig.from_hf(tmp_path / "a.json") == config
    table = raw.pop("rope_scaling") | {"rope_theta": raw.pop("rope_theta")}
    (tmp_path / "b.json").write_text(json.dumps(raw | {"rope_parameters": table}))
    assert LlamaConfig.from_hf(tmp_path / "b.json") == config


def test_values_of_a_scaling_that_change_nothing_are_read(tmp_path):
    shape = LlamaConfig.named("nano").to_hf()
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    found = []
    for more in ({}, {"partial_rotary_factor": 1.0, "truncate": True}):
        (tmp_path / "config.json").write_text(json.dumps(shape | {"rope_scaling": yarn | more}))
        found.append(LlamaConfig.from_hf(tmp_path).rope_scaling)
    assert found[0] == found[1] is not None
    (tmp_path / "config.json").write_text(json.dumps(shape | {"rope_scaling": yarn | {"truncate": False}}))
    with pytest.raises(ValueError, match="truncate"):  # control
        LlamaConfig.from_hf(tmp_path)


def test_a_window_of_qwen_that_is_used_and_has_no_width_is_transformers_own(tmp_path):
    qwen = LlamaConfig.named("nano").to_hf() | {"model_type": "qwen2", "use_sliding_window": True}
    (tmp_path / "config.json").write_text(json.dumps(qwen | {"max_position_embeddings": 32768}))
    with pytest.raises(ValueError, match="sliding_window is 4096, less than the 32768 positions"):
        LlamaConfig.from_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(qwen | {"max_position_embeddings": 2048}))
    assert LlamaConfig.from_hf(tmp_path).max_position_embeddings == 2048  # control: it never acts
