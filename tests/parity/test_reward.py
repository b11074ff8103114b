"""peft opens a reward model as a classifier with one label and scores the same. Needs the extra [bench]."""

from __future__ import annotations

import json

import pytest
import torch

from tests.line import PROBE
from zj.model import Packed
from zj.stages.roles import load_reward, score_all
from zj.weights import load_model, load_peft_with_head

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

SEQUENCES = [*PROBE, [1, *range(40, 90), 2], [1, 300, 2]]


def classifier(line, seed=0):
    """The backbone as transformers' classifier; its own score head is random until the adapter brings ours."""
    torch.manual_seed(seed)
    base = transformers.LlamaForSequenceClassification.from_pretrained(line.base, num_labels=1, dtype=torch.float32)
    return base.eval()


@torch.no_grad()
def their_scores(model):
    return [model(torch.tensor([ids])).logits.item() for ids in SEQUENCES]


@torch.no_grad()
def raw_scores(line, folder):
    model = load_model(line.base)
    head = load_peft_with_head(model, folder, "x")
    packed = Packed.of(SEQUENCES)
    return head(model(packed, "x")[packed.last]).tolist()


def test_peft_opens_our_reward_model_and_gives_its_raw_scores(line):
    them = peft.PeftModel.from_pretrained(classifier(line), line.reward).eval()
    theirs, ours = their_scores(them), raw_scores(line, line.reward)
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert max(ours) - min(ours) > 0.1
    card = json.loads((line.reward / "reward.json").read_text())["calibration"]  # what peft knows nothing of
    calibrated = score_all(load_reward(load_model(line.base), line.reward), SEQUENCES)
    assert [card["gain"] * score + card["bias"] for score in theirs] == pytest.approx(calibrated, abs=1e-5)
    bare = their_scores(classifier(line))
    assert max(abs(a - b) for a, b in zip(bare, ours, strict=True)) > 0.1  # control: without our adapter and head


def test_we_open_theirs(line, tmp_path):
    options = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}
    them = peft.get_peft_model(classifier(line, seed=1), peft.LoraConfig(task_type="SEQ_CLS", **options)).eval()
    them.save_pretrained(tmp_path)
    assert raw_scores(line, tmp_path) == pytest.approx(their_scores(them), abs=1e-5)
