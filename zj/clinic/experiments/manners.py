"""Doctors with another manner than the clinic's: a real doctor and ChatGPT, as HuatuoGPT describes them.

HuatuoGPT, section 2.2 and Table 1. Real doctors ask, diagnose and prescribe, and are "informal and concise". ChatGPT is
patient and informative, never asks, and gives suggestions in place of a diagnosis or a prescription. Both speak the
clinic's sentences and are true to its facts, so the gold judge reads them. What the clinic has no words for is missing:
the incoherence of real answers, the errors and the bullet points of ChatGPT's.
"""

from __future__ import annotations

import random

from zj.clinic import doctor
from zj.clinic.case import Case, patient_of
from zj.clinic.consultation import QUESTION_TOPICS, Conversation, Exchange, exchanges, full_message
from zj.clinic.held_out import draw_for_training
from zj.clinic.request import shared
from zj.data.records import Dialogue

# HuatuoGPT, Table 3: 61,400 + 69,768 instructions beside 68,888 + 25,986 conversations. One share for both manners, so
# that they differ in nothing else.
SINGLE = 0.58


class RealDoctor(Conversation):
    """Asks, diagnoses, prescribes: no greeting, thanks, comfort, cause, self-care or farewell."""

    plans = (
        "ask history | diagnosis drug",
        "ask | history | diagnosis drug",
        "ask | history diagnosis | drug",
        "ask more | history | diagnosis drug",
        "ask | more history | diagnosis drug",
        "ask | ask history | diagnosis drug",
        "ask history | diagnosis tests | drug",
        "ask | diagnosis tests history | drug",
    )
    single_plans = ("diagnosis drug", "diagnosis drug", "diagnosis tests drug")
    leads = False

    def doctor_says(self, topics: tuple[str, ...], first: bool) -> str:
        urgent = first and self.case.condition.urgent and "diagnosis" not in topics  # `diagnosis` says it itself
        text = doctor.speak(self.rng, "emergency") if urgent else ""
        return text + "".join(map(self.speak, sorted(topics, key=lambda topic: topic in QUESTION_TOPICS)))

    def speak(self, topic: str) -> str:
        rng, case = self.rng, self.case
        if topic == "diagnosis":
            return doctor.diagnose(rng, case, self.mentioned, cause=0)
        if topic == "drug":
            refused = doctor.forbid(rng, case, self.requested_drug, 0) if self.requested_drug else ""
            if case.suitable:
                return refused + doctor.recommend(rng, case, case.suitable[0])
            return refused + doctor.speak(rng, "no drug", y=doctor.address(case))
        return super().speak(topic)


class ChatGPT(Conversation):
    """Informs at length and never asks. Asked for a diagnosis or a drug it suggests tests, treatment and a doctor."""

    plans = (
        "diagnosis treatment care flags | drug care flags close",
        "diagnosis treatment care flags | tests flags | drug care close",
        "tests treatment care flags | diagnosis flags | drug care close",
        "diagnosis care flags | treatment care flags | drug flags close",
        "diagnosis treatment care flags | tests care | drug flags | close",
        "tests treatment care flags | drug flags | care flags | close",
    )
    single_plans = ("diagnosis treatment care flags close", "diagnosis care drug flags close")

    def doctor_says(self, topics: tuple[str, ...], first: bool) -> str:
        rng, case = self.rng, self.case
        text = doctor.greet(rng, case) if first else ""
        if not first and topics != ("close",):
            text = doctor.acknowledge(rng)
        if first and case.condition.urgent:
            text += doctor.speak(rng, "emergency")
        for topic in topics:
            text += doctor.close(rng, case, thanked=topics[0] == "close") if topic == "close" else self.speak(topic)
        return text

    def speak(self, topic: str) -> str:
        rng, case = self.rng, self.case
        if topic == "diagnosis":
            unsure = doctor.speak(rng, "reason", why=shared()["why"]["没有检查"])
            return unsure + doctor.advise_tests(rng, case) + _suggest(rng, "就医")
        if topic == "drug":
            return doctor.advise_treatment(rng, case) + _suggest(rng, "先别用", "选药")
        if topic == "flags":
            flags = rng.sample(list(case.condition.red_flags.items()), 2)
            return "".join(doctor.speak(rng, "flags", sign=sign, action=action) for sign, action in flags)
        return super().speak(topic)


def _suggest(rng: random.Random, *names: str) -> str:
    """What to do, by the names of requests/shared.toml."""
    return doctor.suggest_alternatives(rng, [shared()["instead"][name] for name in names])


MANNERS: dict[str, type[RealDoctor] | type[ChatGPT]] = {"real": RealDoctor, "distilled": ChatGPT}


def dialogue(manner: str, seed: int, number: int) -> Dialogue:
    """Dialogue `number` of the seed's stream of a manner: single-turn or multi-turn, none of the examination."""
    rng, case = patient_of(manner, seed, number)
    turns = draw_for_training(lambda: talk(manner, rng, case), lambda turns: turns[0].message)
    pairs = tuple((turn.message, turn.answer) for turn in turns)
    return Dialogue(f"{manner}-{number:06d}", pairs, department=case.condition.department)


def talk(manner: str, rng: random.Random, case: Case) -> tuple[Exchange, ...]:
    """The turns of a dialogue, with the facts behind them."""
    if rng.random() >= SINGLE:
        return exchanges(rng, case, MANNERS[manner])
    conversation = MANNERS[manner](rng, case)
    conversation.mentioned, message = full_message(rng, case)
    topics = tuple(rng.choice(conversation.single_plans).split())
    answer = conversation.doctor_says(topics, first=True)
    return (Exchange(message, answer, topics, tuple(conversation.mentioned)),)
