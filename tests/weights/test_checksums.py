"""Every byte of a model directory that was written here is vouched for."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess

import pytest

from tests.line import unlist
from zj.lora import add_adapter
from zj.model import Llama, LlamaConfig
from zj.weights import load_llama, load_model, load_peft, save_llama, save_peft
from zj.weights.checksums import add_settings
from zj.weights.delta import apply_delta

SUMS = "SHA256SUMS"


def make() -> Llama:
    model = Llama(LlamaConfig.named("nano", vocab_size=40))
    model.init_weights(0)
    return model


@pytest.fixture
def sharded(tmp_path):
    save_llama(make(), tmp_path / "model", max_shard_bytes=20_000)
    return tmp_path / "model"


def flip(file, place):
    """One bit of a file."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << (place % 8)
    file.write_bytes(content)


def test_the_sums_are_those_of_every_file(sharded):
    listed = dict(reversed(row.split("  ")) for row in (sharded / SUMS).read_text().splitlines())
    others = [file for file in sharded.iterdir() if file.name != SUMS]
    assert listed == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in others}
    assert {"config.json", "model.safetensors.index.json"} < listed.keys() and len(listed) > 4


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_common_tool_reads_them_and_writes_what_is_read(sharded):
    assert subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=sharded).returncode == 0
    names = sorted(file.name for file in sharded.glob("*.safetensors"))
    for options in (["--binary", *names], [f"./{name}" for name in names]):
        told = subprocess.run(["sha256sum", *options], cwd=sharded, capture_output=True, text=True, check=True)
        (sharded / SUMS).write_text(told.stdout + "\n")  # as a user makes them for a published model
        load_llama(sharded)
    flip(sharded / names[1], -5)
    with pytest.raises(ValueError, match=f"{names[1]}: damaged, its checksum"):
        load_llama(sharded)


@pytest.mark.parametrize("seed", range(4))
def test_one_flipped_bit_anywhere_in_the_weights_is_named(sharded, seed):
    rng = random.Random(seed)
    shard = rng.choice(sorted(sharded.glob("*.safetensors")))
    start = 8 + int.from_bytes(shard.read_bytes()[:8], "little")  # behind the header, which is parsed first
    flip(shard, rng.randrange(start, shard.stat().st_size))
    with pytest.raises(ValueError, match=f"{shard.name}: damaged"):
        load_model(sharded)
    (sharded / SUMS).unlink()
    load_model(sharded)  # control: nothing else notices


def test_adapters_have_theirs(tmp_path):
    save_llama(make(), tmp_path / "base")
    model = make()
    add_adapter(model, "a", rank=2, alpha=4)
    save_peft(model, "a", tmp_path / "adapter", base=tmp_path / "base")
    load_model(tmp_path / "adapter")
    flip(tmp_path / "adapter" / "adapter_model.safetensors", -1)
    for read in (lambda: load_model(tmp_path / "adapter"), lambda: load_peft(make(), tmp_path / "adapter", "b")):
        with pytest.raises(ValueError, match="adapter_model.safetensors: damaged"):
            read()


@pytest.mark.parametrize(
    "line, words",
    [
        ("nonsense", "SHA256SUMS:1: expected a line of sha256sum"),
        (f"{'0' * 64}  ../secret", "SHA256SUMS:1: expected a line of sha256sum"),
        (f"{'0' * 64}  weights\n" * 10**5, "SHA256SUMS: has 7,400,001 bytes, expected at most"),
        (f"{'0' * 64}  absent.safetensors", "names 1 files, 1 of them absent, first absent.safetensors"),
    ],
)
def test_sums_that_say_nothing_are_refused(sharded, line, words):
    (sharded / SUMS).write_text(line + "\n")
    with pytest.raises(ValueError, match=words):
        load_llama(sharded)


def test_settings_that_were_changed_are_named_before_they_are_used(sharded):
    """An edit that is meant takes its line away; a config that computes otherwise is noticed by nothing else."""
    file = sharded / "config.json"
    whole = json.loads(file.read_text())
    for changed in (json.dumps(whole | {"rms_norm_eps": 1e-3}), json.dumps(whole | {"hidden_size": 48}), "{"):
        file.write_text(changed)
        with pytest.raises(ValueError, match=r"config.json: changed since .* \(meant so\? remove its line there\)"):
            load_llama(sharded)
    file.write_text(json.dumps(whole | {"rms_norm_eps": 1e-3}))
    unlist(file)
    assert load_llama(sharded).config.rms_norm_eps == 1e-3
    flip(next(sharded.glob("*.safetensors")), -5)  # control: the other lines stay
    with pytest.raises(ValueError, match="damaged"):
        load_llama(sharded)


def test_settings_are_listed_as_they_are_and_foreign_lines_stay(sharded):
    """The listing of a published model may name its weights alone, or pages too."""
    (sharded / "README.md").write_text("a page")
    lines = (sharded / SUMS).read_text() + f"{hashlib.sha256(b'a page').hexdigest()}  README.md\n"
    (sharded / SUMS).write_text(lines)
    (sharded / "template.json").write_text('{"template": "ziya"}')
    add_settings(sharded)
    listed = (sharded / SUMS).read_text().splitlines()
    assert len(listed) == len(lines.splitlines()) + 1 and {*lines.splitlines()} < {*listed}
    load_llama(sharded)
    (sharded / "template.json").write_text('{"template": "huatuo"}')
    with pytest.raises(ValueError, match="template.json: changed since it was written"):
        load_llama(sharded)
    add_settings(sharded)
    load_llama(sharded)
    (sharded / "template.json").unlink()
    with pytest.raises(ValueError, match=r"1 of them absent, first template.json \(meant so\? remove its line\)"):
        load_llama(sharded)


def test_both_sides_of_a_delta_are_checked(sharded, tmp_path):
    shard = max(sharded.glob("*.safetensors"))
    flip(shard, -5)
    for base, delta in ((sharded, tmp_path / "other"), (tmp_path / "other", sharded)):
        save_llama(make(), tmp_path / "other")
        with pytest.raises(ValueError, match=f"{shard.name}: damaged"):
            apply_delta(base, delta, tmp_path / "out")


def test_others_may_read_what_they_may_read_beside_it(sharded):
    assert {file.stat().st_mode for file in sharded.iterdir()} == {(sharded / "config.json").stat().st_mode}


def test_another_model_in_the_same_place_has_its_own(sharded):
    save_llama(make(), sharded)
    listed = [row.split("  ")[1] for row in (sharded / SUMS).read_text().splitlines()]
    assert listed == ["model.safetensors", "config.json"]
    load_llama(sharded)
