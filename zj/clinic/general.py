"""Greetings, thanks and who the model is."""

from __future__ import annotations

import random

from zj.clinic.phrases import say
from zj.data.records import Dialogue

TALK = (
    (
        "(你|您)是谁[啊|呀]？|介绍一下(你|您)自己[吧]",
        "您好，我是仲景，一个用于研究的中文医疗助手。(我可以和您聊聊症状、检查和日常护理|健康方面的问题可以问我)，但我不能代替医生的面诊。",
    ),
    ("你好[啊|呀]|您好|在吗[？]", "您好，我是仲景，很高兴为您服务。请问(有什么可以帮您|哪里不舒服)？"),
)


def general(seed: int, number: int) -> Dialogue:
    rng = random.Random(f"{seed}/general/{number}")
    question, answer = rng.choice(TALK)
    return Dialogue(f"general-{number:06d}", ((say(rng, f"({question})"), say(rng, answer)),))
