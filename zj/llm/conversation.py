"""Conversations of two language models, a patient who knows the case and a doctor (HuatuoGPT, A.3 and 4.2.2).

All conversations go on at the same time, a message of each in a round. One ends when its patient says 再见, or at the
limit of turns. The patient should keep the diagnosis to itself; what leaks is counted:

- "case names the diagnosis": the diagnosis stands in the text of the case, so the patient knows it.
- "patient names the diagnosis": a patient says it before the doctor has.
- "doctor names the diagnosis at once": in the first answer, before any question was answered; only its prompt can tell.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zj.data.cases import MedicalCase
from zj.llm.chat import Ask, ChatReply, ChatRequest, Message
from zj.llm.prompts import Template

ROLES = ("patient", "doctor")
FAREWELL = "再见"
TURN_LIMIT = "turn limit"
LONGEST_TERM = 12  # characters of a diagnosis that is one term
CASE, PATIENT, DOCTOR = (
    "case names the diagnosis",
    "patient names the diagnosis",
    "doctor names the diagnosis at once",
)
LEAKS = (CASE, PATIENT, DOCTOR)

# HuatuoGPT, appendix A.3, word for word: {medical_case} is the paper's own name.
PATIENT_PROMPT = Template(
    "你是一名患者，下面是你的病情，你正在向Huatuogpt智能医生咨询病情相关的问题，请记住这是一个多轮咨询过程，每次询问要精炼一些，"
    "第一次询问要尽可能简单点、内容少一点。\n{medical_case}\n当你认为整个问诊应该结束的时候请说：再见"
)

_IMPRESSION = re.compile("(?:初步印象|疾病诊断)[:：](.*?)(?:总结建议|药品|$)", re.DOTALL)
Opening = Callable[[MedicalCase], tuple[Message, ...]]  # what a role's model gets before the conversation


@dataclass
class Talk:
    """A conversation as it grows. `ended`: why it did; "": it goes on."""

    case: MedicalCase
    sample: int  # number of the sample of all its requests
    messages: list[str] = field(default_factory=list)  # patient and doctor in turn
    ended: str = ""
    failed: ChatReply | None = None  # the reply that was none

    def seen_by(self, role: str) -> tuple[Message, ...]:
        """The messages as a model gets them: its own are the assistant's."""
        own = ROLES.index(role)
        return tuple(("assistant" if n % 2 == own else "user", text) for n, text in enumerate(self.messages))

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """The answered messages of the patient; a farewell that nobody answers is left out."""
        return tuple(zip(self.messages[::2], self.messages[1::2], strict=False))


@dataclass(frozen=True)
class Speaker:
    """A role's model: how it is asked, the settings of its requests, and its opening messages."""

    ask: Ask
    request: ChatRequest
    opening: Opening

    def request_of(self, talk: Talk, role: str) -> ChatRequest:
        return replace(self.request, messages=(*self.opening(talk.case), *talk.seen_by(role)), sample=talk.sample)


def converse(
    cases: Sequence[MedicalCase],
    speakers: Mapping[str, Speaker],
    turns: int,
    trouble: Callable[[ChatReply], str],
    seed: int = 0,
) -> list[Talk]:
    """A talk for each case. `speakers` are "patient" and "doctor"; `trouble` says why a reply ends its talk, or ""."""
    talks = [Talk(case, sample) for case, sample in zip(cases, samples(cases, seed), strict=True)]
    for _ in range(turns):
        for role in ROLES:
            speaker = speakers[role]
            at_work = [talk for talk in talks if not talk.ended]
            replies = speaker.ask([speaker.request_of(talk, role) for talk in at_work]) if at_work else []
            for talk, reply in zip(at_work, replies, strict=True):
                _go_on(talk, role, reply, trouble(reply))
    for talk in talks:
        talk.ended = talk.ended or TURN_LIMIT
    return talks


def samples(cases: Sequence[MedicalCase], seed: int) -> list[int]:
    """The sample number of each case's requests: by its text and, if several have the same, by its place among them."""
    earlier = Counter[str]()
    numbers = []
    for case in cases:
        digest = hashlib.sha256(f"{seed}/{earlier[case.case]}/{case.case}".encode()).digest()
        numbers.append(int.from_bytes(digest[:4]))
        earlier[case.case] += 1
    return numbers


def _go_on(talk: Talk, role: str, reply: ChatReply, trouble: str) -> None:
    if trouble:
        talk.ended, talk.failed = f"{role}: {trouble}", reply
        return
    talk.messages.append(reply.text.strip())
    if role == "patient" and FAREWELL in reply.text:
        talk.ended = FAREWELL


def leaks_of(talk: Talk, illnesses: Iterable[str]) -> list[str]:
    """Which of LEAKS a talk has."""
    names = terms(talk.case.diagnosis, illnesses)
    patient, doctor = (first_named(talk, role, names) for role in ROLES)
    leaked = {CASE: names_any(talk.case.case, names), PATIENT: patient < doctor, DOCTOR: doctor == 1}
    return [leak for leak in LEAKS if leaked[leak]]


def first_named(talk: Talk, role: str, names: Iterable[str]) -> float:
    """Number of the role's first message with one of the names; infinity if there is none."""
    numbers = range(ROLES.index(role), len(talk.messages), 2)
    known = list(names)
    return next((n for n in numbers if names_any(talk.messages[n], known)), math.inf)


def terms(diagnosis: str, illnesses: Iterable[str]) -> list[str]:
    """Names by which a diagnosis is recognized: the illnesses of the list in it, or itself if it is short.

    Of a text as HuatuoGPT's cases have it, "初步印象：… 总结建议：…", only the impression counts. A name within another
    one is none: 营养不良 is not the diagnosis 甲营养不良.
    """
    impression = _IMPRESSION.search(diagnosis)
    text = (impression[1] if impression else diagnosis).strip(" \n，。？")
    return longest(name for name in illnesses if name in text) or [text] * (1 < len(text) <= LONGEST_TERM)


def longest(names: Iterable[str]) -> list[str]:
    """The names that are in no other one of them."""
    known = list(dict.fromkeys(names))
    return [name for name in known if not any(name in other for other in known if other != name)]


def names_any(text: str, names: Iterable[str]) -> bool:
    return any(name in text for name in names)
