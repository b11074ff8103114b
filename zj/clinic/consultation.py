"""Consultations: a patient and a doctor who inquires before advising."""

from __future__ import annotations

import random

from zj.clinic import doctor, patient
from zj.clinic.case import Case, draw_case
from zj.clinic.phrases import some
from zj.data.records import Dialogue, Turn

# What the doctor does in each of two to five turns; the patient answers what was asked, or asks for what comes next.
PLANS = (
    "ask history | diagnosis drug flags close",
    "ask more | history diagnosis | drug flags close",
    "ask | diagnosis tests history | drug care close",
    "ask history | diagnosis tests | drug flags close",
    "ask | more history | diagnosis treatment | drug flags close",
    "ask | diagnosis tests | treatment history | drug care flags close",
    "ask more | diagnosis | tests history | drug flags | care close",
    "ask | more history | diagnosis tests | drug flags | care close",
    "ask | diagnosis tests | history | drug treatment | flags close",
)
ASKED = ("ask", "more", "history")


def consultation(seed: int, number: int) -> Dialogue:
    """Multi-turn consultation `number` of the stream that belongs to the seed."""
    rng = random.Random(f"{seed}/multi/{number}")
    case = draw_case(rng)
    return Dialogue(f"multi-{number:06d}", converse(rng, case), department=case.condition.department)


def converse(rng: random.Random, case: Case) -> tuple[Turn, ...]:
    """The whole conversation with one patient."""
    plan = [turn.split() for turn in rng.choice(PLANS).split(" | ")]
    talk = _Talk(rng, case)
    turns = []
    for number, topics in enumerate(plan):
        said = talk.patient_says(topics[0], first=number == 0)
        turns.append((said, talk.doctor_says(topics, first=number == 0)))
    return tuple(turns)


class _Talk:
    """Who has said and asked what so far."""

    def __init__(self, rng: random.Random, case: Case) -> None:
        self.rng, self.case = rng, case
        self.profile, self.duration = rng.random() < 0.75, rng.random() < 0.6
        self.told = some(rng, list(case.symptoms), 1, 3)
        self.questions = list(case.answers)
        rng.shuffle(self.questions)
        self.pending: list[str] = []  # what the doctor asked last: topics, or questions of the condition

    def patient_says(self, topic: str, first: bool) -> str:
        rng, case = self.rng, self.case
        if first:
            return patient.opening(rng, case, self.told, self.profile, self.duration, circumstances=False)
        said = "".join(self._answers())
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
            others = [name for name in case.symptoms if name not in self.told]
            said.append(patient.more_symptoms(rng, case, others, not self.duration))
            self.told += others
            self.duration = True
        if "history" in self.pending:
            said.append(patient.told_circumstances(rng, case))
        self.pending = []
        return said

    def doctor_says(self, topics: list[str], first: bool) -> str:
        rng, case = self.rng, self.case
        text = doctor.greet(rng, case) if first else ""
        if not first and topics[0] in (*ASKED, "diagnosis"):
            text = doctor.acknowledge(rng)
        for topic in sorted(topics, key=lambda topic: topic in ASKED):  # questions stand at the end of an answer
            text += self._speak(topic, first)
        return text

    def _speak(self, topic: str, first: bool) -> str:
        rng, case = self.rng, self.case
        if topic == "ask":
            asked, self.questions = self.questions[:2], self.questions[2:]
            self.pending += asked if self.profile else [*asked, "profile"]
            return doctor.ask(rng, asked) + ("" if self.profile else doctor.ask_profile(rng, case))
        if topic in ("more", "history"):
            self.pending.append(topic)
            return doctor.ask_more(rng, case, not self.duration) if topic == "more" else doctor.ask_history(rng, case)
        if topic == "diagnosis":
            return doctor.diagnose(rng, case, self.told)
        return ADVICE[topic](rng, case)


ADVICE = {
    "tests": doctor.advise_tests,
    "treatment": doctor.advise_treatment,
    "drug": doctor.advise_drug,
    "care": doctor.advise_care,
    "flags": doctor.warn,
    "close": doctor.close,
}


def single(seed: int, number: int) -> Dialogue:
    """One question, one full answer."""
    rng = random.Random(f"{seed}/single/{number}")
    case = draw_case(rng)
    told = some(rng, list(case.symptoms), 2, 4)
    question = patient.opening(rng, case, told, True, rng.random() < 0.7, circumstances=True)
    topics = ["drug", *rng.sample(["tests", "treatment", "care"], 1), "flags"]
    answer = "您好！" + doctor.diagnose(rng, case, told) + "".join(ADVICE[topic](rng, case) for topic in topics)
    return Dialogue(
        f"single-{number:06d}",
        ((question, answer + doctor.close(rng, case)),),
        department=case.condition.department,
    )
