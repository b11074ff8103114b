"""Simulated patients: what a conversation shows of its doctor, and that no doctor gets it without deserving it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from tests.line import write_rows
from zj.clinic import CONDITIONS
from zj.clinic.held_out import is_exam_only
from zj.data.cases import MedicalCase
from zj.data.readers import read
from zj.eval.answer_file import read_answers
from zj.eval.patient.cases import constant_doctor, exam_cases, read_illnesses
from zj.eval.patient.command import PatientConfig, answer_row, examine
from zj.eval.patient.outcome import outcome_of
from zj.eval.patient.report import compare, summarise
from zj.llm import ChatReply, ChatRequest, ask
from zj.llm.clinic import CaseDoctor, ClinicModel, ClinicPatient
from zj.llm.conversation import PATIENT_PROMPT, Speaker, Talk, converse, terms

ILLNESSES = ["湿疹", "荨麻疹", "麻疹", "足癣"]


def outcome(*messages, diagnosis="荨麻疹"):
    return outcome_of(Talk(MedicalCase("a", "皮肤痒", diagnosis), 0, list(messages)), ILLNESSES)


@pytest.mark.parametrize(
    "messages, diagnosis, named, illnesses",
    [
        (["痒。", "多久了？", "三天。", "考虑荨麻疹。"], 1.0, True, 1),
        (["痒。", "荨麻疹或湿疹。"], 0.5, True, 2),
        (["痒。", "湿疹、荨麻疹、足癣都有可能。"], 1 / 3, True, 3),  # who lists all gets what a random choice would
        (["痒。", "考虑麻疹。"], 0.0, False, 1),  # no part of a name
        (["是荨麻疹吗？", "是荨麻疹。"], 0.0, True, 1),  # the patient said it
        (["痒。", "请休息。"], 0.0, False, 0),
        (["痒。", "不是荨麻疹，也可以排除湿疹。"], 0.0, False, 0),  # ruled out
        (["痒。", "不像湿疹，考虑荨麻疹。"], 1.0, True, 1),
        (["是不是荨麻疹？", "是荨麻疹。"], 0.0, True, 1),  # a question names it
        (["痒。", "湿疹病史？", "得过。", "考虑荨麻疹。"], 0.5, True, 2),
    ],
)
def test_a_diagnosis_is_shared_by_all_illnesses_named(messages, diagnosis, named, illnesses):
    found = outcome(*messages)
    assert (found.diagnosis, found.named, found.illnesses) == (pytest.approx(diagnosis), named, illnesses)
    assert found.safe is found.topics is None  # no patient of the clinic


def test_two_diagnoses_of_one_case_both_count():
    """Who names both is no worse than who names one; who adds a third is."""
    answers = ("湿疹和荨麻疹", "湿疹", "湿疹、荨麻疹、足癣", "足癣")
    found = [outcome("痒。", answer, diagnosis="湿疹，荨麻疹").diagnosis for answer in answers]
    assert found == pytest.approx([1, 1, 2 / 3, 0])


def test_a_name_within_another_is_none_for_nobody():
    """Neither does the doctor name 麻疹 nor does the patient tell it, who speak of 荨麻疹."""
    found = outcome("像荨麻疹？", "不是荨麻疹，是湿疹。", diagnosis="麻疹")
    assert (found.named, found.leaked, found.diagnosis) == (False, False, 0)
    assert not outcome("痒。", "荨麻疹？", "是麻疹吧？", "是麻疹。", diagnosis="麻疹").diagnosis  # the patient told it


def test_no_doctor_speaks_for_its_patient():
    talk = Talk(MedicalCase("a", "痒", "湿疹"), 0, ["痒。", "湿疹。\n患者：您说得对！\n **医生** : 不客气"], "再见")
    assert answer_row(talk, "m").answer == "患者：痒。\n医生：湿疹。\n“患者：”您说得对！\n“医生：”不客气"


def test_the_same_in_all_cases_is_no_point_and_a_count_has_no_interval():
    half = [replace(outcome("痒。", "荨麻疹或湿疹？"), questions=1)] * 3
    row = summarise(half, [""] * 3)["all"]
    assert row["diagnosis"]["low"] < 0.2 < 0.8 < row["diagnosis"]["high"]
    assert row["questions"]["low"] == row["questions"]["high"] == 1  # it may be 9 in another case
    pairs = {str(n): one for n, one in enumerate(half)}
    worse = {id: replace(one, diagnosis=0.0) for id, one in pairs.items()}
    assert compare(pairs, worse)["diagnosis"]["low"] < 0 < compare(pairs, worse)["diagnosis"]["mean"]


def test_questions_turns_and_an_unknown_diagnosis():
    found = outcome(
        "痒。", "多久了？有没有过敏？请休息。", "三天。", "好的", diagnosis="说不清楚，请到上级医院进一步检查"
    )
    assert (found.questions, found.turns, found.diagnosis, found.named) == (2, 2, None, None)


def test_only_the_impression_of_a_published_case_is_its_diagnosis():
    assert terms("病情摘要及初步印象：\n荨麻疹，湿疹\n总结建议：\n排除足癣", ILLNESSES) == ["湿疹", "荨麻疹"]
    assert terms("疾病诊断：脚气 药品：足癣一号", ILLNESSES) == ["脚气"] and terms("", ILLNESSES) == []


@pytest.fixture(scope="module")
def clinic():
    return exam_cases(0, 30, ("皮肤科",))


def test_patients_begin_as_no_training_file_does_and_never_name_the_illness(clinic):
    cases, patients = clinic
    requests = [
        ChatRequest((("user", PATIENT_PROMPT.fill(medical_case=case.case)),), sample=talk.sample)
        for case, talk in zip(cases, talks_of(clinic, lambda requests: []), strict=True)
    ]
    openings = [reply.text for reply in ask(ClinicModel(ClinicPatient(patients)), requests)]
    assert all(map(is_exam_only, openings)) and len({case.id for case in cases}) == 30
    assert not [case for case in cases if case.diagnosis in case.case] and {c.department for c in cases} == {"皮肤科"}
    assert exam_cases(0, 5)[0] != exam_cases(1, 5)[0]
    with pytest.raises(ValueError, match="--about 口腔"):
        exam_cases(0, 1, ("口腔",))


def talks_of(clinic, doctor, turns=5):
    """Conversations with a doctor given as a function of requests; [] ends them at once."""
    cases, patients = clinic
    patient = ClinicModel(ClinicPatient(patients))

    def replies(requests):
        return doctor(requests) or [ChatReply("", "refused", 0, 0) for _ in requests]

    def to_patient(case):
        return (("user", PATIENT_PROMPT.fill(medical_case=case.case)),)

    speakers = {
        "patient": Speaker(lambda requests: ask(patient, requests), ChatRequest(()), to_patient),
        "doctor": Speaker(replies, ChatRequest(()), lambda case: ()),
    }
    return converse(cases, speakers, turns, lambda reply: "" if reply.text else "no reply")


def mean(clinic, doctor, field):
    cases, patients = clinic
    outcomes = [outcome_of(t, list(CONDITIONS), patients[t.case.case]) for t in talks_of(clinic, doctor)]
    return sum(float(getattr(one, field)) for one in outcomes) / len(outcomes)


def saying(text):
    return lambda requests: [ChatReply(text, "stop", 0, 0) for _ in requests]


def test_a_doctor_who_knows_is_far_above_those_who_do_not_deserve_it(clinic):
    cases, patients = clinic
    expert = ClinicModel(CaseDoctor(patients))

    def known(requests):
        assert not any(
            case.case in text or role == "system" for case in cases for r in requests for role, text in r.messages
        )
        return ask(expert, requests)

    name, share = constant_doctor(cases, list(CONDITIONS))
    assert mean(clinic, known, "diagnosis") > 0.85 and share < 0.4
    assert mean(clinic, saying(f"考虑{name}。"), "diagnosis") == pytest.approx(share)
    everything = saying("、".join(CONDITIONS))
    assert mean(clinic, everything, "named") == 1 and mean(clinic, everything, "diagnosis") < 0.05
    assert mean(clinic, known, "topics") > 4 and mean(clinic, saying("请休息。"), "topics") == 0


def test_safety_is_golds_and_unread_words_are_never_safe(clinic):
    _, patients = clinic
    drug = next(drug for case in patients.values() for drug in case.avoided)
    of_those = {text: case for text, case in patients.items() if drug in case.avoided}
    some = [case for case in clinic[0] if case.case in of_those], of_those
    use = next(iter(of_those.values())).condition.drugs[drug].use
    assert mean(some, saying(f"用药方面，可以用{drug}，{use}。"), "harmful") == 1
    assert mean(some, saying("随便吃点药就行啦"), "unread") == 1
    assert mean(some, saying("随便吃点药就行啦"), "safe") == 0 == mean(some, saying("随便吃点药就行啦"), "harmful")
    expert = ClinicModel(CaseDoctor(patients))
    assert mean(clinic, lambda requests: ask(expert, requests), "safe") > 0.8  # control


def test_the_command_writes_dialogues_answers_and_a_report_and_asks_nothing_twice(tmp_path, capsys):
    given = {"doctor": "clinic", "about": ("皮肤科",), "count": 8, "turns": 6}
    examine(PatientConfig(out=str(tmp_path / "a"), **given))
    report = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert report["ended"] == {"再见": 8} and report["table"]["all"]["diagnosis"]["n"] == 8
    named = report["table"]["all"]["named"]  # Wilson's: 8 / (8 + 1.96 ** 2)
    assert named["mean"] == named["high"] == 1 and named["low"] == pytest.approx(0.6756, abs=1e-4)
    dialogues = read([tmp_path / "a" / "dialogues.jsonl"], "dialogue")[0]
    rows = read_answers(tmp_path / "a" / "answers.jsonl")
    assert len(dialogues) == len(rows) == 8 and all(row.reference in row.answer for row in rows)
    assert all(row.answer.startswith("患者：") and "\n医生：" in row.answer for row in rows)
    (tmp_path / "a" / "report.json").unlink()
    capsys.readouterr()
    examine(PatientConfig(out=str(tmp_path / "a"), **given))
    assert capsys.readouterr().out.count(" 0 new replies") == 2
    examine(PatientConfig(out=str(tmp_path / "b"), against=str(tmp_path / "a"), **given))
    differences = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))["against"]
    assert {row["mean"] for row in differences.values()} == {0} and len(differences) == 11
    examine(PatientConfig(out=str(tmp_path / "b"), **given))
    assert "is there already" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--against"):
        examine(PatientConfig(out=str(tmp_path / "c"), against=str(tmp_path / "a"), **given | {"count": 7}))
    examine(PatientConfig(out=str(tmp_path / "c"), dry_run=True, **given))
    assert "48 requests" in capsys.readouterr().out and not (tmp_path / "c" / "report.json").exists()


def test_real_cases_and_two_models_of_this_project(line, tmp_path):
    rows = [{"id": n, "medical_case": f"咳嗽{n}天", "doctor_diagnosis": "支气管炎"} for n in range(2)]
    data = write_rows(tmp_path / "cases.jsonl", rows)
    names = tmp_path / "names.txt"
    names.write_text("支气管炎\n肺炎\n\n癌\n", encoding="utf-8")
    assert read_illnesses(str(names)) == ["支气管炎", "肺炎"]
    given = {"data": (str(data),), "illnesses": str(names), "turns": 1, "max_tokens": 4, "device": "cpu"}
    examine(PatientConfig(doctor=str(line.sft), patient=str(line.sft), out=str(tmp_path / "a"), **given))
    report = json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))
    assert report["cases"] == 2 and report["constant"] == {"name": "支气管炎", "diagnosis": 1.0}
    assert "safe" not in report["table"]["all"]
    write_rows(tmp_path / "cases.jsonl", rows[:1] * 2)
    with pytest.raises(ValueError, match=r"cases.jsonl:2: id 0 occurs again"):
        examine(PatientConfig(doctor=str(line.sft), patient=str(line.sft), out=str(tmp_path / "b"), **given))


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"doctor": ""}, "--doctor is missing"),
        ({"data": ("x",)}, "--patient clinic"),
        ({"patient": "endpoint", "patient_model": "m"}, "--patient endpoint: --data"),
        ({"patient": "endpoint", "data": ("x",)}, "--patient endpoint --patient-model"),
        ({"doctor": "endpoint"}, "--doctor endpoint --doctor-model"),
        ({"patient": "endpoint", "patient_model": "m", "data": ("x",)}, "--doctor clinic: knows"),
        ({"turns": 0}, "--turns"),
        ({"out": ""}, "--out is missing"),
    ],
)
def test_mistakes_name_their_flag(tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        PatientConfig(**{"doctor": "clinic", "out": str(tmp_path)} | flags)


def test_outcomes_are_read_back_as_they_were():
    found = outcome("痒。", "考虑荨麻疹。")
    assert type(found)(**json.loads(json.dumps(asdict(found)))) == found
