"""Consultations: a patient and a doctor who inquires before advising."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zj.clinic import doctor, patient
from zj.clinic.case import Case, patient_of
from zj.clinic.held_out import draw_for_training
from zj.clinic.phrases import sample_in_order
from zj.data.records import Dialogue, Turn

# Topics of the doctor's turns, two to five turns. The patient answers the doctor's questions, or asks for the next topic.
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
QUESTION_TOPICS = ("ask", "more", "history")


@dataclass(frozen=True)
class Exchange:
    """One turn, with the facts behind it."""

    message: str
    answer: str
    topics: tuple[str, ...]  # topics of the doctor's answer, as in PLANS
    mentioned: tuple[str, ...]  # textbook names of the symptoms mentioned so far
    requested_drug: str = ""  # a contraindicated drug that the patient asks for here


def consultation(seed: int, number: int) -> Dialogue:
    """Multi-turn consultation `number` of the seed's stream."""
    rng, case = patient_of("multi", seed, number)
    turns = draw_for_training(lambda: converse(rng, case), lambda turns: turns[0][0])
    return Dialogue(f"multi-{number:06d}", turns, department=case.condition.department)


def converse(rng: random.Random, case: Case) -> tuple[Turn, ...]:
    """A conversation with one patient."""
    return tuple((exchange.message, exchange.answer) for exchange in exchanges(rng, case))


def exchanges(rng: random.Random, case: Case, manner: type[Conversation] | None = None) -> tuple[Exchange, ...]:
    """The turns of a conversation, with their topics, in the manner of the clinic's doctor or of another."""
    manner = manner or Conversation
    plan = [tuple(turn.split()) for turn in rng.choice(manner.plans).split(" | ")]
    conversation = manner(rng, case)
    turns = []
    for number, topics in enumerate(plan):
        message = conversation.patient_says(topics[0], first=number == 0)
        mentioned = tuple(conversation.mentioned)
        answer = conversation.doctor_says(topics, first=number == 0)
        requested = conversation.requested_drug if "drug" in topics else ""
        turns.append(Exchange(message, answer, topics, mentioned, requested))
    return tuple(turns)


class Conversation:
    """State of a conversation: what was mentioned, asked and answered so far."""

    plans: tuple[str, ...] = PLANS
    leads = True  # whether an introduction comes before questions

    def __init__(self, rng: random.Random, case: Case) -> None:
        self.rng, self.case = rng, case
        self.profile, self.duration = rng.random() < 0.75, rng.random() < 0.6
        self.volunteered = bool(case.circumstances) and rng.random() < 0.2  # circumstances are mentioned unasked
        self.mentioned = sample_in_order(rng, list(case.symptoms), 1, 3)
        self.questions = list(case.answers)
        rng.shuffle(self.questions)
        self.pending: list[str] = []  # open questions: topics, or questions of the condition
        self.answered = False  # whether the patient's last message answered a question
        self.requested_drug = ""  # a contraindicated drug that the patient has asked for

    def patient_says(self, topic: str, first: bool) -> str:
        rng, case = self.rng, self.case
        if first:
            return patient.opening(rng, case, self.mentioned, self.profile, self.duration, self.volunteered)
        message = "".join(self._answers())
        self.answered = bool(message)
        at_home = [drug for drug in case.avoided if "医" not in case.condition.drugs[drug].use]
        if topic == "drug" and at_home and rng.random() < 0.4:
            self.requested_drug = rng.choice(at_home)
            return message + patient.ask_for_drug(rng, self.requested_drug)
        if not message or topic not in (*QUESTION_TOPICS, "diagnosis"):
            message += patient.request(rng, "drug" if topic in QUESTION_TOPICS else topic)
        return message

    def _answers(self) -> list[str]:
        rng, case = self.rng, self.case
        parts = []
        questions = [topic for topic in self.pending if topic in case.answers]
        if "profile" in self.pending:
            parts.append(patient.profile_answer(rng, case))
        if questions:
            parts.append(patient.answer(rng, case, questions))
        if "more" in self.pending:
            unmentioned = [name for name in case.symptoms if name not in self.mentioned]
            parts.append(patient.more_symptoms(rng, case, unmentioned, not self.duration))
            self.mentioned += unmentioned
            self.duration = True
        if "history" in self.pending:
            parts.append("没有别的了。" if self.volunteered else patient.state_circumstances(rng, case, asked=True))
        self.pending = []
        return parts

    def doctor_says(self, topics: tuple[str, ...], first: bool) -> str:
        rng, case = self.rng, self.case
        text = doctor.greet(rng, case) if first else ""
        if first and case.condition.urgent:
            text += doctor.warn(rng, case)  # a danger is named in the first turn
        if not first and topics[0] in (*QUESTION_TOPICS, "diagnosis"):
            text = doctor.acknowledge(rng) if self.answered else ""
        # Questions come last in an answer.
        for topic in sorted(topics, key=lambda topic: topic in QUESTION_TOPICS):
            text += doctor.close(rng, case, thanked=topics[0] == "close") if topic == "close" else self.speak(topic)
        return text

    def speak(self, topic: str) -> str:
        rng, case = self.rng, self.case
        if topic == "ask":
            questions, self.questions = self.questions[:2], self.questions[2:]
            self.pending += questions if self.profile else [*questions, "profile"]
            return doctor.ask(rng, questions, self.leads) + ("" if self.profile else doctor.ask_profile(rng, case))
        if topic == "more":
            self.pending.append(topic)
            return doctor.ask_more(rng, not self.duration)
        if topic == "history":
            self.pending.append(topic)
            return doctor.ask_history(rng, case, self.volunteered, self.leads)
        if topic == "diagnosis":
            return doctor.diagnose(rng, case, self.mentioned)
        if topic == "drug":
            return doctor.advise_drug(rng, case, self.requested_drug)
        return ADVICE[topic](rng, case)


ADVICE = {
    "tests": doctor.advise_tests,
    "treatment": doctor.advise_treatment,
    "care": doctor.advise_care,
    "flags": doctor.warn,
}


def single(seed: int, number: int) -> Dialogue:
    """Single-turn dialogue `number` of the seed's stream: one question, one full answer."""
    rng, case = patient_of("single", seed, number)
    exchange = draw_for_training(lambda: one_answer(rng, case), lambda exchange: exchange.message)
    turns = ((exchange.message, exchange.answer),)
    return Dialogue(f"single-{number:06d}", turns, department=case.condition.department)


def one_answer(rng: random.Random, case: Case) -> Exchange:
    """A patient who states everything in one message, circumstances too, and the full answer."""
    mentioned, question = full_message(rng, case)
    parts = [doctor.diagnose(rng, case, mentioned), doctor.advise_drug(rng, case)]
    advice = rng.choice(("tests", "treatment", "care"))
    parts += [ADVICE[advice](rng, case), doctor.warn(rng, case), doctor.close(rng, case)]
    answer = doctor.greet(rng, case) + "".join(parts)
    return Exchange(question, answer, ("diagnosis", "drug", advice, "flags", "close"), tuple(mentioned))


def full_message(rng: random.Random, case: Case) -> tuple[list[str], str]:
    """(textbook names of the symptoms in it, a message that states everything)."""
    mentioned = sample_in_order(rng, list(case.symptoms), 2, 4)
    return mentioned, patient.opening(rng, case, mentioned, duration=rng.random() < 0.7, circumstances=True)
