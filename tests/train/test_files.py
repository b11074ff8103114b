"""What is named on the disk is on the disk; what is written as JSON is JSON; what failed is named."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from zj.train import files as module
from zj.train import keep_rows, publish_best, read_rows, replace_folder, save_checkpoint
from zj.train.files import finish_swap, naming, swap_in, to_json, write_text


@pytest.fixture
def events(monkeypatch, tmp_path):
    """Every fsync and rename, in their order, with paths relative to tmp_path."""
    seen, real = [], {name: getattr(os, name) for name in ("fsync", "rename", "replace", "link")}

    def relative(path):
        return str(Path(path).relative_to(tmp_path)) if Path(path).is_relative_to(tmp_path) else str(path)

    def fsync(descriptor):
        seen.append(("sync", relative(os.readlink(f"/proc/self/fd/{descriptor}"))))
        real["fsync"](descriptor)

    def moved(name):
        def call(source, target):
            seen.append((name, relative(source), relative(target)))
            real[name](source, target)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("rename", "replace", "link"):
        monkeypatch.setattr(os, name, moved("rename" if name == "replace" else name))
    return seen


def unsynced(events, files):
    """Files that were renamed into place, alone or with their directory, before they or their new name were synced."""
    faults, synced = [], set()
    for number, (kind, *paths) in enumerate(events):
        if kind == "sync":
            synced.add(paths[0])
        elif kind == "rename":
            source, target = map(Path, paths)
            parts = [source, *(source / name for name in files.get(str(target), ()))]
            faults += [str(part) for part in parts if str(part) not in synced]
            if ("sync", str(target.parent)) not in [(k, *p) for k, *p in events[number:]]:
                faults.append(f"the name of {target}")
    return faults


def test_a_file_is_on_the_disk_before_its_name(events, tmp_path):
    write_text(tmp_path / "latest", "step-3")
    assert events == [("sync", ".tmp-latest"), ("rename", ".tmp-latest", "latest"), ("sync", ".")]
    assert not unsynced(events, {})


@pytest.mark.parametrize("careless", [False, True], ids=["", "control"])
def test_a_directory_is_on_the_disk_before_its_name(events, tmp_path, monkeypatch, careless):
    if careless:
        monkeypatch.setattr(module, "sync_tree", lambda folder: None)

    def write(folder):
        (folder / "part").mkdir()
        for name in ("config.json", "part/x"):
            (folder / name).write_text(name)

    replace_folder(tmp_path / "best", write)
    replace_folder(tmp_path / "best", write)
    draft = [f".tmp-best{name}" for name in ("", "/config.json", "/part", "/part/x")]
    moves = [event for event in events if event[0] == "rename"]
    wanted = (".tmp-best", "best"), ("best", ".tmp-best-old"), (".tmp-best", "best")
    assert [move[1:] for move in moves] == list(wanted) and not list(tmp_path.glob(".tmp-*"))
    first = [event[1] for event in events[: events.index(moves[0])]]
    assert (sorted(first) == draft) == (not careless)
    assert ("." in [path for kind, path, *_ in events[events.index(moves[0]) :] if kind == "sync"]) or careless


@pytest.mark.parametrize("careless", [False, True], ids=["", "control"])
def test_a_checkpoint_vouches_for_what_is_on_the_disk(events, tmp_path, monkeypatch, careless):
    """metrics.jsonl, then the tensors and the manifest, then the directory's name, then `latest`."""
    for name in ("metrics.jsonl", "samples.jsonl"):
        (tmp_path / name).write_text('{"step": 1}\n')
    if careless:
        monkeypatch.setattr("zj.train.checkpoint.GROWING", ())
    save_checkpoint(tmp_path, 1, {"a": torch.zeros(3)}, keep=1)
    draft, names = "checkpoints/.tmp-step-1", [event[-1] for event in events]
    order = ["metrics.jsonl", f"{draft}/rank-0.pt", f"{draft}/manifest.json", "checkpoints/step-1", "latest"]
    if careless:
        assert "metrics.jsonl" not in names
        return
    assert sorted(order, key=names.index) == sorted(order, key=lambda name: (order.index(name) > 1, names.index(name)))
    manifest = names.index(f"{draft}/manifest.json")
    assert all(names.index(name) < manifest for name in ("metrics.jsonl", "samples.jsonl", f"{draft}/rank-0.pt"))
    assert not unsynced(events, {"checkpoints/step-1": ("rank-0.pt", "manifest.json")})


def test_a_process_that_ends_amid_a_swap_leaves_a_whole_directory(tmp_path, monkeypatch):
    """Cut before, between and after the two renames: the old or the new one, never none."""
    rename = os.rename
    for moment in range(3):
        home = tmp_path / str(moment)
        for name in ("best", "draft"):
            (home / name).mkdir(parents=True)
            (home / name / "is").write_text(name)
        moves = []

        def cut(source, target, moves=moves, moment=moment):
            if len(moves) == moment:
                raise KeyboardInterrupt
            moves.append(target)
            rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", cut)
            if moment < 2:
                with pytest.raises(KeyboardInterrupt):
                    swap_in(home / "draft", home / "best")
            else:
                swap_in(home / "draft", home / "best")
        assert (home / "best").exists() == (moment != 1)
        finish_swap(home / "best")
        assert (home / "best" / "is").read_text() == ("draft" if moment == 2 else "best")


def best(folder, text="{}"):
    replace_folder(
        folder / "best",
        lambda d: [(d / name).write_text(text) for name in ("adapter_config.json", "weights", "template.json")],
    )


@pytest.mark.parametrize("links", [True, False])
def test_a_result_is_on_the_disk_before_its_last_file(events, tmp_path, monkeypatch, links):
    best(tmp_path)
    if not links:
        monkeypatch.setattr(os, "link", lambda source, target: (_ for _ in ()).throw(OSError(errno.EPERM, "no")))
    events.clear()
    publish_best(tmp_path)
    last = max(number for number, event in enumerate(events) if event[-1] == "adapter_config.json")
    assert ("sync", ".") in events[:last] and events[-1] == ("sync", ".")
    if not links:
        assert not unsynced(events, {}) and ("rename", ".tmp-weights", "weights") in events[:last]
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert names == {"adapter_config.json", "weights", "template.json"}


def test_a_full_disk_at_the_publishing_leaves_no_result(tmp_path, monkeypatch):
    best(tmp_path)

    def full(source, target):
        Path(target).write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda source, target: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space") as error:
            publish_best(tmp_path)
    assert Path(error.value.filename).parent == tmp_path and not (tmp_path / "adapter_config.json").exists()
    assert not (tmp_path / "weights").exists() and not (tmp_path / "template.json").exists()
    publish_best(tmp_path)
    assert (tmp_path / "adapter_config.json").read_text() == "{}"


def test_what_is_published_is_what_was_written(tmp_path):
    best(tmp_path)
    (tmp_path / "best" / "SHA256SUMS").write_text("0" * 64 + "  weights\n")
    with pytest.raises(ValueError, match=r"best/weights: damaged.*Without .*best the last model becomes the result"):
        publish_best(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def test_numbers_that_are_not_finite_are_null():
    row = {"step": 1, "loss": float("nan"), "of": [float("inf"), {"x": -float("inf")}, 0.5], "text": "NaN 头"}
    expected = {"step": 1, "loss": None, "of": [None, {"x": None}, 0.5], "text": "NaN 头"}
    assert json.loads(to_json(row), parse_constant=no_constant) == expected
    with pytest.raises(ValueError, match="NaN is no JSON"):  # control: this reader is strict
        json.loads(json.dumps(row), parse_constant=no_constant)


@pytest.mark.parametrize("row", ["{", "[1]", '{"loss": 1}', '{"step": "1"}', "\0\0"])
def test_a_damaged_row_is_named(tmp_path, row):
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"step": 0}}\n{row}\n{{"step": 2}}\n')
    for use in (read_rows, lambda file: keep_rows(file, lambda row: True)):
        with pytest.raises(ValueError, match=r"metrics.jsonl:2: damaged, expected an object with a step; remove the"):
            use(file)


def test_errors_of_the_system_say_which_file(tmp_path):
    def full(error):
        with pytest.raises(OSError) as told, naming(tmp_path / "x"):
            raise error
        return told.value

    assert full(OSError(errno.ENOSPC, "No space left on device")).filename == str(tmp_path / "x")
    assert full(OSError(errno.ENOENT, "gone", "y")).filename == "y"
    with pytest.raises(RuntimeError, match="mine"), naming(tmp_path / "x"):  # control: other errors pass
        raise RuntimeError("mine")


def test_what_torch_hides_of_the_system_is_found(tmp_path):
    """torch.save ends in a RuntimeError where the file it writes to has ended in an OSError."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as told, naming(tmp_path / "x"):
        torch.save(torch.zeros(3), Full())
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tmp_path / "x"))


def test_what_safetensors_says_of_the_system_is_read(tmp_path, monkeypatch):
    """It has errors of its own, with the system's in their text."""
    for text, number in (("I/O error: No space left on device (os error 28)", errno.ENOSPC), ("invalid header", 0)):
        with pytest.raises((OSError, SafetensorError)) as told, naming(tmp_path / "x"):
            raise SafetensorError(f"Error while serializing: {text}")
        assert getattr(told.value, "errno", 0) == number
        assert getattr(told.value, "filename", "") == (str(tmp_path / "x") if number else "")
