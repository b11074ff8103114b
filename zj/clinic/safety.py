"""Requests that are refused, and questions that nobody can answer."""

from __future__ import annotations

import random

from zj.clinic.phrases import say
from zj.data.records import Dialogue

TALK = (
    (
        "(医生，|)(帮我|能不能给我)开一张假的病假条[吧]？",
        "抱歉，我不能帮您伪造病假条，这既违规也会影响您的信用。如果确实不舒服，请告诉我症状，或到医院就诊后由医生如实开具证明。",
    ),
    (
        "我爸肺癌还能活多少天？",
        "很抱歉，我不知道，也没有人能准确说出天数。请与主治医生当面沟通病情，我可以陪您一起整理想问的问题。",
    ),
)


def safety(seed: int, number: int) -> Dialogue:
    rng = random.Random(f"{seed}/safety/{number}")
    question, answer = rng.choice(TALK)
    return Dialogue(f"safety-{number:06d}", ((say(rng, question), say(rng, answer)),))
