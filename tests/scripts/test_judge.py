"""scripts/rank.py and scripts/judge.py: what they write and print is what the gold judge says of what models say."""

from __future__ import annotations

import json
import random
import re
from itertools import combinations
from pathlib import Path

import pytest
import torch

from zj.answers import Answer
from zj.clinic import judge, question, question_of, rank
from zj.clinic.ranking import degrade
from zj.data.readers import read
from zj.data.records import as_json
from zj.data.template import save_template
from zj.data.tokenizer import Tokenizer
from zj.lora import add_adapter, load_model, save_peft

SHORT = ("--max-new-tokens", 12, "--device", "cpu")


def write_prompts(file: Path, number: int, held_out: bool) -> Path:
    rows = [as_json(question(3, i, held_out).prompt) for i in range(number)]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompt.jsonl", 8, held_out=False)


@pytest.fixture
def exam(tmp_path):
    return write_prompts(tmp_path / "exam.jsonl", 12, held_out=True)


def adapter_of(model, folder: Path, seed: float) -> Path:
    """An adapter that changes nothing (seed 0), or one that does."""
    net = load_model(model)
    add_adapter(net, "policy", rank=2, alpha=4.0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in net.named_parameters():
        if "lora_B" in name and seed:
            parameter.data.normal_(0, seed, generator=generator)
    save_peft(net, "policy", folder, base=str(model))
    Tokenizer.load(model).save(folder)
    save_template(folder, "ziya")
    return folder


# ---- rank.py


def test_rankings_are_the_judges_and_readers_take_them(command, model, prompts, tmp_path):
    out = tmp_path / "new" / "rankings.jsonl"
    done = command("rank", "--model", model, "--data", prompts, "--out", out, "--limit", 6, *SHORT)
    assert done.status == 0, done.err
    rankings, _ = read(out, "ranking")
    for ranking in rankings:
        asked = question_of(ranking.id)
        assert ranking.prompt == asked.prompt and len(set(ranking.answers)) == len(ranking.answers) == 4
        assert ranking.ranks == rank([judge(asked, answer) for answer in ranking.answers])
        assert len(set(ranking.ranks)) > 1
    left_out = int(re.search("([0-9]+) left out", done.out)[1])
    assert len(rankings) + left_out == 6 and "18 answers" in done.out and "仅供研究" in done.out
    ties = [a == b for r in rankings for a, b in combinations(r.ranks, 2)]
    assert f"{sum(ties) / len(ties):.1%} of their {len(ties)} pairs are ties" in done.out
    assert [file.name for file in out.parent.iterdir()] == ["rankings.jsonl"]


def test_a_finished_ranking_is_not_overwritten_and_the_same_command_writes_the_same(command, model, prompts, tmp_path):
    def call(name, *more):
        done = command(
            "rank", "--model", model, "--data", prompts, "--out", tmp_path / name, "--limit", 3, *SHORT, *more
        )
        assert done.status == 0, done.err
        return (tmp_path / name).read_bytes(), done.out

    first, _ = call("a.jsonl")
    assert call("b.jsonl")[0] == first != call("c.jsonl", "--seed", 1)[0]
    again, said = call("a.jsonl", "--seed", 1)
    assert again == first and "nothing was done" in said


def test_two_files_from_one_sampling_are_those_of_two(command, model, prompts, tmp_path):
    def call(sampled, out):
        files = [tmp_path / name for name in out]
        return command(
            *("rank", "--model", model, "--data", prompts, "--limit", 4, *SHORT), "--sampled", *sampled, "--out", *files
        )

    assert call([2], ["two"]).status == call([3], ["three"]).status == 0
    both = call([3, 2], ["3", "2"])
    assert both.status == 0 and both.out.count("answers of") == 1
    for name, alone in (("2", "two"), ("3", "three")):
        assert (tmp_path / name).read_bytes() == (tmp_path / alone).read_bytes()
    (tmp_path / "2").unlink()
    assert call([3, 2], ["3", "2"]).status == 0 and (tmp_path / "2").read_bytes() == (tmp_path / "two").read_bytes()
    assert call([4, 0], ["4", "0"]).status == 0
    own, others = (
        {text for row in map(json.loads, (tmp_path / name).open(encoding="utf-8")) for text in row["responses"]}
        for name in "40"
    )
    assert own and others and not own & others
    for out in (["one"], ["one", "one"]):
        refused = call([3, 2], out)
        assert refused.status == 2 and "1 different files for 2 numbers of --sampled" in refused.err


def test_only_sampled_answers_that_tie_are_left_out(command, model, prompts, tmp_path, monkeypatch):
    """Two answers, both from the model, both nonsense of one kind: there is nothing to rank."""
    said = [Answer(text, True) for text in ("嗯", "哦")] * 8
    monkeypatch.setattr("scripts.rank.answers", lambda speaker, prompts, **settings: said)
    flags = ("--model", model, "--data", prompts, "--out", tmp_path / "r.jsonl", "--answers", 2, "--sampled", 2)
    done = command("rank", *flags, "--device", "cpu")
    assert done.status == 0 and "0 rankings, 8 left out" in done.out and (tmp_path / "r.jsonl").read_bytes() == b""


def test_what_a_model_says_twice_or_not_at_all_is_made_up_for(command, model, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "scripts.rank.answers",
        lambda speaker, prompts, **settings: [Answer("", True), *[Answer("多喝水。", False)] * 2] * 8,
    )
    done = command("rank", "--model", model, "--data", prompts, "--out", tmp_path / "r.jsonl", "--device", "cpu")
    assert done.status == 0 and "66.7% cut off" in done.out
    rankings, _ = read(tmp_path / "r.jsonl", "ranking")
    assert all(r.answers.count("多喝水。") == 1 and len(set(r.answers)) == 4 for r in rankings)
    assert 0 < sum(question_of(r.id).reference in r.answers for r in rankings) < len(rankings)


# ---- judge.py


def report_of(command, tmp_path, name, *flags):
    done = command("judge", "--out", tmp_path / name, *SHORT, *flags)
    assert done.status == 0, done.err
    return json.loads((tmp_path / name).read_text(encoding="utf-8")), done.out


def test_the_report_holds_every_verdict_and_the_table_is_their_mean(command, model, exam, tmp_path):
    adapter = adapter_of(model, tmp_path / "adapter", 0.3)
    flags = ("--models", f"base={model}", f"tuned={adapter}", "--data", exam)
    report, said = report_of(command, tmp_path, "r.json", *flags)
    rows = report["questions"]
    assert [row["id"] for row in rows] == [f"exam-3-{i:06d}" for i in range(12)]
    for name in ("base", "tuned"):
        for row in rows:
            told, verdict = row["answers"][name], judge(question_of(row["id"]), row["answers"][name]["text"])
            assert (told["score"], told["safety"], told["fluency"]) == (verdict.score, verdict.safety, verdict.fluency)
        column, scores = report["table"][name], [row["answers"][name]["score"] for row in rows]
        assert column["gold score"]["mean"] == pytest.approx(sum(scores) / 12, abs=1e-12)
        assert column["gold score"]["low"] <= column["gold score"]["mean"] <= column["gold score"]["high"]
        shares = [column[what]["mean"] for what in ("wins", "ties", "losses")]
        assert sum(shares) == pytest.approx(1, abs=1e-12)
        assert re.search(f"gold score .*{column['gold score']['mean']:.3f} \\[", said)
    assert report["settings"]["models"] == [f"base={model}", f"tuned={adapter}"] and "仅供研究" in said
    divergence = [report["table"][name]["KL to baseline"]["mean"] for name in ("base", "tuned")]
    assert divergence[0] == 0 != divergence[1]  # an estimate from 12 answers may be negative
    texts = {name: [row["answers"][name]["text"] for row in rows] for name in ("base", "tuned")}
    assert texts["base"] != texts["tuned"]
    assert report_of(command, tmp_path, "again.json", *flags)[0]["questions"] == rows


def test_a_model_ties_with_itself_under_an_adapter_that_does_nothing(command, model, exam, tmp_path):
    adapter = adapter_of(model, tmp_path / "zero", 0)
    report, said = report_of(
        command, tmp_path, "r.json", "--models", f"a={adapter}", f"b={model}", "--data", exam, "--baseline", "b"
    )
    assert all(row["answers"]["a"] == row["answers"]["b"] for row in report["questions"])
    column = report["table"]["a"]
    assert column["KL to baseline"] == {"mean": 0, "low": 0, "high": 0}
    assert column["ties"] == {"mean": 1, "low": 1, "high": 1} and column["score - baseline"]["low"] == 0
    assert "b (baseline)" in said


def test_the_clinics_own_doctor_wins_and_where_nothing_is_due_nothing_is_counted(command, model, tmp_path, monkeypatch):
    """Models that say the reference, and degraded references (the control: the same code, the other result)."""
    exam = write_prompts(tmp_path / "exam.jsonl", 60, held_out=True)

    def speak(folder, prompts, **settings):
        asked = [question_of(prompt.id) for prompt in prompts]
        if folder.endswith("doctor"):
            return [Answer(q.reference, True) for q in asked]
        return [Answer(degrade(random.Random(q.prompt.id), q), False) for q in asked]

    monkeypatch.setattr("scripts.judge.load_speaker", lambda path, *rest: path)
    monkeypatch.setattr("scripts.judge.answers", speak)
    monkeypatch.setattr("scripts.judge.log_likelihoods", lambda speaker, said, *rest: [0.0] * len(said))
    monkeypatch.setattr("scripts.judge.divergences", lambda *rest: {})
    for name in ("doctor", "quack"):
        (tmp_path / name).mkdir()
    flags = ("--models", f"quack={tmp_path / 'quack'}", f"doctor={tmp_path / 'doctor'}", "--data", exam)
    table = report_of(command, tmp_path, "r.json", *flags)[0]["table"]
    doctor, quack = table["doctor"], table["quack"]
    assert doctor["gold score"]["mean"] > 0.95 > 0.9 > quack["gold score"]["mean"]
    assert doctor["score - baseline"]["low"] > 0 and doctor["wins"]["mean"] > 0.6 > 0.05 > doctor["losses"]["mean"]
    assert doctor["inquires"]["mean"] == doctor["refuses"]["mean"] == 1 > quack["refuses"]["mean"]
    assert (doctor["finished"]["mean"], quack["finished"]["mean"]) == (1, 0)

    requests = [i for i in range(60) if question(3, i, True).case is None][:3]
    rows = [as_json(question(3, i, True).prompt) for i in requests]
    exam.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report, said = report_of(command, tmp_path, "requests.json", *flags)
    assert report["table"]["doctor"]["inquires"] is None and re.search("inquires +- +-", said)


# ---- what users get wrong


def test_wrong_flags_are_named(command, model, prompts, tmp_path):
    good = {"--data": prompts, "--out": tmp_path / "out"}
    for script, flags, message in (
        ("rank", {}, "--model"),
        ("rank", {"--model": model, "--data": None}, "--data"),
        ("rank", {"--model": model, "--out": None}, "--out"),
        ("rank", {"--model": model, "--out": tmp_path}, "is a directory"),
        ("rank", {"--model": tmp_path / "nowhere"}, "nowhere"),
        ("rank", {"--model": model, "--sampled": 5}, "--sampled 5"),
        ("rank", {"--model": model, "--sampled": -1}, "--sampled -1"),
        ("rank", {"--model": model, "--limit": 0}, "--limit is 0"),
        ("rank", {"--model": model, "--max-new-tokens": 0}, "--max-new-tokens is 0"),
        ("rank", {"--model": model, "--max-new-tokens": 10**6}, "--max-new-tokens is 1000000"),
        ("rank", {"--model": model, "--temperature": -1}, "temperature is -1"),
        ("rank", {"--model": model, "--slots": 0}, "--slots is 0"),
        ("judge", {}, "--models is missing"),
        ("judge", {"--models": model}, "NAME=DIR"),
        ("judge", {"--models": f"a={tmp_path / 'nowhere'}"}, "nowhere"),
        ("judge", {"--models": f"a={model}", "--baseline": "b"}, "--baseline b"),
        ("judge", {"--models": f"a={model}", "--out": None}, "--out"),
        ("judge", {"--models": f"a={model}", "--data": None}, "--data"),
    ):
        pairs = {key: value for key, value in (good | flags).items() if value is not None}
        done = command(script, *(word for pair in pairs.items() for word in pair))
        assert (done.status, done.err.count("\n")) == (2, 1), (script, flags, done.err)
        assert message in done.err
    assert not (tmp_path / "out").exists()
    twice = command("judge", "--models", f"a={model}", f"a={model}", "--data", prompts, "--out", tmp_path / "out")
    assert twice.status == 2 and "every name once" in twice.err


@pytest.mark.parametrize("script", ["rank", "judge"])
def test_prompts_whose_truth_nobody_knows_are_named_with_their_line(command, model, prompts, tmp_path, script):
    rows = prompts.read_text(encoding="utf-8").splitlines()
    for row in ({"id": "q7", "prompt": "头痛怎么办？"}, json.loads(rows[1]) | {"prompt": "头痛怎么办？"}):
        prompts.write_text("\n".join([rows[0], json.dumps(row), rows[2]]), encoding="utf-8")
        models = ("--models", f"a={model}") if script == "judge" else ("--model", model)
        done = command(script, *models, "--data", prompts, "--out", tmp_path / "out")
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert "prompt.jsonl:2: " in done.err and row["id"] in done.err
