"""Tasks of medical records: answers by the record or by a model in the task's form, and the script from end to end."""

from __future__ import annotations

import json

import pytest

from scripts.build_tasks import Config, main
from zj.building.report import StepReport
from zj.building.tasks import TASKS, MedicalRecord, answer_items, fault_of, items_of, read_records, read_tasks
from zj.data.readers import read
from zj.llm import ChatReply, ChatRequest

ALL = read_tasks().tasks
FINDINGS, DIAGNOSIS, DEPARTMENT = (next(t for t in ALL if t.name == n) for n in ("findings", "diagnosis", "department"))
ROW = {"id": 3, "主诉": "咳嗽三天", "现病史": "受凉后咳嗽，无发热。", "诊断": "支气管炎", "科室": "呼吸内科"}


def reply(text):
    return ChatReply(text, "stop", 0, 0)


def test_there_are_six_tasks_and_the_paper_s_answer_has_its_form():
    assert len(ALL) == 6
    paper = "主体词:骨髓抑制,发生状态:否定,解剖部位:胆囊;主体词:胃肠道反应,发生状态:否定,解剖部位:胆囊"  # figure 3
    assert fault_of(FINDINGS, reply(paper)) == ""
    for other in (f"结果：{paper}", paper.replace(":", "是"), paper.replace("主体词", "症状"), "无"):
        assert fault_of(FINDINGS, reply(other)) == "another form"
    assert fault_of(DEPARTMENT, reply("呼吸内科")) == "" and fault_of(DEPARTMENT, reply("应当挂呼吸内科，谢谢。"))


def items(fields, tasks=ALL):
    report = StepReport("tasks", {})
    return items_of([MedicalRecord("r", fields)], tasks, report), report


def test_a_task_is_made_where_the_record_has_what_it_needs():
    found, report = items({"chief_complaint": "咳嗽", "present_illness": "咳嗽三天", "diagnosis": "支气管炎"})
    assert [item.task.name for item in found] == ["findings", "diagnosis", "department", "treatment", "symptoms"]
    assert report.reasons == {"report: lacks a field": 1}
    assert [item.answer for item in found] == ["", "支气管炎", "", "", ""]
    treatment = found[3].question
    assert "既往史：无" in treatment and "支气管炎" in treatment


def test_a_query_that_has_the_answer_is_left_out():
    fields = {"chief_complaint": "支气管炎复查", "present_illness": "咳嗽", "diagnosis": "支气管炎"}
    found, report = items(fields, [DIAGNOSIS])
    assert not found and report.reasons == {"diagnosis: the query has the answer": 1}
    assert items(fields | {"chief_complaint": "咳嗽"}, [DIAGNOSIS])[0]  # control


def test_a_model_is_sent_what_the_record_does_not_answer():
    found, report = items({"chief_complaint": "咳嗽", "present_illness": "咳嗽三天", "diagnosis": "支气管炎"})
    sent, failed = [], []

    def ask(requests):
        sent.extend(request.messages[0][1] for request in requests)
        replies = ("主体词:咳嗽,发生状态:肯定", "呼吸内科", "多喝水，好好休息。", "好的：\n咳嗽")
        return [reply(text) for text in replies]

    dialogues = list(answer_items(found, ChatRequest(()), ask, report, failed))
    assert [d.id for d in dialogues] == ["r-findings", "r-diagnosis", "r-department", "r-treatment"]
    assert len(sent) == 4 and "按这种形式回答" in sent[0] and "按这种形式回答" not in dialogues[0].turns[0][0]
    assert report.reasons["symptoms: another form"] == report.removed == 1 and "好的" in failed[0]


def test_rows_are_read_by_the_names_of_their_fields(tmp_path):
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(ROW, ensure_ascii=False), encoding="utf-8")
    (record,) = read_records([str(file)], read_tasks().names)
    assert record.id == "3" and record.fields["chief_complaint"] == "咳嗽三天" and "treatment" not in record.fields
    file.write_text('{"other": "x"}', encoding="utf-8")
    with pytest.raises(ValueError, match="records.jsonl:1"):
        read_records([str(file)], read_tasks().names)


def test_tasks_are_the_users_and_mistakes_in_them_are_named(tmp_path):
    file, text = tmp_path / "tasks.toml", TASKS.read_text(encoding="utf-8")
    for old, new, message in (
        ('needs = ["chief_complaint"]', 'needs = ["complaint"]', "complaint is not in"),
        ("hidden = true", "hiden = true", "unknown key hiden"),
        ("[^\\n]{2,40}", "[^\\n", "--tasks"),
        ("[fields]", "[field]", "--tasks"),
    ):
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=f"--tasks .*tasks.toml.*{message}|{message}"):
            read_tasks(str(file))


def test_the_clinic_s_records_become_tasks(tmp_path):
    main(Config(count=10, out=str(tmp_path / "a.jsonl")))
    report = json.loads((tmp_path / "a.report.json").read_text(encoding="utf-8"))
    dialogues = read([tmp_path / "a.jsonl"], "dialogue")[0]
    names = [dialogue.id.rpartition("-")[2] for dialogue in dialogues]
    assert {name: names.count(name) for name in names} == {task.name: 10 for task in ALL}
    assert report["reasons"]["findings: by the model"] == report["reasons"]["diagnosis: by the record"] == 10
    main(Config(count=10, out=str(tmp_path / "b.jsonl"), noise=1.0))
    reasons = json.loads((tmp_path / "b.report.json").read_text(encoding="utf-8"))["reasons"]
    assert not {"findings: by the model", "symptoms: by the model"} & set(reasons)  # a report is free text of any words
    assert reasons["findings: another form"] + reasons["findings: refusal"] == 10


def test_records_of_others_need_no_model_where_they_have_the_answers(tmp_path):
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(ROW, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(ValueError, match="--only-record"):
        Config(data=(str(file),), out=str(tmp_path / "a.jsonl"))
    main(Config(data=(str(file),), out=str(tmp_path / "a.jsonl"), only_record=True))
    dialogues = read([tmp_path / "a.jsonl"], "dialogue")[0]
    assert [dialogue.turns[0][1] for dialogue in dialogues] == ["支气管炎", "呼吸内科"]
