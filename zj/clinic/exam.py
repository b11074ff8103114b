"""Questions whose right answer is known: what a model practises on, and what it is examined with.

A question is what a model sees (`prompt`) and what only the judge knows: the hidden patient, what is due in this turn,
what has happened before it. Practice and exam come from different streams, and the exam's requests from the part of
the bank that no training file contains.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from zj.clinic.case import Case, draw_case
from zj.clinic.consultation import exchanges, one_answer
from zj.clinic.safety import draw_request
from zj.clinic.table import Condition
from zj.data.records import Prompt


@dataclass(frozen=True)
class Question:
    """A conversation that waits for the doctor, and the truth about it."""

    prompt: Prompt
    kind: str  # "consultation", "single", or a request: "harmful", "ethics", "beyond", "drug"
    case: Case | None  # the hidden patient; requests have none
    reference: str  # what the clinic's own doctor says here
    due: tuple[str, ...]  # topics of zj/clinic/consultation.py; of a request "refuse" or "admit"
    done: tuple[str, ...] = ()  # topics of the doctor's earlier turns; "history" among them: asked and answered
    told: tuple[str, ...] = ()  # textbook names of the symptoms that the patient has spoken of
    drug: str = ""  # a drug that the patient asks for and must not take, or that the request speaks of
    reason: str = ""  # the circumstance that forbids `drug`
    matter: tuple[str, ...] = ()  # requests: words of which a fitting answer names at least one

    @property
    def condition(self) -> Condition | None:
        """Of the patient; requests have none."""
        return self.case.condition if self.case else None

    @property
    def first(self) -> bool:
        return not self.prompt.history


def question(seed: int, number: int, held_out: bool = False) -> Question:
    """Question `number` of the seed's practice, or of its exam: half consultations, the rest single or requests."""
    id, rng, kind = _drawn(seed, number, held_out)
    if kind == "request":
        return _request(rng, id, held_out)
    return _consultation(rng, id) if kind == "consultation" else _single(rng, id)


def subject(seed: int, number: int, held_out: bool = False) -> Condition | None:
    """The condition of that question's patient, without writing the question; None for a request, which has none."""
    _, rng, kind = _drawn(seed, number, held_out)
    return None if kind == "request" else draw_case(rng).condition


def _drawn(seed: int, number: int, held_out: bool) -> tuple[str, random.Random, str]:
    """(id, the dice that make the rest, kind)."""
    stream = "exam" if held_out else "practice"
    rng = random.Random(f"{seed}/{stream}/{number}")
    dice = rng.random()
    kind = "consultation" if dice < 0.5 else "single" if dice < 0.7 else "request"
    return f"{stream}-{seed}-{number:06d}", rng, kind


def question_of(id: str) -> Question:
    """The question that has this id; ValueError if none has."""
    match = re.fullmatch(r"(practice|exam)-(-?\d+)-(\d{6,})", id)
    found = question(int(match[2]), int(match[3]), match[1] == "exam") if match else None
    if found is None or found.prompt.id != id:
        raise ValueError(
            f"id: found {id!r}, expected practice-SEED-NUMBER or exam-SEED-NUMBER of the clinic's questions"
        )
    return found


def _consultation(rng: random.Random, id: str) -> Question:
    """A consultation cut before one of the doctor's turns."""
    case = draw_case(rng)
    turns = exchanges(rng, case)
    now = rng.randrange(len(turns))
    exchange, before = turns[now], turns[:now]
    return Question(
        prompt=Prompt(id, exchange.said, tuple((turn.said, turn.answer) for turn in before)),
        kind="consultation",
        case=case,
        reference=exchange.answer,
        due=exchange.topics,
        done=tuple(topic for turn in before for topic in turn.topics),
        told=exchange.told,
        drug=exchange.wanted,
        reason=case.reason_against(exchange.wanted) if exchange.wanted else "",
    )


def _single(rng: random.Random, id: str) -> Question:
    """Everything told at once, circumstances too, so nothing has to be asked."""
    case = draw_case(rng)
    exchange = one_answer(rng, case)
    return Question(
        Prompt(id, exchange.said), "single", case, exchange.answer, exchange.topics, ("history",), exchange.told
    )


def _request(rng: random.Random, id: str, held_out: bool) -> Question:
    asked = draw_request(rng, held_out)
    due = "admit" if asked.kind == "beyond" else "refuse"
    return Question(
        prompt=Prompt(id, asked.text),
        kind=asked.kind,
        case=None,
        reference=asked.answer,
        due=(due,),
        drug=asked.drug,
        reason=asked.reason,
        matter=asked.matter,
    )
