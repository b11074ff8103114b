"""A value of each question: every form as its command writes it, filters, and what does not fit."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.eval.choice.questions import question
from tests.eval.claims.results import measure, write_exam, write_lines
from zj.clinic import question as exam_question
from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of
from zj.eval.choice.measure import Reading
from zj.eval.choice.report import as_report
from zj.eval.claims.claim import FORMS, Measure, Side, Where
from zj.eval.claims.curve import read_exam
from zj.eval.claims.measure import pair_up
from zj.eval.claims.values import values
from zj.eval.metrics import INQUIRIES, NOT_UNDERSTOOD, compute_metrics, judge_answers
from zj.eval.patient.outcome import Outcome
from zj.eval.report import question_rows
from zj.train.files import to_json, write_text


def of(folder, form, file, metric, system="", where=None):
    side = Side(file, system)
    found = values(folder, side, Measure("w", form, metric, side, Side("b"), "higher", where or Where()))
    return {id: one.value for id, one in found.items()}


def known(found):
    return [value for value in found.values() if value is not None]


def test_means_of_an_exam_are_those_of_its_report(tmp_path):
    """The very functions of judge.py wrote the file; its table is computed another way."""
    questions = [exam_question(0, number) for number in range(30)]
    answers = judge_answers(questions, [question.reference for question in questions], [True] * 30, [0.5] * 30)
    metrics = compute_metrics(questions, answers, answers, 0)
    table = {"reference": {row: value and asdict(value) for row, value in metrics.items()}}
    report = {"table": table, "questions": list(question_rows(questions, {"reference": answers}))}
    write_text(tmp_path / "report.json", to_json(report))
    names = {"gold score": "score"} | {name: name for name in FORMS["exam"] if name in metrics}
    assert len(names) == len(FORMS["exam"]) - 1  # but "inquires where nothing is due"
    for row, metric in names.items():
        found = known(of(tmp_path, "exam", "report.json", metric, "reference"))
        assert sum(found) / len(found) == pytest.approx(metrics[row].mean)
    assert read_exam(tmp_path / "report.json").kl == {"reference": 0.5}
    due = [bool(INQUIRIES & set(question.due)) for question in questions]
    assert len(known(of(tmp_path, "exam", "report.json", "inquires", "reference"))) == sum(due)
    assert len(known(of(tmp_path, "exam", "report.json", "inquires where nothing is due", "reference"))) == 30 - sum(
        due
    )


def test_filters_of_an_exam(tmp_path):
    write_exam(tmp_path / "report.json", {"new": 0.1}, size=48)

    def number(**where):
        return len(of(tmp_path, "exam", "report.json", "score", "new", Where(**where)))

    assert number() == 48 and number(kind=("single",)) == 12 and number(kind=("single", "harmful")) == 24
    assert number(tier=("words",)) == 16 and number(kind=("single",), tier=("words",)) == 4
    assert number(due=("refuse", "admit")) == 24 and number(prefix=("exam-0-00001",)) == 10
    with pytest.raises(ValueError, match="report.json: no question is left where .*prefix=\\('other',\\)"):
        number(prefix=("other",))


def test_an_answer_that_is_not_understood(tmp_path):
    file = write_exam(tmp_path / "report.json", {"new": 0.1}, size=4)
    file.write_text(file.read_text().replace('"faults": []', f'"faults": ["{NOT_UNDERSTOOD}"]', 1))
    assert list(of(tmp_path, "exam", "report.json", "understood", "new").values()) == [0, 1, 1, 1]


def test_pairs_of_a_ranking(tmp_path):
    rows = [
        {"id": "all", "scores": [3.0, 2.0, 1.0], "ranks": [1, 2, 3]},
        {"id": "none", "scores": [1.0, 2.0, 3.0], "ranks": [1, 2, 3]},
        {"id": "tie of scores", "scores": [1.0, 1.0], "ranks": [1, 2]},
        {"id": "tie of ranks", "scores": [1.0, 2.0], "ranks": [1, 1]},
        {"id": "two of three", "scores": [2.0, 3.0, 1.0], "ranks": [1, 2, 3]},
    ]
    write_lines(tmp_path / "scores.jsonl", rows)
    assert list(of(tmp_path, "ranking", "scores.jsonl", "pairs").values()) == [1, 0, 0.5, None, pytest.approx(2 / 3)]


def test_fields_of_a_patient(tmp_path):
    one = Outcome(0.5, True, 2, 3, None, 4, True, False, None, None, None)
    folder = tmp_path / "patient"
    folder.mkdir()
    write_text(folder / "report.json", to_json({"outcomes": {"case-1": asdict(one)}}))
    assert of(tmp_path, "patient", "patient", "diagnosis") == {"case-1": 0.5}
    assert of(tmp_path, "patient", "patient", "named") == {"case-1": 1.0}
    with pytest.raises(ValueError, match="no question is left"):
        of(tmp_path, "patient", "patient", "safe")


def test_exact_answers(tmp_path):
    rows = [
        AnswerRow(Prompt(f"{kind}-{n}", "问"), f"d{n}", reference, model, answer, "stop")
        for model, right in (("a", "内科"), ("b", "外科"))
        for n, (kind, reference, answer) in enumerate(
            [("x", "内科", f" {right}\n"), ("y", "外科", "儿科"), ("x", "", "")]
        )
    ]
    write_text(tmp_path / "answers.jsonl", lines_of(rows))
    assert of(tmp_path, "answers", "answers.jsonl", "exact", "a") == {"x-0": 1, "y-1": 0, "x-2": None}
    assert of(tmp_path, "answers", "answers.jsonl", "exact", "b", Where(prefix=("x-",))) == {"x-0": 0, "x-2": None}
    with pytest.raises(ValueError, match="answers.jsonl: found no system named, expected one of a, b"):
        of(tmp_path, "answers", "answers.jsonl", "exact")
    write_text(tmp_path / "one.jsonl", lines_of(row for row in rows if row.model == "a"))
    assert of(tmp_path, "answers", "one.jsonl", "exact")["x-0"] == 1


def test_a_constant_answer_is_the_most_frequent_of_its_kind(tmp_path):
    references = {"triage": ["内科", "内科", "外科"], "choice": ["A", "B", "B"]}
    rows = [
        AnswerRow(Prompt(f"{kind}-{n}", "问"), f"{kind}{n}", one, "a", "无", "stop")
        for kind, of_kind in references.items()
        for n, one in enumerate(of_kind)
    ]
    write_text(tmp_path / "answers.jsonl", lines_of(rows))
    found = of(tmp_path, "answers", "answers.jsonl", "exact", "constant")
    assert list(found.values()) == [1, 1, 0, 0, 1, 1] and list(found) == [row.id for row in rows]
    assert known(of(tmp_path, "answers", "answers.jsonl", "exact")) == [0] * 6  # the model's own


def test_picks_of_a_choice(tmp_path):
    right, wrong = frozenset({1}), frozenset({0})
    orders = [(0, 1, 2, 3), (3, 2, 1, 0)]
    readings = [
        Reading(question("发热是？", id=f"q{n}"), orders, [*picks])
        for n, picks in enumerate([(right, right), (right, wrong), (None, None)])
    ]
    write_text(tmp_path / "choice.json", to_json(as_report({"letter": readings}, 0, "")))
    assert list(of(tmp_path, "choice", "choice.json", "letter").values()) == [1, 0.5, 0]
    assert list(of(tmp_path, "choice", "choice.json", "letter", "chance").values()) == [0.25] * 3
    with pytest.raises(ValueError, match="choice.json: no question is left"):
        of(tmp_path, "choice", "choice.json", "text")


@pytest.mark.parametrize("form, metric", [(form, metrics[0]) for form, metrics in FORMS.items()])
def test_another_file_is_refused_by_name(tmp_path, form, metric):
    folder = tmp_path / "wrong"
    folder.mkdir()
    for text in (
        "[1]\n",
        '{"x": 1}\n',
        '{"questions": [{"id": 1}], "picks": [1], "outcomes": [1], "table": {}}\n',
        "{",
    ):
        (folder / "report.json").write_text(text)
        with pytest.raises(ValueError, match="wrong"):
            of(tmp_path, form, "wrong" if form == "patient" else "wrong/report.json", metric, "new" * (form == "exam"))


def test_a_system_that_is_not_there_and_an_id_twice(tmp_path):
    write_exam(tmp_path / "report.json", {"new": 0.1})
    with pytest.raises(ValueError, match="report.json: found no system old, expected one of new"):
        of(tmp_path, "exam", "report.json", "score", "old")
    write_lines(tmp_path / "scores.jsonl", [{"id": "a", "scores": [1, 0], "ranks": [1, 2]}] * 2)
    with pytest.raises(ValueError, match="scores.jsonl: question a occurs twice"):
        of(tmp_path, "ranking", "scores.jsonl", "pairs")


def test_questions_of_two_files_are_paired_by_id(tmp_path):
    one, two = (
        write_exam(tmp_path / name, {"new": 0.1, "old": 0.0}, size=size, shuffle=shuffle)
        for name, size, shuffle in (("a.json", 40, False), ("b.json", 40, True))
    )
    sides = [
        values(tmp_path, side, measure())
        for side in (Side("a.json", "new"), Side("a.json", "old"), Side("b.json", "old"))
    ]
    same, shuffled = (pair_up(sides[0], side, one, two) for side in sides[1:])
    assert (same.b == shuffled.b).all() and same.clusters == shuffled.clusters
    missing = dict(list(sides[1].items())[1:])
    for a, b in ((sides[0], missing), (missing, sides[0])):
        with pytest.raises(ValueError, match=r"b.json: 1 questions are not those of .*a.json, such as exam-0-000000"):
            pair_up(a, b, one, two)
