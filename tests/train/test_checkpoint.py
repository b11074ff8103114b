"""Checkpoints and run directories: whole or not there, verified, and never somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from zj.train import Identity, keep_rows, load_checkpoint, open_run, publish_best, replace_folder, save_checkpoint


def state(number):
    return {"step": number, "weights": {"a": torch.full((3,), float(number))}, "best": None}


def test_the_latest_is_read_back_and_only_the_last_are_kept(tmp_path):
    assert load_checkpoint(tmp_path) is None
    for number in (9, 10, 11):
        save_checkpoint(tmp_path, number, state(number), keep=2)
    got = load_checkpoint(tmp_path)
    assert got["step"] == 11 and torch.equal(got["weights"]["a"], torch.full((3,), 11.0))
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"step-10", "step-11"}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_checkpoint_that_latest_names_is_never_deleted(tmp_path, keep):
    """Killed after step 20 was renamed into place and before `latest` said so; the run goes on and is saved earlier."""
    for number in (5, 10):
        save_checkpoint(tmp_path, number, state(number), keep=keep)
    (tmp_path / "latest").rename(tmp_path / "before")
    save_checkpoint(tmp_path, 20, state(20), keep=keep + 1)
    (tmp_path / "before").rename(tmp_path / "latest")
    save_checkpoint(tmp_path, 11, state(11), keep=keep)
    assert load_checkpoint(tmp_path)["step"] == 11
    names = sorted(int(folder.name.removeprefix("step-")) for folder in (tmp_path / "checkpoints").glob("step-*"))
    assert names == [5, 10, 11][-keep:]


def test_a_flipped_byte_is_detected_and_named(tmp_path):
    folder = save_checkpoint(tmp_path, 1, state(1), keep=1)
    data = bytearray((folder / "rank-0.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "rank-0.pt").write_bytes(data)
    with pytest.raises(ValueError, match="rank-0.pt: damaged"):
        load_checkpoint(tmp_path)


def spoil(folder, how):
    if how == "tensors":
        (folder / "rank-0.pt").write_bytes(b"PK")
    elif how == "gone":
        (folder / "rank-0.pt").unlink()
    elif how == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text(how)


@pytest.mark.parametrize("how", ["tensors", "gone", "no manifest", "", "{", "[]", "{}", '{"rank-0.pt": 3}', "null"])
def test_the_checkpoint_before_a_damaged_one_is_gone_on_from(tmp_path, capsys, how):
    for number in (9, 10):
        folder = save_checkpoint(tmp_path, number, state(number), keep=2)
    spoil(folder, how)
    assert load_checkpoint(tmp_path)["step"] == 9
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"{folder}/" in said and "going on from the checkpoint step-9" in said
    spoil(folder.with_name("step-9"), how)
    with pytest.raises(ValueError, match=r"step-10.*; no checkpoint there is whole; without .* the run begins anew"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "missing beside"), ("", "names ''"), ("\0\xff", "not there"), ("step-7", "step-7")],
)
def test_without_latest_the_newest_is_gone_on_from_and_not_deleted(tmp_path, capsys, text, words):
    for number in (9, 10):
        save_checkpoint(tmp_path, number, state(number), keep=2)
    (tmp_path / "latest").unlink()
    if text is not None:
        (tmp_path / "latest").write_text(text)
    assert load_checkpoint(tmp_path)["step"] == 10
    assert words in capsys.readouterr().out
    save_checkpoint(tmp_path, 11, state(11), keep=2)
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"step-10", "step-11"}
    assert load_checkpoint(tmp_path)["step"] == 11 and not capsys.readouterr().out  # control: all is well again


def test_latest_beside_no_checkpoint_is_told(tmp_path):
    (tmp_path / "latest").write_text("step-7")
    with pytest.raises(ValueError, match="latest: names 'step-7', which is not there; no checkpoint"):
        load_checkpoint(tmp_path)


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    mine = [tmp_path / "checkpoints" / name for name in ("step-6.bak", "step-", "step-x", "notes")]
    for folder in mine:
        folder.mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-99").write_text("a file")
    for number in (9, 10):
        save_checkpoint(tmp_path, number, state(number), keep=1)
    assert load_checkpoint(tmp_path)["step"] == 10
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"step-10", "step-99", *(folder.name for folder in mine)}


def test_a_run_without_its_metrics_goes_on(tmp_path, capsys):
    """It would begin anew, and delete what it has saved."""
    run = Identity("sft", Config())
    folder, *_ = open_run(str(tmp_path), run)
    save_checkpoint(folder, 3, state(3), keep=1)
    assert open_run(str(tmp_path), run).state["step"] == 3
    assert "metrics.jsonl is missing; it begins anew, the run does not" in capsys.readouterr().out


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    """Negative control of the safe reader: a state with an object in it does not load."""
    save_checkpoint(tmp_path, 1, {"evil": os.path.join}, keep=1)
    with pytest.raises(Exception, match="(?i)weights.only"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("moment", ["fsync", "rename", "replace"])
def test_a_save_that_is_cut_off_leaves_the_previous_checkpoint(tmp_path, monkeypatch, moment):
    save_checkpoint(tmp_path, 1, state(1), keep=1)

    def cut(*args, **kwargs):
        raise OSError(28, "No space left on device", str(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr(os, moment, cut)
        with pytest.raises(OSError, match="No space"):
            save_checkpoint(tmp_path, 2, state(2), keep=1)
    assert load_checkpoint(tmp_path)["step"] == 1
    save_checkpoint(tmp_path, 2, state(2), keep=1)
    assert load_checkpoint(tmp_path)["step"] == 2


def test_a_process_that_ends_between_two_moves_loses_nothing(tmp_path, monkeypatch):
    """The same step saved again: the older one is moved aside, then the newer one into its place."""
    save_checkpoint(tmp_path, 1, state(1), keep=1)
    moves, rename = [], os.rename

    def cut(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, 1, state(1), keep=1)
    assert not (tmp_path / "checkpoints" / "step-1").exists()  # it was that moment
    assert load_checkpoint(tmp_path)["step"] == 1


def test_a_full_disk_is_told_and_the_previous_checkpoint_stays(tmp_path):
    """Of a process of its own, which may write files of 100,000 bytes at most."""
    code = f"""
import resource, signal, torch
from pathlib import Path
from zj.train import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
out = Path({str(tmp_path)!r})
save_checkpoint(out, 1, {{"step": 1, "a": torch.zeros(10)}}, keep=1)
try:
    save_checkpoint(out, 2, {{"step": 2, "a": torch.zeros(1_000_000)}}, keep=1)
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "File too large" in done.stdout, done.stderr[-2000:]
    assert load_checkpoint(tmp_path)["step"] == 1


@dataclass(frozen=True)
class Config:
    lr: float = 1.0  # rate
    out: str = ""  # directory


def test_a_new_run_an_interrupted_one_and_a_finished_one(tmp_path, capsys):
    out = str(tmp_path / "deep" / "run")
    folder, saved, _ = open_run(out, Identity("sft", Config(out=out)))
    assert saved is None and "lr = 1.0" in (folder / "config.toml").read_text()
    (folder / "metrics.jsonl").write_text("")
    save_checkpoint(folder, 3, state(3), keep=1)
    assert open_run(out, Identity("sft", Config(out=out)))[1]["step"] == 3
    replace_folder(folder / "best", lambda d: (d / "config.json").write_text("{}"))
    publish_best(folder)
    with pytest.raises(SystemExit) as stop:
        open_run(out, Identity("sft", Config(out=out)))
    assert not stop.value.code and "finished" in capsys.readouterr().out


def test_a_result_appears_whole_and_anew(tmp_path, monkeypatch):
    """What readers open first (config.json) comes last; publishing again after a cut replaces what is there."""

    def best(number):
        names = ("config.json", "model.safetensors", "template.json")
        replace_folder(tmp_path / "best", lambda d: [(d / name).write_text(number) for name in names])

    done = []

    def cut(source, target):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(target.name)
        target.write_text(source.read_text())

    best("1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", cut)
        with pytest.raises(KeyboardInterrupt):
            publish_best(tmp_path)
    assert done and "config.json" not in done
    best("2")
    publish_best(tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p.is_file()} == {
        "config.json": "2",
        "model.safetensors": "2",
        "template.json": "2",
    }


def test_another_run_or_foreign_files_are_refused_and_left_alone(tmp_path):
    out = str(tmp_path / "run")
    folder, *_ = open_run(out, Identity("sft", Config(out=out)))
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="holds another run: its --lr is 1.0, here it is 2.0; take that"):
        open_run(out, Identity("sft", Config(lr=2.0, out=out)))
    with pytest.raises(ValueError, match="holds another run: a 'sft' run, this one is 'pretrain'"):
        open_run(out, Identity("pretrain", Config(out=out)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not empty and not a run"):
        open_run(str(tmp_path / "mine"), Identity("sft", Config()))
    with pytest.raises(ValueError, match="is a file"):
        open_run(str(tmp_path / "mine" / "thesis.txt"), Identity("sft", Config()))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="--out is missing"):
        open_run("", Identity("sft", Config()))


@dataclass(frozen=True)
class Two:
    optim: Config = Config(lr=1.0)
    value_optim: Config = Config(lr=2.0)


def test_the_same_key_in_two_tables_is_two_numbers(tmp_path):
    """A learning rate that another table of the same run happens to have is another run all the same."""
    folder, *_ = open_run(str(tmp_path), Identity("ppo", Two()))
    (folder / "metrics.jsonl").write_text("")
    assert open_run(str(tmp_path), Identity("ppo", Two()))[1] is None  # the very run goes on
    with pytest.raises(ValueError, match="its --optim.lr is 1.0, here it is 2.0"):
        open_run(str(tmp_path), Identity("ppo", Two(optim=Config(lr=2.0))))
    with pytest.raises(ValueError, match="its --value-optim.lr is 2.0, here it is 1.0"):
        open_run(str(tmp_path), Identity("ppo", Two(value_optim=Config(lr=1.0))))


def test_rows_after_the_checkpoint_and_a_torn_row_are_dropped(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": s}) + "\n" for s in range(5)) + '{"step": 5, "lo')
    keep_rows(file, lambda row: row["step"] <= 2)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [0, 1, 2]


def test_a_run_that_never_began_may_be_started_anew(tmp_path):
    """A wrong flag found after OUT was made leaves nothing that stands in the way of the right one."""
    out = str(tmp_path / "run")
    folder, *_ = open_run(out, Identity("sft", Config(out=out)))
    (folder / "tokenizer").mkdir()
    folder, saved, _ = open_run(out, Identity("sft", Config(lr=2.0, out=out)))
    assert saved is None and "lr = 2.0" in (folder / "config.toml").read_text()
    assert not (folder / "tokenizer").exists()
