"""An archive of a seed's results: the same numbers in every form, without texts, the same bytes each time."""

from __future__ import annotations

import json
from dataclasses import asdict
from zipfile import ZipFile

import pytest

from tests.eval.choice.questions import question
from tests.eval.claims.results import claim, measure, write_exam, write_lines
from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of
from zj.eval.choice.measure import Reading
from zj.eval.choice.report import as_report
from zj.eval.claims import measure_claim
from zj.eval.claims.archive import archive
from zj.eval.claims.claim import FORMS, LEAST_END, Budget, Measure, Side
from zj.eval.patient.outcome import Outcome
from zj.train.files import to_json, write_text


def of_form(form, metric):
    a, b = (Side("answers.jsonl", name) if form == "answers" else Side(f"{form}-{name}") for name in "ab")
    return claim(Measure("w", form, metric, a, b, "higher"), name=form)


@pytest.fixture
def claims():
    """Every metric of an exam, a measure of every other form, a path at equal KL, and both kinds of budget."""
    exams = [claim(measure(metric=metric), name=f"exam-{n}") for n, metric in enumerate(FORMS["exam"])]
    paths = [Side("report.json", path=("old", end)) for end in ("new", "far")]
    at_kl = Measure("w", "exam", "score", *paths, "higher", at_kl=LEAST_END)
    budgets = (
        Budget("tokens", "tokens", ("one", "two"), ("one",)),
        Budget("steps", "step", ("one",), ("two",), "last"),
    )
    others = [of_form(*pair) for pair in (("ranking", "pairs"), ("patient", "turns"), ("choice", "letter"))]
    return [*exams, claim(at_kl, name="at-kl", budget=budgets), *others, of_form("answers", "exact")]


@pytest.fixture
def seed(tmp_path):
    folder = tmp_path / "seed-6"
    lifts, kl = {"old": 0.0, "new": 0.2, "far": 0.3}, {"old": 0.0, "new": 1.0, "far": 2.0}
    report = write_exam(folder / "report.json", lifts, kl, 6)
    report.write_text(report.read_text().replace('"finished": null', '"finished": true', 50))
    answers = []
    for n, name in enumerate("ab"):
        rows = [{"id": f"r{i}", "scores": [i, n], "ranks": [2, 1], "texts": ["秘密", "好"]} for i in range(4)]
        write_lines(folder / f"ranking-{name}", rows)
        outcomes = {
            f"c{i}": asdict(Outcome(0.5, True, 2, 3, None, i + n, True, False, None, None, None)) for i in range(4)
        }
        (folder / f"patient-{name}").mkdir()
        write_text(folder / f"patient-{name}" / "report.json", to_json({"outcomes": outcomes, "talks": "秘密"}))
        picks = [Reading(question("发热是？", id=f"q{i}"), [(0, 1, 2, 3)], [frozenset({i % 2 + n})]) for i in range(4)]
        write_text(folder / f"choice-{name}", to_json(as_report({"letter": picks}, 0, "")))
        answers += [
            AnswerRow(Prompt(f"x{i}", "问"), f"d{i}", "内科", name, "内科儿科"[n : n + 2], "stop") for i in range(4)
        ]
    write_text(folder / "answers.jsonl", lines_of(answers))
    for n, run in enumerate(("one", "two"), 1):
        rows = [{"step": i, "tokens": 0.1 * i * n, "loss": 1.0} for i in (1, 2, 3)] + [{"step": 4, "loss": 2.0}]
        write_lines(folder / run / "metrics.jsonl", rows)
    return folder


def unpacked(file, folder):
    with ZipFile(file) as zip:
        zip.extractall(folder)
    return folder


def test_every_claim_has_the_same_numbers(seed, claims, tmp_path):
    assert archive(claims, seed, tmp_path / "seed-6.zip") == []
    other = unpacked(tmp_path / "seed-6.zip", tmp_path / "unpacked")
    for one in claims:
        result = measure_claim(one, {6: seed})
        assert result.measures[0].difference is not None, one.name
        assert measure_claim(one, {6: other}) == result, one.name
    assert result != measure_claim(claims[0], {6: other})  # the comparison can fail


def test_no_text_of_the_examination_and_the_same_bytes(seed, claims, tmp_path):
    archive(claims, seed, tmp_path / "one.zip")
    other = unpacked(tmp_path / "one.zip", tmp_path / "unpacked")
    for file in (one for one in other.rglob("*") if one.is_file()):
        assert not [word for word in ("秘密", '"faults"', '"where"') if word in file.read_text()], file
    assert '"faults"' in (seed / "report.json").read_text() and '"where"' in (seed / "choice-a").read_text()
    archive(claims, seed, tmp_path / "again.zip")
    archive(claims, other, tmp_path / "of-archive.zip")
    pages = [(tmp_path / f"{name}.zip").read_bytes() for name in ("one", "again", "of-archive")]
    assert pages[0] == pages[1] == pages[2]
    (seed / "ranking-a").write_text((seed / "ranking-a").read_text().replace("[3, 0]", "[3, 9]"))
    archive(claims, seed, tmp_path / "changed.zip")
    assert (tmp_path / "changed.zip").read_bytes() != pages[0]


def test_what_is_missing_is_named(seed, claims, tmp_path):
    (seed / "ranking-a").unlink()
    (seed / "one" / "metrics.jsonl").unlink()
    assert archive(claims, seed, tmp_path / "seed-6.zip") == ["ranking-a"]
    other = unpacked(tmp_path / "seed-6.zip", tmp_path / "unpacked")
    assert json.loads((other / "two" / "metrics.jsonl").read_text()) == pytest.approx({"step": 4, "tokens": 1.2})
    assert not (other / "one").exists()


def test_a_field_is_summed_or_last_not_both(seed, tmp_path):
    budgets = tuple(Budget("tokens", "tokens", ("one",), ("two",), take) for take in ("sum", "last"))
    with pytest.raises(ValueError, match="claim one: one has both the sum and the last of tokens"):
        archive([claim(measure(), budget=budgets)], seed, tmp_path / "seed-6.zip")
