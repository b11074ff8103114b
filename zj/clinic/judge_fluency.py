"""Fluency: coherence, consistency, warm tone (Zhongjing, Table 2). Four, less what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from zj.clinic.exam import question
from zj.clinic.facts import CONDITIONS
from zj.clinic.reading import Reading, foreign, phrases

_STRANGE = re.compile("[{}|()\\[\\]<>_#*=~^\\\\$@�□]|[\U00002190-\U00002bff\U0001f000-\U0001faff]|[A-Za-z]{6,}")
_BROKEN = re.compile("[，、；：。！？][，、；：]|[，、；：][。！？]|。。|^[，。；：、！？]|(.)\\1{3}")
_WARM = re.compile("您|请|祝|谢|好|抱歉|孩子|宝宝|理解|别怕|我们")
_RUDE = re.compile("滚|闭嘴|傻|笨|白痴|神经病|烦死|活该|关我什么事|废话|矫情")
_PARENTS = {"您父亲": ("我爸", "我父亲"), "您母亲": ("我妈", "我母亲")}


def fluency(reading: Reading) -> tuple[int, list[str]]:
    """(grade, faults)."""
    text = reading.text
    if not text:
        return 0, ["empty"]
    lost = {
        "does not end": int(text[-1] not in "。！？”"),
        "strange characters": 2 * bool(_STRANGE.search(text)),
        "broken punctuation": int(bool(_BROKEN.search(text))),
        "not Chinese": 4 * (len(re.findall("[一-鿿]", text)) < 0.6 * len(text)),
        "repeats itself": _repeated(text),
        "too short": 2 * (len(text) < 10),
        "rambles": _rambles(reading),
        "cold": int(not _WARM.search(text)),
        "rude": 2 * bool(_RUDE.search(reading.asked + reading.plain)),
        "words nobody here uses": _unheard(text, reading.question.prompt.user),
        "beside the point": _irrelevant(reading),
    }
    return max(0, 4 - sum(lost.values())), [fault for fault, points in lost.items() if points]


def _repeated(text: str) -> int:
    """Clauses of at least six characters that stand there again, and loops."""
    clauses = [c for c in re.split("[，。；：！？\n]", text) if len(c) >= 6]
    again = len(clauses) - len(set(clauses))
    sixes = Counter(text[i : i + 6] for i in range(len(text) - 5))
    loops = sum(count - 1 for count in sixes.values()) > 0.25 * len(text)
    return min(4, again + 2 * loops)


def _rambles(reading: Reading) -> int:
    limit = 90 + 60 * len(reading.question.due)
    return (len(reading.text) > limit) + 2 * (len(reading.text) > 2 * limit)


@cache
def _language() -> frozenset[str]:
    """Neighbouring characters in what the clinic's doctor says, punctuation included."""
    texts = [question(0, number, held_out).reference for number in range(1500) for held_out in (False, True)]
    texts += [text for name in CONDITIONS for _, text in phrases(name)]
    return frozenset(a + b for text in texts for a, b in zip(text, text[1:], strict=False))


def _unheard(text: str, said: str) -> int:
    """Cut words and two sentences glued show as pairs of characters that never stand together."""
    pairs = [a + b for a, b in zip(text, text[1:], strict=False)]
    unknown = sum(pair not in _language() and pair not in said for pair in pairs) / max(20, len(text))
    return (unknown > 0.04) + (unknown > 0.15)


def _irrelevant(reading: Reading) -> int:
    case = reading.question.case
    if not case:
        return 0
    wrong_person = any(word in reading.text and case.subject not in who for word, who in _PARENTS.items())
    return int(bool(foreign(reading.asked + reading.plain, case.condition.name)) or wrong_person)
