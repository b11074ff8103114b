"""The roles of PPO on one frozen backbone: adapters policy, reference, reward and value, the last two with a head.

reward     the result of train_reward.py; its base is the backbone
policy     the SFT model: an adapter of the same base, or a fresh adapter on the base itself
reference  a frozen copy of the initial policy
value      initialised with a copy of the reward model; only --advantage gae needs it
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from zj.cli import check_range
from zj.data.prompt_formats import load_template
from zj.data.tokenizer import Tokenizer
from zj.inference.cpu import prepack_frozen
from zj.lora import add_adapter, copy_adapter, freeze_adapter
from zj.lora.adapters import adapter_layers
from zj.model import Llama, Packed, ScalarHead
from zj.rl import CalibratedHead, Calibration
from zj.stages.config import Lora, PromptConfig, check_template
from zj.stages.preferences import RankedPack
from zj.stages.setup import tell_positions
from zj.train import World, gathered, shard, to_json
from zj.weights import (
    base_of,
    check_stackable,
    config_of,
    is_adapter,
    load_model,
    load_peft,
    load_peft_with_head,
    same_base,
    save_peft,
)

CARD = "reward.json"  # calibration, and scores of a probe that verifies the model


@dataclass(frozen=True)
class Reward:
    """A reward model: an adapter named "reward" and a head."""

    model: Llama
    head: CalibratedHead

    def __call__(self, packed: Packed) -> Tensor:
        """One calibrated score for each sequence [S], read at its last token."""
        return self.head(self.model(packed, "reward")[packed.last])


@dataclass(frozen=True)
class Roles:
    """Adapters "policy", "reference", "reward" and, for GAE, "value" of one model, and the heads of the last two."""

    model: Llama
    reward: Reward
    value_head: CalibratedHead | None  # of GAE alone
    base: str  # directory of the backbone


@dataclass(frozen=True)
class RolesConfig(PromptConfig):
    reward: str = ""  # directory that train_reward.py wrote; its base is the backbone of all roles
    template: str = ""  # prompt format, stored with the result (none: the model's, which has to be the reward model's)
    advantage: Literal["gae", "rloo", "grpo"] = "gae"  # against a value role (gae) or the prompt's other answers
    value_head: Literal["reward", "zero"] = "reward"  # initial head of the value role (gae alone)
    last_layers: int = 0  # train only this many of the policy's last blocks (HuatuoGPT: 2; 0: all)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "last_layers", 0)
        if self.template:
            check_template(self.template)


def open_roles(config: RolesConfig, dtype: torch.dtype, world: World) -> Roles:
    """The roles, from --model, --reward, --lora, --advantage, --value-head, --last-layers and --shard."""
    base, heads = base_of(config.reward, config.base), list[CalibratedHead]()

    def prepare(model: Llama) -> None:
        model.requires_grad_(False)
        reward = add_reward(model, config.reward).head.to(world.device)
        add_policy(model, config.model, base, config.lora, config.seed, config.base)
        copy_adapter(model, "policy", "reference")
        valued = config.advantage == "gae"
        values = [add_value(model, reward, config.value_head == "zero").to(world.device)] if valued else []
        if config.last_layers:
            train_last_layers(model, "policy", config.last_layers)
        shard(model, [value.head for value in values], config.shard, dtype, world)
        heads.extend((reward, *values))

    tell_positions(config.max_tokens, config_of(base, config.base), world)
    for trained_on in (config.reward, config.model):
        check_stackable(trained_on, config.base)
    model = load_model(base, dtype, world.device, prepare, config.base)
    prepack_frozen(model)
    reward = Reward(model, heads[0])
    with gathered(model, config.shard):
        check_probe(reward, config.reward)
    return Roles(model, reward, heads[1] if heads[1:] else None, str(base.resolve()))


def save_reward(
    folder: Path,
    model: Llama,
    head: CalibratedHead,
    base: str,
    probe: list[list[int]],
    writes: bool = True,
    bottom: str = "",
) -> None:
    """Write adapter, head, calibration, and the scores of `probe` (sequences of ids), which loading compares.

    `base` and `bottom`: the model that the adapter was trained on, see `save_peft`.
    With a sharded model every rank calls this, and one of them `writes`.
    """
    save_peft(model, "reward", folder, base, head.head, writes, bottom)
    scores = score_all(Reward(model, head), probe)
    probe_card = {"sequences": probe, "scores": scores, "dtype": str(model.lm_head.weight.dtype)}
    card = {"calibration": asdict(head.calibration), "probe": probe_card}
    if writes:
        (folder / CARD).write_text(to_json(card) + "\n", encoding="utf-8")


def load_reward(model: Llama, path: str | Path) -> Reward:
    """Load the reward model of a directory onto its backbone, frozen, and compare its scores of the probe.

    Raises ValueError for anything but a complete reward model of this backbone.
    """
    reward = add_reward(model, path)
    reward.head.to(model.lm_head.weight.device)
    check_probe(reward, path)
    return reward


def add_reward(model: Llama, path: str | Path) -> Reward:
    """`load_reward` without the probe, which needs the backbone's weights; the head stays on the host."""
    head = load_peft_with_head(model, path, "reward")
    freeze_adapter(model, "reward")
    switch_dropout_off(model, "reward")
    calibration, *_ = read_card(Path(path), model.config.vocab_size)
    return Reward(model, CalibratedHead(head, calibration).requires_grad_(False))


def check_probe(reward: Reward, path: str | Path) -> None:
    """ValueError unless a reward model scores its probe as it did when it was saved."""
    model = reward.model
    _, sequences, expected, dtype = read_card(Path(path), model.config.vocab_size)
    found = torch.tensor(score_all(reward, sequences))
    exact = dtype == str(model.lm_head.weight.dtype) == "torch.float32"
    if not torch.allclose(found, expected, rtol=0, atol=1e-3 if exact else 0.2):  # scores have deviation 1
        error = (found - expected).abs().max().item()
        raise ValueError(
            f"{path}: scores its own probe {error:.3g} off: its base or its weights are not what they were"
        )


def read_card(path: Path, vocabulary: int) -> tuple[Calibration, list[list[int]], Tensor, str]:
    """(calibration, sequences of the probe, their scores, dtype of the scores' computation). ValueError if damaged."""
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
        calibration, probe = Calibration(**card["calibration"]), card["probe"]
        sequences, scores = probe["sequences"], torch.tensor(probe["scores"], dtype=torch.float32)
        found = (calibration.gain, calibration.bias, *scores.tolist())
        numbers = all(isinstance(number, float | int) and math.isfinite(number) for number in found)
        known = all(ids and min(ids) >= 0 and max(ids) < vocabulary for ids in sequences)
        if not numbers or not known or not 0 < len(sequences) == len(scores):
            raise ValueError("numbers, and ids of the vocabulary with a score for each sequence")
        return calibration, sequences, scores, probe["dtype"]
    except OSError:
        raise ValueError(f"{path}: no {CARD} there, expected the calibration of the reward model in it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / CARD}: damaged ({error!r}), expected calibration and probe") from None


@torch.no_grad()
def score_packs(reward: Reward, packs: Iterable[RankedPack]) -> Iterator[tuple[RankedPack, Tensor]]:
    """Each pack with the scores [M] of its answers; dropout off."""
    training = reward.model.training
    reward.model.eval()
    try:
        for pack in packs:
            yield pack, reward(pack.packed)[pack.answers]
    finally:
        reward.model.train(training)


@torch.no_grad()
def score_all(reward: Reward, sequences: list[list[int]]) -> list[float]:
    """Scores of independent sequences of ids; dropout off."""
    training = reward.model.training
    reward.model.eval()
    scores = reward(Packed.of(sequences, reward.model.lm_head.weight.device)).tolist()
    reward.model.train(training)
    return scores


def add_policy(
    model: Llama, start: str, base: Path, lora: Lora, seed: int, bottom: str = "", strict: bool = True
) -> None:
    """Add the trainable adapter "policy" to the backbone: that of directory `start`, or a fresh one if it is the base.

    `bottom` and `strict`: as `base` and `strict` of `base_of`.
    ValueError if `start` has another base: all roles share one copy of the weights.
    """
    if same_base(Path(start), base):
        add_adapter(model, "policy", lora.rank, lora.alpha, 0.0, lora.targets, seed)
    elif is_adapter(start) and same_base(base_of(start, bottom, strict), base):
        load_peft(model, start, "policy")
    else:
        found = f"is an adapter of {base_of(start, bottom)}" if is_adapter(start) else "is a model of its own"
        raise ValueError(f"--model {start}: {found}, but the reward model's base is {base}; expected one backbone")
    switch_dropout_off(model, "policy")


def add_value(model: Llama, reward: CalibratedHead, zero_head: bool) -> CalibratedHead:
    """Add the trainable adapter "value": a copy of the reward adapter, with a copy of its head or a zero head."""
    copy_adapter(model, "reward", "value")
    freeze_adapter(model, "value", frozen=False)
    if zero_head:
        head = CalibratedHead(ScalarHead(model.config.hidden_size), Calibration())
        torch.nn.init.zeros_(head.head.weight)
        return head
    return copy.deepcopy(reward).requires_grad_(True)


def train_last_layers(model: Llama, name: str, layers: int) -> None:
    """Freeze an adapter below the last `layers` blocks (HuatuoGPT, section 4.1: only the last two are trained)."""
    first = model.config.num_hidden_layers - layers
    if first < 0:
        raise ValueError(f"--last-layers is {layers}, expected at most {model.config.num_hidden_layers}: all blocks")
    for path, layer in adapter_layers(model, name):
        if int(path.split(".")[2]) < first:
            layer.lora_A[name].requires_grad_(False)
            layer.lora_B[name].requires_grad_(False)


def switch_dropout_off(model: Llama, name: str) -> None:
    """Set an adapter's dropout to 0, in training too: with dropout PPO's first ratio would not be 1."""
    for _, layer in adapter_layers(model, name):
        layer.dropout[name] = 0.0


def check_same_tokenizer(model: str, reward: str, template: str) -> None:
    """ValueError if the reward model was trained with a tokenizer that gives other ids, or another prompt format.

    `template`: the format of --template, which counts for both; "" if it is not given.
    """
    if not Tokenizer.load(model).same_ids(Tokenizer.load(reward)):
        raise ValueError(f"--reward {reward}: its tokenizer gives other ids than that of --model {model}")
    if not template and load_template(model) != load_template(reward):
        raise ValueError(
            f"--reward {reward}: its template is {load_template(reward)}, that of --model {model} "
            f"{load_template(model)}; expected the same, or --template"
        )


def backbone_of(path: str, base: str = "", strict: bool = True) -> Path:
    """The directory of the base of an adapter directory, as `base_of` finds it; a model directory is its own."""
    return base_of(path, base, strict) if is_adapter(path) else Path(path)
