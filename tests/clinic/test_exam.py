"""Questions are drawn as said, carry the truth about their own words, and the exam's requests are never trained on."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from zj.clinic.exam import Question, question, question_of, subject
from zj.clinic.requests import HELD_OUT, TRAINED
from zj.clinic.safety import safety

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

PRACTICE = [question(0, number) for number in range(2000)]
EXAM = [question(0, number, held_out=True) for number in range(2000)]
BANK = ("harmful", "ethics", "beyond")


def of_kind(*kinds: str) -> list[Question]:
    return [asked for asked in PRACTICE + EXAM if asked.kind in kinds]


def test_half_are_consultations_and_all_kinds_of_request_are_asked():
    for drawn in (PRACTICE, EXAM):
        share = {kind: sum(q.kind == kind for q in drawn) / len(drawn) for kind in {q.kind for q in drawn}}
        # three standard deviations of a share of 2000 are 0.034 at most
        assert share.pop("consultation") == pytest.approx(0.5, abs=0.034)
        assert share.pop("single") == pytest.approx(0.2, abs=0.027)
        assert set(share) == {*BANK, "drug"} and all(s == pytest.approx(0.075, abs=0.018) for s in share.values())
    cuts = [len(q.prompt.history) for q in of_kind("consultation")]
    assert {0, 1, 2, 3, 4} == set(cuts) and cuts.count(0) < 0.5 * len(cuts)


def test_a_question_depends_on_seed_number_and_part_alone():
    assert [question(3, n) for n in range(40)] == [question(3, n) for n in reversed(range(40))][::-1]
    prompts = {(q.prompt.history, q.prompt.user) for q in PRACTICE if q.kind in ("consultation", "single")}
    assert not prompts & {(q.prompt.history, q.prompt.user) for q in EXAM}
    assert question(3, 1) != question(4, 1)


def test_the_subject_is_known_without_the_question():
    for held_out, drawn in ((False, PRACTICE), (True, EXAM)):
        subjects = [subject(0, number, held_out) for number in range(len(drawn))]
        assert subjects == [asked.condition for asked in drawn]
        assert None in subjects and subjects[1:] + subjects[:1] != [asked.condition for asked in drawn]


def test_an_id_brings_its_question_back_and_no_other_id_does():
    for asked in [*PRACTICE[:300], *EXAM[:300], question(-7, 12), question(11, 1_234_567, held_out=True)]:
        assert question_of(asked.prompt.id) == asked
    assert question(5, 42).prompt.id == "practice-5-000042" and question(5, 42, True).prompt.id == "exam-5-000042"
    for wrong in (
        "multi-000001",
        "practice-5-42",
        "exam-05-000042",
        "exam-5-0000042",
        "practice-5-000042 ",
        "",
        "exam--0-000001",
    ):
        with pytest.raises(ValueError, match="expected practice-SEED-NUMBER") as error:
            question_of(wrong)
        assert "\n" not in str(error.value) and repr(wrong) in str(error.value)


def test_what_has_been_asked_and_told_is_what_the_history_says():
    for asked in of_kind("consultation"):
        history = asked.prompt.history
        before = "".join(answer for _, answer in history)
        assert ("history" in asked.done) == bool(re.search("药物过敏|其他过敏史", before))
        assert ("diagnosis" in asked.done) == ("来看，" in before)
        said = "".join(user + "。" for user, _ in history) + asked.prompt.user
        assert set(truth.symptoms_in(said)) == set(asked.told)
        assert (asked.done == ()) == (history == ())


def test_what_is_due_is_what_the_clinics_doctor_does():
    for asked in of_kind("consultation", "single"):
        said, due, name = asked.reference, set(asked.due), asked.case.condition.name
        assert ("？" in said) == bool(due & {"ask", "more", "history"})
        assert ("来看，" in said) == ("diagnosis" in due) and (name in said or "diagnosis" not in due)
        assert bool(truth.recommended(said)) == ("drug" in due and bool(asked.case.allowed))
        assert not truth.faults(asked.case, [said])
        assert (said.endswith("！")) == ("close" in due)


def test_a_wish_for_a_drug_is_one_that_is_said_and_that_the_table_forbids():
    wished = [q for q in of_kind("consultation") if q.drug]
    assert len(wished) > 20 and all(q.due[0] == "drug" for q in wished)
    for asked in wished:
        assert asked.drug in asked.prompt.user and asked.reason in asked.case.forbidding
        assert truth.forbids(asked.drug, asked.case.circumstances, asked.case.age)
    for asked in of_kind("drug"):
        assert asked.case is None and truth.forbids(asked.drug, [asked.reason], age=0 if "岁" in asked.reason else 99)


def test_a_fitting_answer_to_a_request_names_its_matter():
    for asked in of_kind(*BANK, "drug"):
        assert any(word in asked.reference for word in asked.matter), asked
        assert asked.due == ("admit",) if asked.kind == "beyond" else asked.due == ("refuse",)


def as_pattern(template: str) -> str:
    """A regular expression of all that a template of zj/clinic/phrases.py stands for."""
    text = re.escape(template)
    for mark in "()[]|":
        text = text.replace("\\" + mark, {"(": "(?:", ")": ")", "[": "(?:", "]": "|)", "|": "|"}[mark])
    text = text.replace(r"\{childish\}", "[^？。]+?")  # in a patient's words, which may have commas
    return "(?:" + re.sub(r"\\{\w+\\}", "[^，？。]+?", text) + ")"


def written_from(bank, text: str, answer: bool = False) -> set[tuple[str, int]]:
    """Every template of the bank that the text can come from."""
    found = set()
    for kind, entries in bank.items():
        for number, entry in enumerate(entries):
            pattern = f"(?:您好，(?:我是仲景。)?)?{as_pattern(entry.answer)}" if answer else as_pattern(entry.request)
            if re.fullmatch(pattern, text):
                found.add((kind, number))
    return found


def test_a_quarter_of_the_bank_is_held_out():
    for kind in BANK:
        assert len(HELD_OUT[kind]) / len(HELD_OUT[kind] + TRAINED[kind]) == pytest.approx(0.25, abs=0.03)
    assert not {e.request for entries in TRAINED.values() for e in entries} & {
        e.request for entries in HELD_OUT.values() for e in entries
    }


def test_held_out_requests_are_never_trained_on_and_the_exam_asks_all_of_them():
    seen: dict[str, set[tuple[str, int]]] = {"exam": set(), "practice": set()}
    for asked in of_kind(*BANK):
        part = asked.prompt.id.split("-")[0]
        mine, others = (HELD_OUT, TRAINED) if part == "exam" else (TRAINED, HELD_OUT)
        found = written_from(mine, asked.prompt.user)
        assert asked.kind in {kind for kind, _ in found}, asked.prompt.user
        assert not written_from(others, asked.prompt.user), asked.prompt.user
        assert written_from(mine, asked.reference, answer=True) and not written_from(
            others, asked.reference, answer=True
        )
        seen[part] |= found
    assert seen["exam"] == {(kind, n) for kind in BANK for n in range(len(HELD_OUT[kind]))}
    assert seen["practice"] == {(kind, n) for kind in BANK for n in range(len(TRAINED[kind]))}
    for number in range(1500):
        ((request, answer),) = safety(0, number).turns
        assert not written_from(HELD_OUT, request) and not written_from(HELD_OUT, answer, answer=True)


def test_a_held_out_request_among_the_trained_would_be_seen():
    """Negative control: the matcher of the test above finds what it looks for, and tells the parts apart."""
    leaked = next(q for q in EXAM if q.kind in BANK)
    assert written_from(HELD_OUT, leaked.prompt.user) and not written_from(TRAINED, leaked.prompt.user)
    assert written_from(HELD_OUT, leaked.reference, answer=True)
    assert not written_from(HELD_OUT, leaked.prompt.user + "呢")
