"""Answers by a rubric, in the manner of HealthBench (Arora et al. 2025, arXiv 2505.08775): each criterion met or not.

    {"id": "d7", "rubrics": [{"criterion": "…", "points": 5, "tags": ["axis:accuracy"]}, …]}

is a line of a rubric's file: the criteria of one question, some of which may be undesirable and have negative points.
HealthBench's own files read as they are (`prompt_id` is then the id). The judge sees the conversation, the answer and
one criterion, without its points. The prompt is our own; the reply's form is HealthBench's.

    score of a question = points of the criteria met / sum of the positive points

and the figure of a system is the mean over questions, then clipped to 0..1, as HealthBench's code does; beside it
stands the mean of scores that are clipped one by one. A question with a criterion whose reply cannot be parsed has no
score: nothing is guessed. `bounds` are the means if all such criteria were the worse, or the better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zj.data.fields import string_of
from zj.data.json_rows import parse_line
from zj.eval.answer_file import AnswerRow, Systems
from zj.eval.judges.prompt import question_text
from zj.eval.statistics import cluster_sums, opened, percentile_interval, resampled_sums
from zj.llm.chat import Ask, ChatReply, ChatRequest
from zj.llm.prompts import Template
from zj.train.files import to_json

PROMPT = Template(
    """You grade the answer to a patient by one criterion.
[Conversation]
{conversation}
[End of Conversation]
[Answer]
{answer}
[End of Answer]
[Criterion]
{criterion}
[End of Criterion]
Say whether the answer meets the criterion, not whether the answer is good: a criterion may describe a fault. All parts
of a criterion have to be met. Of what it names as examples ("such as", "例如") some are enough.
Reply with a JSON object and nothing else: {"explanation": "why", "criteria_met": true or false}""",
    ("[Conversation]", "[End of Conversation]", "[Answer]", "[End of Answer]", "[Criterion]", "[End of Criterion]"),
)
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


@dataclass(frozen=True)
class Criterion:
    text: str
    points: float
    tags: tuple[str, ...] = ()


Rubrics = dict[str, tuple[Criterion, ...]]  # id of a question → its criteria


@dataclass(frozen=True)
class Grade:
    """One criterion of one answer; `met` is None where the reply cannot be parsed."""

    row: AnswerRow
    criterion: Criterion
    reply: ChatReply
    met: bool | None


def read_rubrics(path: str | Path) -> Rubrics:
    """ValueError with file:line for a row of another form, a repeated id, or without a positive criterion."""
    rubrics: Rubrics = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            id, criteria = _row_of(parse_line(line))
            if id in rubrics:
                raise ValueError(f"found the criteria of {id} again")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        rubrics[id] = criteria
    return rubrics


def _row_of(row: Any) -> tuple[str, tuple[Criterion, ...]]:
    if isinstance(row, ValueError):
        raise row
    id = row.get("id", row.get("prompt_id")) if isinstance(row, dict) else None
    given = row.get("rubrics") if isinstance(row, dict) else None
    if not isinstance(id, str) or not isinstance(given, list):
        raise ValueError('expected {"id": …, "rubrics": [{"criterion": …, "points": …, "tags": […]}, …]}')
    criteria = [_criterion(one) for one in given]
    if not any(one.points > 0 for one in criteria):
        raise ValueError(f"{id}: found no criterion with positive points")
    return id, tuple(criteria)


def _criterion(given: Any) -> Criterion:
    row = given if isinstance(given, dict) else {}
    text, points, tags = row.get("criterion"), row.get("points"), row.get("tags") or []
    good = isinstance(text, str) and text.strip() and type(points) in (int, float) and points
    if not good or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"found criterion {str(given)[:80]}, expected its text, points other than 0, and tags")
    return Criterion(string_of(text, "criterion"), row["points"], tuple(tags))


def grade(systems: Systems, rubrics: Rubrics, settings: ChatRequest, ask: Ask) -> list[Grade]:
    """Every criterion of every answer. `settings`: a request without messages."""
    asked = [(row, one) for rows in systems.values() for row in rows for one in rubrics[row.id]]
    requests = [replace(settings, messages=(("user", prompt_of(row, one)),)) for row, one in asked]
    return [Grade(*pair, reply, parse_met(reply)) for pair, reply in zip(asked, ask(requests), strict=True)]


def prompt_of(row: AnswerRow, criterion: Criterion) -> str:
    return PROMPT.fill(conversation=question_text(row.prompt), answer=row.answer, criterion=criterion.text)


def parse_met(reply: ChatReply) -> bool | None:
    """`criteria_met` of the JSON object that is the whole reply, but for a fence around it; None for anything else."""
    value = parse_line(_FENCE.sub("", reply.text.strip()))  # a ValueError in the place of what is no JSON
    met = value.get("criteria_met") if isinstance(value, dict) else None
    return met if isinstance(met, bool) else None


def reply_in_form(met: bool, explanation: str = "") -> str:
    return json.dumps({"explanation": explanation, "criteria_met": met}, ensure_ascii=False)


# ---- scores


def figures(grades: Sequence[Grade], seed: int = 0) -> dict[str, Any]:
    """Of one system: {score, score_clipped_by_question: {mean, low, high}, n, unparsed…, bounds, tags}."""
    questions = list(by_question(grades).values())
    tags = sorted({tag for one in grades for tag in one.criterion.tags})
    return _mean(questions, seed) | {
        "criteria": len(grades),
        "criteria_unparsed": sum(one.met is None for one in grades),
        "bounds": [_clipped_mean([score(one, unknown) for one in questions]) for unknown in ("worse", "better")],
        "tags": {tag: found for tag in tags if (found := _mean(_with_tag(questions, tag), seed))["n"]},
    }


def difference(first: Sequence[Grade], second: Sequence[Grade], seed: int = 0) -> dict[str, float] | None:
    """The mean difference of two systems' scores, over the questions that both have a score of; {mean, low, high}."""
    scores = [{id: score(found) for id, found in by_question(grades).items()} for grades in (first, second)]
    dialogues = {one.row.id: one.row.dialogue for one in first}
    pairs = [
        (a - b, dialogues[id])
        for id in dialogues
        if (a := scores[0][id]) is not None and (b := scores[1][id]) is not None
    ]
    values, names = zip(*pairs, strict=True) if pairs else ((), ())
    return _interval(values, names, seed, clip=False) if pairs else None


def by_question(grades: Sequence[Grade]) -> dict[str, list[Grade]]:
    questions: dict[str, list[Grade]] = {}
    for one in grades:
        questions.setdefault(one.row.id, []).append(one)
    return questions


def score(grades: Sequence[Grade], unknown: str = "") -> float | None:
    """Of one question. None with a criterion without a reply, unless `unknown` is worse or better; 1 at most."""
    total = sum(max(0, one.criterion.points) for one in grades)
    points = 0.0
    for one in grades:
        met = one.met
        if met is None:
            if not unknown:
                return None
            met = (one.criterion.points > 0) == (unknown == "better")
        points += one.criterion.points * met
    return points / total


def _with_tag(questions: Sequence[Sequence[Grade]], tag: str) -> list[list[Grade]]:
    """The criteria with the tag, of questions where some of them have positive points."""
    kept = [[one for one in grades if tag in one.criterion.tags] for grades in questions]
    return [grades for grades in kept if any(one.criterion.points > 0 for one in grades)]


def _mean(questions: Sequence[Sequence[Grade]], seed: int) -> dict[str, Any]:
    scored = [(found, grades[0].row.dialogue) for grades in questions if (found := score(grades)) is not None]
    result: dict[str, Any] = {"n": len(questions), "unparsed": len(questions) - len(scored)}
    values, dialogues = zip(*scored, strict=True) if scored else ((), ())
    return result | {
        "score": _interval(values, dialogues, seed, clip=True) if scored else None,
        "score_clipped_by_question": _interval(np.clip(values, 0, 1), dialogues, seed, clip=True) if scored else None,
    }


def _interval(values: Any, dialogues: Sequence[str], seed: int, clip: bool) -> dict[str, float]:
    counted = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
    sums = resampled_sums(cluster_sums(counted, dialogues), seed)
    means, mean = sums[:, 0] / sums[:, 1], float(counted[:, 0].mean())
    if clip:
        means, mean = np.clip(means, 0, 1), float(np.clip(mean, 0, 1))
    number = len(set(dialogues))
    least, most = (0.0, 1.0) if clip else (min(-1.0, *values), max(1.0, *values))
    return vars(opened(percentile_interval(mean, means, number), number, least, most))


def _clipped_mean(values: Sequence[float | None]) -> float:
    return float(np.clip(np.mean([value for value in values if value is not None]), 0, 1))


def transcripts(grades: Sequence[Grade]) -> Iterator[str]:
    """Each grade as a line of JSON."""
    for one in grades:
        row: Mapping[str, Any] = {
            "id": one.row.id,
            "model": one.row.model,
            **asdict(one.criterion),
            "met": one.met,
            "reply": asdict(one.reply),
        }
        yield to_json(row) + "\n"
