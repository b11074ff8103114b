"""Medical task instructions whose answers follow from the hidden case: extraction, triage, report."""

from __future__ import annotations

import random

from zj.clinic import patient
from zj.clinic.case import Case, draw_case
from zj.clinic.phrases import listed, say, some
from zj.data.records import Dialogue


def task(seed: int, number: int) -> Dialogue:
    """Task `number` of the stream that belongs to the seed."""
    rng = random.Random(f"{seed}/task/{number}")
    case = draw_case(rng)
    told = some(rng, list(case.symptoms), 2, 4)
    text = patient.opening(rng, case, told, True, True, circumstances=False)
    instruction, answer = rng.choice((extraction, triage, report))(rng, case, told)
    return Dialogue(f"task-{number:06d}", ((instruction + text, answer),), department=case.condition.department)


def extraction(rng: random.Random, case: Case, told: list[str]) -> tuple[str, str]:
    """Name the symptoms in textbook words."""
    ask = "请从下面的描述中(找出|提取)(全部症状|患者的症状)，用顿号隔开：\n|症状抽取。输出用顿号隔开的症状名：\n"
    return say(rng, f"({ask})"), "、".join(told)


def triage(rng: random.Random, case: Case, told: list[str]) -> tuple[str, str]:
    """Choose the department."""
    ask = "下面这位患者(应该|)挂哪个科？\n|请(为患者分诊|判断就诊科室)：\n"
    urgent = "病情紧急，请立即就诊。" if case.condition.urgent else ""
    return say(rng, f"({ask})"), f"建议挂{case.condition.department}。{urgent}"


def report(rng: random.Random, case: Case, told: list[str]) -> tuple[str, str]:
    """Write an outpatient note."""
    ask = "请根据患者的描述(写一份|生成)门诊(小结|病历)：\n"
    condition = case.condition
    lines = (
        f"主诉：{listed(told)}，{case.duration}。",
        f"患者：{case.sex}，{case.age}岁。",
        f"初步诊断：{condition.name}待查。",
        f"建议检查：{'、'.join(condition.tests)}。",
        f"处理：{'；'.join(condition.treatment)}。",
    )
    return say(rng, ask), "\n".join(lines)
