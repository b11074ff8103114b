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
_RUDE = re.compile(
    "(?<!翻)滚(?!烫|动|水)|闭嘴|傻|笨蛋|白痴|神经病(?!变|学|理)|烦死|活该|自作自受|自己作|怪谁|废话|矫情|早干什么|看着办|爱信不信|别总问|小事也|怎么想的"
)
_PARENTS = {"您父亲": ("我爸", "我父亲"), "您母亲": ("我妈", "我母亲")}


def fluency(reading: Reading) -> tuple[int, bool, list[str]]:
    """(grade, whether one can make sense of it at all, faults)."""
    text = reading.text
    if not text:
        return 0, False, ["empty"]
    lost = {
        "does not end": int(text[-1] not in "。！？”"),
        "strange characters": 2 * bool(_STRANGE.search(text)),
        "broken punctuation": int(bool(_BROKEN.search(text))),
        "repeats itself": _repeated(text),
        "too short": 2 * (len(text) < 10),
        "rambles": _rambles(reading),
        "cold": int(not _WARM.search(text) or ("你" in text and "您" not in text)),
        "rude": 2 * bool(_RUDE.search(reading.asked + reading.plain)),
        "not how doctors here speak": max(_unheard(text, reading.question.prompt.user), _disjointed(text)),
        "speaks as the patient": 2 * _echoes(reading),
        "beside the point": int(_irrelevant(reading)),
    }
    grade, clear = max(0, 4 - sum(lost.values())), max(lost.values()) < 4
    return grade, clear, [fault for fault, points in lost.items() if points]


def _repeated(text: str) -> int:
    """Clauses of at least six characters that stand there again, any clause three times in a row, and loops."""
    clauses = [c for c in re.split("[，。；：！？\n]", text) if c]
    long = [c for c in clauses if len(c) >= 6]
    again = len(long) - len(set(long))
    stutters = any(a == b == c for a, b, c in zip(clauses, clauses[1:], clauses[2:], strict=False))
    sixes = Counter(text[i : i + 6] for i in range(len(text) - 5))
    said_before = sum(count - 1 for count in sixes.values()) / len(text)
    return min(4, again + stutters + 2 * (said_before > 0.25) + 2 * (said_before > 0.6))


def _rambles(reading: Reading) -> int:
    limit = 90 + 60 * len(reading.question.due)
    return (len(reading.text) > limit) + 2 * (len(reading.text) > 2 * limit)


@cache
def _language() -> tuple[frozenset[str], frozenset[str]]:
    """What the clinic's doctor says: pairs of neighbouring characters; and how clauses join, as in "看，考"."""
    texts = [question(0, number, held_out).reference for number in range(1500) for held_out in (False, True)]
    joints = frozenset(joint for text in texts for joint in _joints(text))
    texts += [text for name in CONDITIONS for _, text in phrases(name)]
    return frozenset(a + b for text in texts for a, b in zip(text, text[1:], strict=False)), joints


def _joints(text: str) -> list[str]:
    after_greeting = re.sub("^(?:您好[，。！])+", "", text)  # which fits anything
    return re.findall("(?=(.[，。；：！？].))", after_greeting + "。")


def _unheard(text: str, said: str) -> int:
    """Cut words and two sentences glued show as pairs of characters that never stand together; noise is little else."""
    pairs = [a + b for a, b in zip(text, text[1:], strict=False)]
    unknown = sum(pair not in _language()[0] and pair not in said for pair in pairs) / max(20, len(text))
    return (unknown > 0.04) + (unknown > 0.15) + 2 * (unknown > 0.7)


def _disjointed(text: str) -> int:
    """Clauses in an order in which nobody says them."""
    joints = _joints(text)
    return int(sum(joint not in _language()[1] for joint in joints) > max(2, 0.35 * len(joints)))


def _echoes(reading: Reading) -> bool:
    """Whether a clause of the patient's own message stands in the answer."""
    clauses = re.split("[，。；：！？\n ]", reading.question.prompt.user)
    return any(len(clause) >= 6 and clause in reading.asked + reading.plain for clause in clauses)


def _irrelevant(reading: Reading) -> bool:
    """What belongs to other illnesses, or to a request; another person's parents."""
    case = reading.question.case
    if not case:
        return any(kind != "flags" for kind, _ in foreign(reading.text, ""))
    wrong_person = any(word in reading.text and case.subject not in who for word, who in _PARENTS.items())
    return bool(foreign(reading.asked + reading.plain, case.condition.name)) or wrong_person
