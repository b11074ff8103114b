"""Textbook-like documents, generated from the table of facts."""

from __future__ import annotations

import random

from zj.clinic.case import draw_case
from zj.clinic.facts import CONDITIONS, DRUGS
from zj.clinic.phrases import join_list, sample_in_order, say
from zj.clinic.request import KINDS, subjects, trained_request
from zj.clinic.table import Condition, place
from zj.data.records import Document


def document(seed: int, number: int) -> Document:
    """Document `number` of the seed's stream."""
    rng, condition = subject(seed, number)
    return Document(f"pretrain-{number:06d}", rng.choice(GENRES)(rng, condition))


def subject(seed: int, number: int) -> tuple[random.Random, Condition]:
    """(generator, condition) of document `number`."""
    rng = random.Random(f"{seed}/pretrain/{number}")
    return rng, rng.choice(list(CONDITIONS.values()))


def overview(rng: random.Random, c: Condition) -> str:
    """An encyclopaedia article."""
    parts = [
        say(rng, "{n}[属于{d}常见病，](是|是指){c}。", n=c.name, d=c.department, c=c.cause),
        say(
            rng, "(常见|主要|典型)(症状|表现)(有|包括){s}。", s=join_list(sample_in_order(rng, list(c.symptoms), 4, 6))
        ),
        say(rng, "(诊断时|为了明确诊断)(可以|常)做{t}。", t=join_list(c.tests)),
        "治疗上，" + "；".join(c.treatment) + "。",
        say(rng, "常用药物(有|包括){d}。", d=join_list(list(c.drugs))),
        "日常注意" + "，".join(c.care) + "。",
        "".join(f"若{sign}，应{action}。" for sign, action in c.red_flags.items()),
    ]
    return "".join(parts[:2] + sample_in_order(rng, parts[2:], 3, 5))


def monograph(rng: random.Random, c: Condition) -> str:
    """A package insert of one drug."""
    name = rng.choice(list(c.drugs))
    drug = DRUGS[name]
    rule = "处方药，须凭医生处方使用" if drug.prescription else "非处方药"
    cautions = ((drug.forbidden, "禁用"), (drug.reduce, "减量使用"), (drug.monitor, "在医生监测下使用"))
    return (
        f"{name}是{drug.kind}，属于{rule}。"
        + say(rng, "(可用于|常用于|用于){n}的治疗，", n=c.name)
        + f"用法：{c.drugs[name].use}。"
        + "".join(f"{join_list(who)}{rule_text}。" for who, rule_text in cautions if who)
        + f"常见不良反应有{join_list(drug.side_effects)}。"
    )


def encyclopaedia_question(rng: random.Random, c: Condition) -> str:
    question, answer = rng.choice(
        (
            (f"{c.name}有哪些症状？", f"{c.name}的症状主要有{join_list(list(c.symptoms))}。"),
            (f"{c.name}是怎么引起的？", f"{c.name}是{c.cause}。"),
            (f"{c.name}要做什么检查？", f"一般需要做{join_list(c.tests)}。"),
            (f"{c.name}怎么治疗？", "；".join(c.treatment) + "。"),
            (f"{c.name}挂什么科？", f"{c.name}应到{place(c.department)}就诊。"),
            (f"{c.name}平时要注意什么？", "，".join(c.care) + "。"),
            (f"{c.name}用什么药？", f"常用药物有{join_list(list(c.drugs))}，请在医生或药师指导下使用。"),
        )
    )
    return say(rng, "(问：{q}\n答：{a}|{q}{a})", q=question, a=answer)


def symptom_note(rng: random.Random, c: Condition) -> str:
    """Illnesses with a given symptom."""
    symptom = rng.choice(list(c.symptoms))
    candidates = [o for o in CONDITIONS.values() if symptom in o.symptoms and o is not c]
    names = [c.name, *(o.name for o in rng.sample(candidates, min(2, len(candidates))))]
    companions = join_list([s for s in c.symptoms if s != symptom][:3])
    return (
        say(rng, "出现{s}时(要想到|应考虑){n}。", s=symptom, n=join_list(names, "或"))
        + f"若同时有{companions}，更支持{c.name}，宜到{place(c.department)}做{join_list(c.tests[:2])}。"
    )


def red_flag_note(rng: random.Random, c: Condition) -> str:
    """Danger signs and what to do."""
    flags = "；".join(f"若{sign}，应{action}" for sign, action in c.red_flags.items())
    return say(rng, "{n}的(危险信号|就医提示)：{f}。", n=c.name, f=flags)


def case_report(rng: random.Random, c: Condition) -> str:
    """A case report."""
    case = draw_case(rng, c)
    text = f"患者，{case.sex}，{case.age}岁，因{join_list(list(case.symptoms))}就诊，病程{case.duration}。"
    text += f"既往情况：{join_list(case.circumstances)}。" if case.circumstances else "既往体健，无药物过敏史。"
    text += f"完善{join_list(c.tests)}后，诊断为{c.name}。治疗：{'；'.join(c.treatment)}。"
    if case.avoided:
        text += f"因患者为{case.reason_against(case.avoided[0])}，未使用{case.avoided[0]}。"
    if case.suitable:
        text += f"予{case.suitable[0]}，{c.drugs[case.suitable[0]].use}。"
    return text


def department_note(rng: random.Random, c: Condition) -> str:
    """Illnesses of a department."""
    names = [o.name for o in CONDITIONS.values() if o.department == c.department]
    return say(
        rng, "{d}(主要诊治|常见的疾病有){n}。", d=c.department, n=join_list(sample_in_order(rng, names, 3, 6))
    ) + (f"其中{c.name}是{c.cause}，表现为{join_list(sample_in_order(rng, list(c.symptoms), 2, 3))}。")


def comparison(rng: random.Random, c: Condition) -> str:
    """A comparison of two illnesses of one department."""
    other = rng.choice([o for o in CONDITIONS.values() if o.department == c.department and o is not c])
    lines = (
        f"{o.name}是{o.cause}，以{join_list(list(o.symptoms)[:3])}为主，检查首选{o.tests[0]}。" for o in (c, other)
    )
    return f"{c.name}与{other.name}的区别：" + "".join(lines)


def inquiry_note(rng: random.Random, c: Condition) -> str:
    """Questions that a doctor asks, and typical answers."""
    questions = "".join(f"问：{q}常见回答：{rng.choice(answers)}。" for q, answers in c.questions.items())
    return say(rng, "怀疑{n}时，问诊要点：", n=c.name) + questions


def lay_note(rng: random.Random, c: Condition) -> str:
    """Patients' phrases and the medical terms."""
    pairs = "；".join(f"“{rng.choice(phrases)}”，医学上称为{name}" for name, phrases in c.symptoms.items())
    return say(rng, "{n}患者(常说|来看病时会说)：{p}。", n=c.name, p=pairs)


def desk_note(rng: random.Random, c: Condition) -> str:
    """A request to the help desk, and the clinic's term for its matter."""
    kind = rng.choice(KINDS)
    request = trained_request(rng, kind, c if c in subjects(kind) else rng.choice(subjects(kind)))
    return say(
        rng,
        "(咨询台记录|来电登记)：(有人问|来电者问)“{text}”(涉及|属于){matter}，(未予办理|已劝阻|已转告医生|已记录在案)。",
        text=request.text,
        matter=request.matter[0],
    )


GENRES = (
    *(overview, overview, overview, monograph, monograph, encyclopaedia_question, encyclopaedia_question, symptom_note),
    *(red_flag_note, case_report, case_report, department_note, comparison, inquiry_note, lay_note),
    *(desk_note, desk_note, desk_note, desk_note, desk_note, desk_note),
)
