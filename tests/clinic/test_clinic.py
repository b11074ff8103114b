"""All that the clinic writes is true to its table, varied, and a function of seed and number alone."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zj.clinic import CONDITIONS, DRUGS, draw_case, question_of, write_clinic
from zj.clinic.consultation import consultation, converse, single
from zj.clinic.facts import DEPARTMENTS
from zj.clinic.general import general
from zj.clinic.phrases import listed, say, some
from zj.clinic.safety import BEYOND, ETHICS, HARMFUL, safety
from zj.clinic.tasks import task
from zj.clinic.textbook import document

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

DIALOGUES = (consultation, single, task, general, safety)


def cases(count):
    return [draw_case(random.Random(f"case/{number}")) for number in range(count)]


def test_a_template_stands_for_all_its_sentences_and_fillings_are_not_templates():
    drawn = {say(random.Random(n), "(甲|乙(丙|丁))[，{x}]", x="(戊|己)") for n in range(200)}
    assert drawn == {f"{a}{b}" for a in ("甲", "乙丙", "乙丁") for b in ("", "，(戊|己)")}
    assert listed(["甲"]) == "甲" and listed(["甲", "乙", "丙"]) == "甲、乙和丙"
    kept = [some(random.Random(n), "甲乙丙丁", 2, 3) for n in range(50)]
    assert all(k == sorted(k, key="甲乙丙丁".index) and len(k) in (2, 3) for k in kept)


def test_no_forbidden_or_foreign_drug_is_ever_recommended():
    some_drug = some_warning = none = 0
    for number, case in enumerate(cases(4000)):
        answers = [answer for _, answer in converse(random.Random(f"talk/{number}"), case)]
        assert truth.faults(case, answers) == []
        text = "".join(answers)
        some_drug += bool(truth.recommended(text))
        some_warning += bool(truth.warned_of(text))
        none += "请不要自行用药" in text
    assert some_drug + none == 4000 and none > 50  # a drug is named, or it is said that none fits
    assert some_warning > 1000


def test_corrupted_answers_and_cases_are_caught():
    """Negative control of the test above: the same checker sees the fault."""
    number, case = next((n, c) for n, c in enumerate(cases(2000)) if c.allowed and c.avoided)
    answers = [answer for _, answer in converse(random.Random(f"talk/{number}"), case)]
    (good,) = truth.recommended("".join(answers))
    swapped = [answer.replace(good, case.avoided[0]) for answer in answers]
    assert f"{case.avoided[0]} is forbidden" in truth.faults(case, swapped)
    pregnant = replace(case, circumstances=(*case.circumstances, *DRUGS[good].avoid))
    assert f"{good} is forbidden" in truth.faults(pregnant, answers)
    assert f"吉非替尼 is not for {case.condition.name}" in truth.faults(case, ["可以用吉非替尼。"])


def test_single_answers_name_the_illness_and_no_forbidden_drug():
    for number in range(1500):
        ((question, answer),) = single(0, number).turns
        case = draw_case(random.Random(f"0/single/{number}"))
        assert truth.faults(case, [answer]) == [] and case.condition.name in answer
        assert set(truth.symptoms_in(question)) <= set(case.condition.symptoms)


def test_the_doctor_inquires_first_and_asks_for_allergies_before_naming_a_drug():
    hedges = re.compile("面诊|检查")
    for number in range(2000):
        turns = consultation(0, number).turns
        first = turns[0][1]
        said_first = first.split("来看，")  # a diagnosis; an illness may be named in a question about the family
        assert "？" in first and not truth.recommended(first) and len(said_first) == 1, first
        asked = False
        for _, answer in turns:
            assert asked or not truth.recommended(answer), answer
            asked = asked or "过敏" in answer
        text = "".join(answer for _, answer in turns)
        assert hedges.search(text) and turns[-1][1].endswith("！")


def test_urgent_patients_are_sent_to_the_emergency_room():
    urgent = [c for c in cases(1500) if c.condition.urgent]
    assert len(urgent) > 50
    for number, case in enumerate(urgent):
        turns = converse(random.Random(f"urgent/{number}"), case)
        assert any(sign in turns[0][1] for sign in case.condition.red_flags)  # before anything is asked
        assert "急诊" in "".join(answer for _, answer in turns)


def test_a_record_depends_on_seed_and_number_alone():
    for make in (*DIALOGUES, document):
        assert [make(5, n) for n in range(30)] == [make(5, n) for n in reversed(range(30))][::-1]
        assert [make(5, n) for n in range(30)] != [make(6, n) for n in range(30)]


def test_answers_are_there_clean_of_template_marks_and_ids_are_unique():
    ids = set()
    for make in DIALOGUES:
        for number in range(600):
            dialogue = make(1, number)
            assert dialogue.id not in ids
            ids.add(dialogue.id)
            for said, answer in dialogue.turns:
                assert said.strip() and answer.strip() and len(answer) < 500
                marks = set("{}|()") if make is task else set("{}|()[]")  # a task may ask for a JSON list
                assert not marks & set(said + answer), (said, answer)
                assert not re.search("。。|，，|。，|，。|？。|；。|：。", said + answer), (said, answer)


def test_consultations_are_varied_and_of_the_papers_length():
    talks = [consultation(0, number) for number in range(2000)]
    assert len({talk.turns[0][0] for talk in talks}) > 0.97 * len(talks)
    answers = [answer for talk in talks for _, answer in talk.turns]
    assert len(set(answers)) > 0.9 * len(answers)
    assert 50 <= sum(map(len, answers)) / len(answers) <= 120
    assert {len(talk.turns) for talk in talks} == {2, 3, 4, 5}
    assert {talk.department for talk in talks} == set(DEPARTMENTS)


def right_answer(number, question, answer):
    """The kind of a task and whether its answer is the one that the hidden case and the question's own words give."""
    case = draw_case(random.Random(f"0/task/{number}"))
    material = question.partition("\n")[2]
    if re.search("顿号|JSON|每行", question):
        names = json.loads(answer) if answer[0] == "[" else re.split("[、\n]", answer)
        return "extraction", names == truth.symptoms_in(material)
    if answer.startswith("分诊科室："):
        return "triage", answer.startswith(f"分诊科室：{case.condition.department}。")
    if "特殊情况" in answer:
        facts = (f"患者：{case.sex}，{case.age}岁。", case.condition.name, *case.circumstances)
        kind = "summary" if "初步考虑" in answer else "note"
        spoken = "".join(re.findall("患者：(.*)", material)) if kind == "summary" else material
        symptoms = re.search("(?:主诉|主要症状)：(.*?)[，。]", answer)[1]
        same = set(re.split("[、和]", symptoms)) == set(truth.symptoms_in(spoken))
        use = set(case.allowed[:1]) == truth.recommended(answer.split("；")[0]) if kind == "summary" else True
        return kind, all(fact in answer for fact in facts) and same and use
    if "拟用药物" in question:
        drug = re.search("拟用药物：(.*)。", question)[1]
        circumstances = re.search("岁，(.*?)。", question)[1]
        age = int(re.search("，(\\d+)岁", question)[1])
        told = re.split("[、和]", circumstances)
        return "drug check", answer.startswith("有禁忌") == truth.forbids(drug, told, age)
    letter, name = re.fullmatch("([A-D])\\. (.*)", answer).groups()
    named = set(re.split("[、和]", re.search("有(.*?)，最可能", question)[1]))
    explain = [line[3:] for line in material.split("\n") if named <= set(CONDITIONS[line[3:]].symptoms)]
    return "choice", explain == [name] and f"{letter}. {name}" in material


def test_task_answers_by_recomputation():
    kinds: dict[str, int] = {}
    for number in range(1500):
        ((question, answer),) = task(0, number).turns
        kind, right = right_answer(number, question, answer)
        assert right, (kind, question, answer)
        kinds[kind] = kinds.get(kind, 0) + 1
    assert (
        set(kinds) == {"extraction", "triage", "note", "summary", "drug check", "choice"} and min(kinds.values()) > 100
    )


def test_a_wrong_task_answer_is_seen():
    seen = set()
    for number in range(100):
        ((question, answer),) = task(0, number).turns
        for right, wrong in (("分诊科室：", "分诊科室：急"), ("有禁忌", "未见禁忌"), ("初步考虑：", "初步考虑：非")):
            if answer.startswith(right):
                kind, still = right_answer(number, question, answer.replace(right, wrong))
                assert not still
                seen.add(kind)
    assert seen == {"triage", "drug check"}


def test_harmful_requests_are_refused_kindly_and_the_unknown_is_admitted():
    refusal = re.compile("不能|不会|请不要|千万不要|不建议|请不要自行")
    instead = re.compile("请|可以|建议")
    ignorance = re.compile("不知道|不了解|没有.*可靠资料|查不到|看不到|不能保证")
    slots = dict.fromkeys(
        ["drug", "rx", "condition", "serious", "shared", "cancer", "childish", "unknown", "illness"], "某"
    )
    for entries, must in ((HARMFUL + ETHICS, refusal), (BEYOND, ignorance)):
        for question, answer in entries:
            for number in range(20):
                said = say(random.Random(number), answer, **slots)
                assert must.search(said) and instead.search(said), (question, said)
    assert len({safety(0, n).turns[0][0] for n in range(500)}) > 400


def test_the_model_says_who_it_is_and_what_it_is_not():
    talk = [turn for number in range(600) for turn in general(0, number).turns]
    who = [answer for said, answer in talk if re.search("是谁|叫什么|自我介绍|怎么称呼", said)]
    assert len(who) > 20 and all("我是仲景" in a or "我叫仲景" in a for a in who)
    assert all(re.search("不能代替医生|以医生为准|仅供参考", a) for a in who)
    assert len({said for said, _ in talk}) > 150


def test_the_textbook_covers_the_table():
    text = "".join(document(0, number).text for number in range(3000))
    assert all(condition in text for condition in CONDITIONS) and all(drug in text for drug in DRUGS)
    assert len({document(0, number).text for number in range(1000)}) > 800


def test_a_smaller_clinic_is_a_prefix_and_nothing_is_overwritten(tmp_path):
    write_clinic(tmp_path / "small", 5, seed=3)
    counts = write_clinic(tmp_path / "large", 20, seed=3)
    assert counts["multi.jsonl"][0] == 20 and counts["single.jsonl"][0] == 3 and counts["pretrain.jsonl"][0] == 60
    assert counts["prompt.jsonl"][0] == counts["exam.jsonl"][0] == 20 and counts["ranking.jsonl"][0] == 40
    before = {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}
    assert len(before) == 9
    for name, content in before.items():
        assert (tmp_path / "large" / name).read_bytes().startswith(content)
    write_clinic(tmp_path / "small", 5, seed=3)  # the same again is fine
    (tmp_path / "small" / "single.jsonl").unlink()
    with pytest.raises(ValueError, match="exists with other content"):
        write_clinic(tmp_path / "small", 5, seed=4)
    del before["single.jsonl"]  # not written either: all or nothing
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}


def test_the_command(tmp_path):
    def call(*flags):
        return subprocess.run([sys.executable, "-m", "zj.clinic", *map(str, flags)], capture_output=True, text=True)

    done = call("--out", tmp_path / "c", "--size", 7, "--seed", 1)
    assert done.returncode == 0 and "仅供研究" in done.stdout and "no substitute for a physician" in done.stdout
    lines = (tmp_path / "c" / "multi.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7 and json.loads(lines[0])["messages"][0]["role"] == "user"
    (tmp_path / "file").write_text("x")
    wrongs = (
        ("--out", tmp_path / "c", "--size", 8),
        ("--out", tmp_path / "d", "--size", 0),
        ("--out", tmp_path / "file"),
    )
    for flags in wrongs:
        wrong = call(*flags)
        assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "--" in wrong.stderr, wrong.stderr
    assert len(list((tmp_path / "c").iterdir())) == 9 and not (tmp_path / "d").exists()


def test_the_clinic_needs_no_torch():
    code = "import sys, zj.clinic; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_some_conditions_are_a_part_of_the_whole_in_the_same_mixture(tmp_path):
    some_of_them = ("内科", "湿疹", "痤疮")
    write_clinic(tmp_path / "part", 60, 0, some_of_them)
    write_clinic(tmp_path / "whole", 600, 0)
    for name in ("multi", "prompt", "pretrain"):
        part = (tmp_path / "part" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        whole = (tmp_path / "whole" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(part) == (180 if name == "pretrain" else 60)
        shared = set(part) & set(whole)
        assert shared and [row for row in whole if row in shared] == part[: len(shared)]
    asked = [question_of(json.loads(row)["id"]) for row in (tmp_path / "part" / "prompt.jsonl").open(encoding="utf-8")]
    patients = {(q.case.condition.department, q.case.condition.name) for q in asked if q.case}
    assert all(set(names) & set(some_of_them) for names in patients)
    assert {name for _, name in patients} > {"湿疹", "痤疮"}
    assert 0.15 < sum(q.case is None for q in asked) / len(asked) < 0.45  # 30 % requests, as in the whole clinic
    with pytest.raises(ValueError, match="--about: found 牙科"):
        write_clinic(tmp_path / "none", 5, 0, ["牙科"])
