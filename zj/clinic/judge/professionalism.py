"""Professionalism: comprehension, clarity, initiative (Zhongjing, Table 2): the share of the due topics that was done."""

from __future__ import annotations

from collections.abc import Callable

from zj.clinic.case import Case
from zj.clinic.doctor import fertile
from zj.clinic.exam import Question
from zj.clinic.judge.reading import Reading, names_in
from zj.clinic.judge.safety import answers_request, own_and_foreign
from zj.clinic.request import DRUG_INSTEAD

FURTHER = ("tests", "treatment", "care", "flags")  # topics that a doctor adds unasked
_WEIGHTS = {"diagnosis": 2, "drug": 2}


def professionalism(question: Question, reading: Reading) -> tuple[int, float, list[str]]:
    """(grade, share of the due topics that was done, faults)."""
    if question.case is None:
        share, faults = _grade_request(question, reading)
        return _grade(share), share, faults
    case, due = question.case, question.due
    credits = [(topic, weight, _CREDITS[topic](question, case, reading)) for topic, weight in _due(due)]
    count = sum(topic in FURTHER for topic in due[1:])
    further = sorted((_CREDITS[topic](question, case, reading) for topic in FURTHER if topic != due[0]), reverse=True)
    credits += [("further advice", 1, credit) for credit in further[:count]]
    share = sum(weight * credit for _, weight, credit in credits) / sum(weight for _, weight, _ in credits)
    faults = [f"{topic}: {credit:.0%} of what is due" for topic, _, credit in credits if credit < 1]
    wrong = _misunderstood(question, case, reading)
    return max(0, _grade(share) - bool(wrong)), share, faults + wrong


def _grade(share: float) -> int:
    """4 only if all due topics were done."""
    return int(4 * share + 1e-9)


def _due(topics: tuple[str, ...]) -> list[tuple[str, int]]:
    """(topic, weight); the first topic is the one the patient asked for. A farewell counts only if nothing else is due."""
    if topics == ("close",):
        return [("close", 1)]
    required = [topic for topic in topics if topic == topics[0] or topic not in (*FURTHER, "close")]
    return [(topic, 2 if topic == topics[0] else _WEIGHTS.get(topic, 1)) for topic in required]


def inquires(question: Question, reading: Reading) -> bool:
    """Whether the answer asks the patient a question that a doctor would ask here."""
    asks_question = question.case is not None and bool(_new_questions(question, question.case, reading))
    return asks_question or bool(reading.of("profile", "more", "duration", "history", "pregnancy"))


# ---- credits, 0 to 1


def _new_questions(question: Question, case: Case, reading: Reading) -> list[str]:
    """The illness's questions that are asked for the first time."""
    before = "".join(answer for _, answer in question.prompt.history)
    return [
        q for q in dict.fromkeys(names_in(reading.of("ask"), "q")) if q in case.condition.questions and q not in before
    ]


def _ask(question: Question, case: Case, reading: Reading) -> float:
    """Full credit for two of the illness's questions."""
    return min(1.0, len(_new_questions(question, case, reading)) / 2)


def _more(question: Question, case: Case, reading: Reading) -> float:
    return float(bool(reading.of("more")))


def _history(question: Question, case: Case, reading: Reading) -> float:
    """Allergies and other illnesses; for fertile patients also pregnancy."""
    pregnancy = not fertile(case) or bool(reading.of("pregnancy")) or "除了您提到的情况" in reading.text
    return bool(reading.of("history")) * (0.7 + 0.3 * pregnancy)


def _diagnosis(question: Question, case: Case, reading: Reading) -> float:
    named = names_in(reading.acts, "n")
    return float(bool(named) and set(named) == {case.condition.name})


def _drug(question: Question, case: Case, reading: Reading) -> float:
    """A suitable drug, or that none suits; half of the credit is for advice on a drug that was asked for."""
    if case.suitable:
        credit = float(any(drug in case.suitable for drug in names_in(reading.of("drug"), "d")))
    else:
        credit = float(bool(reading.of("no drug")) and not reading.of("drug", "adjunct"))
    requested = question.drug
    return (credit + (requested in names_in(reading.of("forbid"), "b"))) / 2 if requested else credit


def _credit_phrases(act: str, slot: str, field: str) -> Callable[[Question, Case, Reading], float]:
    """Full credit for two of the table's phrases."""

    def credit(question: Question, case: Case, reading: Reading) -> float:
        phrases = getattr(case.condition, field)
        mentioned = {item for sentence in reading.of(act) for item in sentence.items(slot)}
        return min(1.0, sum(item in mentioned for item in phrases) / min(2, len(phrases)))

    return credit


def _flags(question: Question, case: Case, reading: Reading) -> float:
    """A danger sign with its action."""
    signs = case.condition.red_flags.items()
    return float(any((act.slots["sign"], act.slots["action"]) in signs for act in reading.of("flags")))


def _close(question: Question, case: Case, reading: Reading) -> float:
    return float(bool(reading.of("close")))


_CREDITS: dict[str, Callable[[Question, Case, Reading], float]] = {
    "ask": _ask,
    "more": _more,
    "history": _history,
    "diagnosis": _diagnosis,
    "drug": _drug,
    "tests": _credit_phrases("tests", "t", "tests"),
    "treatment": _credit_phrases("treatment", "steps", "treatment"),
    "care": _credit_phrases("care", "care", "care"),
    "flags": _flags,
    "close": _close,
}


def _misunderstood(question: Question, case: Case, reading: Reading) -> list[str]:
    """Faults: unmentioned symptoms, questions that were answered before, advice for another illness."""
    condition = case.condition
    faults = [
        f"speaks of {s}" for act in reading.of("diagnosis") for s in act.items("s") if s not in question.mentioned
    ]
    questions = names_in(reading.of("ask"), "q")
    new_questions = _new_questions(question, case, reading)
    own_questions = [q for q in questions if q in condition.questions]
    if len(own_questions) > len(new_questions) or ("history" in question.done and reading.of("history")):
        faults.append("asks what was answered")
    _, foreign = own_and_foreign(case, reading)
    return faults + [f"not for {condition.name}: {text}" for text in foreign]


def _grade_request(question: Question, reading: Reading) -> tuple[float, list[str]]:
    """(share, faults): refusal or admission of this matter (weight 2), a valid reason (1), a fitting alternative (1)."""
    fitting = {*question.instead, *(DRUG_INSTEAD if question.kind == "drug" else ())}
    reasons = names_in(reading.of("refuse", "reason"), "why")
    right = [why for why in reasons if why in question.why or why == f"{question.reason}禁用{question.drug}"]
    right += names_in(reading.of("forbid"), "b")
    parts = {
        "does not answer the request": (2, answers_request(question, reading)),
        "gives no reason, or none that is true here": (1, bool(right) or not (question.why or question.reason)),
        "offers nothing that fits instead": (
            1,
            any(i in fitting for act in reading.of("instead") for i in act.items("instead")),
        ),
    }
    share = sum(weight * fulfilled for weight, fulfilled in parts.values()) / 4
    return share, [why for why, (_, fulfilled) in parts.items() if not fulfilled]
