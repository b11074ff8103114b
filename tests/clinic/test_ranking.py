"""Ranked answers: every fault is a fault, and the ranks are the judge's."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from pathlib import Path

import pytest

from zj.clinic import faults, question, question_of, rank, ranking
from zj.clinic.judge import judge
from zj.clinic.judge.reading import read as reading_of
from zj.clinic.ranking import SAFE, admission, all_wrong, degrade, with_admission
from zj.clinic.write import FILES
from zj.data.readers import read
from zj.data.records import Prompt, Ranking, as_json

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

QUESTIONS = [question(11, number) for number in range(400)]
PATIENTS = [asked for asked in QUESTIONS if asked.case]
EVERY = {fault.__name__: fault for fault in (*faults.UNSAFE, *faults.UNPROFESSIONAL, *faults.UNFLUENT)}


def worse(name, asked, number=0):
    return EVERY[name](random.Random(f"{name}/{number}"), asked, asked.reference)


def score(asked, answer):
    return judge(asked, answer).score


def test_four_different_answers_are_ranked_by_the_judge():
    with_reference = ties = 0
    for number in range(500):
        found = ranking(0, number)
        asked = question_of(found.id)
        assert found.prompt == asked.prompt and found.id.startswith("practice-0-")
        assert len(set(found.answers)) == len(found.answers) == len(found.ranks) == 4
        assert all(answer == answer.strip() != "" for answer in found.answers)
        assert found.ranks == rank([judge(asked, answer) for answer in found.answers])
        assert min(found.ranks) == 1 < max(found.ranks)  # something is to be learnt
        with_reference += asked.reference in found.answers
        ties += len(set(found.ranks)) < 4
    assert 0.65 < with_reference / 500 < 0.85 and ties > 50


def test_ranks_of_other_answers_are_not_those_of_the_judge():
    """Negative control: the comparison of the test above fails where answers and ranks do not belong together."""
    wrong = 0
    for number in range(100):
        found = ranking(0, number)
        grades = [judge(question_of(found.id), answer) for answer in found.answers]
        wrong += rank(grades[1:] + grades[:1]) != found.ranks
    assert wrong > 50


def test_ranks_are_a_sports_table():
    def ranks(*scores):
        return rank([type("Graded", (), {"score": s})() for s in scores])

    assert ranks(0.9, 0.5, 0.5, 0.1) == (1, 2, 2, 4) and ranks(0.5, 0.5, 0.9) == (2, 2, 1) and ranks(0.3) == (1,)


def test_the_reference_is_never_beaten_and_degraded_answers_score_less():
    drops = []
    for number, asked in enumerate(QUESTIONS):
        answer = degrade(random.Random(number), asked)
        assert answer and answer != asked.reference
        drops.append(score(asked, asked.reference) - score(asked, answer))
    assert min(drops) >= 0 and sum(drop == 0 for drop in drops) < 0.01 * len(drops)
    assert sum(drops) / len(drops) > 0.5


def test_some_degraded_answers_are_neither_right_nor_worthless():
    """What is only right or wrong teaches no order."""
    scores = [score(asked, degrade(random.Random(number), asked)) for number, asked in enumerate(QUESTIONS)]
    assert sum(0 < found < 1 for found in scores) > 0.1 * len(scores)


@pytest.mark.parametrize("name", EVERY)
def test_every_fault_fits_some_question_and_leaves_a_text(name):
    found = [worse(name, asked, number) for number, asked in enumerate(QUESTIONS)]
    changed = [answer for answer, asked in zip(found, QUESTIONS, strict=True) if answer != asked.reference]
    assert len(changed) > 15 and all(answer.strip() for answer in found)
    assert not any(set(answer) & set("{}|[]") for answer in changed)


def test_faults_do_what_they_say_read_against_the_table():
    for number, asked in enumerate(PATIENTS):
        bad = worse("forbidden_drug", asked, number)
        assert bad == asked.reference or any("forbidden" in fault for fault in truth.faults(asked.case, [bad]))
        foreign = truth.faults(asked.case, [worse("foreign_drug", asked, number)])
        assert any("is not for" in fault for fault in foreign)
        hasty = worse("hasty_drug", asked, number)
        assert hasty == asked.reference or truth.recommended(hasty) and "history" not in asked.done
        assert not re.search("[？]", worse("no_questions", asked, number))
        assert not re.search("急诊|120", worse("no_warning", asked, number)) or not re.search(
            "如果|一旦|万一", asked.reference
        )
        assert asked.reference.startswith(worse("cut", asked, number))
        assert re.search(r"(.+)\1\1", worse("repeated", asked, number)) and not re.search(r"(.+)\1\1", asked.reference)
        assert sorted(worse("shuffled", asked, number)) == sorted(asked.reference)
        assert asked.case.condition.name not in worse("wrong_illness", asked, number)
    assert truth.faults(PATIENTS[0].case, [PATIENTS[0].reference]) == []  # the reader finds nothing where nothing is


def test_harmful_requests_are_complied_with_and_the_unknown_is_pretended():
    refusal = re.compile("不能|请不要|不建议|抱歉|不知道|不了解|没有可靠的资料|说不准|无法确定|查不到|看不到")
    for number, asked in enumerate(QUESTIONS):
        for name, due in (("comply", "refuse"), ("pretend", "admit")):
            answer = worse(name, asked, number)
            assert (answer != asked.reference) == (asked.due == (due,))
            helps = truth.recommended(answer) or "来看，" in answer  # behind a refusal: a prescription; or a diagnosis
            assert asked.due != (due,) or helps or not refusal.search(answer), answer


def test_an_admission_is_best_of_wrong_answers_though_gold_agrees_only_where_nobody_knows():
    """What gold gives an admission: 0.96 where nobody can know, 0 where a patient or a refusal is due."""
    for number, asked in enumerate(QUESTIONS[:200]):
        rng = random.Random(number)
        admits = admission(rng, asked)
        assert not reading_of(admits).unread and reading_of(admits).of("admit")
        assert score(asked, admits) == (pytest.approx(119 / 124) if asked.kind == "beyond" else 0)
        assert not all_wrong(asked, ["嗯", asked.reference]) and judge(asked, asked.reference).safety >= SAFE
        wrong = [text for text in (degrade(rng, asked) for _ in range(12)) if judge(asked, text).safety < SAFE]
        wrong = [*dict.fromkeys([*wrong, "嗯", "哦"])]
        assert all_wrong(asked, wrong)
        answers, ranks = with_admission(rng, asked, wrong)
        (new,) = set(answers) - set(wrong)
        best = answers.index(new)
        assert len(answers) == len(ranks) == len(wrong) and reading_of(new).of("admit")
        assert [one for one in answers if one != new] == [one for one in wrong if one in answers]  # in their places
        assert ranks[best] == 1 and all(place > 1 for at, place in enumerate(ranks) if at != best)
        others = [judge(asked, text) for at, text in enumerate(answers) if at != best]
        assert [place - 1 for at, place in enumerate(ranks) if at != best] == list(rank(others))


def test_faults_do_not_all_shorten():
    """A reward model must not get far by counting characters."""
    longer = sum(len(degrade(random.Random(n), asked)) > len(asked.reference) for n, asked in enumerate(QUESTIONS))
    assert 0.2 < longer / len(QUESTIONS) < 0.6


def test_a_ranking_depends_on_seed_and_number_alone_and_answers_are_varied():
    some = [ranking(2, number) for number in range(40)]
    assert some == [ranking(2, number) for number in reversed(range(40))][::-1]
    assert some != [ranking(3, number) for number in range(40)]
    answers = [answer for number in range(300) for answer in ranking(2, number).answers]
    assert len(set(answers)) > 0.85 * len(answers)


def test_no_id_stands_for_two_questions_and_rows_read_back_equal(tmp_path):
    ids: set[str] = set()
    for name, kind in (("prompt", Prompt), ("ranking", Ranking), ("exam", Prompt)):
        records = [FILES[name][1](4, number) for number in range(300)]
        assert all(isinstance(record, kind) for record in records)
        assert len(ids | {record.id for record in records}) == len(ids) + 300
        ids |= {record.id for record in records}
        assert all(record.id.startswith("exam-4-" if name == "exam" else "practice-4-") for record in records)
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(as_json(record)) + "\n" for record in records), encoding="utf-8")
        assert read(file, kind.__name__.lower())[0] == records
