"""Consultations: a patient and a doctor who inquires before advising."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zj.clinic import doctor, patient
from zj.clinic.case import Case, patient_of
from zj.clinic.held_out import trained
from zj.clinic.phrases import some
from zj.data.records import Dialogue, Turn

# What the doctor does in each of two to five turns; the patient answers what was asked, or asks for what comes next.
PLANS = (
    "ask history | diagnosis drug flags close",
    "ask history | diagnosis drug care close",
    "ask more | history diagnosis | drug flags close",
    "ask | diagnosis tests history | drug care close",
    "ask history | diagnosis tests | drug flags close",
    "ask | more history | diagnosis treatment | drug flags close",
    "ask | diagnosis tests | treatment history | drug care flags close",
    "ask | history diagnosis | drug flags | close",
    "ask more | diagnosis | tests history | drug flags | care close",
    "ask | more history | diagnosis tests | drug flags | care close",
    "ask | diagnosis tests | history | drug treatment | flags close",
    "ask history | diagnosis tests | drug | care flags | close",
)
ASKED = ("ask", "more", "history")


@dataclass(frozen=True)
class Exchange:
    """One turn, with what only the author of the conversation knows."""

    said: str
    answer: str
    topics: tuple[str, ...]  # what the doctor does in this turn, as in PLANS
    mentioned: tuple[str, ...]  # textbook names of the symptoms that the patient has spoken of so far
    wanted: str = ""  # a drug that the patient asks for here and must not take


def consultation(seed: int, number: int) -> Dialogue:
    """Multi-turn consultation `number` of the stream that belongs to the seed."""
    rng, case = patient_of("multi", seed, number)
    turns = trained(lambda: converse(rng, case), lambda turns: turns[0][0])
    return Dialogue(f"multi-{number:06d}", turns, department=case.condition.department)


def converse(rng: random.Random, case: Case) -> tuple[Turn, ...]:
    """The whole conversation with one patient."""
    return tuple((exchange.said, exchange.answer) for exchange in exchanges(rng, case))


def exchanges(rng: random.Random, case: Case) -> tuple[Exchange, ...]:
    """The same, with what is due in each turn."""
    plan = [tuple(turn.split()) for turn in rng.choice(PLANS).split(" | ")]
    talk = _Talk(rng, case)
    turns = []
    for number, topics in enumerate(plan):
        said = talk.patient_says(topics[0], first=number == 0)
        mentioned = tuple(talk.mentioned)
        answer = talk.doctor_says(topics, first=number == 0)
        turns.append(Exchange(said, answer, topics, mentioned, talk.wanted if "drug" in topics else ""))
    return tuple(turns)


class _Talk:
    """Who has said and asked what so far."""

    def __init__(self, rng: random.Random, case: Case) -> None:
        self.rng, self.case = rng, case
        self.profile, self.duration = rng.random() < 0.75, rng.random() < 0.6
        self.known = bool(case.circumstances) and rng.random() < 0.2  # spoken of without being asked
        self.mentioned = some(rng, list(case.symptoms), 1, 3)
        self.questions = list(case.answers)
        rng.shuffle(self.questions)
        self.pending: list[str] = []  # what the doctor asked last: topics, or questions of the condition
        self.answered = False  # whether the patient's last message answered something
        self.wanted = ""  # a drug that the patient has asked for and must not take

    def patient_says(self, topic: str, first: bool) -> str:
        rng, case = self.rng, self.case
        if first:
            return patient.opening(rng, case, self.mentioned, self.profile, self.duration, self.known)
        said = "".join(self._answers())
        self.answered = bool(said)
        at_home = [drug for drug in case.avoided if "医" not in case.condition.drugs[drug].use]
        if topic == "drug" and at_home and rng.random() < 0.4:
            self.wanted = rng.choice(at_home)
            return said + patient.may_take(rng, self.wanted)
        if not said or topic not in (*ASKED, "diagnosis"):
            said += patient.request(rng, "drug" if topic in ASKED else topic)
        return said

    def _answers(self) -> list[str]:
        rng, case = self.rng, self.case
        said = []
        asked = [topic for topic in self.pending if topic in case.answers]
        if "profile" in self.pending:
            said.append(patient.profile_answer(rng, case))
        if asked:
            said.append(patient.answer(rng, case, asked))
        if "more" in self.pending:
            others = [name for name in case.symptoms if name not in self.mentioned]
            said.append(patient.more_symptoms(rng, case, others, not self.duration))
            self.mentioned += others
            self.duration = True
        if "history" in self.pending:
            said.append("没有别的了。" if self.known else patient.told_circumstances(rng, case, asked=True))
        self.pending = []
        return said

    def doctor_says(self, topics: tuple[str, ...], first: bool) -> str:
        rng, case = self.rng, self.case
        text = doctor.greet(rng, case) if first else ""
        if first and case.condition.urgent:
            text += doctor.warn(rng, case)  # nobody should wait for the end of a conversation to hear this
        if not first and topics[0] in (*ASKED, "diagnosis"):
            text = doctor.acknowledge(rng) if self.answered else ""
        for topic in sorted(topics, key=lambda topic: topic in ASKED):  # questions stand at the end of an answer
            text += doctor.close(rng, case, thanked=topics[0] == "close") if topic == "close" else self._speak(topic)
        return text

    def _speak(self, topic: str) -> str:
        rng, case = self.rng, self.case
        if topic == "ask":
            asked, self.questions = self.questions[:2], self.questions[2:]
            self.pending += asked if self.profile else [*asked, "profile"]
            return doctor.ask(rng, asked) + ("" if self.profile else doctor.ask_profile(rng, case))
        if topic == "more":
            self.pending.append(topic)
            return doctor.ask_more(rng, not self.duration)
        if topic == "history":
            self.pending.append(topic)
            return doctor.ask_history(rng, case, self.known)
        if topic == "diagnosis":
            return doctor.diagnose(rng, case, self.mentioned)
        if topic == "drug":
            return doctor.advise_drug(rng, case, self.wanted)
        return ADVICE[topic](rng, case)


ADVICE = {
    "tests": doctor.advise_tests,
    "treatment": doctor.advise_treatment,
    "care": doctor.advise_care,
    "flags": doctor.warn,
}


def single(seed: int, number: int) -> Dialogue:
    """One question, one full answer."""
    rng, case = patient_of("single", seed, number)
    exchange = trained(lambda: one_answer(rng, case), lambda exchange: exchange.said)
    return Dialogue(f"single-{number:06d}", ((exchange.said, exchange.answer),), department=case.condition.department)


def one_answer(rng: random.Random, case: Case) -> Exchange:
    """A patient who tells everything at once, circumstances too, and is advised at once."""
    mentioned = some(rng, list(case.symptoms), 2, 4)
    question = patient.opening(rng, case, mentioned, duration=rng.random() < 0.7, circumstances=True)
    parts = [doctor.diagnose(rng, case, mentioned), doctor.advise_drug(rng, case)]
    advice = rng.choice(("tests", "treatment", "care"))
    parts += [ADVICE[advice](rng, case), doctor.warn(rng, case), doctor.close(rng, case)]
    answer = doctor.greet(rng, case) + "".join(parts)
    return Exchange(question, answer, ("diagnosis", "drug", advice, "flags", "close"), tuple(mentioned))
