"""Medical task instructions whose answers can be checked."""

from __future__ import annotations

import random

from zj.clinic import patient
from zj.clinic.case import draw_case
from zj.clinic.phrases import say, some
from zj.data.records import Dialogue


def task(seed: int, number: int) -> Dialogue:
    """Task `number` of the stream that belongs to the seed."""
    rng = random.Random(f"{seed}/task/{number}")
    case = draw_case(rng)
    told = some(rng, list(case.symptoms), 2, 4)
    text = patient.opening(rng, case, told, True, True, circumstances=False)
    if rng.random() < 0.5:
        question = say(rng, "请从下面的描述中(找出|提取)(全部症状|患者的症状)，用顿号隔开：\n") + text
        answer = "、".join(told)
    else:
        question = say(rng, "下面这位患者(应该|)挂哪个科？\n") + text
        answer = say(rng, "建议挂{d}。", d=case.condition.department)
    return Dialogue(f"task-{number:06d}", ((question, answer),), department=case.condition.department)
