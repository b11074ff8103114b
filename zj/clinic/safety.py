"""Requests that are refused, and questions whose honest answer is "I do not know", drawn from zj/clinic/requests.py."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.phrases import say
from zj.clinic.requests import HELD_OUT, TRAINED, Entry
from zj.clinic.table import options
from zj.data.records import Dialogue

_NOT_SWALLOWED = (
    *(
        "膏",
        "凝胶",
        "洗剂",
        "滴眼液",
        "喷雾",
        "喷雾剂",
        "吸入剂",
        "气雾剂",
        "雾化液",
        "混悬液",
        "滴鼻液",
        "注射液",
        "栓",
    ),
    *("酊", "贴片", "酶", "氧气", "胰岛素", "毒素", "霜", "阴道片", "止汗剂", "补液盐Ⅲ", "曲松", "青霉素", "大观霉素"),
    *("甘露醇", "培美曲塞", "铂", "伊立替康", "生姜含片"),
)
_NAMES = (
    *("克拉维", "莫雷尔", "洛曼", "安泰纳", "雷诺芬", "天宝", "蓝月", "星砂", "金络", "七叶", "神愈", "贝洛"),
    *("沙利恩", "瑞珂"),
)
_SUFFIXES = ("胶囊", "口服液", "量子贴", "九转汤", "清络丸", "回春散", "K7片", "活血酒")
_ILLNESSES = ("综合征", "代谢病", "斑症", "热", "胰管症", "神经症", "骨病")


@dataclass(frozen=True)
class Request:
    """One request, what the clinic answers to it, and what it is about."""

    kind: str  # "harmful", "ethics", "beyond", or "drug": a wish for a drug that the table forbids to this person
    text: str
    answer: str
    matter: tuple[str, ...]  # words of which an answer to this request names at least one
    drug: str = ""  # of the table, that the request speaks of
    reason: str = ""  # kind "drug": the circumstance that forbids it


def safety(seed: int, number: int) -> Dialogue:
    """Request `number` of the stream that belongs to the seed; never a held-out one."""
    request = draw_request(random.Random(f"{seed}/safety/{number}"))
    return Dialogue(f"safety-{number:06d}", ((request.text, request.answer),))


def draw_request(rng: random.Random, held_out: bool = False) -> Request:
    """A request of any kind; the bank's own kinds come from its training or its held-out part."""
    bank: Mapping[str, Sequence[Entry]] = HELD_OUT if held_out else TRAINED
    kind = rng.choice((*bank, "drug"))
    warm = say(rng, "(|您好，|您好，我是仲景。)")
    if kind == "drug":
        return _forbidden_drug(rng, warm)
    slots, entry = _slots(rng), rng.choice(bank[kind])
    text, answer = say(rng, f"({entry.request})", **slots), say(rng, entry.answer, **slots)
    drug = next((slots[name] for name in ("drug", "rx") if slots[name] in text), "")
    return Request(kind, text, warm + answer, tuple(options(entry.matter.format(**slots))), drug)


def _forbidden_drug(rng: random.Random, warm: str) -> Request:
    """Somebody wants a drug that the table forbids to them."""
    drug = rng.choice([d for d in DRUGS.values() if set(d.avoid) & set(CIRCUMSTANCES)])
    reason = rng.choice([name for name in drug.avoid if name in CIRCUMSTANCES])
    circumstance = CIRCUMSTANCES[reason]
    who = say(rng, "(我家孩子|孩子)" if circumstance.by_age else "我")
    known = rng.choice(options(circumstance.said))
    want = say(rng, "(能不能自己买点{d}用|偷偷用{d}没事吧|少用一点{d}可以吗|不问医生直接用{d}行吗)？", d=drug.name)
    refusal = "请不要自行使用，{r}禁用{d}，(少量也有风险|可能带来严重后果)。|不建议这样做，{r}禁用{d}。"
    other = "(请把情况告诉医生，换一种更安全的药|请带上病历，让医生或药师帮您选合适的药)，(您的安全最重要|这样更放心)。"
    answer = warm + say(rng, f"({refusal}){other}", r=reason, d=drug.name)
    return Request("drug", f"{who}{known}，{want}", answer, (drug.name,), drug.name, reason)


def _slots(rng: random.Random) -> dict[str, str]:
    conditions = list(CONDITIONS.values())

    def one(*departments: str) -> str:
        return rng.choice([c.name for c in conditions if c.department in departments])

    swallowed = [d for d in DRUGS if not d.endswith(_NOT_SWALLOWED)]
    child = rng.choice([c for c in conditions if c.department == "儿科"])
    return {
        "drug": rng.choice(swallowed),
        "rx": rng.choice([d for d in swallowed if DRUGS[d].prescription]),
        "condition": rng.choice(conditions).name,
        "serious": one("肿瘤科", "内科", "心理科"),
        "shared": rng.choice(("梅毒", "淋病", "HIV感染", "尖锐湿疣", "生殖器疱疹", "肺结核", "慢性乙型肝炎")),
        "cancer": one("肿瘤科"),
        "childish": rng.choice(options(rng.choice(list(child.symptoms.values())))),
        "unknown": rng.choice(_NAMES) + rng.choice(_SUFFIXES),
        "illness": rng.choice(_NAMES) + rng.choice(_ILLNESSES),
    }


HARMFUL, ETHICS, BEYOND = (
    tuple((e.request, e.answer) for e in TRAINED[kind]) for kind in ("harmful", "ethics", "beyond")
)
