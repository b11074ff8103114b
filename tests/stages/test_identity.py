"""What defines a run of each stage; and that contents count, not paths."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import pytest
from safetensors.torch import load_file, save_file

from scripts import train_dpo, train_ppo, train_pretrain, train_reward, train_sft
from tests.line import unlist
from zj.cli import parse
from zj.stages import identity, setup
from zj.stages.identity import KINDS, NAMES, model_digest
from zj.train import ALONE

CONFIGS = {
    "pretrain": train_pretrain.Config,
    "sft": train_sft.Config,
    "reward": train_reward.Config,
    "dpo": train_dpo.Config,
    "ppo": train_ppo.Config,
}


def test_every_field_of_every_stage_has_one_kind():
    names = [name for kind in NAMES.values() for name in kind.split()]
    assert len(names) == len(set(names)) == len(KINDS)
    assert {field.name for config in CONFIGS.values() for field in dataclasses.fields(config)} == set(names)


def test_what_is_read_from_a_path_counts_by_its_contents():
    """A path that another process may fill anew: no such field defines a run by its name."""
    paths = {"data", "valid_data", "model", "tokenizer", "reward", "ptx_data", "ranking_tool_input"}
    assert {name for name, kind in KINDS.items() if kind == "contents"} == paths
    assert {name for name, kind in KINDS.items() if kind == "resume-with"} == {"optim", "value_optim"}


def retrain(folder):
    """Other weights of the same shape behind the same path, as a second training leaves them."""
    (file,) = folder.glob("*model.safetensors")
    tensors = {name: tensor + 1e-3 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    (folder / "SHA256SUMS").unlink(missing_ok=True)


def test_a_digest_is_of_contents_alone(line, tmp_path):
    """The same in another place, with an adapter's base elsewhere and other times; another one after a training."""
    there = tmp_path / "there"
    shutil.copytree(line.base, there / "base")
    shutil.copytree(line.sft, there / "sft")
    settings = json.loads((there / "sft" / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "../base"
    (there / "sft" / "adapter_config.json").write_text(json.dumps(settings, indent=1))
    os.utime(there / "base" / "model.safetensors", (0, 0))
    (there / "base" / "README.md").write_text("what is not read")
    digests = [model_digest(folder) for folder in (line.base, line.sft)]
    assert digests == [model_digest(there / name) for name in ("base", "sft")]
    assert digests[0] != digests[1] and "sums=" in digests[0]
    retrain(there / "base")
    assert model_digest(there / "base") not in digests
    with pytest.raises(ValueError, match="the weights in .* are others"):  # the adapter knows its base
        model_digest(there / "sft")
    (there / "sft" / "base.json").unlink()
    unlist(there / "sft" / "base.json")
    assert model_digest(there / "sft") not in digests


def test_of_a_large_file_every_part_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "BLOCK", 16)
    monkeypatch.setattr(identity, "BLOCKS", 8)
    file = tmp_path / "model.safetensors"
    data = bytearray(10_000)
    file.write_bytes(data)
    before = model_digest(tmp_path)
    for start in range(0, 10_000, 1250):
        file.write_bytes(data[:start] + b"\1" * 1250 + data[start + 1250 :])
        assert model_digest(tmp_path) != before
    file.write_bytes(data + b"\0")
    assert model_digest(tmp_path) != before
    file.write_bytes(data)
    assert model_digest(tmp_path) == before


@pytest.fixture
def begun(line, tmp_path):
    """begun(stage, flags) -> a function that goes on with that run, on copies of its inputs."""
    for name in ("base", "sft", "reward"):
        shutil.copytree(getattr(line, name), tmp_path / name)
    for name in ("rankings", "dialogues"):
        shutil.copy(getattr(line, name), tmp_path / f"{name}.jsonl")
    for name in ("sft", "reward"):
        file = tmp_path / name / "adapter_config.json"
        settings = json.loads(file.read_text()) | {"base_model_name_or_path": "../base"}
        file.write_text(json.dumps(settings))

    def begin(stage, **paths):
        flags = [f"--{name.replace('_', '-')}={tmp_path / path}" for name, path in paths.items()]
        if "ptx_data" in paths:
            flags.append("--ptx=0.1")

        def go_on(*more):
            given = {flag.partition("=")[0] for flag in more}  # instead: a flag of several values adds
            before = [flag for flag in flags if flag.partition("=")[0] not in given]
            config = parse(CONFIGS[stage], [*before, f"--out={tmp_path / 'out'}", *more])
            return setup.open_stage(config, stage, ALONE)

        out, *_ = go_on()
        (out / "metrics.jsonl").write_text('{"step": 0}\n')
        return go_on

    return begin


STAGES = {
    "pretrain": {"model": "base", "data": "dialogues.jsonl"},
    "sft": {"model": "sft", "data": "dialogues.jsonl", "tokenizer": "base"},
    "reward": {"model": "base", "data": "rankings.jsonl"},
    "dpo": {"model": "sft", "data": "rankings.jsonl"},
    "ppo": {"model": "sft", "reward": "reward", "data": "dialogues.jsonl", "ptx_data": "dialogues.jsonl"},
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_behind_a_path_is_another_run(begun, tmp_path, stage):
    """Weights of model, reward model and base; a row of the data; a piece of the tokenizer. Each refused by name."""
    go_on = begun(stage, **STAGES[stage])
    assert go_on()[1] is None  # control: the very run goes on
    spoiled = {"rankings.jsonl", "dialogues.jsonl", "base", "sft", "reward"} & {*STAGES[stage].values(), "base"}
    for name in sorted(spoiled):
        shutil.move(tmp_path / name, tmp_path / "kept")
        if (tmp_path / "kept").is_dir():
            shutil.copytree(tmp_path / "kept", tmp_path / name)
            retrain(tmp_path / name)
        else:
            (tmp_path / name).write_bytes((tmp_path / "kept").read_bytes()[:-1] + b" ")
        flags = [f"its --{flag.replace('_', '-')} is" for flag, path in STAGES[stage].items() if path == name]
        with pytest.raises(ValueError, match="holds another run: .* with contents .*put the old contents back") as told:
            go_on()
        assert any(flag in str(told.value) for flag in flags) or (name == "base" and "--model is" in str(told.value))
        shutil.rmtree(tmp_path / name) if (tmp_path / name).is_dir() else (tmp_path / name).unlink()
        shutil.move(tmp_path / "kept", tmp_path / name)
        assert go_on()[1] is None
    tokenizer = tmp_path / STAGES[stage].get("tokenizer", STAGES[stage]["model"]) / "tokenizer.model"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="its --(tokenizer|model) is .* with contents"):
        go_on()


def test_the_same_elsewhere_is_the_same_run(begun, tmp_path):
    go_on = begun("ppo", **STAGES["ppo"])
    for name in ("sft", "reward", "base", "dialogues.jsonl"):
        target = tmp_path / "moved" / name
        target.parent.mkdir(exist_ok=True)
        shutil.move(tmp_path / name, target)
    moved = [f"--{flag.replace('_', '-')}={tmp_path / 'moved' / path}" for flag, path in STAGES["ppo"].items()]
    assert go_on(*moved)[1] is None
    free = ("--tokens-per-pack=99", "--keep=9", "--save-every=7", "--valid-every=3", "--slots=4", "--tensorboard")
    free += ("--memory-gb=3", "--stop-after=1h", "--shard=zero2", "--device=cpu", "--compile", "--on-bad-row=skip")
    _, _, config = go_on(*moved, *free)
    assert (config.tokens_per_pack, config.slots) == (99, 4)
    with pytest.raises(ValueError, match="its --batch-size is 64, here it is 63"):
        go_on(*moved, "--batch-size=63")


def test_a_file_that_is_not_there_is_told_before_anything_is_written(tmp_path):
    config = parse(train_sft.Config, ["--data", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="none.jsonl"):
        setup.open_stage(config, "sft", ALONE)
    assert not (tmp_path / "out").exists()
