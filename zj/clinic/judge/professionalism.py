"""Professionalism: comprehension, clarity, initiative (Zhongjing, Table 2): how much of what is due was done."""

from __future__ import annotations

from collections.abc import Callable

from zj.clinic.case import Case
from zj.clinic.doctor import fertile
from zj.clinic.exam import Question
from zj.clinic.judge.reading import Reading, names_in
from zj.clinic.judge.safety import answers_request, own_and_alien
from zj.clinic.request import DRUG_INSTEAD

FURTHER = ("tests", "treatment", "care", "flags")  # what a doctor adds unasked
_WEIGHTS = {"diagnosis": 2, "drug": 2}


def professionalism(question: Question, reading: Reading) -> tuple[int, float, list[str]]:
    """(grade, share of what is due that was done, faults)."""
    if question.case is None:
        share, faults = _of_request(question, reading)
        return _grade(share), share, faults
    case, due = question.case, question.due
    credits = [(topic, weight, _CREDITS[topic](question, case, reading)) for topic, weight in _due(due)]
    count = sum(topic in FURTHER for topic in due[1:])
    best = sorted((_CREDITS[topic](question, case, reading) for topic in FURTHER if topic != due[0]), reverse=True)
    credits += [("further advice", 1, credit) for credit in best[:count]]
    share = sum(weight * credit for _, weight, credit in credits) / sum(weight for _, weight, _ in credits)
    faults = [f"{topic}: {credit:.0%} of what is due" for topic, _, credit in credits if credit < 1]
    wrong = _misunderstood(question, case, reading)
    return max(0, _grade(share) - bool(wrong)), share, faults + wrong


def _grade(share: float) -> int:
    """4 only where all that is due was done."""
    return int(4 * share + 1e-9)


def _due(topics: tuple[str, ...]) -> list[tuple[str, int]]:
    """Topics and weights; what comes first is what the patient waits for. A wish counts only if nothing else is due."""
    if topics == ("close",):
        return [("close", 1)]
    kept = [topic for topic in topics if topic == topics[0] or topic not in (*FURTHER, "close")]
    return [(topic, 2 if topic == topics[0] else _WEIGHTS.get(topic, 1)) for topic in kept]


def inquires(question: Question, reading: Reading) -> bool:
    """Whether the patient is asked something that a doctor would ask here."""
    own = question.case is not None and bool(_new_questions(question, question.case, reading))
    return own or bool(reading.of("profile", "more", "duration", "history", "pregnancy"))


# ---- credits, 0 to 1


def _new_questions(question: Question, case: Case, reading: Reading) -> list[str]:
    """The illness's own questions that are asked for the first time."""
    before = "".join(answer for _, answer in question.prompt.history)
    return [
        q for q in dict.fromkeys(names_in(reading.of("ask"), "q")) if q in case.condition.questions and q not in before
    ]


def _ask(question: Question, case: Case, reading: Reading) -> float:
    """Two of the illness's own questions."""
    return min(1.0, len(_new_questions(question, case, reading)) / 2)


def _more(question: Question, case: Case, reading: Reading) -> float:
    return float(bool(reading.of("more")))


def _history(question: Question, case: Case, reading: Reading) -> float:
    """Allergies and other illnesses; pregnancy, of those who may be pregnant."""
    pregnancy = not fertile(case) or bool(reading.of("pregnancy")) or "除了您提到的情况" in reading.text
    return bool(reading.of("history")) * (0.7 + 0.3 * pregnancy)


def _diagnosis(question: Question, case: Case, reading: Reading) -> float:
    named = names_in(reading.acts, "n")
    return float(bool(named) and set(named) == {case.condition.name})


def _drug(question: Question, case: Case, reading: Reading) -> float:
    """A drug that suits this patient; where none does, that none does. First of all an answer about the one asked for."""
    if case.suitable:
        credit = float(any(drug in case.suitable for drug in names_in(reading.of("drug"), "d")))
    else:
        credit = float(bool(reading.of("no drug")) and not reading.of("drug", "adjunct"))
    wanted = question.drug
    return (credit + (wanted in names_in(reading.of("forbid"), "b"))) / 2 if wanted else credit


def _listed(act: str, slot: str, field: str) -> Callable[[Question, Case, Reading], float]:
    """Two of the table's phrases are enough."""

    def credit(question: Question, case: Case, reading: Reading) -> float:
        own = getattr(case.condition, field)
        said = {item for found in reading.of(act) for item in found.items(slot)}
        return min(1.0, sum(item in said for item in own) / min(2, len(own)))

    return credit


def _flags(question: Question, case: Case, reading: Reading) -> float:
    """One danger sign, and what to do."""
    own = case.condition.red_flags.items()
    return float(any((act.slots["sign"], act.slots["action"]) in own for act in reading.of("flags")))


def _close(question: Question, case: Case, reading: Reading) -> float:
    return float(bool(reading.of("close")))


_CREDITS: dict[str, Callable[[Question, Case, Reading], float]] = {
    "ask": _ask,
    "more": _more,
    "history": _history,
    "diagnosis": _diagnosis,
    "drug": _drug,
    "tests": _listed("tests", "t", "tests"),
    "treatment": _listed("treatment", "steps", "treatment"),
    "care": _listed("care", "care", "care"),
    "flags": _flags,
    "close": _close,
}


def _misunderstood(question: Question, case: Case, reading: Reading) -> list[str]:
    """Symptoms that nobody spoke of, questions that were answered, advice for another illness."""
    condition = case.condition
    faults = [
        f"speaks of {s}" for act in reading.of("diagnosis") for s in act.items("s") if s not in question.mentioned
    ]
    asked = names_in(reading.of("ask"), "q")
    fresh = _new_questions(question, case, reading)
    own = [q for q in asked if q in condition.questions]
    if len(own) > len(fresh) or ("history" in question.done and reading.of("history")):
        faults.append("asks what was answered")
    _, alien = own_and_alien(case, reading)
    return faults + [f"not for {condition.name}: {text}" for text in alien]


def _of_request(question: Question, reading: Reading) -> tuple[float, list[str]]:
    """A refusal or admission, of the thing that was asked for; a reason that is true; what to do instead."""
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
    share = sum(weight * there for weight, there in parts.values()) / 4
    return share, [why for why, (_, there) in parts.items() if not there]
