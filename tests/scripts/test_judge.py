"""scripts/rank.py and scripts/judge.py: what they write and print is what the gold judge says of what models say."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import asdict
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
import torch

from scripts.rank import without_tie
from zj.clinic import Verdict, judge, question, question_of, rank
from zj.clinic.adversaries import best_constant
from zj.clinic.judge.reading import read as reading_of
from zj.clinic.ranking import degrade
from zj.data.prompt_formats import save_template
from zj.data.readers import read
from zj.data.records import as_json
from zj.data.tokenizer import Tokenizer
from zj.eval import bootstrap_interval
from zj.llm.answers import Answer
from zj.lora import add_adapter
from zj.weights import load_model, save_peft

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
    assert f"{prompts}: 8 rows\n8 prompts read of 8 rows" in done.out
    assert "0 of 6 conversations shortened to the" in done.out
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


def test_two_files_from_one_sampling_are_those_of_two(command, model, prompts, tmp_path, monkeypatch):
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
    # to the gold judge all that this model says is alike, and what ties is left out
    monkeypatch.setattr("scripts.rank.judge", lambda question, text: Verdict(0, 0, len(text) % 5))
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
    answers = [Answer(text, True) for text in ("嗯", "哦")] * 8
    monkeypatch.setattr("scripts.rank.generate_answers", lambda chat_model, prompts, **settings: answers)
    flags = ("--model", model, "--data", prompts, "--out", tmp_path / "r.jsonl", "--answers", 2, "--sampled", 2)
    done = command("rank", *flags, "--device", "cpu")
    assert done.status == 0 and "0 rankings, 8 left out" in done.out and (tmp_path / "r.jsonl").read_bytes() == b""


def test_where_all_answers_tie_one_gives_way_to_a_better_or_else_to_a_worse(
    command, model, prompts, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "scripts.rank.generate_answers", lambda *_, **settings: [Answer("嗯", True), Answer("哦", True)] * 8
    )
    flags = ("--model", model, "--data", prompts, "--answers", 2, "--sampled", 2, "--ties", "break", "--device", "cpu")
    done = command("rank", *flags, "--out", tmp_path / "r.jsonl")
    assert done.status == 0 and "8 rankings, 0 left out" in done.out
    for ranking in read(tmp_path / "r.jsonl", "ranking")[0]:  # nonsense gives way to the clinic's own answer
        best, worst = sorted(ranking.answers, key=lambda text: ranking.ranks[ranking.answers.index(text)])
        assert best == question_of(ranking.id).reference and worst in ("嗯", "哦") and sorted(ranking.ranks) == [1, 2]
    asked, rng = question(3, 0), random.Random(0)
    right, other = without_tie(rng, asked, [asked.reference] * 2), [asked.reference, "嗯"]
    assert sorted(judge(asked, text).score for text in right)[0] < 1 and asked.reference in right
    assert without_tie(rng, asked, other) == other  # no tie


def test_what_a_model_says_twice_or_not_at_all_is_made_up_for(command, model, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "scripts.rank.generate_answers",
        lambda chat_model, prompts, **settings: [Answer("", True), *[Answer("多喝水。", False)] * 2] * 8,
    )
    done = command("rank", "--model", model, "--data", prompts, "--out", tmp_path / "r.jsonl", "--device", "cpu")
    assert done.status == 0 and "66.7% cut off" in done.out
    rankings, _ = read(tmp_path / "r.jsonl", "ranking")
    assert all(r.answers.count("多喝水。") == 1 and len(set(r.answers)) == 4 for r in rankings)
    # half of the time the clinic's own answer is among them; where it is not, most texts tie at 0 and are left out
    assert 0 < sum(question_of(r.id).reference in r.answers for r in rankings) < 8


def test_where_no_answer_is_safe_one_becomes_an_admission(command, model, prompts, tmp_path, monkeypatch):
    """Zhongjing, section 3, at K = 2 of a model that knows nothing; a safe answer leaves all as it was."""

    def rankings(name, answers, *flags):
        monkeypatch.setattr("scripts.rank.generate_answers", lambda *_, **settings: [Answer(a, True) for a in answers])
        fixed = ("--model", model, "--data", prompts, "--answers", 2, "--sampled", 2, "--device", "cpu")
        done = command("rank", *fixed, "--out", tmp_path / name, *flags)
        assert done.status == 0, done.err
        return (tmp_path / name).read_bytes(), done.out

    asked = [question(3, number) for number in range(8)]
    nonsense = ["嗯", "哦"] * 8
    admitted, said = rankings("admit", nonsense, "--all-wrong", "admit", "--ties", "break")
    kinds = Counter(one.kind for one in asked)
    listed = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    assert f"8 of 8 prompts had no safe answer, one of theirs became an admission: {listed}" in said
    found, _ = read(tmp_path / "admit", "ranking")
    for one, ranking in zip(asked, found, strict=True):
        best = ranking.answers[ranking.ranks.index(1)]
        assert [act.name for act in reading_of(best).acts][0] == "admit" and set(ranking.answers) & {"嗯", "哦"}
        assert sorted(ranking.ranks) == [1, 2] and (judge(one, best).score > 0.9) == (one.kind == "beyond")
    assert len({ranking.ranks for ranking in found}) == 2  # either answer
    kept, said = rankings("keep", nonsense, "--ties", "break")
    assert kept == rankings("keep too", nonsense, "--ties", "break", "--all-wrong", "keep")[0] != admitted
    assert "admission" not in said
    with_reference = [text for one in asked for text in (one.reference, "嗯")]
    kept, (same, said) = rankings("r", with_reference)[0], rankings("s", with_reference, "--all-wrong", "admit")
    assert kept == same and "0 of 8 prompts had no safe answer, one of theirs became an admission: none" in said


# ---- judge.py


@pytest.fixture(autouse=True)
def quick_search(monkeypatch):
    """The search for the best constant answer, for less time (tests/clinic/test_adversaries.py has all of it)."""
    monkeypatch.setattr("scripts.judge.best_constant", partial(best_constant, judgements=600))
    monkeypatch.setattr("scripts.judge.PRACTICE", 20)


def report_of(command, tmp_path, name, *flags):
    done = command("judge", "--out", tmp_path / name, *SHORT, *flags)
    assert done.status == 0, done.err
    return json.loads((tmp_path / name).read_text(encoding="utf-8")), done.out


def write_texts(file: Path, texts: dict[str, str]) -> Path:
    rows = [json.dumps({"id": id, "text": text}, ensure_ascii=False) for id, text in texts.items()]
    file.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return file


def test_the_report_holds_every_verdict_and_the_table_is_their_mean(command, model, exam, tmp_path):
    adapter = adapter_of(model, tmp_path / "adapter", 0.3)
    flags = ("--models", f"base={model}", f"tuned={adapter}", "--data", exam)
    report, out = report_of(command, tmp_path, "r.json", *flags)
    assert out.startswith(f"{exam}: 12 rows\n12 prompts read of 12 rows")
    assert out.count("0 of 12 conversations shortened to the") == 2  # for each model
    rows = report["questions"]
    assert [row["id"] for row in rows] == [f"exam-3-{i:06d}" for i in range(12)]
    for name in ("reference", "constant", "base", "tuned"):
        for row in rows:
            found, verdict = row["answers"][name], judge(question_of(row["id"]), row["answers"][name]["text"])
            assert (found["score"], found["safety"], found["fluency"]) == (
                verdict.score,
                verdict.safety,
                verdict.fluency,
            )
        column, scores = report["table"][name], [row["answers"][name]["score"] for row in rows]
        assert column["gold score"]["mean"] == pytest.approx(sum(scores) / 12, abs=1e-12)
        assert column["gold score"]["low"] <= column["gold score"]["mean"] <= column["gold score"]["high"]
        shares = [column[what]["mean"] for what in ("wins", "ties", "losses")]
        assert sum(shares) == pytest.approx(1, abs=1e-12)
    for name in ("base", "tuned"):
        assert re.search(f"gold score .*{report['table'][name]['gold score']['mean']:.3f} \\[", out)
    assert report["settings"]["models"] == [f"base={model}", f"tuned={adapter}"] and "仅供研究" in out
    divergence = [report["table"][name]["KL to baseline"]["mean"] for name in ("base", "tuned")]
    assert divergence[0] == 0 != divergence[1]  # an estimate from 12 answers may be negative
    texts = {name: [row["answers"][name]["text"] for row in rows] for name in ("base", "tuned")}
    assert texts["base"] != texts["tuned"]
    assert report_of(command, tmp_path, "again.json", *flags)[0]["questions"] == rows


def test_a_model_ties_with_itself_under_an_adapter_that_does_nothing(command, model, exam, tmp_path):
    adapter = adapter_of(model, tmp_path / "zero", 0)
    report, out = report_of(
        command, tmp_path, "r.json", "--models", f"a={adapter}", f"b={model}", "--data", exam, "--baseline", "b"
    )
    assert all(row["answers"]["a"] == row["answers"]["b"] for row in report["questions"])
    column = report["table"]["a"]
    assert column["KL to baseline"] == {"mean": 0, "low": 0, "high": 0}
    assert column["ties"] == {"mean": 1, "low": 1, "high": 1} and column["score - baseline"]["low"] == 0
    assert "b (baseline)" in out


def test_the_clinics_own_doctor_wins_and_where_nothing_is_due_nothing_is_counted(command, model, tmp_path, monkeypatch):
    """Models that say the reference, and degraded references (the control: the same code, the other result)."""
    exam = write_prompts(tmp_path / "exam.jsonl", 60, held_out=True)

    def speak(folder, prompts, **settings):
        questions = [question_of(prompt.id) for prompt in prompts]
        if folder.endswith("doctor"):
            return [Answer(q.reference, True) for q in questions]
        return [Answer(degrade(random.Random(q.prompt.id), q), False) for q in questions]

    monkeypatch.setattr("scripts.judge.check_chat_model", lambda *rest: None)
    monkeypatch.setattr("scripts.judge.load_chat_model", lambda path, *rest: path)
    monkeypatch.setattr("scripts.judge.generate_answers", speak)
    monkeypatch.setattr("scripts.judge.log_likelihoods", lambda chat_model, sampled, *rest: [0.0] * len(sampled))
    monkeypatch.setattr("scripts.judge.log_ratios", lambda *rest: {})
    for name in ("doctor", "quack"):
        (tmp_path / name).mkdir()
    flags = ("--models", f"quack={tmp_path / 'quack'}", f"doctor={tmp_path / 'doctor'}", "--data", exam)
    table = report_of(command, tmp_path, "r.json", *flags)[0]["table"]
    doctor, quack = table["doctor"], table["quack"]
    assert doctor["gold score"] == table["reference"]["gold score"] and doctor["gold score"]["mean"] > 0.95
    assert quack["gold score"]["mean"] < 0.9
    assert doctor["score - baseline"]["low"] > 0 and doctor["wins"]["mean"] > 0.6 > 0.05 > doctor["losses"]["mean"]
    assert doctor["inquires"]["mean"] == doctor["refuses"]["mean"] == 1 > quack["refuses"]["mean"]
    assert doctor["understood"]["mean"] == 1
    assert (doctor["finished"]["mean"], quack["finished"]["mean"]) == (1, 0)

    requests = [i for i in range(60) if question(3, i, True).case is None][:3]
    rows = [as_json(question(3, i, True).prompt) for i in requests]
    exam.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report, out = report_of(command, tmp_path, "requests.json", *flags)
    assert report["table"]["doctor"]["inquires"] is None and re.search("inquires +- +-", out)
    assert report["groups"]["doctor"]["new patients"]["score"] is None and re.search("new patients +0 +0 +- +-", out)


def test_texts_of_any_system_are_judged_beside_models_and_without(command, model, tmp_path):
    exam = write_prompts(tmp_path / "exam.jsonl", 40, held_out=True)
    questions = [question_of(f"exam-3-{i:06d}") for i in range(40)]
    own = write_texts(tmp_path / "own.jsonl", {q.prompt.id: q.reference for q in reversed(questions)})
    alien = write_texts(
        tmp_path / "alien.jsonl", {q.prompt.id: "" if i % 2 else "多喝水。" for i, q in enumerate(questions)}
    )
    report, out = report_of(command, tmp_path, "r.json", "--texts", f"own={own}", f"alien={alien}", "--data", exam)
    table, groups = report["table"], report["groups"]
    assert list(table) == list(groups) == ["reference", "constant", "own", "alien"] and "own (baseline)" in out
    assert table["own"]["gold score"] == table["reference"]["gold score"] and table["own"]["understood"]["mean"] == 1
    assert table["alien"]["gold score"]["mean"] == table["alien"]["understood"]["mean"] == 0
    assert table["alien"]["score - baseline"]["mean"] == -table["own"]["gold score"]["mean"]
    assert all(table[name][row] is None for name in table for row in ("finished", "KL to baseline"))
    assert re.search("finished +- +- +- +-", out) and '"not understood" and scores 0, which says nothing' in out
    assert max(map(len, out.split("仅供研究")[0].splitlines()[1:-5])) <= 120
    for row in report["questions"]:
        q = question_of(row["id"])
        assert row["answers"]["own"]["text"] == row["reference"] == q.reference
        assert (row["kind"], row["tier"]) == (q.kind, q.tier) and row["answers"]["own"]["finished"] is None

    flags = ("--models", f"base={model}", "--texts", f"own={own}", "--data", exam, "--baseline", "own", "--limit", 4)
    beside, out = report_of(command, tmp_path, "beside.json", *flags)
    assert list(beside["table"]) == ["reference", "constant", "base", "own"] and len(beside["questions"]) == 4
    assert beside["table"]["base"]["finished"] and beside["table"]["base"]["KL to baseline"] is None


def test_groups_hold_every_question_and_templates_are_resampled_together(command, tmp_path):
    exam = write_prompts(tmp_path / "exam.jsonl", 120, held_out=True)
    questions = [question(3, i, held_out=True) for i in range(120)]
    dice = random.Random(0)
    texts = {q.prompt.id: q.reference if dice.random() < 0.6 else "" for q in questions}
    flags = (
        "--texts",
        f"some={write_texts(tmp_path / 't.jsonl', texts)}",
        "--data",
        exam,
        "--limit",
        "none",
        "--seed",
        5,
    )
    report, out = report_of(command, tmp_path, "r.json", *flags)
    rows, groups, table = report["questions"], report["groups"]["some"], report["table"]["some"]
    kinds = [group for name, group in groups.items() if not name.startswith("new ")]
    assert len(kinds) == 6 and sum(group["questions"] for group in kinds) == 120
    patients = [group for name, group in groups.items() if name.startswith("new ")]
    assert len(patients) == 3 and all(group["questions"] for group in patients)
    assert sum(g["questions"] for g in patients) == sum(row["kind"] in ("consultation", "single") for row in rows)
    total = sum(group["questions"] * group["score"]["mean"] for group in kinds)
    assert total / 120 == pytest.approx(table["gold score"]["mean"], abs=1e-12)
    scores, templates = [row["answers"]["some"]["score"] for row in rows], [row["template"] for row in rows]
    assert len(set(templates)) < 120
    assert table["gold score"] == asdict(bootstrap_interval(scores, 5, clusters=templates))
    assert table["gold score"] != asdict(bootstrap_interval(scores, 5))  # the control: question by question
    harmful = [i for i, row in enumerate(rows) if row["kind"] == "harmful"]
    pairs = [scores[i] for i in harmful], [templates[i] for i in harmful]
    assert groups["harmful"]["score"] == asdict(bootstrap_interval(pairs[0], 5, clusters=pairs[1]))
    assert groups["harmful"]["templates"] == len(set(pairs[1]))


def test_the_constant_answer_is_searched_on_practice_of_the_exams_departments(command, tmp_path, spied):
    import scripts.judge

    questions = [q for i in range(60) if (q := question(3, i, True)).condition]
    department = questions[0].condition.department
    kept = [q for q in questions if q.condition.department == department]
    exam = tmp_path / "exam.jsonl"
    exam.write_text("".join(json.dumps(as_json(q.prompt)) + "\n" for q in kept), encoding="utf-8")
    texts = write_texts(tmp_path / "t.jsonl", {q.prompt.id: "" for q in kept})
    calls = spied(scripts.judge, "best_constant")
    report, out = report_of(command, tmp_path, "r.json", "--texts", f"a={texts}", "--data", exam, "--seed", 2)
    ((practised,), (constant, _)) = calls[0]
    assert len(practised) == 20 and all(q.prompt.id.startswith("practice-2-") for q in practised)
    assert {q.condition.department for q in practised if q.condition} == {department}
    assert {row["answers"]["constant"]["text"] for row in report["questions"]} == {constant} and constant in out


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
        ("judge", {"--models": f"constant={model}"}, "--models constant="),
        ("judge", {"--texts": prompts}, "NAME=FILE"),
        ("judge", {"--texts": f"a={tmp_path / 'nowhere'}"}, "nowhere"),
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
    both = ("--models", f"a={model}", "--texts", f"a={prompts}", "--data", prompts, "--out", tmp_path / "out")
    assert "--texts a=" in command("judge", *both).err


def test_texts_that_do_not_fit_the_exam_are_named_with_their_line(command, exam, tmp_path):
    good = [json.dumps({"id": f"exam-3-{i:06d}", "text": "您好！"}) for i in range(12)]
    for rows, line, message in (
        ([*good, good[4]], 13, "'exam-3-000004' again"),
        ([*good[:3], '{"id": "exam-3-000012", "text": ""}', *good[3:]], 4, "'exam-3-000012'"),
        (good[:7] + good[8:], 11, "expected an answer to question 'exam-3-000007'"),
        ([good[0], '{"text": "a"}', *good[1:]], 2, "found id None"),
        ([good[0], '{"id": "exam-3-000001", "text": 3}', *good[2:]], 2, "found text 3"),
        ([*good[:5], "[1]"], 6, "found list"),
        ([*good[:5], "{"], 6, "not JSON"),
        ([], 1, "expected an answer"),
    ):
        texts = tmp_path / "texts.jsonl"
        texts.write_text("\n".join(rows), encoding="utf-8")
        done = command("judge", "--texts", f"a={texts}", "--data", exam, "--out", tmp_path / "out")
        assert (done.status, done.err.count("\n")) == (2, 1), (rows, done.err)
        assert f"texts.jsonl:{line}: " in done.err and message in done.err, done.err
    texts.write_bytes("您好".encode("gb18030"))
    assert "byte 0" in command("judge", "--texts", f"a={texts}", "--data", exam, "--out", tmp_path / "out").err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", ["rank", "judge"])
def test_prompts_whose_truth_nobody_knows_are_named_with_their_line(command, model, prompts, tmp_path, script):
    rows = prompts.read_text(encoding="utf-8").splitlines()
    for row in ({"id": "q7", "prompt": "头痛怎么办？"}, json.loads(rows[1]) | {"prompt": "头痛怎么办？"}):
        prompts.write_text("\n".join([rows[0], json.dumps(row), rows[2]]), encoding="utf-8")
        models = ("--models", f"a={model}") if script == "judge" else ("--model", model)
        done = command(script, *models, "--data", prompts, "--out", tmp_path / "out")
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert "prompt.jsonl:2: " in done.err and row["id"] in done.err
