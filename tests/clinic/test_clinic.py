"""The synthetic clinic: its table is complete, and all that is generated from it is true to it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys

import pytest

from zj.clinic import write_clinic
from zj.clinic.case import draw_case
from zj.clinic.consultation import consultation, converse, single
from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.facts.circumstances import UNMET
from zj.clinic.general import general
from zj.clinic.phrases import say
from zj.clinic.safety import BEYOND, ETHICS, HARMFUL, safety
from zj.clinic.table import options
from zj.clinic.tasks import task
from zj.clinic.textbook import document

DEPARTMENTS = {
    *("皮肤科", "外科", "儿科", "整形美容", "妇产科", "五官科", "中医科"),
    *("肿瘤科", "内科", "皮肤性病科", "家居健康", "男科", "传染病科", "心理科"),
}
STREAMS = (consultation, single, task, general, safety)


def test_sixty_conditions_over_the_fourteen_departments_each_complete():
    assert len(CONDITIONS) >= 60
    counts = {d: sum(c.department == d for c in CONDITIONS.values()) for d in DEPARTMENTS}
    assert {c.department for c in CONDITIONS.values()} == DEPARTMENTS and min(counts.values()) >= 4
    for condition in CONDITIONS.values():
        assert len(condition.symptoms) >= 3 and len(condition.questions) >= 2 and condition.red_flags, condition.name
        assert condition.tests and len(condition.treatment) >= 2 and len(condition.care) >= 2 and condition.cause
        assert 0 <= condition.ages[0] <= condition.ages[1] <= 99 and condition.sex in ("", "男", "女")
        words = [*options(condition.course), *condition.care, *condition.tests, *condition.treatment]
        said = [o for text in (*condition.symptoms.values(), *condition.questions.values()) for o in options(text)]
        assert all(word.strip() == word and word for word in words + said), condition.name


def test_every_drug_is_in_the_formulary_with_a_contraindication_somebody_can_have_or_none_has():
    used = {drug for condition in CONDITIONS.values() for drug in condition.drugs}
    assert used == set(DRUGS)
    for drug in DRUGS.values():
        assert drug.avoid and drug.side_effects
        assert set(drug.avoid) <= set(CIRCUMSTANCES) | set(UNMET), drug.name


def cases(count):
    for number in range(count):
        yield draw_case(random.Random(f"case/{number}"))


def test_patients_are_consistent_with_their_condition():
    for case in cases(3000):
        condition = case.condition
        assert condition.ages[0] <= case.age <= condition.ages[1]
        assert condition.sex in ("", case.sex)
        assert set(case.symptoms) <= set(condition.symptoms) and len(case.symptoms) >= 2
        assert not set(case.circumstances) & set(condition.never)
        for name in case.circumstances:
            circumstance = CIRCUMSTANCES[name]
            assert circumstance.sex in ("", case.sex), (name, case)
            assert circumstance.ages[0] <= case.age <= circumstance.ages[1] or name in condition.always


def recommended_though_forbidden(case, turns):
    """Drugs of the condition that an answer names with their use although the patient must not take them."""
    found = []
    for _, answer in turns:
        for drug, use in case.condition.drugs.items():
            if f"{drug}，{use}" in answer and set(DRUGS[drug].avoid) & set(case.forbidding):
                found.append(drug)
    return found


def test_no_forbidden_drug_is_ever_recommended_and_the_check_can_fail():
    avoided = recommended = 0
    for number, case in enumerate(cases(3000)):
        turns = converse(random.Random(f"talk/{number}"), case)
        assert not recommended_though_forbidden(case, turns)
        text = "".join(answer for _, answer in turns)
        recommended += any(f"{drug}，{use}" in text for drug, use in case.condition.drugs.items())
        avoided += any(f"禁用{drug}" in text for drug in case.avoided)
    assert recommended > 1500 and avoided > 300  # both really occur
    risky = next(c for c in cases(3000) if c.avoided)
    drug = risky.avoided[0]  # negative control: an answer that does recommend it is caught
    assert recommended_though_forbidden(risky, [("", f"可以用{drug}，{risky.condition.drugs[drug]}。")]) == [drug]


def test_the_doctor_asks_before_advising():
    advice = re.compile("可以(用|选用|请医生评估后使用|在医生指导下用)")
    for number in range(1000):
        first = consultation(0, number).turns[0][1]
        assert "？" in first and not advice.search(first), first


def test_a_record_depends_on_seed_and_number_alone():
    for make in (*STREAMS, document):
        assert make(5, 17) == make(5, 17)
        assert [make(5, n) for n in range(20)] != [make(6, n) for n in range(20)]


def test_answers_are_there_and_short_enough_and_ids_are_unique():
    seen = set()
    for make in STREAMS:
        for number in range(400):
            dialogue = make(1, number)
            assert dialogue.id not in seen
            seen.add(dialogue.id)
            for user, answer in dialogue.turns:
                assert user.strip() and answer.strip() and len(answer) < 600
                assert not set("{}[]|()") & set(user + answer), (user, answer)


def test_consultations_are_varied():
    talks = [consultation(0, number) for number in range(1000)]
    assert len({talk.turns[0][0] for talk in talks}) > 950
    answers = [answer for talk in talks for _, answer in talk.turns]
    assert len(set(answers)) > 0.9 * len(answers)
    assert 50 <= sum(map(len, answers)) / len(answers) <= 120
    assert {len(talk.turns) for talk in talks} == {2, 3, 4, 5}


def test_task_answers_follow_from_the_case():
    kinds = set()
    for number in range(600):
        ((question, answer),) = task(0, number).turns
        case = draw_case(random.Random(f"0/task/{number}"))
        if "，用顿号隔开：" in question or "症状抽取" in question:
            kinds.add("extraction")
            assert set(answer.split("、")) <= set(case.symptoms)
            spoken = question.replace(" ", "，")  # some patients type blanks for commas
            named = [options(case.condition.symptoms[symptom]) for symptom in answer.split("、")]
            assert all(any(said in spoken for said in ways) for ways in named)
        elif answer.startswith("建议挂"):
            kinds.add("triage")
            assert answer.startswith(f"建议挂{case.condition.department}。")
        else:
            kinds.add("report")
            assert f"初步诊断：{case.condition.name}待查。" in answer and f"{case.sex}，{case.age}岁" in answer
    assert kinds == {"extraction", "triage", "report"}


def test_harmful_requests_are_refused_and_the_unknown_is_admitted():
    refusal = re.compile("不能|不会|请不要|千万不要|不建议|不可以|并不合适|驱邪会耽误")
    ignorance = re.compile("不知道|不了解|没有.*可靠资料|查不到|不能保证")
    rng = random.Random(0)
    slots = {"drug": "甲", "condition": "乙", "cancer": "丙", "symptom": "丁", "unknown": "戊"}
    for _, answer in HARMFUL + ETHICS:
        for _ in range(20):
            assert refusal.search(say(rng, answer, **slots)), answer
    for _, answer in BEYOND:
        for _ in range(20):
            assert ignorance.search(say(rng, answer, **slots)), answer
    assert len({safety(0, n).turns[0][0] for n in range(300)}) > 200


def test_the_textbook_covers_the_table():
    text = "".join(document(0, number).text for number in range(3000))
    assert all(condition in text for condition in CONDITIONS) and all(drug in text for drug in DRUGS)
    assert len({document(0, number).text for number in range(1000)}) > 800


def test_a_smaller_clinic_is_a_prefix_and_nothing_is_overwritten(tmp_path):
    write_clinic(tmp_path / "small", 5, seed=3)
    write_clinic(tmp_path / "large", 20, seed=3)
    for file in (tmp_path / "small").iterdir():
        assert (tmp_path / "large" / file.name).read_bytes().startswith(file.read_bytes())
    before = {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}
    write_clinic(tmp_path / "small", 5, seed=3)  # the same again is fine
    with pytest.raises(ValueError, match="exists with other content"):
        write_clinic(tmp_path / "small", 5, seed=4)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}


def test_the_command(tmp_path):
    def call(*flags):
        return subprocess.run([sys.executable, "-m", "zj.clinic", *map(str, flags)], capture_output=True, text=True)

    done = call("--out", tmp_path / "c", "--size", 7, "--seed", 1)
    assert done.returncode == 0 and "仅供研究" in done.stdout and "multi.jsonl" in done.stdout
    lines = (tmp_path / "c" / "multi.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 7 and json.loads(lines[0])["messages"][0]["role"] == "user"
    for flags in (("--out", tmp_path / "c", "--size", 8), ("--out", tmp_path / "d", "--size", 0)):
        wrong = call(*flags)
        assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "error:" in wrong.stderr
