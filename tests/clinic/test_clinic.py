"""All that the clinic writes is true to its table, varied, and a function of seed and number alone."""

from __future__ import annotations

import importlib.util
import itertools
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
from zj.clinic.phrases import join_list, sample_in_order, say
from zj.clinic.request import DRUG_INSTEAD, KINDS, draw_request, entries, request, subjects
from zj.clinic.tasks import task
from zj.clinic.textbook import document

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

DIALOGUES = (consultation, single, task, general, request)


def cases(count):
    return [draw_case(random.Random(f"case/{number}")) for number in range(count)]


def test_a_template_stands_for_all_its_sentences_and_fillings_are_not_templates():
    drawn = {say(random.Random(n), "(甲|乙(丙|丁))[，{x}]", x="(戊|己)") for n in range(200)}
    assert drawn == {f"{a}{b}" for a in ("甲", "乙丙", "乙丁") for b in ("", "，(戊|己)")}
    assert join_list(["甲"]) == "甲" and join_list(["甲", "乙", "丙"]) == "甲、乙和丙"
    kept = [sample_in_order(random.Random(n), "甲乙丙丁", 2, 3) for n in range(50)]
    assert all(k == sorted(k, key="甲乙丙丁".index) and len(k) in (2, 3) for k in kept)


def test_no_forbidden_or_foreign_drug_is_ever_recommended_and_cautions_are_said():
    some_drug = some_warning = none = graded = 0
    ways: set[str] = set()
    for number, case in enumerate(cases(4000)):
        answers = [answer for _, answer in converse(random.Random(f"talk/{number}"), case)]
        assert truth.faults(case, answers) == []
        text = "".join(answers)
        some_drug += bool(truth.recommended(text))
        forbidden = {d for d in case.condition.drugs if truth.forbids(d, case.circumstances, case.age)}
        assert bool(truth.warned_of(text)) == bool(forbidden), text  # whoever has to avoid something hears of it
        some_warning += bool(forbidden)
        none += "请不要自行用药" in text
        graded += bool(case.severity)
        ways |= {way for way, _, _ in truth.cautions(text)}
    assert some_drug + none == 4000 and none > 50  # a drug is named, or it is said that none fits
    assert some_warning > 500 and graded > 50 and ways == {"reduce", "monitor"}


def test_corrupted_answers_and_cases_are_caught():
    """Negative control of the test above: the same checker sees each fault."""
    number, case = next((n, c) for n, c in enumerate(cases(2000)) if c.suitable and c.avoided and not c.adjuncts)
    answers = [answer for _, answer in converse(random.Random(f"talk/{number}"), case)]
    (good,) = truth.recommended("".join(answers))
    swapped = [answer.replace(good, case.avoided[0]) for answer in answers]
    assert f"{case.avoided[0]} is forbidden" in truth.faults(case, swapped)
    pregnant = replace(case, circumstances=(*case.circumstances, *DRUGS[good].forbidden))
    assert f"{good} is forbidden" in truth.faults(pregnant, answers)
    assert f"吉非替尼 is not for {case.condition.name}" in truth.faults(case, ["可以用吉非替尼。"])
    assert truth.faults(case, [f"不知道谁用{good}要请医生减量。"]) == [f"no caution: reduce {good} 不知道谁"]


def test_a_caution_left_out_and_a_drug_for_another_severity_are_caught():
    careful, graded, beside = (
        next((n, c) for n, c in enumerate(cases(4000)) if wanted(c))
        for wanted in (
            lambda c: c.suitable and c.verdict(c.suitable[0])[0] in ("reduce", "monitor"),
            lambda c: any(use.severity not in ("", c.severity) for use in c.condition.drugs.values()),
            lambda c: c.adjuncts,
        )
    )
    number, case = careful
    answers = [answer for _, answer in converse(random.Random(f"talk/{number}"), case)]
    silent = ["".join(s for s in re.findall("[^。！？]*[。！？]", a) if not truth.cautions(s)) for a in answers]
    assert [fault for fault in truth.faults(case, silent)] == [f"{case.suitable[0]} without a caution"]
    case = graded[1]
    other = next(d for d, use in case.condition.drugs.items() if use.severity not in ("", case.severity))
    assert f"{other} is not for {case.condition.name}" in truth.faults(case, [f"可以用{other}。"])
    assert f"{beside[1].adjuncts[0]} alone" in truth.faults(beside[1], [f"可以用{beside[1].adjuncts[0]}。"])


def test_single_answers_name_the_illness_and_no_forbidden_drug():
    for number in range(1500):
        ((question, answer),) = single(0, number).turns
        case = draw_case(random.Random(f"0/single/{number}"))
        assert truth.faults(case, [answer]) == [] and case.condition.name in answer
        assert set(truth.symptoms_in(question)) <= set(case.condition.symptoms)
        assert not truth.new_words_in(question)


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


def checked(question):
    """How the answer to a drug check begins, by the question's own words."""
    age, facts, illness, drug = re.search("(\\d+)岁，(.*?)。诊断：(.*?)。拟用药物：(.*)。", question).groups()
    told = re.split("[、和]", facts)
    severity = next((fact[2] for fact in told if fact in ("病情轻度", "病情重度")), "")
    use = CONDITIONS[illness].drugs[drug]
    if truth.forbids(drug, told, int(age)):
        return "有禁忌："
    if use.severity not in ("", severity):
        return "不适合："
    ways = {way for way, _ in truth.minds(drug, told, int(age))}
    return "可用，但" if ways else f"未见禁忌，{drug}"


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
        use = set(case.suitable[:1]) == truth.recommended(answer.split("；")[0]) if kind == "summary" else True
        return kind, all(fact in answer for fact in facts) and same and use
    if "拟用药物" in question:
        return "drug check", answer.startswith(checked(question))
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
    for number in range(400):
        ((question, answer),) = task(0, number).turns
        for right, wrong in (
            ("分诊科室：", "分诊科室：急"),
            ("有禁忌：", "未见禁忌："),
            ("可用，但", "未见禁忌，"),
            ("初步考虑：", "初步考虑：非"),
            ("主诉：", "主诉：皮肤渗液、"),
        ):
            if right in answer and "皮肤渗液" not in answer:
                changed = answer.replace(right, wrong)
                if right == "初步考虑：":
                    changed = changed.replace(draw_case(random.Random(f"0/task/{number}")).condition.name, "")
                kind, still = right_answer(number, question, changed)
                assert not still, (kind, changed)
                seen.add((kind, right))
    assert {kind for kind, _ in seen} == {"triage", "drug check", "summary", "note"} and len(seen) == 5


REFUSED = re.compile("请不要|千万不要|请您不要|不能(帮您|支持您)|不建议")
ADMITTED = re.compile("我不知道|没有可靠的资料|我说不准|我无法确定")


def test_harmful_requests_are_refused_kindly_and_the_unknown_is_admitted():
    rng = random.Random(0)
    for kind in KINDS:
        asked, said_no = (ADMITTED, REFUSED) if kind == "beyond" else (REFUSED, ADMITTED)
        for held_out in (False, True):
            drawn = (draw_request(rng, kind, rng.choice(subjects(kind)), held_out) for _ in itertools.count())
            found = list(itertools.islice((r for r in drawn if r is not None), 3000))
            assert {r.entry for r in found} == {e for e in entries(kind) if e.held_out == held_out}
            for r in found:
                assert asked.search(r.answer) and not said_no.search(r.answer), r
                assert r.span in r.text and r.matter[0] in r.answer
                assert any(i in r.answer for i in (*r.entry.instead, *DRUG_INSTEAD))
                assert kind != "drug" or f"{r.reason}禁用{r.drug}" in r.answer
    assert len({request(0, n).turns[0][0] for n in range(500)}) > 400


def test_every_request_that_is_wanted_against_a_label_is_forbidden_by_it():
    rng = random.Random(1)
    for _ in range(400):
        wish = draw_request(rng, "drug", rng.choice(subjects("drug")), held_out=False)
        assert wish and truth.forbids(wish.drug, [wish.reason], age=0 if "岁" in wish.reason else 99), wish
        assert wish.drug in wish.text and wish.drug in wish.condition.drugs


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
    assert counts["multi.jsonl"][0] == 20 and counts["single.jsonl"][0] == 7 and counts["pretrain.jsonl"][0] == 60
    assert counts["prompt.jsonl"][0] == counts["exam.jsonl"][0] == counts["ranking.jsonl"][0] == 20
    before = {file.name: file.read_bytes() for file in (tmp_path / "small").iterdir()}
    assert len(before) == 9
    for name, content in before.items():
        assert (tmp_path / "large" / name).read_bytes().startswith(content)
    assert list(write_clinic(tmp_path / "one", 5, seed=3, names=["multi"])) == ["multi.jsonl"]
    (only,) = (tmp_path / "one").iterdir()
    assert only.read_bytes() == before["multi.jsonl"]
    with pytest.raises(ValueError, match="--files: found multiple, expected some of pretrain multi"):
        write_clinic(tmp_path / "one", 5, seed=3, names=["multiple"])
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


def test_a_clinic_of_what_only_the_textbook_knows_is_refused(tmp_path):
    alone = sorted(c.name for c in CONDITIONS.values() if c.textbook_only)
    assert len({CONDITIONS[name].department for name in alone}) > 5
    for about in (alone[:1], alone):
        with pytest.raises(ValueError, match="found in the textbook only") as error:
            write_clinic(tmp_path / "none", 5, 0, about)
        assert "--about" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "none").exists()
    write_clinic(tmp_path / "some", 5, 0, [alone[0], "湿疹"])  # the control: beside another one it may be named
    documents = (tmp_path / "some" / "pretrain.jsonl").read_text(encoding="utf-8")
    assert alone[0] in documents and "湿疹" in documents
