"""Questions whose right answer is known: what a model practises on, and what it is examined with.

A question is what a model sees (`prompt`) and what only the judge knows: the hidden patient, what is due in this turn,
what has happened before it. The examination has three tiers: new patients (and requests in new words of known
templates), new words (sayings and templates that no training file has), new illnesses (of the textbook only).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from zj.clinic.case import Case, draw_case
from zj.clinic.consultation import exchanges, one_answer
from zj.clinic.facts import CONDITIONS
from zj.clinic.held_out import examined
from zj.clinic.request import KINDS, Request, draw_request, subjects
from zj.clinic.table import Condition
from zj.data.records import Prompt

TIERS = ("patients", "words", "illnesses")


@dataclass(frozen=True)
class Question:
    """A conversation that waits for the doctor, and the truth about it."""

    prompt: Prompt
    kind: str  # "consultation", "single", or a request: "harmful", "ethics", "beyond", "drug"
    case: Case | None  # the hidden patient; requests have none
    reference: str  # what the clinic's own doctor says here
    due: tuple[str, ...]  # topics of zj/clinic/consultation.py; of a request "refuse" or "admit"
    done: tuple[str, ...] = ()  # topics of the doctor's earlier turns; "history" among them: asked and answered
    mentioned: tuple[str, ...] = ()  # textbook names of the symptoms that the patient has spoken of
    drug: str = ""  # a drug that the patient asks for and must not take, or that the request speaks of
    reason: str = ""  # the circumstance that forbids `drug`
    matter: tuple[str, ...] = ()  # requests: how the clinic calls what is wanted, or what nobody knows
    why: tuple[str, ...] = ()  # requests: reasons that are true
    instead: tuple[str, ...] = ()  # requests: alternatives that fit
    tier: str = "patients"  # one of TIERS
    template: str = ""  # requests: name of the template that it was made from

    @property
    def condition(self) -> Condition | None:
        """Of the patient; requests have none."""
        return self.case.condition if self.case else None

    @property
    def first(self) -> bool:
        return not self.prompt.history

    @property
    def cluster(self) -> str:
        """What is not independent of this question: all of its request's template; of a patient nothing else."""
        return self.template or self.prompt.id


def question(seed: int, number: int, held_out: bool = False) -> Question:
    """Question `number` of the seed's practice, or of its exam: half consultations, the rest single or requests."""
    id, kind, tier, condition = _drawn(seed, number, held_out)
    for attempt in range(1000):
        rng = random.Random(f"{id}/{attempt}")
        if kind in KINDS:
            made = draw_request(rng, kind, condition, held_out=tier == "words")
            if made is not None and (tier != "patients" or examined(made.key) == held_out):
                return _request(made, id, tier)
        else:
            asked = _of_patient(rng, id, kind, tier, condition)
            if _fits(tier, asked, held_out):
                return asked
    raise AssertionError(f"{id}: 1,000 times no question of kind {kind} about {condition.name}")


def subject(seed: int, number: int, held_out: bool = False) -> Condition:
    """The condition that the question is about, or whose drugs its request names, without writing the question."""
    return _drawn(seed, number, held_out)[3]


def _fits(tier: str, asked: Question, held_out: bool) -> bool:
    """Whether a patient's first words are what the tier says: new of themselves, or said in new words."""
    if tier == "words":
        new = [text for texts in asked.case.condition.new_words.values() for text in texts]  # type: ignore[union-attr]
        return any(text in _opening(asked).replace(" ", "，") for text in new)
    return tier == "illnesses" or examined(_opening(asked)) == held_out


def _opening(asked: Question) -> str:
    """A patient's first words, which decide whether training or the examination has them."""
    return asked.prompt.history[0][0] if asked.prompt.history else asked.prompt.user


def _drawn(seed: int, number: int, held_out: bool) -> tuple[str, str, str, Condition]:
    """(id, kind, tier, condition)."""
    stream = "exam" if held_out else "practice"
    rng = random.Random(f"{seed}/{stream}/{number}")
    dice = rng.random()
    kind = "consultation" if dice < 0.5 else "single" if dice < 0.7 else rng.choice(KINDS)
    tier = "patients"
    if held_out:
        tier = rng.choice(("patients", "words") if kind in KINDS else ("patients", "patients", "words", "illnesses"))
    pool = [c for c in CONDITIONS.values() if c.textbook_only] if tier == "illnesses" else subjects(kind)
    return f"{stream}-{seed}-{number:06d}", kind, tier, rng.choice(pool)


def question_of(id: str) -> Question:
    """The question that has this id; ValueError if none has."""
    match = re.fullmatch(r"(practice|exam)-(-?\d+)-(\d{6,})", id)
    found = question(int(match[2]), int(match[3]), match[1] == "exam") if match else None
    if found is None or found.prompt.id != id:
        raise ValueError(
            f"id: found {id!r}, expected practice-SEED-NUMBER or exam-SEED-NUMBER of the clinic's questions"
        )
    return found


def _of_patient(rng: random.Random, id: str, kind: str, tier: str, condition: Condition) -> Question:
    """A consultation cut before one of the doctor's turns; or all at once, so that nothing has to be asked."""
    case = draw_case(rng, condition, new_words=tier == "words")
    turns = exchanges(rng, case) if kind == "consultation" else (one_answer(rng, case),)
    now = rng.randrange(len(turns))
    exchange, before = turns[now], turns[:now]
    done = tuple(topic for turn in before for topic in turn.topics)
    return Question(
        prompt=Prompt(id, exchange.said, tuple((turn.said, turn.answer) for turn in before)),
        kind=kind,
        case=case,
        reference=exchange.answer,
        due=exchange.topics,
        done=done if kind == "consultation" else ("history",),
        mentioned=exchange.mentioned,
        drug=exchange.wanted,
        reason=case.reason_against(exchange.wanted) if exchange.wanted else "",
        tier=tier,
    )


def _request(made: Request, id: str, tier: str) -> Question:
    return Question(
        prompt=Prompt(id, made.text),
        kind=made.entry.kind,
        case=None,
        reference=made.answer,
        due=("admit" if made.entry.kind == "beyond" else "refuse",),
        drug=made.drug,
        reason=made.reason,
        matter=made.matter,
        why=made.entry.why,
        instead=made.entry.instead,
        tier=tier,
        template=made.entry.name,
    )
