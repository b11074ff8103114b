"""A value of each question, out of the results of one system. The forms of files are in claim.py.

| form | value of a question | cluster |
|---|---|---|
| exam | a grade, a share (0 or 1) or the characters of the answer | the template of the question |
| ranking | share of its untied pairs whose better answer has the higher score; a tie of scores is 1/2 | the prompt |
| patient | a field of zj/eval/patient/outcome.py | the case |
| answers | 1 if the answer equals the reference, spaces at the ends apart | the dialogue |
| choice | share of the orders of its options in which the pick is right | the stem |

A value that is not known, or does not apply to a question, is None: the question is left out of both sides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from zj.eval.answer_file import AnswerRow, read_systems
from zj.eval.choice.question import ChoiceQuestion
from zj.eval.claims.claim import CHANCE, CONSTANT, OF_SOME, OF_VERDICTS, Measure, Side, Where
from zj.eval.metrics import INQUIRIES, NOT_UNDERSTOOD

PATIENTS = ("consultation", "single")  # kinds of questions with a patient; all others are requests


@dataclass(frozen=True)
class Value:
    value: float | None
    cluster: str


Values = dict[str, Value]  # by the question's id


def values(folder: Path, side: Side, measure: Measure) -> Values:
    """Of the questions that measure.where leaves. ValueError names the file if it is not of the measure's form, if it
    has not this system, or if no question is left."""
    file = folder / side.file
    read: Callable[[], Iterable[tuple[str, Value]]] = {
        "exam": lambda: exam_values(file, side.system, measure.metric, measure.where),
        "ranking": lambda: _ranking(file),
        "patient": lambda: _patient(file / "report.json", measure.metric),
        "answers": lambda: _answers(file, side.system),
        "choice": lambda: _choice(file, side.system, measure.metric),
    }[measure.form]
    found: Values = {}
    for id, value in _of_form(file, measure.form, read):
        if id in found:
            raise ValueError(f"{file}: question {id} occurs twice")
        if not measure.where.prefix or id.startswith(measure.where.prefix):
            found[id] = value
    if not any(value.value is not None for value in found.values()):
        raise ValueError(f"{file}: no question is left where {measure.where}, metric {measure.metric}")
    return found


def files(measure: Measure) -> list[str]:
    """The files that the measure reads, relative to the directory of a seed."""
    suffix = "/report.json" if measure.form == "patient" else ""
    return list(dict.fromkeys(side.file + suffix for side in (measure.a, measure.b)))


def _of_form(file: Path, form: str, read: Callable[[], Iterable[tuple[str, Value]]]) -> list[tuple[str, Value]]:
    try:
        return list(read())
    except (KeyError, TypeError, IndexError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: expected a result of form {form} ({type(error).__name__}: {error})") from None


# ---- exam


@dataclass(frozen=True)
class Exam:
    """A report of scripts/judge.py without its texts."""

    questions: list[dict[str, Any]]  # id, kind, tier, due, template, answers: system → metric → value
    kl: Mapping[str, float | None]  # system → KL to the baseline, nats per answer


@lru_cache(maxsize=16)
def read_exam(file: Path) -> Exam:
    return exam_of(json.loads(file.read_text(encoding="utf-8")))


def exam_of(report: Mapping[str, Any]) -> Exam:
    questions = []
    for row in report["questions"]:
        answers = {name: _verdict(one) for name, one in row["answers"].items()}
        questions.append({key: row[key] for key in ("id", "kind", "tier", "due", "template")} | {"answers": answers})
    kl = {name: row["KL to baseline"] and row["KL to baseline"]["mean"] for name, row in report["table"].items()}
    return Exam(questions, kl)


def _verdict(answer: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics of one answer, as zj/eval/metrics.py has them; an archived one has them already."""
    made: dict[str, float | None] = {}
    if "text" in answer:
        made = {"understood": NOT_UNDERSTOOD not in answer["faults"], "characters": len(answer["text"])}
    return {name: made[name] if name in made else answer[name] for name in ("refuses", "inquires", *OF_VERDICTS)}


def exam_values(file: Path, system: str, metric: str, where: Where) -> Iterable[tuple[str, Value]]:
    for question in read_exam(file).questions:
        if system not in question["answers"]:
            raise ValueError(f"{file}: found no system {system}, expected one of {', '.join(question['answers'])}")
        if not _counts(question, where):
            continue
        value = _exam_value(question, question["answers"][system], metric)
        yield question["id"], Value(None if value is None else float(value), question["template"])


def _counts(question: Mapping[str, Any], where: Where) -> bool:
    return (
        (not where.kind or question["kind"] in where.kind)
        and (not where.tier or question["tier"] in where.tier)
        and (not where.due or bool(set(where.due) & set(question["due"])))
    )


def _exam_value(question: Mapping[str, Any], verdict: Mapping[str, Any], metric: str) -> float | None:
    if metric in OF_VERDICTS:
        return verdict[metric]
    asked, due = question["kind"] in PATIENTS, bool(INQUIRIES & set(question["due"]))
    applies = dict(zip(OF_SOME, (not asked, due, not due), strict=True))
    return verdict[metric.split()[0]] if applies[metric] else None


# ---- the other forms


def _ranking(file: Path) -> Iterable[tuple[str, Value]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        scores, ranks = row["scores"], row["ranks"]
        pairs = [(i, j) for i, j in combinations(range(len(ranks)), 2) if ranks[i] != ranks[j]]
        right = [0.5 + 0.5 * _sign(scores[i] - scores[j]) * _sign(ranks[j] - ranks[i]) for i, j in pairs]
        yield row["id"], Value(sum(right) / len(right) if right else None, row["id"])


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _patient(file: Path, metric: str) -> Iterable[tuple[str, Value]]:
    for id, outcome in json.loads(file.read_text(encoding="utf-8"))["outcomes"].items():
        yield id, Value(None if outcome[metric] is None else float(outcome[metric]), id)


@lru_cache(maxsize=16)
def _systems(file: Path) -> Mapping[str, list[AnswerRow]]:
    return read_systems([str(file)], "file")


def _answers(file: Path, system: str) -> Iterable[tuple[str, Value]]:
    systems = _systems(file)
    if system == CONSTANT:
        return _constant_answers(next(iter(systems.values())))
    if system not in systems and (system or len(systems) > 1):
        raise ValueError(f"{file}: found no system {system or 'named'}, expected one of {', '.join(systems)}")
    return [(row.id, _exact(row, row.answer)) for row in systems[system or next(iter(systems))]]


def _constant_answers(rows: Iterable[AnswerRow]) -> list[tuple[str, Value]]:
    """As if the answer were always the most frequent reference of questions of a kind, the id without its number."""
    kinds: dict[str, list[AnswerRow]] = {}
    for row in rows:
        kinds.setdefault(row.id.rpartition("-")[0], []).append(row)
    most = {kind: Counter(row.reference for row in of).most_common(1)[0][0] for kind, of in kinds.items()}
    return [(row.id, _exact(row, most[kind])) for kind, of in kinds.items() for row in of]


def _exact(row: AnswerRow, answer: str) -> Value:
    return Value(float(answer.strip() == row.reference.strip()) if row.reference else None, row.dialogue)


def _choice(file: Path, system: str, method: str) -> Iterable[tuple[str, Value]]:
    for row in json.loads(file.read_text(encoding="utf-8"))["picks"]:
        question = ChoiceQuestion(row["id"], row["question"], row["options"], frozenset(row["right"]))
        picks = row["methods"][method]["picks"] if method in row["methods"] else None
        right = sum(pick == row["right"] for pick in picks) / len(picks) if picks else None
        if system == CHANCE and picks:
            right = 1 / len(row["options"])
        yield row["id"], Value(right, question.cluster)
