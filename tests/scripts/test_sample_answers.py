"""scripts/sample_answers.py: answers of several models, and that an interrupted run ends in the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import sample_answers
from tests.line import write_rows
from zj.data.readers import read
from zj.feedback.answers.parts import Parts
from zj.llm.answers import Answer

SHORT = ("--device", "cpu", "--max-new-tokens", 24, "--slots", 8)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sample_answers, "BLOCK", 4)


@pytest.fixture
def puppet(monkeypatch):
    """Instead of a model: answers that are a function of seed, prompt and number, some equal, some cut off."""

    def sample(chat_model, encoded, sampling, bar, *, seed, **settings):
        seen, answers = Counter(), []
        for ids in map(tuple, encoded):
            draw = random.Random(f"{seed}/{ids}/{seen[ids]}").randrange(20)
            seen[ids] += 1
            answers.append(Answer(f"{draw // 2}号答案。", draw % 5 != 0))
        return answers

    monkeypatch.setattr(sample_answers, "load_chat_model", lambda *flags: SimpleNamespace(tokenizer=0, template=""))
    monkeypatch.setattr(sample_answers, "room_beside", lambda chat_model, tokens: 99)
    monkeypatch.setattr(sample_answers, "fit_prompt", lambda prompt, *more: ([*map(ord, prompt.user)], False))
    monkeypatch.setattr(sample_answers, "sample", sample)


@pytest.fixture(scope="module")
def given(line, tmp_path_factory) -> dict[str, Path]:
    """A base and an adapter of it as models; 10 dialogues of training; 9 others, one of which asks the same."""
    folder = tmp_path_factory.mktemp("given")

    def own(number):  # some of the puppet's answers are those of the dialogues
        return {"department": "内科", "response": f"{number}号答案。"}

    rows = [json.loads(row) for row in line.dialogues.read_text(encoding="utf-8").splitlines()]
    return {
        "--models": (line.sft, line.base),
        "--data": write_rows(folder / "data.jsonl", [row | own(n) for n, row in enumerate(rows[:10])]),
        "--outside": write_rows(folder / "outside.jsonl", [*rows[20:28], rows[0]]),
    }


def flags(given, where, **changed):
    """The words of a call; a change of None leaves the flag out."""
    words = given | {"--out": where} | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    for flag, value in words.items():
        if value is not None:
            yield from (flag, *(value if isinstance(value, tuple) else (value,)))


def left_behind(out):
    return sorted(path.name for path in out.parent.iterdir() if path != out)


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """The output of a run that nothing interrupts, made once."""
    return tmp_path_factory.mktemp("whole") / "items.jsonl"


@pytest.fixture
def uninterrupted(command, given, whole, puppet):
    if not whole.exists():
        done = command("sample_answers", *flags(given, whole), *SHORT, "--prompts", 13, "--reference")
        assert done.status == 0, done.err
        whole.with_suffix(".told").write_text(done.out, encoding="utf-8")
    return whole.read_bytes()


def test_items_are_of_both_models_and_both_sources_and_the_importer_reads_them(uninterrupted, given, whole):
    items, report = read(whole, "candidates")
    told = whole.with_suffix(".told").read_text(encoding="utf-8")
    assert len(items) == 13 and not report.notes
    assert Counter(item.source for item in items) == {"training": 7, "outside": 6}
    assert {item.prompt.department for item in items if item.source == "training"} == {"内科"}
    answers = {row["query"]: row["response"] for row in map(json.loads, given["--data"].read_text().splitlines())}
    for item in items:
        assert len(set(item.answers)) == len(item.answers) >= 2 and item.models.count("reference") == 1
        own = item.answers[item.models.index("reference")]
        assert item.source == "outside" or own == answers[item.prompt.user]
    shared = Counter(model for item in items for model in item.models)
    assert sorted(shared) == ["base", "reference", "sft"] and sum(shared.values()) > 48
    assert abs(shared["sft"] - shared["base"]) <= 52 - sum(shared.values()) + 1  # but for those that are missing
    assert len({item.models for item in items}) > 4  # no place tells the model
    assert "1 of --outside are of dialogues that begin as one of --data" in told and "仅供研究" in told
    assert (
        "13 prompts to ask: 7 training, 6 outside" in told
        and f"13 items (7 training, 6 outside), {sum(len(i.answers) < 4 for i in items)} of them with fewer" in told
    )
    assert left_behind(whole) == ["items.told"]


@pytest.mark.parametrize(
    "owner, name, times",
    [
        (Parts, "begin", 1),  # before the first model
        (Parts, "append", 1),
        (Parts, "append", 3),
        (Parts, "append", 4),  # between the two models: 13 prompts are four blocks
        (Parts, "append", 6),
        (Parts, "append", 8),  # before the output
        (os, "replace", 2),  # after the settings and the output, before the parts are removed
    ],
)
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(
    owner, name, times, killed, command, given, uninterrupted, tmp_path, spied
):
    out = tmp_path / "items.jsonl"
    words = ("sample_answers", *flags(given, out), *SHORT, "--prompts", 13, "--reference")
    killed(owner, name, times)(*words)
    blocks = spied(Parts, "append")
    done = command(*words)
    assert done.status == 0, done.err
    assert out.read_bytes() == uninterrupted and left_behind(out) == []
    assert len(blocks) == (0 if owner is os else 8 - (times if name == "append" else 0))
    assert ("goes on" in done.out) is (owner is not os) and ("nothing was done" in done.out) is (owner is os)


def test_a_torn_block_is_sampled_again_and_the_number_of_slots_may_change(
    killed, command, given, uninterrupted, tmp_path
):
    out = tmp_path / "items.jsonl"
    words = ("sample_answers", *flags(given, out), *SHORT, "--prompts", 13, "--reference")
    killed(Parts, "append", 7)(*words)
    file = tmp_path / "items.jsonl.parts" / "model-2.jsonl"
    size = file.stat().st_size
    with open(file, "r+b") as stream:
        stream.truncate(size - 5)  # within the last row of the third block
    done = command(*words, "--slots", 3)
    assert done.status == 0 and out.read_bytes() == uninterrupted, done.err


def test_a_damaged_row_is_named(puppet, killed, command, given, tmp_path):
    out = tmp_path / "items.jsonl"
    words = ("sample_answers", *flags(given, out), *SHORT, "--prompts", 5)
    killed(Parts, "append", 2)(*words)
    file = tmp_path / "items.jsonl.parts" / "model-1.jsonl"
    rows = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([rows[0], b"\0" * 20, *rows[2:]]))
    done = command(*words)
    assert done.status == 2 and f"{file}:2: damaged; remove {file.parent}" in done.err and not out.exists()


def test_a_changed_setting_is_refused_by_name(puppet, killed, command, given, line, tmp_path):
    out, other = tmp_path / "items.jsonl", write_rows(tmp_path / "o.jsonl", [{"query": "新？", "response": "好。"}] * 2)
    killed(Parts, "append", 1)("sample_answers", *flags(given, out), *SHORT, "--prompts", 4)
    changes = {
        "data": (given["--data"], other),
        "outside": (given["--outside"], other),
        "models": line.sft,
        "prompts": 5,
        "turn": "last",
        "closing_turns": "keep",
        "answers": 3,
        "temperature": 0.5,
        "max_new_tokens": 9,
        "seed": 1,
        "dtype": "bf16",
        "template": "huatuo",
    }
    for name, value in changes.items():
        set_before = {"prompts": 4, "device": "cpu", "max_new_tokens": 24} | {name: value}
        done = command("sample_answers", *flags(given, out, **set_before))
        flag = name.replace("_", "-")
        assert done.status == 2 and f"error: --{flag}: found " in done.err and "Traceback" not in done.err, done.err
    assert command("sample_answers", *flags(given, out), *SHORT, "--prompts", 4).status == 0  # control


def test_a_finished_file_is_kept_and_others_folders_are_not_touched(command, given, uninterrupted, whole, tmp_path):
    out, folder = tmp_path / "items.jsonl", tmp_path / "items.jsonl.parts"
    shutil.copy(whole, out)
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    done = command("sample_answers", *flags(given, out), *SHORT, "--seed", 5)
    assert done.status == 0 and "is there already, nothing was done" in done.out
    assert out.read_bytes() == uninterrupted and (folder / "mine.txt").exists()
    out.unlink()
    done = command("sample_answers", *flags(given, out), *SHORT)
    assert done.status == 2 and "is in the way, there is mine.txt" in done.err


def test_more_prompts_begin_with_the_same_and_another_seed_says_something_else(puppet, command, given, line, tmp_path):
    def call(name, **changed):
        settings = {"prompts": 4, "models": line.base, "device": "cpu"} | changed
        done = command("sample_answers", *flags(given, tmp_path / name, **settings))
        assert done.status == 0, done.err
        return (tmp_path / name).read_bytes()

    four = call("a")
    assert call("b") == four != call("c", seed=1)
    more = call("d", prompts=6)  # half of each: the four may lie between others
    assert set(four.splitlines()) < set(more.splitlines())
    assert all(len(json.loads(row)["responses"]) == 3 for row in call("e", answers=3).splitlines())


def test_answers_of_a_real_model_and_where_they_are_cut_off_they_are_not_shown(command, given, line, tmp_path, killed):
    def words(name, tokens, **changed):
        changed = {"models": line.base, "prompts": 5, "device": "cpu", "max_new_tokens": tokens} | changed
        return ("sample_answers", *flags(given, tmp_path / name, **changed))

    killed(Parts, "append", 1)(*words("a.jsonl", 12))
    done, again = command(*words("a.jsonl", 12, slots=5)), command(*words("b.jsonl", 12))
    assert done.status == again.status == 0 and "goes on" in done.out and "goes on" not in again.out
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    few = command(*words("c.jsonl", 1))
    assert few.status == 2 and "found no prompt with two different whole answers" in few.err
    assert not (tmp_path / "c.jsonl").exists() and not list(tmp_path.glob(".tmp-*"))


WRONG = [
    ({"models": None}, "--models is missing"),
    ({"out": None}, "--out is missing"),
    ({"data": None, "outside": None}, "--data is missing, and so is --outside"),
    ({"out": "."}, "--out . is a directory"),
    ({"answers": 1}, "--answers is 1, expected 2 to 8"),
    ({"answers": 9}, "--answers is 9"),
    ({"prompts": -1}, "--prompts is -1"),
    ({"slots": 0}, "--slots is 0"),
    ({"temperature": -1}, "temperature is -1.0, expected 0 (greedy)"),
    ({"temperature": 0}, "--temperature 0: found 4 answers of 2 models"),
    ({"max_new_tokens": 0}, "--max-new-tokens is 0"),
    ({"prompts": 30}, "--prompts 30, half from each of --data and --outside: --data has 10, expected 15"),
    ({"prompts": 20}, "--outside has 8, expected 10"),
    ({"models": "nowhere"}, "--models"),
    ({"data": "nowhere.jsonl"}, "--data nowhere.jsonl: no such file"),
    ({"outside": "nowhere.jsonl"}, "--outside nowhere.jsonl: no such file"),
]


@pytest.mark.parametrize("changed, message", WRONG)
def test_a_mistake_names_the_flag_and_writes_nothing(changed, message, command, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("sample_answers", *flags(given, Path("items.jsonl"), **changed))
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1, done.err
    assert not list(tmp_path.iterdir())


def test_one_model_twice_is_refused_and_two_of_one_name_go_by_their_paths(puppet, command, given, line, tmp_path):
    twice = command("sample_answers", *flags(given, tmp_path / "a.jsonl", models=(line.base, f"{line.base}/")))
    assert twice.status == 2 and "found a model twice" in twice.err
    shutil.copytree(line.base, tmp_path / "other" / "base")
    models = (line.base, tmp_path / "other" / "base")
    words = flags(given, tmp_path / "a.jsonl", models=models, prompts=2, answers=2)
    assert command("sample_answers", *words, *SHORT).status == 0
    items, _ = read(tmp_path / "a.jsonl", "candidates")
    assert {model for item in items for model in item.models} == set(map(str, models))
    assert all(one != other for item in items for one, other in pairwise(item.answers))  # alike, they say other things
