"""A run encodes its data once: the same examples as in memory, in this process or in others, and never again."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import zj.data.encode
from tests.scripts.conftest import result, told
from zj.data.batching import group_of, split, without_repeats
from zj.data.encode import Job, encode
from zj.data.readers import read
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.store import Store
from zj.data.template import encode_all
from zj.data.tokenizer import Tokenizer
from zj.stages import encoded
from zj.stages.run_state import Run

ROOT = Path(__file__).resolve().parents[2]
KINDS = pytest.mark.parametrize("kind", ["document", "dialogue"])


def job(corpus, model, kind, **changes) -> Job:
    whole = Job((str(corpus / f"{kind}s.jsonl"),), kind, "stop", "once", 0.3, str(model), 0, "ziya", 64)
    return replace(whole, **changes)


def sides(folder: Path) -> list[Store]:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Store(folder / side, index["ids"], [tuple(group) for group in index["groups"]]) for side in SIDES]


SIDES = ("train", "valid")


@pytest.mark.parametrize(
    ("kind", "max_tokens", "left_out"),
    [("document", 1000, 0), ("document", 16, 0), ("dialogue", 1000, 0), ("dialogue", 64, 10)],
)
def test_the_store_holds_what_would_be_encoded_in_memory(corpus, model, tmp_path, kind, max_tokens, left_out):
    said: list[str] = []
    encode(job(corpus, model, kind, max_tokens=max_tokens), tmp_path, said.append)
    records = read(corpus / f"{kind}s.jsonl", kind, repeats="once")[0]
    records = without_repeats(records) if kind == "document" else records
    expected, counts = zip(
        *(encode_all(side, Tokenizer.load(model), "ziya", max_tokens) for side in split(records, 0.3)), strict=True
    )
    held_out = {tuple(example.ids) for example in expected[1]}
    train = [example for example in expected[0] if tuple(example.ids) not in held_out]
    stores = sides(tmp_path)
    assert [list(store) for store in stores] == [train, expected[1]] and train and held_out
    by_place = {record.where: group_of(record) for record in records}
    assert all(store.groups == [by_place[example.where] for example in store] for store in stores)
    assert f"training: {counts[0]}\nvalidation: {counts[1]}" in said
    assert len(expected[0]) - len(train) == left_out  # last turns are alike, and so few tokens hold no others
    assert said[-1].startswith(f"training: {left_out} left out, the same as") == bool(left_out)
    listed = (tmp_path / "validation.txt").read_text(encoding="utf-8").split()
    assert listed == [record.where for record in split(records, 0.3)[1]]


@KINDS
def test_other_processes_write_the_same_bytes(corpus, model, tmp_path, monkeypatch, capfd, kind):
    said: dict[str, list[str]] = {"here": [], "there": []}
    for name, run in (("here", encode), ("there", encoded.encode_elsewhere)):
        (tmp_path / name).mkdir()
        run(job(corpus, model, kind, tokenizer="", vocab_size=420), tmp_path / name, said[name].append)
    here, there = ({f.relative_to(d): f.read_bytes() for f in d.rglob("*") if f.is_file()} for d in folders(tmp_path))
    assert here == there and len(here) == 17 and said["here"] == said["there"]
    assert "train: 100%" in capfd.readouterr().err


def test_the_share_of_bytes_is_told_and_warned_about_where_it_is_large(corpus, model, tmp_path):
    """A tokenizer that never saw the text spells it in bytes; and whoever trains one here is told of the other way."""
    own = train_tokenizer(["abcdefghij klmnop"] * 9, tmp_path / "own", 280)
    for name, tokenizer, many in (("known", model, False), ("strange", own.file.parent, True), ("new", "", False)):
        said: list[str] = []
        (tmp_path / name).mkdir()
        encode(job(corpus, model, "document", tokenizer=str(tokenizer), vocab_size=420), tmp_path / name, said.append)
        used = Tokenizer.load(tokenizer or tmp_path / name / "tokenizer")
        ids = [id for store in sides(tmp_path / name) for example in store for id in example.ids]
        share = json.loads((tmp_path / name / "index.json").read_text(encoding="utf-8"))["bytes"]
        assert share == pytest.approx(used.count_bytes(ids) / len(ids), abs=2e-3)  # what is left out counts, too
        assert (share > 0.9) is many
        assert f"{share:.2%} of the tokens are bytes of characters that the tokenizer lacks" in said
        assert any("WARNING" in line and "train_tokenizer.py" in line for line in said) is many
        assert any("trained on these data alone" in line for line in said) is (name == "new")


def folders(folder: Path) -> list[Path]:
    return [folder / "here", folder / "there"]


def test_order_and_bytes_do_not_depend_on_the_portions(corpus, model, tmp_path, monkeypatch):
    for name, characters in (("here", 10**6), ("there", 1)):
        monkeypatch.setattr(zj.data.encode, "CHARACTERS", characters)
        (tmp_path / name).mkdir()
        encode(job(corpus, model, "dialogue"), tmp_path / name, str)
    one, two = ([f.read_bytes() for f in sorted(d.rglob("*.bin"))] for d in folders(tmp_path))
    assert one == two and len(one) == 8


def call(script, corpus, model, out, *more):
    kind = {"train_pretrain": "documents", "train_sft": "dialogues"}[script]
    flags = ("--device", "cpu", "--batch-size", 4, "--epochs", 2, "--valid-fraction", 0.3, "--lora.rank", 2)
    return (script, "--model", model, "--data", corpus / f"{kind}.jsonl", "--out", out, *flags, *more)


SCRIPTS = pytest.mark.parametrize("script", ["train_pretrain", "train_sft"])


@SCRIPTS
def test_a_resumed_run_reads_and_encodes_nothing(command, killed, corpus, model, tmp_path, monkeypatch, script):
    straight, run = (call(script, corpus, model, tmp_path / out, "--save-every", 1) for out in ("straight", "run"))
    first = command(*straight)
    killed(Run, "save", 2)(*run)
    (tmp_path / "run" / "validation.txt").unlink()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "encoded").rglob("*")}
    reads: Counter[str] = Counter()
    real = zj.data.encode.read
    monkeypatch.setattr(zj.data.encode, "read", lambda *a, **k: (reads.update(["read"]), real(*a, **k))[1])
    done = command(*run)
    assert done.status == 0 and "going on after step 2" in done.out and not reads, done.err
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert told(tmp_path / "run") == told(tmp_path / "straight")
    assert result(tmp_path / "run") == result(tmp_path / "straight")
    for name in ("validation.txt", "samples.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    data_lines = [line for line in first.out.splitlines() if "records:" in line or " read of " in line]
    assert len(data_lines) == 3 and all(line in done.out.splitlines() for line in data_lines)


def test_a_flipped_byte_is_found(command, killed, corpus, model, tmp_path):
    run = call("train_sft", corpus, model, tmp_path / "run", "--save-every", 1)
    killed(Run, "save", 1)(*run)
    for name, message in (
        ("valid/ids.bin", "its checksum is not the one"),
        ("index.json", "the data are encoded again"),
    ):
        file = tmp_path / "run" / "encoded" / name
        whole = file.read_bytes()
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        done = command(*run)
        assert done.status == 2 and f"{file}: damaged" in done.err and message in done.err, done.err
        file.write_bytes(whole)
    assert command(*run).status == 0  # control


def test_what_a_run_has_lost_is_encoded_again(command, killed, corpus, model, tmp_path, spied):
    run = call("train_sft", corpus, model, tmp_path / "run", "--save-every", 1)
    killed(Run, "save", 1)(*run)
    for file in (tmp_path / "run" / "encoded" / "train").iterdir():
        file.unlink()
    damaged = command(*run)
    assert damaged.status == 2 and "ids.bin: No such file" in damaged.err
    (tmp_path / "run" / "encoded").rename(tmp_path / "aside")
    reads = spied(zj.data.encode, "read")
    assert command(*run).status == 0 and len(reads) == 1


def test_data_of_another_start_are_not_taken(command, corpus, model, tmp_path, monkeypatch):
    """Before its first step a run is new, whatever it was before."""
    with monkeypatch.context() as patch:
        patch.setattr(encoded, "Store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command(*call("train_sft", corpus, model, tmp_path / "run", "--max-tokens", 64)).status == 130
    assert (tmp_path / "run" / "encoded").exists()
    assert command(*call("train_sft", corpus, model, tmp_path / "run", "--epochs", 1)).status == 0
    assert max(len(example.ids) for side in sides(tmp_path / "run" / "encoded") for example in side) > 64


@pytest.mark.parametrize("large", [True, False])
def test_a_bad_row_is_one_line(command, model, corpus, tmp_path, monkeypatch, large):
    monkeypatch.setattr(encoded, "LARGE", 0 if large else 2**40)
    (tmp_path / "documents.jsonl").write_text('{"text": "头痛。"}\n{"text": 7}\n', encoding="utf-8")
    done = command(*call("train_pretrain", tmp_path, model, tmp_path / "run"))
    assert done.status == 2 and len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith(f"train_pretrain.py: error: {tmp_path}/documents.jsonl:2: found ")
    assert not (tmp_path / "run" / "encoded").exists()


def test_mistakes_of_the_other_process_are_told_and_its_faults_too(corpus, model, tmp_path, capfd):
    with pytest.raises(ValueError, match="nothing to train on is left with --max-tokens 5 "):
        encoded.encode_elsewhere(job(corpus, model, "dialogue", max_tokens=5), empty(tmp_path / "a"), str)
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(FileNotFoundError, match="nowhere"):
        encoded.encode_elsewhere(job(corpus, model, "dialogue"), tmp_path / "nowhere", str)
    fault = job(corpus, model, "dialogue", max_tokens="64")
    with pytest.raises(RuntimeError, match="ended with status 1"):
        encoded.encode_elsewhere(fault, empty(tmp_path / "b"), str)
    assert "TypeError" in capfd.readouterr().err


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_other_process_ends_with_its_parent(corpus, model, tmp_path):
    os.mkfifo(tmp_path / "data.jsonl")  # nobody writes: it waits
    command = [sys.executable, "-m", "zj.stages.encoder"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        waiting = job(corpus, model, "document", files=(str(tmp_path / "data.jsonl"),))
        pickle.dump((waiting, tmp_path, 0), process.stdin)
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.stdin.close()  # as the kernel does for a process that has ended
        assert process.wait(20) == 1


def test_it_knows_no_torch():
    code = "import sys, zj.stages.encoder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
