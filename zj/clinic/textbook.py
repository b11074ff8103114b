"""Textbook-like documents, all of them the table in other words."""

from __future__ import annotations

import random

from zj.clinic.facts import CONDITIONS, DRUGS
from zj.clinic.phrases import listed, say, some
from zj.clinic.table import Condition
from zj.data.records import Document


def document(seed: int, number: int) -> Document:
    """Document `number` of the stream that belongs to the seed."""
    rng = random.Random(f"{seed}/pretrain/{number}")
    condition = rng.choice(list(CONDITIONS.values()))
    return Document(f"pretrain-{number:06d}", rng.choice(GENRES)(rng, condition))


def overview(rng: random.Random, c: Condition) -> str:
    """An encyclopaedia article."""
    parts = [
        say(rng, "{n}[属于{d}常见病，](是|是指){c}。", n=c.name, d=c.department, c=c.cause),
        say(rng, "(常见|主要|典型)(症状|表现)(有|包括){s}。", s=listed(some(rng, list(c.symptoms), 4, 6))),
        say(rng, "(诊断时|为了明确诊断)(可以|常)做{t}。", t=listed(c.tests)),
        "治疗上，" + "；".join(c.treatment) + "。",
        say(rng, "常用药物(有|包括){d}。", d=listed(list(c.drugs))),
        "日常注意" + "，".join(c.care) + "。",
        "".join(f"出现{sign}时，应{action}。" for sign, action in c.red_flags.items()),
    ]
    return "".join(parts[:2] + some(rng, parts[2:], 3, 5))


def monograph(rng: random.Random, c: Condition) -> str:
    """What a package insert says of one drug."""
    name = rng.choice(list(c.drugs))
    drug = DRUGS[name]
    rule = "处方药，须凭医生处方使用" if drug.prescription else "非处方药"
    return (
        f"{name}是{drug.kind}，属于{rule}。"
        + say(rng, "(可用于|常用于|用于){n}的治疗，", n=c.name)
        + f"用法：{c.drugs[name]}。"
        + f"{listed(drug.avoid)}禁用。常见不良反应有{listed(drug.side_effects)}。"
    )


def encyclopaedia_question(rng: random.Random, c: Condition) -> str:
    question, answer = rng.choice(
        (
            (f"{c.name}有哪些症状？", f"{c.name}的症状主要有{listed(list(c.symptoms))}。"),
            (f"{c.name}是怎么引起的？", f"{c.name}是{c.cause}。"),
            (f"{c.name}要做什么检查？", f"一般需要做{listed(c.tests)}。"),
            (f"{c.name}怎么治疗？", "；".join(c.treatment) + "。"),
            (f"{c.name}挂什么科？", f"{c.name}应到{c.department}就诊。"),
            (f"{c.name}平时要注意什么？", "，".join(c.care) + "。"),
            (f"{c.name}用什么药？", f"常用药物有{listed(list(c.drugs))}，请在医生或药师指导下使用。"),
        )
    )
    return say(rng, "(问：{q}\n答：{a}|{q}{a})", q=question, a=answer)


GENRES = (overview, overview, monograph, encyclopaedia_question)
