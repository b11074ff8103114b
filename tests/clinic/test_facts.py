"""The table is complete and unambiguous, so that a judge can tell right from wrong by it."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import replace

import pytest

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DEPARTMENTS, DRUGS, draw_case
from zj.clinic.facts import FILES, FOLDER, UNMET, load_circumstances, load_conditions, load_drugs
from zj.clinic.table import Use

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
        "main drugs": ([drug for drug, use in condition.drugs.items() if not use.adjunct], 1),
        "care": (condition.care, 2),
        "red_flags": (list(condition.red_flags), 2),
        "course": (condition.course, 1),
    }
    said = {**condition.symptoms, **condition.questions, **{f"{d}度": s for d, s in condition.severity.items()}}
    lists |= {name: (phrases, 2) for name, phrases in said.items()}
    lists |= {f"new words: {name}": (phrases, 1) for name, phrases in condition.new_words.items()}
    wrong = [name for name, (items, least) in lists.items() if len(items) < least or len(set(items)) < len(items)]
    phrases = [item for items, _ in lists.values() for item in items]
    phrases += [condition.name, condition.cause, *(use.use for use in condition.drugs.values())]
    phrases += condition.red_flags.values()
    return wrong + [p for p in phrases if not clean(p.removesuffix("？") if p in condition.questions else p)]


def clean(phrase: str) -> bool:
    """Whether it can stand inside a sentence and inside a template."""
    return (
        bool(phrase)
        and phrase[0] not in "，、"
        and phrase[-1] not in "，、"
        and not set(phrase) & set("()[]{}| 。；！？")
    )


def test_fourteen_departments_in_their_order():
    assert len(CONDITIONS) >= 78 and list(DEPARTMENTS) == EXPECTED
    for department in EXPECTED:
        own = [c for c in CONDITIONS.values() if c.department == department]
        assert sum(not c.textbook_only for c in own) >= 4 and any(c.textbook_only for c in own), department


def test_every_condition_is_complete_and_an_incomplete_one_is_seen():
    assert {c.name: incomplete(c) for c in CONDITIONS.values() if incomplete(c)} == {}
    eczema = CONDITIONS["湿疹"]
    assert incomplete(replace(eczema, drugs={})) == ["drugs", "main drugs"]
    assert incomplete(replace(eczema, drugs={"氯雷他定": Use("口服", adjunct=True)})) == ["main drugs"]
    assert incomplete(replace(eczema, tests=("血常规", "血常规"))) == ["tests"]
    assert incomplete(replace(eczema, cause="皮肤的炎症。")) == ["皮肤的炎症。"]
    assert incomplete(replace(eczema, symptoms={**eczema.symptoms, "皮肤瘙痒": ("痒 得很", "痒")})) == ["痒 得很"]
    assert incomplete(replace(eczema, new_words={"皮肤瘙痒": ()})) == ["new words: 皮肤瘙痒"]
    assert all(question.endswith("？") for c in CONDITIONS.values() for question in c.questions)


def test_severity_is_asked_only_where_a_choice_depends_on_it():
    for condition in CONDITIONS.values():
        assert list(condition.severity) in ([], ["轻", "重"])
        assert bool(condition.severity) == any(use.severity for use in condition.drugs.values()), condition.name


def test_the_formulary_is_exactly_what_the_conditions_use_and_names_are_unambiguous():
    assert {drug for condition in CONDITIONS.values() for drug in condition.drugs} == set(DRUGS)
    for drug in DRUGS.values():
        assert drug.kind and drug.side_effects and drug.forbidden, drug.name
    for names in (DRUGS, CONDITIONS, [*CIRCUMSTANCES, *UNMET]):
        assert [(a, b) for a in names for b in names if a != b and a in b] == []
    uses = [use.use for condition in CONDITIONS.values() for use in condition.drugs.values()]
    assert [(drug, use) for use in uses for drug in DRUGS if drug in use] == []  # it may be forbidden to this patient


def test_a_drug_is_swallowed_unless_its_form_says_otherwise():
    form = (
        "乳膏|洗剂|凝胶|软膏|栓$|酊|滴眼液|眼膏|滴鼻液|喷雾|吸入剂|气雾剂|雾化液|混悬液|阴道片|含片|贴片|注射液|胰岛素"
    )
    for drug in DRUGS.values():
        assert not (drug.oral and re.search(form, drug.name)), drug.name
    assert [DRUGS[name].oral for name in ("泼尼松龙口服液", "口服补液盐Ⅲ", "头孢曲松", "甘露醇")] == [
        True,
        True,
        False,
        False,
    ]


def test_drugs_of_one_class_have_one_rule():
    of_class = {
        "头孢": ({"头孢过敏者"}, {"青霉素过敏者"}),
        "青霉素": ({"青霉素过敏者"}, {"头孢过敏者"}),
        "非甾体": (
            {"孕妇", "消化性溃疡患者", "服用抗凝药者", "心力衰竭患者", "肾功能不全者", "阿司匹林过敏者"},
            {"肝功能不全者", "哮喘患者"},
        ),
        "抗抑郁": ({"服用单胺氧化酶抑制剂者"}, {"癫痫患者", "服用抗凝药者"}),
        "喹诺酮类": ({"孕妇", "哺乳期妇女", "18岁以下者", "癫痫患者"}, set()),
    }
    for kind, (forbidden, monitor) in of_class.items():
        own = [drug for drug in DRUGS.values() if kind in drug.kind]
        assert own and all(forbidden <= set(drug.forbidden) and monitor <= set(drug.monitor) for drug in own), kind


def sayings() -> list[tuple[str, str]]:
    """(symptom, phrase) of everything that patients say of their symptoms, trained or new."""
    return [
        (name, phrase)
        for condition in CONDITIONS.values()
        for name, said in condition.symptoms.items()
        for phrase in (*said, *condition.new_words[name])
    ]


def ambiguous(said) -> list[str]:
    """Phrases that mean two symptoms."""
    meaning: dict[str, str] = {}
    return [phrase for name, phrase in said if meaning.setdefault(phrase, name) != name]


def contained(new, every) -> list[tuple[str, str]]:
    """(new phrase, other phrase), one of which holds the other."""
    return [(a, b) for a in new for b in every if a != b and (a in b or b in a)]


def test_a_patients_words_mean_one_symptom():
    assert ambiguous(sayings()) == []
    assert ambiguous([*sayings(), ("头痛", "身上痒得厉害")]) == ["身上痒得厉害"]


def test_new_words_are_new_and_short_and_hold_no_other_saying():
    new = {phrase for c in CONDITIONS.values() for phrases in c.new_words.values() for phrase in phrases}
    trained = {phrase for c in CONDITIONS.values() for said in c.symptoms.values() for phrase in said}
    trained |= {phrase for c in CONDITIONS.values() for said in c.severity.values() for phrase in said}
    assert not new & trained and len(new) >= 700
    assert [phrase for phrase in new if not 5 <= len(phrase) <= 16] == []
    assert contained(new, new | trained) == []
    assert contained({"夜里身上痒得厉害"}, trained) == [("夜里身上痒得厉害", "身上痒得厉害")]
    for condition in CONDITIONS.values():
        assert not any(condition.name in phrase for words in condition.new_words.values() for phrase in words)


def test_prescription_drugs_are_not_described_as_free_to_buy():
    free = {d.name for d in DRUGS.values() if not d.prescription}
    for drug in ("异维A酸软胶囊", "阿莫西林", "舍曲林", "卡培他滨", "门冬胰岛素"):
        assert drug not in free
    for condition in CONDITIONS.values():
        assert not any("处方" in use.use and drug in free for drug, use in condition.drugs.items()), condition.name


def test_every_file_says_that_it_is_no_substitute_for_a_physician():
    files = sorted(FOLDER.glob("*.toml"))
    assert {file.stem for file in files} == {*FILES, "drugs", "circumstances"}
    for file in files:
        first, second = file.read_text(encoding="utf-8").splitlines()[:2]
        assert first.startswith("# ") and first.endswith("仅供研究，不能代替医生。") and "no substitute" in second, (
            file.name
        )
    read = [load_conditions(FOLDER / f"{name}.toml", set(CIRCUMSTANCES), set(DRUGS)) for name in FILES]
    assert sum(map(len, read)) == len(CONDITIONS)  # none stands in two departments


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("dermatology", 'cause = "皮肤屏障', 'couse = "皮肤屏障', "dermatology.toml: condition 湿疹: cause is missing"),
        (
            "dermatology",
            "textbook_only = true",
            "textbook = true",
            "dermatology.toml: condition 银屑病: unknown key 'textbook'",
        ),
        (
            "dermatology",
            'name = "氯雷他定"',
            'name = "氯雷定"',
            "condition 湿疹: drug 氯雷定: name: no drug is called '氯雷定'",
        ),
        (
            "dermatology",
            'severity = "重"',
            'severity = "中"',
            "condition 痤疮: drug 异维A酸软胶囊: severity: found '中'",
        ),
        ("dermatology", '"轻" = ', '"輕" = ', "condition 痤疮: severity: 轻 is missing"),
        ("dermatology", '["weeks", "months"]', '["week"]', "condition 湿疹: course: found 'week'"),
        ("dermatology", "ages = [2, 70]", "ages = [70, 2]", "condition 湿疹: ages: found [70, 2]"),
        ("dermatology", "adjunct = true", 'adjunct = "是"', "condition 湿疹: drug 氯雷他定: adjunct: found '是'"),
        ("dermatology", 'name = "荨麻疹"', 'name = "湿疹"', "condition 湿疹: name stands twice"),
        (
            "gynaecology",
            'always = ["孕妇"]',
            'always = ["怀孕者"]',
            "condition 妊娠期糖尿病: always: no circumstance is called",
        ),
        (
            "drugs",
            'reduce = ["肾功能不全者"]',
            'reduce = ["肾病者"]',
            "drug 西替利嗪: reduce: no circumstance is called '肾病者'",
        ),
        ("drugs", 'reduce = ["肾功能不全者"]', 'reduce = ["孕妇"]', "drug 西替利嗪: a circumstance stands twice"),
        ("drugs", "oral = true\n", "", "drugs.toml: drug 氯雷他定: oral is missing"),
        ("circumstances", "said = ", "says = ", "circumstances.toml: circumstance 孕妇: said is missing"),
        ("circumstances", "unmet = [", "unmet = [[", "circumstances.toml: "),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path, name, old, new, message):
    path = tmp_path / f"{name}.toml"
    shutil.copy(FOLDER / path.name, path)
    text = path.read_text(encoding="utf-8")
    load(path)
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        load(path)
    assert message in str(error.value) and str(error.value).startswith(path.name)


def load(path):
    if path.stem == "circumstances":
        return load_circumstances(path)
    if path.stem == "drugs":
        return load_drugs(path, {*CIRCUMSTANCES, *UNMET})
    return load_conditions(path, set(CIRCUMSTANCES), set(DRUGS))


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
    if (case.severity, bool(case.severity_said)) not in {(d, True) for d in condition.severity or ()} | {("", False)}:
        found.append("severity")
    return found


def test_patients_are_possible_and_impossible_ones_are_seen():
    cases = [draw_case(random.Random(f"possible/{number}")) for number in range(4000)]
    assert [case for case in cases if impossible(case)] == []
    assert {case.condition.name for case in cases} == {c.name for c in CONDITIONS.values() if not c.textbook_only}
    assert {name for case in cases for name in case.circumstances} == {
        c.name for c in CIRCUMSTANCES.values() if not c.by_age
    }
    for case in cases:
        assert len(case.symptoms) >= 3 and all(s in case.condition.symptoms[n] for n, s in case.symptoms.items())
        assert all(a in case.condition.questions[q] for q, a in case.answers.items())
        assert bool(case.severity) == bool(case.condition.severity) and case.duration in case.condition.course
    man = next(
        case for case in cases if case.sex == "男" and case.condition.department == "男科" and case.subject == "我"
    )
    assert impossible(replace(man, circumstances=("孕妇",))) == ["孕妇"]
    assert "age" in impossible(replace(man, age=7))
    assert "sex" in impossible(replace(man, sex="女"))
    assert impossible(replace(man, severity="重")) == ["severity"]


def test_new_words_are_drawn_for_at_least_half_of_the_symptoms():
    for condition in CONDITIONS.values():
        for number in range(5):
            case = draw_case(random.Random(f"words/{number}"), condition, new_words=True)
            new = sum(said in condition.new_words[name] for name, said in case.symptoms.items())
            assert 2 * new >= len(case.symptoms) > 0
            assert all(s in (*condition.symptoms[n], *condition.new_words[n]) for n, s in case.symptoms.items())
