"""Written dialogues: who sees what, how they end, what leaks, and the script from end to end."""

from __future__ import annotations

import json

import pytest

from scripts.build_dialogues import Config, main
from zj.building.dialogues import UNKNOWN, openings, records
from zj.building.report import StepReport
from zj.building.writer import trouble
from zj.data.cases import MedicalCase, read_cases
from zj.data.readers import read
from zj.llm import ChatReply, ChatRequest
from zj.llm.clinic import clinic_cases
from zj.llm.conversation import CASE, DOCTOR, PATIENT, Speaker, Talk, converse, leaks_of, samples
from zj.llm.prompts import Template

CASES = [MedicalCase("a", "咳嗽三天", "支气管炎"), MedicalCase("b", "皮疹", "甲营养不良")]
OPENINGS = openings(Template("病情：{medical_case}"), Template("诊断：{doctor_diagnosis}"))


def speaker(lines, seen):
    """A model that says the lines one after the other, to everyone; what it was sent goes to `seen`."""

    def ask(requests):
        seen.extend(request.messages for request in requests)
        text = next(lines)
        return [ChatReply(text, "stop", 0, 0) for _ in requests]

    return ask


def talks_of(patient, doctor, turns=5, seen=None):
    seen = {"patient": [], "doctor": []} if seen is None else seen
    ask = {"patient": speaker(iter(patient), seen["patient"]), "doctor": speaker(iter(doctor), seen["doctor"])}
    speakers = {role: Speaker(ask[role], ChatRequest(()), OPENINGS[role]) for role in ask}
    return converse(CASES, speakers, turns, trouble)


def test_each_model_sees_its_own_prompt_and_the_other_s_messages():
    seen = {"patient": [], "doctor": []}
    talks = talks_of(["咳嗽。", "三天。", "谢谢，再见。"], ["多久？", "休息。"], seen=seen)
    assert [talk.ended for talk in talks] == ["再见"] * 2
    assert talks[0].turns == (("咳嗽。", "多久？"), ("三天。", "休息。"))
    assert seen["patient"][2] == (("user", "病情：咳嗽三天"), ("assistant", "咳嗽。"), ("user", "多久？"))
    expected = (("system", "诊断：支气管炎"), ("user", "咳嗽。"), ("assistant", "多久？"), ("user", "三天。"))
    assert seen["doctor"][2] == expected
    assert not any("支气管炎" in text for messages in seen["patient"] for _, text in messages)
    assert not any("咳嗽三天" in text for messages in seen["doctor"] for _, text in messages)


def test_a_dialogue_ends_at_its_limit_or_where_a_reply_is_none():
    assert [talk.ended for talk in talks_of(["一", "二"], ["甲", "乙"], turns=2)] == ["turn limit"] * 2
    broken = talks_of(["一", "二"], ["甲", "As an AI language model, I cannot."])[0]
    assert broken.ended == "doctor: refusal" and broken.failed is not None and broken.turns == (("一", "甲"),)


@pytest.mark.parametrize(
    "case, messages, leaks",
    [
        ("咳嗽", ["咳嗽。", "多久？", "三天。", "可能是支气管炎。", "支气管炎要紧吗？", "不要紧。"], []),  # control
        ("咳嗽", ["是支气管炎吗？", "多久？"], [PATIENT]),
        ("咳嗽", ["咳嗽。", "您是支气管炎。"], [DOCTOR]),
        ("咳嗽", ["咳嗽。"], []),  # nobody answered
        ("疾病：支气管炎", ["咳嗽。", "多久？"], [CASE]),
        ("支气管炎", ["是支气管炎。", "是支气管炎。"], [CASE, PATIENT, DOCTOR]),
    ],
)
def test_leaks_are_told_apart(case, messages, leaks):
    for diagnosis in ("支气管炎", "病情摘要及初步印象：支气管炎。总结建议：多喝水，注意休息"):
        talk = Talk(MedicalCase("a", case, diagnosis), 0, messages)
        assert leaks_of(talk, ["支气管炎", "湿疹"]) == leaks


def test_a_diagnosis_without_a_known_name_is_counted():
    talk = Talk(MedicalCase("a", "咳嗽", "病情摘要及初步印象：支气管炎，建议休息，并且多喝水"), 0, ["咳嗽。", "多久？"])
    for names, counts in (([], {UNKNOWN: 1}), (["支气管炎"], {})):
        report = StepReport("dialogues", {})
        assert len(list(records([talk], names, report, [], drop=True))) == 1
        assert report.reasons == {"end: ": 1} | counts


def test_a_case_s_sample_depends_on_nothing_before_it():
    assert samples(CASES, 0)[1:] == samples(CASES[1:], 0) and samples(CASES, 1) != samples(CASES, 0)
    assert len(set(samples(CASES * 2, 0))) == 4


def test_no_case_of_the_clinic_names_its_illness():
    cases, patients = clinic_cases(0, 200)
    assert not [case for case in cases if patients[case.case].condition.name in case.case]


def test_cases_are_read_and_a_row_without_a_diagnosis_is_named(tmp_path):
    file = tmp_path / "cases.json"
    row = {"id": 7, "medical_case": "咳嗽", "doctor_diagnosis": "支气管炎", "Department": "内科"}
    file.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    assert read_cases([str(file)]) == [MedicalCase("7", "咳嗽", "支气管炎", "内科")]
    file.write_text(json.dumps([row | {"doctor_diagnosis": " "}]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"cases.json:1: .*doctor_diagnosis"):
        read_cases([str(file)])


def test_the_clinic_writes_dialogues_and_its_faults_are_counted(tmp_path, capsys):
    main(Config(count=12, out=str(tmp_path / "a.jsonl")))
    report = json.loads((tmp_path / "a.report.json").read_text(encoding="utf-8"))
    dialogues = read([tmp_path / "a.jsonl"], "dialogue")[0]
    assert report["reasons"] == {"end: 再见": 12} and len(dialogues) == 12
    assert all(len(dialogue.turns) > 2 and dialogue.department for dialogue in dialogues)
    assert not any("再见" in text for dialogue in dialogues for turn in dialogue.turns for text in turn)
    main(Config(count=60, out=str(tmp_path / "b.jsonl"), noise=0.2, on_leak="drop", turns=4))
    reasons = json.loads((tmp_path / "b.report.json").read_text(encoding="utf-8"))["reasons"]
    rows = (tmp_path / "b.failed.jsonl").read_text(encoding="utf-8").splitlines()
    assert {PATIENT, DOCTOR, "end: turn limit", "end: patient: refusal"} <= set(reasons)
    assert len(rows) == 60 - len(read([tmp_path / "b.jsonl"], "dialogue")[0]) > 0
    capsys.readouterr()
    main(Config(count=2, out=str(tmp_path / "c.jsonl"), dry_run=True, turns=3))
    assert "12 requests" in capsys.readouterr().out and not (tmp_path / "c.jsonl").exists()


def test_flags_that_do_not_go_together_are_named(tmp_path):
    for flags, message in (
        ({"data": ("x",)}, "--data"),
        ({"writer": "endpoint", "writer_model": "m"}, "--data is missing"),
        ({"patient_model": "m"}, "--patient-model"),
        ({"writer_model": "m"}, "--writer-model"),
        ({"writer": "endpoint", "writer_model": "m", "noise": 0.1}, "--noise"),
        ({"budget": 1.0}, "--price-in"),
    ):
        with pytest.raises(ValueError, match=message):
            Config(out=str(tmp_path / "a.jsonl"), **flags)
