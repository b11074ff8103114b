"""No stage trains on what it holds out; validation looks at a sample of all files; OUT/validation.txt tells which."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import zj.stages.validation
from tests.line import rankings, write_rows
from tests.scripts.conftest import ppo
from zj.data.readers import read
from zj.data.records import Dialogue, Document, Prompt, Ranking
from zj.stages import setup
from zj.stages.run_state import Run
from zj.train import World

ALONE = World(0, 1, torch.device("cpu"))
STAGES = ("pretrain", "sft", "reward", "dpo", "ppo")
EACH_STAGE = pytest.mark.parametrize("name", STAGES)
KINDS = {"pretrain": "document", "sft": "dialogue", "reward": "ranking", "dpo": "ranking", "ppo": "prompt"}
LIMIT = 6
VALID = ("--valid-fraction", 0.3, "--valid-limit", LIMIT)
WIDE = {ord(a): b for a, b in zip("0123456789，。", "０１２３４５６７８９,.", strict=True)}


def files(folder: Path, name: str) -> list[Path]:
    """Two files; each question stands three times in the first and once more, typed otherwise, in the second, which has
    as many others. Ids are row numbers."""
    found: list[list[dict]] = [[], []]
    for number, row in enumerate(rankings()):
        user, (one, two) = f"{row['prompt']}{number}岁。", row["responses"][:2]
        for again in range(3 if number < 24 else 0):
            found[0].append(spelled(name, user, f"{one}{again}", two))
        found[1].append(spelled(name, user.translate(WIDE), f"{two}!", one))
    numbered = [[{"id": n, **row} for n, row in enumerate(rows)] for rows in found]
    return [write_rows(folder / f"{letter}.jsonl", rows) for letter, rows in zip("ab", numbered, strict=True)]


def spelled(name: str, user: str, good: str, bad: str) -> dict:
    if name in ("reward", "dpo"):
        return {"prompt": user, "chosen": good, "rejected": bad}
    return {"text": user} if name == "pretrain" else {"query": user, "response": good}


def call(line, folder: Path, name: str, data: list[Path], *more):
    """A short run of a stage on the data."""
    if name == "ppo":
        return ppo(line, folder / "run", "--batch-size", 16, "--data", *data, *VALID, *more)
    base = line.sft if name == "dpo" else line.base
    more = ("--calibrate-on", 20, *more) if name == "reward" else more
    flags = ("--device", "cpu", *VALID, "--batch-size", 32, "--epochs", 1)
    return (f"train_{name}", "--model", base, "--out", folder / "run", "--data", *data, *flags, *more)


def asks(record: Document | Dialogue | Prompt | Ranking) -> str:
    """The question behind a record of these files: its digits and Chinese characters."""
    if isinstance(record, Document):
        text = record.text
    elif isinstance(record, Dialogue):
        text = record.turns[0][0]
    else:
        text = getattr(record, "prompt", record).user
    return "".join(c for c in unicodedata.normalize("NFKC", text) if c.isalnum())


@dataclass
class Seen:
    """Examples as ids, in the order in which a stage took them, where it took them: a right split that is not obeyed
    would be noticed."""

    training: list[tuple[int, ...]] = field(default_factory=list)
    validation: list[tuple[int, ...]] = field(default_factory=list)
    calibration: list[tuple[int, ...]] = field(default_factory=list)
    reference: list[tuple[int, ...]] = field(default_factory=list)


@pytest.fixture
def seen(monkeypatch):
    """seen(name) -> what the run of a stage that follows takes."""

    def spy(name: str) -> Seen:
        script, found, doing = import_module(f"scripts.train_{name}"), Seen(), ["training"]

        def watch(module, attribute, ids):
            real = getattr(module, attribute)

            def called(*arguments):
                getattr(found, doing[-1]).extend(map(tuple, ids(*arguments)))
                return real(*arguments)

            monkeypatch.setattr(module, attribute, called)

        def during(owner, attribute, what):
            real = getattr(owner, attribute)

            def called(*arguments):
                doing.append(what)
                try:
                    return real(*arguments)
                finally:
                    doing.pop()

            monkeypatch.setattr(owner, attribute, called)

        during(Run if name in ("pretrain", "sft") else script, "validate", "validation")
        if name in ("pretrain", "sft"):
            for module in (setup, zj.stages.validation):  # of training, of validation
                watch(module, "pack_indices", lambda examples, chosen, *_: [examples[n].ids for n in chosen])
        elif name == "ppo":
            watch(script, "answer", lambda this, asked, called: asked)
        else:
            watch(script, "ranked_packs", lambda ranked, chosen, *_: [ranked[n].prompt for n in chosen])
        if name == "reward":
            during(script, "calibration_of", "calibration")
        if name == "dpo":
            during(script.Reference, "__init__", "reference")
        return found

    return spy


def listed(run: Path) -> list[str]:
    return (run / "validation.txt").read_text(encoding="utf-8").splitlines()


@EACH_STAGE
def test_what_is_held_out_is_listed_looked_at_and_never_trained_on(command, line, tmp_path, seen, name):
    data, out, found = files(tmp_path, name), tmp_path / "run", seen(name)
    done = command(*call(line, tmp_path, name, data))
    assert done.status == 0, done.err
    records = {record.where: record for record in read(data, KINDS[name])[0]}
    there = Counter(asks(record) for record in records.values())
    if name in ("pretrain", "ppo"):
        assert " read of 120 rows, 0 rows skipped, 48 repeats left out" in done.out
        assert f"24 {KINDS[name]}s repeat others but for their typing, left out" in done.out
        there = Counter(set(there))
    held_out = [asks(records[where]) for where in listed(out)]  # each is file:line of a row
    assert held_out == [text for text in dict.fromkeys(held_out) for _ in range(there[text])]
    assert len(listed(out)) == len(set(listed(out))) > LIMIT and len(set(held_out)) < 24
    assert found.training and found.validation and not set(found.training) & set(found.validation)
    by_ids = texts_of(line, name, records)
    assert list(dict.fromkeys(by_ids[ids] for ids in found.validation)) == list(dict.fromkeys(held_out[:LIMIT]))
    assert {by_ids[ids] for ids in found.training} == set(there) - set(held_out)
    if name == "reward":  # of the questions of both files
        calibrated = {by_ids[ids] for ids in found.calibration}
        second = {asks(record) for record in read(data[1:], "ranking")[0]} - {
            asks(r) for r in read(data[0], "ranking")[0]
        }
        assert not calibrated & set(held_out) and calibrated & second and calibrated - second
        assert len(calibrated) < len(set(by_ids[ids] for ids in found.training))  # control: it is a part


def texts_of(line, name, records):
    """ids of an example -> the question behind it."""
    from zj.data.template import encode_dialogue, encode_document, encode_prompt
    from zj.data.tokenizer import Tokenizer

    tokenizer, found = Tokenizer.load(line.base), {}
    for record in records.values():
        if isinstance(record, Document):
            ids = encode_document(record, tokenizer, 1024)[0].ids
        elif isinstance(record, Dialogue):
            ids = encode_dialogue(record, tokenizer, "ziya").ids
        else:
            ids = encode_prompt(getattr(record, "prompt", record), tokenizer, "ziya")
        found[tuple(ids)] = asks(record)
    return found


def test_the_second_file_is_looked_at(command, line, tmp_path):
    """By the order of rows none of its questions would be."""
    data = files(tmp_path, "sft")
    assert command(*call(line, tmp_path, "sft", data)).status == 0
    one = {asks(record) for record in read(data[:1], "dialogue")[0]}
    records = {record.where: record for record in read(data, "dialogue")[0]}
    first = [asks(records[where]) in one for where in listed(tmp_path / "run")]
    assert any(first) and not all(first) and any("b.jsonl" in where for where in listed(tmp_path / "run")[:LIMIT])
    in_order = sorted(listed(tmp_path / "run"), key=list(records).index)[:LIMIT]
    assert not any("b.jsonl" in where for where in in_order)  # control


@EACH_STAGE
def test_order_of_the_files_decides_nothing(command, line, tmp_path, name):
    told = []
    for order in (1, -1):
        folder = tmp_path / str(order)
        folder.mkdir()
        data = files(tmp_path, name)[::order]
        assert command(*call(line, folder, name, data)).status == 0
        records = {record.where: record for record in read(data, KINDS[name])[0]}
        told.append([asks(records[where]) for where in listed(folder / "run")])
        if name not in ("pretrain", "ppo"):  # there the first of several spellings is kept
            told[-1] = listed(folder / "run")
    assert told[0] == told[1] and len(told[0]) >= 6


@EACH_STAGE
def test_a_run_that_goes_on_holds_out_the_same(command, killed, line, tmp_path, name):
    data = files(tmp_path, name)
    killed(Run, "save", 1)(*call(line, tmp_path, name, data, "--save-every", 1, "--batch-size", 16))
    before = listed(tmp_path / "run")
    done = command(*call(line, tmp_path, name, data, "--save-every", 1, "--batch-size", 16))
    assert (done.status, "going on after step" in done.out) == (0, True), done.err
    assert listed(tmp_path / "run") == before


def test_without_a_fraction_the_list_is_there_and_empty(command, line, tmp_path):
    assert command(*call(line, tmp_path, "sft", files(tmp_path, "sft"), "--valid-fraction", 0)).status == 0
    assert listed(tmp_path / "run") == []


def test_plain_text_is_told_by_its_lines_and_repeats_of_other_files_are_left_out(command, line, tmp_path):
    texts = [f"第{n}种情况，请多休息。" for n in range(60)]
    one, two = tmp_path / "a.txt", write_rows(tmp_path / "b.jsonl", [{"text": text.translate(WIDE)} for text in texts])
    one.write_text("\n".join(texts) + "\n", encoding="utf-8")
    done = command(*call(line, tmp_path, "pretrain", [one, two]))
    told = "0 repeats left out\n60 documents repeat others but for their typing, left out"
    assert done.status == 0 and told in done.out
    held_out = listed(tmp_path / "run")
    assert len(held_out) >= 6 and set(held_out) <= {f"{one}:{n}" for n in range(1, 61)}


def test_records_of_no_file_are_told_by_their_ids(tmp_path):
    records = [Prompt(f"p{n}", f"痛{n}") for n in range(40)]
    config = SimpleNamespace(valid_fraction=0.3, limit=0)
    train, valid = setup.hold_out(records, None, config, tmp_path, ALONE)
    assert listed(tmp_path) == [prompt.id for prompt in valid] and valid
    assert setup.hold_out(records, None, config, tmp_path, World(1, 1, ALONE.device)) == (train, valid)


def test_the_tokenizer_is_trained_on_what_is_trained_on(command, tmp_path):
    """To the byte: as if the held-out documents were not there."""
    texts = [f"第{n}位病人头痛，请多休息多喝水。" for n in range(200)]
    data = write_rows(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    flags = ("--size", "nano", "--vocab-size", 290, "--device", "cpu", "--epochs", 1, "--valid-fraction", 0.3)
    assert command("train_pretrain", "--data", data, *flags, "--out", tmp_path / "one").status == 0
    lines = {int(where.rpartition(":")[2]) - 1 for where in listed(tmp_path / "one")}
    rows = [{"text": text} for n, text in enumerate(texts) if n not in lines]
    other = write_rows(tmp_path / "b.jsonl", rows)
    assert command("train_pretrain", "--data", other, *flags[:-1], 0, "--out", tmp_path / "two").status == 0
    tokenizers = [(tmp_path / name / "tokenizer" / "tokenizer.model").read_bytes() for name in ("one", "two")]
    assert tokenizers[0] == tokenizers[1]
    whole = ("train_pretrain", "--data", data, *flags[:-1], 0, "--out", tmp_path / "three")
    assert command(*whole).status == 0  # control: all of the texts make another one
    assert (tmp_path / "three" / "tokenizer" / "tokenizer.model").read_bytes() != tokenizers[0]


def test_consultations_are_the_first_of_the_validation(command, line, tmp_path):
    data = files(tmp_path, "sft")
    assert command(*call(line, tmp_path, "sft", data)).status == 0
    records = {record.where: record for record in read(data, "dialogue")[0]}
    expected = [records[where].turns[0][0] for where in listed(tmp_path / "run")[:3]]
    flags = ("--valid-fraction", 0.3, "--number", 3, "--max-new-tokens", 2, "--device", "cpu")
    done = command("consult", "--model", tmp_path / "run", "--data", *data, *flags)
    assert done.status == 0, done.err
    asked = [row.removeprefix("患者：") for row in done.out.splitlines() if row.startswith("患者：")]
    assert asked == expected


def test_samples_ask_two_different_questions(command, line, tmp_path):
    assert command(*call(line, tmp_path, "sft", files(tmp_path, "sft"))).status == 0
    said = (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(row) for row in said]
    assert len(rows) == 4 and len({row["prompt"] for row in rows}) == 2
