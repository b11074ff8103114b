"""Questions with a known right answer, for practice and for the examination.

A question has the model's `prompt`, and for the judge the hidden patient, the topics due in this turn and those done
before. The examination has three tiers: new patients (and new fillings of known request templates), new words (phrases
and templates that are in no training file), new illnesses (textbook only).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from zj.clinic.case import Case, draw_case
from zj.clinic.consultation import exchanges, one_answer
from zj.clinic.facts import CONDITIONS
from zj.clinic.held_out import is_exam_only
from zj.clinic.request import KINDS, Request, draw_request, subjects
from zj.clinic.table import Condition
from zj.data.records import Prompt

TIERS = ("patients", "words", "illnesses")


@dataclass(frozen=True)
class Question:
    """A conversation before one of the doctor's turns, and the facts for the judge."""

    prompt: Prompt
    kind: str  # "consultation", "single", or a request: "harmful", "ethics", "beyond", "drug"
    case: Case | None  # the hidden patient; requests have none
    reference: str  # the clinic's own answer
    due: tuple[str, ...]  # topics of zj/clinic/consultation.py; for a request "refuse" or "admit"
    done: tuple[str, ...] = ()  # topics of the doctor's earlier turns
    mentioned: tuple[str, ...] = ()  # textbook names of the symptoms mentioned so far
    drug: str = ""  # a contraindicated drug that the patient asks for, or the drug of the request
    reason: str = ""  # the circumstance that forbids `drug`
    matter: tuple[str, ...] = ()  # requests: the clinic's names of what is wanted, or of what nobody knows
    why: tuple[str, ...] = ()  # requests: valid reasons
    instead: tuple[str, ...] = ()  # requests: fitting alternatives
    tier: str = "patients"  # one of TIERS
    template: str = ""  # requests: name of the template

    @property
    def condition(self) -> Condition | None:
        """The patient's condition; None for requests."""
        return self.case.condition if self.case else None

    @property
    def first(self) -> bool:
        return not self.prompt.history

    @property
    def cluster(self) -> str:
        """Name of the cluster of dependent questions: the request's template, or the question alone."""
        return self.template or self.prompt.id


def question(seed: int, number: int, held_out: bool = False) -> Question:
    """Question `number` of the seed's practice or exam: 50 % consultations, 20 % single turns, 30 % requests."""
    id, kind, tier, condition = _draw_subject(seed, number, held_out)
    for attempt in range(1000):
        rng = random.Random(f"{id}/{attempt}")
        if kind in KINDS:
            request = draw_request(rng, kind, condition, held_out=tier == "words")
            if request is not None and (tier != "patients" or is_exam_only(request.key) == held_out):
                return _request(request, id, tier)
        else:
            candidate = _of_patient(rng, id, kind, tier, condition)
            if _fits(tier, candidate, held_out):
                return candidate
    raise AssertionError(f"{id}: 1,000 times no question of kind {kind} about {condition.name}")


def subject(seed: int, number: int, held_out: bool = False) -> Condition:
    """The condition of the question, or of its request's drugs, without generating the question."""
    return _draw_subject(seed, number, held_out)[3]


def _fits(tier: str, candidate: Question, held_out: bool) -> bool:
    """Whether a patient's first message fits the tier: held out, or in new words."""
    if tier == "words":
        new = [text for texts in candidate.case.condition.new_words.values() for text in texts]  # type: ignore[union-attr]
        return any(text in _opening(candidate).replace(" ", "，") for text in new)
    return tier == "illnesses" or is_exam_only(_opening(candidate)) == held_out


def _opening(question: Question) -> str:
    """A patient's first message, which decides between training and examination."""
    return question.prompt.history[0][0] if question.prompt.history else question.prompt.user


def _draw_subject(seed: int, number: int, held_out: bool) -> tuple[str, str, str, Condition]:
    """(id, kind, tier, condition)."""
    stream = "exam" if held_out else "practice"
    rng = random.Random(f"{seed}/{stream}/{number}")
    draw = rng.random()
    kind = "consultation" if draw < 0.5 else "single" if draw < 0.7 else rng.choice(KINDS)
    tier = "patients"
    if held_out:
        tier = rng.choice(("patients", "words") if kind in KINDS else ("patients", "patients", "words", "illnesses"))
    pool = [c for c in CONDITIONS.values() if c.textbook_only] if tier == "illnesses" else subjects(kind)
    return f"{stream}-{seed}-{number:06d}", kind, tier, rng.choice(pool)


def question_of(id: str) -> Question:
    """The question with this id; ValueError if there is none."""
    match = re.fullmatch(r"(practice|exam)-(-?\d+)-(\d{6,})", id)
    candidate = question(int(match[2]), int(match[3]), match[1] == "exam") if match else None
    if candidate is None or candidate.prompt.id != id:
        raise ValueError(
            f"id: found {id!r}, expected practice-SEED-NUMBER or exam-SEED-NUMBER of the clinic's questions"
        )
    return candidate


def _of_patient(rng: random.Random, id: str, kind: str, tier: str, condition: Condition) -> Question:
    """A consultation cut before one of the doctor's turns, or a single-turn question with all facts."""
    case = draw_case(rng, condition, new_words=tier == "words")
    turns = exchanges(rng, case) if kind == "consultation" else (one_answer(rng, case),)
    now = rng.randrange(len(turns))
    exchange, before = turns[now], turns[:now]
    done = tuple(topic for turn in before for topic in turn.topics)
    return Question(
        prompt=Prompt(id, exchange.message, tuple((turn.message, turn.answer) for turn in before)),
        kind=kind,
        case=case,
        reference=exchange.answer,
        due=exchange.topics,
        done=done if kind == "consultation" else ("history",),
        mentioned=exchange.mentioned,
        drug=exchange.requested_drug,
        reason=case.reason_against(exchange.requested_drug) if exchange.requested_drug else "",
        tier=tier,
    )


def _request(request: Request, id: str, tier: str) -> Question:
    return Question(
        prompt=Prompt(id, request.text),
        kind=request.entry.kind,
        case=None,
        reference=request.answer,
        due=("admit" if request.entry.kind == "beyond" else "refuse",),
        drug=request.drug,
        reason=request.reason,
        matter=request.matter,
        why=request.entry.why,
        instead=request.entry.instead,
        tier=tier,
        template=request.entry.name,
    )
