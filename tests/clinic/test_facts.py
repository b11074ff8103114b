"""The table is complete and unambiguous, so that a judge can tell right from wrong by it."""

from __future__ import annotations

import random
from dataclasses import replace

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DEPARTMENTS, DRUGS, draw_case
from zj.clinic.facts.circumstances import UNMET
from zj.clinic.table import options

EXPECTED = [
    *("皮肤科", "外科", "儿科", "整形美容", "妇产科", "五官科", "中医科"),
    *("肿瘤科", "内科", "皮肤性病科", "家居健康", "男科", "传染病科", "心理科"),
]


def incomplete(condition) -> list[str]:
    """Names of what is missing, doubled or not a clean phrase in a condition."""
    lists = {
        "symptoms": (list(condition.symptoms), 4),
        "questions": (list(condition.questions), 3),
        "tests": (condition.tests, 1),
        "treatment": (condition.treatment, 2),
        "drugs": (list(condition.drugs), 1),
        "care": (condition.care, 2),
        "red_flags": (list(condition.red_flags), 2),
    }
    wrong = [name for name, (items, least) in lists.items() if len(items) < least or len(set(items)) < len(items)]
    said = [*condition.symptoms.values(), *condition.questions.values(), condition.course]
    phrases = [*(o for text in said for o in options(text)), *condition.drugs.values(), *condition.red_flags.values()]
    phrases += [condition.name, condition.cause, *(item for items, _ in lists.values() for item in items)]
    wrong += [
        phrase for phrase in phrases if not phrase or phrase != phrase.strip(" 。，；") or set(phrase) & set("()[]{}|")
    ]
    wrong += [question for question in condition.questions if not question.endswith("？")]
    return wrong


def test_at_least_sixty_conditions_over_the_fourteen_departments():
    assert len(CONDITIONS) >= 60 and set(DEPARTMENTS) == set(EXPECTED)
    assert min(sum(c.department == d for c in CONDITIONS.values()) for d in EXPECTED) >= 4


def test_every_condition_is_complete_and_an_incomplete_one_is_seen():
    assert {c.name: incomplete(c) for c in CONDITIONS.values() if incomplete(c)} == {}
    eczema = CONDITIONS["湿疹"]
    assert incomplete(replace(eczema, drugs={})) == ["drugs"]
    assert incomplete(replace(eczema, tests=("血常规", "血常规"))) == ["tests"]
    assert incomplete(replace(eczema, cause="皮肤的炎症。")) == ["皮肤的炎症。"]


def test_the_formulary_is_exactly_what_the_conditions_use_and_names_are_unambiguous():
    assert {drug for condition in CONDITIONS.values() for drug in condition.drugs} == set(DRUGS)
    for drug in DRUGS.values():
        assert drug.kind and drug.side_effects and drug.avoid, drug.name
        assert set(drug.avoid) <= {*CIRCUMSTANCES, *UNMET}, drug.name
    for names in (DRUGS, CONDITIONS):
        assert [(a, b) for a in names for b in names if a != b and a in b] == []


def test_a_patients_words_mean_one_symptom():
    meaning: dict[str, str] = {}
    for condition in CONDITIONS.values():
        for name, text in condition.symptoms.items():
            for said in options(text):
                assert meaning.setdefault(said, name) == name, said


def test_prescription_drugs_are_not_described_as_free_to_buy():
    free = {d.name for d in DRUGS.values() if not d.prescription}
    for drug in ("异维A酸软胶囊", "阿莫西林", "舍曲林", "卡培他滨", "门冬胰岛素"):
        assert drug not in free
    for condition in CONDITIONS.values():
        assert not any("处方" in use and drug in free for drug, use in condition.drugs.items()), condition.name


def impossible(case) -> list[str]:
    """Contradictions between a patient, the illness and the circumstances."""
    condition = case.condition
    found = [] if condition.ages[0] <= case.age <= condition.ages[1] else ["age"]
    if condition.sex not in ("", case.sex):
        found.append("sex")
    if not set(condition.always) <= set(case.circumstances) or set(condition.never) & set(case.circumstances):
        found.append("circumstances of the illness")
    for circumstance in map(CIRCUMSTANCES.get, case.circumstances):
        low, high = circumstance.ages
        if circumstance.by_age or circumstance.sex not in ("", case.sex) or not low <= case.age <= high:
            found.append(circumstance.name)
    if {"孕妇", "哺乳期妇女"} <= set(case.circumstances):
        found.append("孕妇 and 哺乳期妇女")
    female, male = ("我妈", "我母亲", "我女儿"), ("我爸", "我父亲", "我儿子")
    if case.subject in (female if case.sex == "男" else male):
        found.append("subject")
    if (case.subject == "我") and case.age < 13:
        found.append("a child who types")
    return found


def test_patients_are_possible_and_impossible_ones_are_seen():
    cases = [draw_case(random.Random(f"possible/{number}")) for number in range(4000)]
    assert [case for case in cases if impossible(case)] == []
    assert {case.condition.name for case in cases} == set(CONDITIONS)
    assert {name for case in cases for name in case.circumstances} == {
        c.name for c in CIRCUMSTANCES.values() if not c.by_age
    }
    for case in cases:
        assert len(case.symptoms) >= 3 and all(
            s in options(case.condition.symptoms[n]) for n, s in case.symptoms.items()
        )
        assert all(a in options(case.condition.questions[q]) for q, a in case.answers.items())
    man = next(
        case for case in cases if case.sex == "男" and case.condition.department == "男科" and case.subject == "我"
    )
    assert impossible(replace(man, circumstances=("孕妇",))) == ["孕妇"]
    assert "age" in impossible(replace(man, age=7))
    assert "sex" in impossible(replace(man, sex="女"))
