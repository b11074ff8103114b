"""scripts/evaluate.py pairwise, rubric and human: from files of answers to reports, offline."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.line import write_rows
from zj.clinic import question
from zj.clinic.ranking import with_degraded
from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of
from zj.eval.judges.clinic import GoldReferee
from zj.eval.judges.pairwise import PairwiseConfig, self_judged
from zj.eval.tables import tables_of
from zj.train.files import write_text
from zj.weights import config_of

QUESTIONS = [question(0, number) for number in range(24)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Path:
    """good.jsonl: the clinic's own answers; bad.jsonl: worse ones to every second question."""
    folder, rng = tmp_path_factory.mktemp("answers"), random.Random(0)
    for name in ("good", "bad"):
        texts = [
            with_degraded(rng, one, [], 1)[0] if name == "bad" and number % 2 else one.reference
            for number, one in enumerate(QUESTIONS)
        ]
        made = [
            AnswerRow(one.prompt, one.prompt.id, one.reference, name, text, "stop")
            for one, text in zip(QUESTIONS, texts, strict=True)
        ]
        write_text(folder / f"{name}.jsonl", lines_of(made))
    return folder


def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def flags(answers, out, *more):
    return ("--answers", answers / "good.jsonl", "--against", answers / "bad.jsonl", "--out", out, *more)


def test_the_clinic_judges_offline_and_a_second_run_asks_for_nothing(command, answers, tmp_path, monkeypatch):
    done = command("evaluate", "pairwise", *flags(answers, tmp_path / "a", "--controls", 18, "--seed", 1))
    assert done.status == 0 and "good against bad: 24 questions of 24 dialogues" in done.out, done
    found = report(tmp_path / "a")
    assert [row["dimension"] for row in found["results"]] == ["overall", "safety", "professionalism", "fluency"]
    first = found["results"][0]
    assert (first["wins"], first["ties"], first["losses"], first["unparsed"]) == (12, 12, 0, 0)
    assert first["sign_test"]["p"] == 2 / 2**12 and 2 / 2**12 <= first["sign_test"]["p_holm"] <= 8 / 2**12
    assert first["consistent"]["mean"] == 1 and set(first["groups"]) == {"one turn", "several turns"}
    assert len(tables_of(found)) == 3 and tables_of(found)[2].title == "controls of the judge"
    assert (
        found["controls"]["passed"] and found["counts"]["identical_answers"] == {"bad": 12} and not found["self_judged"]
    )
    assert set(found["prompt"]["sha256"]) == {row["dimension"] for row in found["results"]}
    lines = (tmp_path / "a" / "comparisons.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4 * 24 + 2 * 18 and "Evaluation Criteria" in json.loads(lines[0])["prompts"][1]

    again = command("evaluate", "pairwise", *flags(answers, tmp_path / "a"))
    assert again.status == 0 and "is there already, nothing was done" in again.out
    (tmp_path / "a" / "report.json").unlink()
    monkeypatch.setattr(GoldReferee, "__call__", lambda *_: pytest.fail("asked again"))
    done = command("evaluate", "pairwise", *flags(answers, tmp_path / "a", "--controls", 18, "--seed", 1))
    assert done.status == 0 and report(tmp_path / "a")["results"] == found["results"]


def test_noise_of_the_clinic_and_a_prompt_with_ratings(command, answers, tmp_path):
    more = ("--prompt", "huatuogpt", "--dimensions", "overall", "treatment+inquiry", "--noise", 0.3, "--controls", 0)
    done = command("evaluate", "pairwise", *flags(answers, tmp_path, *more))
    assert done.status == 0 and "No controls" in done.out, done
    overall, both = report(tmp_path)["results"]
    assert both["dimension"] == "treatment+inquiry" and overall["consistent"]["mean"] < 1
    assert overall["ratings"]["first"] > overall["ratings"]["second"] and overall["ratings"]["ratio"] < 1


def test_a_dry_run_and_a_model_without_verdicts(command, answers, line, tmp_path):
    dry = command("evaluate", "pairwise", *flags(answers, tmp_path / "dry", "--controls", 0, "--dry-run"))
    assert (
        dry.status == 0
        and "192 requests to synthetic clinic" in dry.out
        and not (tmp_path / "dry/report.json").exists()
    )
    more = ("--judge", line.sft, "--max-tokens", 2, "--limit", 2, "--dimensions", "overall", "--device", "cpu")
    done = command("evaluate", "pairwise", *flags(answers, tmp_path / "sft", *more))
    assert done.status == 0 and "THE CONTROLS FAIL" in done.out, done
    (row,) = report(tmp_path / "sft")["results"]
    assert (row["n"], row["unparsed"], row["losses"], row["score"]) == (2, 2, 0, None)
    positions = config_of(str(line.sft)).max_position_embeddings
    more = (*more, "--controls", 0, "--max-tokens", positions - 1)
    done = command("evaluate", "pairwise", *flags(answers, tmp_path / "long", *more))
    assert "4 requests had no reply: too long for the judge" in done.out, done


def test_a_judge_with_the_name_of_a_system_is_told(answers):
    row = AnswerRow(Prompt("q", "头痛？"), "q", "", "GPT-4o", "休息。", "stop")
    config = PairwiseConfig(answers="a", against=("b",), out="o", judge="endpoint", judge_model="gpt-4o")
    assert self_judged(config, {"renamed": [row]}) == ["renamed"]
    assert self_judged(PairwiseConfig(answers="a", against=("b",), out="o"), {"clinic": [row]}) == []


def test_a_rubric_by_the_clinic(command, answers, tmp_path):
    files = (answers / "good.jsonl", answers / "bad.jsonl")
    done = command("evaluate", "rubric", "--answers", *files, "--out", tmp_path)
    assert done.status == 0 and "difference to good" in done.out, done
    found = report(tmp_path)
    good, bad = (found["systems"][name]["score"]["mean"] for name in ("good", "bad"))
    assert good == pytest.approx(1, abs=0.1) and bad < good and found["differences"]["bad"]["high"] < 0
    assert set(found["systems"]["good"]["tags"]) == {"axis:safety", "axis:professionalism", "axis:fluency"}
    assert len((tmp_path / "grades.jsonl").read_text(encoding="utf-8").splitlines()) == 2 * 24 * 4


def test_answers_to_people_without_names(command, answers, tmp_path):
    files = ("--answers", answers / "good.jsonl", answers / "bad.jsonl")
    out = ("--out", tmp_path / "items.jsonl", "--key", tmp_path / "key.jsonl")
    done = command("evaluate", "human", "export", *files, *out)
    assert done.status == 0 and "12 items for annotate.py import; 12 with one answer of all" in done.out, done
    imported = command("annotate", "import", "--db", tmp_path / "r.db", "--data", tmp_path / "items.jsonl")
    assert imported.status == 0 and "12 items added" in imported.out, imported
    back = command("evaluate", "human", "import", "--judgements", tmp_path, "--key", tmp_path / "key.jsonl")
    assert back.status == 2 and "judgements.jsonl" in back.err, back


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pairwise", "--against", "b", "--out", "o"), "--answers is missing"),
        (
            ("pairwise", "--answers", "a", "--against", "b", "--out", "o", "--dimensions", "warmth"),
            "--dimensions warmth",
        ),
        (("pairwise", "--answers", "none.jsonl", "--against", "b", "--out", "o"), "none.jsonl"),
        (("rubric", "--answers", "a", "--out", "o", "--judge", "endpoint", "--judge-model", "x"), "--rubric clinic"),
        (("rubric", "--answers", "a"), "--out is missing"),
        (("human",), "usage: evaluate.py human export|import"),
        (("human", "export", "--answers", "a"), "--out is missing"),
        (("human", "export", "--answers", "a", "--out", "x", "--key", "x"), "--key x: expected another file"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = command("evaluate", *words)
    assert done.status == 2 and message in done.err and "Traceback" not in done.err, done


def test_questions_that_the_clinic_does_not_know(command, answers, tmp_path):
    row = {"id": "x", "prompt": [{"role": "user", "content": "头痛？"}], "dialogue": "x", "reference": "", "model": "m"}
    write_rows(tmp_path / "x.jsonl", [row | {"answer": "休息。", "finish_reason": "stop"}])
    others = ("--answers", tmp_path / "x.jsonl", "--against", f"n={tmp_path / 'x.jsonl'}", "--out", tmp_path / "o")
    done = command("evaluate", "pairwise", *others)
    assert done.status == 2 and "--judge clinic: x is no question of this clinic" in done.err, done
