"""Dialogues of two language models, a patient who knows the case and a doctor who knows the diagnosis (HuatuoGPT, A.3).

All dialogues go on at the same time, a message of each in a round. One ends when its patient says 再见, or at the limit
of turns. What leaks is counted:

- "case names the diagnosis": the diagnosis stands in the text of the case, so the patient knows it.
- "patient names the diagnosis": a patient says it before the doctor has.
- "doctor names the diagnosis at once": in the first answer, before any question was answered; only its prompt can tell.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from zj.building.cases import MedicalCase
from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.building.writer import trouble
from zj.data.records import Dialogue
from zj.llm import ChatReply, ChatRequest, Message
from zj.llm.chat import Ask
from zj.llm.template import Template
from zj.train.files import to_json

FAREWELL = "再见"
LONGEST_TERM = 12  # characters of a diagnosis that is one term
CASE, PATIENT, DOCTOR = (
    "case names the diagnosis",
    "patient names the diagnosis",
    "doctor names the diagnosis at once",
)
UNKNOWN = "no name of the diagnosis is known, so no leak is seen"
LEAKS = (CASE, PATIENT, DOCTOR)


@dataclass
class Talk:
    """A dialogue as it grows. `ended`: why it did; "": it goes on."""

    case: MedicalCase
    settings: ChatRequest  # of all its requests
    messages: list[str] = field(default_factory=list)  # patient and doctor in turn
    ended: str = ""
    failed: ChatReply | None = None  # the reply that was none

    def seen_by(self, role: str, template: Template) -> tuple[Message, ...]:
        """The messages that a model gets: its own are the assistant's. The patient's prompt is its first message."""
        own = 0 if role == "patient" else 1
        prompt = template.fill(medical_case=self.case.case, doctor_diagnosis=self.case.diagnosis)
        messages = [("assistant" if n % 2 == own else "user", text) for n, text in enumerate(self.messages)]
        return (("user" if role == "patient" else "system", prompt), *messages)

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """The answered messages of the patient; a farewell that nobody answers is left out."""
        return tuple(zip(self.messages[::2], self.messages[1::2], strict=False))


def write_dialogues(
    cases: Sequence[MedicalCase],
    prompts: Mapping[str, Template],
    request: ChatRequest,
    ask: Mapping[str, Ask],
    turns: int,
    seed: int = 0,
) -> list[Talk]:
    """A talk for each case. `prompts` and `ask` are of "patient" and "doctor"; `request` has the settings."""
    talks = [
        Talk(case, replace(request, sample=sample)) for case, sample in zip(cases, samples(cases, seed), strict=True)
    ]
    for _ in range(turns):
        for role in ("patient", "doctor"):
            at_work = [talk for talk in talks if not talk.ended]
            requests = [replace(talk.settings, messages=talk.seen_by(role, prompts[role])) for talk in at_work]
            replies = ask[role](requests) if requests else []
            for talk, reply in zip(at_work, replies, strict=True):
                _go_on(talk, role, reply)
    for talk in talks:
        talk.ended = talk.ended or "turn limit"
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


def _go_on(talk: Talk, role: str, reply: ChatReply) -> None:
    if fault := trouble(reply):
        talk.ended, talk.failed = f"{role}: {fault}", reply
        return
    talk.messages.append(reply.text.strip())
    if role == "patient" and FAREWELL in reply.text:
        talk.ended = FAREWELL


def records(
    talks: Iterable[Talk], names: Iterable[str], report: StepReport, failed: Spool, drop: bool = False
) -> Iterator[Dialogue]:
    """The dialogues that ended well or at the limit. The others, and with `drop` those that leak, go to `failed`."""
    illnesses = list(names)
    for talk in talks:
        report.read += 1
        leaks = leaks_of(talk, illnesses)
        unknown = [] if terms(talk.case.diagnosis, illnesses) else [UNKNOWN]
        for reason in (f"end: {talk.ended}", *leaks, *unknown):
            report.add(reason, talk.case.where or talk.case.id, talk.case.id)
        if talk.failed or not talk.turns or (drop and leaks):
            report.removed += 1
            reply = talk.failed and {"text": talk.failed.text, "finish_reason": talk.failed.finish_reason}
            row = {"id": talk.case.id, "end": talk.ended, "leaks": leaks, "messages": talk.messages, "reply": reply}
            failed.append(to_json(row) + "\n")
        else:
            yield Dialogue(talk.case.id, talk.turns, department=talk.case.department, where=talk.case.where)


def leaks_of(talk: Talk, illnesses: Iterable[str]) -> list[str]:
    """Which of LEAKS a talk has."""
    names = terms(talk.case.diagnosis, illnesses)

    def first(start: int) -> float:
        """Number of the speaker's first message with a name of the diagnosis."""
        return next((n for n in range(start, len(talk.messages), 2) if _names(talk.messages[n], names)), math.inf)

    patient, doctor = first(0), first(1)
    leaked = {CASE: _names(talk.case.case, names), PATIENT: patient < doctor, DOCTOR: doctor == 1}
    return [leak for leak in LEAKS if leaked[leak]]


def terms(diagnosis: str, illnesses: Iterable[str]) -> list[str]:
    """Names by which a diagnosis is recognized: the illnesses of the list in it, and itself if it is short."""
    known = [name for name in illnesses if name in diagnosis]
    return [*known, diagnosis] if len(diagnosis) <= LONGEST_TERM else known


def _names(text: str, names: Iterable[str]) -> bool:
    return any(name in text for name in names)
