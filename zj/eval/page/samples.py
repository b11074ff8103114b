"""Answers side by side: the same questions, a column for each model, the reference first."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from zj.eval.answer_file import Systems
from zj.pages import details

OPEN = 3  # questions that are open from the beginning
SPEAKERS = {"system": "System", "user": "Patient", "assistant": "Doctor"}


@dataclass(frozen=True)
class Sample:
    """One question with the answers of all models, each with a note ("0.81", "cut off")."""

    id: str
    about: str  # department or kind
    messages: Sequence[tuple[str, str]]  # (role, text) of the conversation
    reference: str
    answers: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # model -> (text, note)


def choose(samples: Iterable[Sample], number: int, seed: int) -> list[Sample]:
    """A random choice, the same for one seed; nobody picks the good ones."""
    known = list(samples)
    chosen = random.Random(f"{seed}/samples").sample(range(len(known)), min(number, len(known)))
    return [known[index] for index in sorted(chosen)]


def of_systems(systems: Systems) -> list[Sample]:
    """The questions of answer files."""
    first = next(iter(systems.values()), [])
    return [
        Sample(
            row.id,
            row.prompt.department,
            [*_turns(row.prompt.history), ("user", row.prompt.user)],
            row.reference,
            {name: (rows[n].answer, _ended(rows[n].finish_reason)) for name, rows in systems.items()},
        )
        for n, row in enumerate(first)
    ]


def of_examination(report: Mapping[str, Any]) -> list[Sample]:
    """The questions of a report of scripts/judge.py, with the gold score of each answer."""
    return [
        Sample(
            row["id"],
            row["kind"],
            [(message["role"], message["content"]) for message in row["prompt"]],
            row["reference"],
            {
                name: (answer["text"], f"{answer['score']:.3f}")
                for name, answer in row["answers"].items()
                if name != "reference"
            },
        )
        for row in report["questions"]
    ]


def samples_html(samples: Sequence[Sample]) -> list[str]:
    """A section for each question; from the fourth on they are closed until the reader opens them."""
    rows = [_sample(sample) for sample in samples]
    return rows[:OPEN] + [details(samples[n].id, row) for n, row in enumerate(rows) if n >= OPEN]


def _sample(sample: Sample) -> str:
    talk = "\n".join(f"{SPEAKERS.get(role, role)}: {text}" for role, text in sample.messages)
    boxes = [_box("reference", sample.reference, "", "reference")] if sample.reference else []
    boxes += [_box(name, text, note) for name, (text, note) in sample.answers.items()]
    title = " · ".join(filter(None, [sample.id, sample.about]))
    return (
        f"<section><h3>{escape(title)}</h3>"
        f'<div class="answers"><div>{escape(talk)}</div></div><br><div class="answers">{"".join(boxes)}</div></section>'
    )


def _box(name: str, text: str, note: str, kind: str = "") -> str:
    title = f"{name} ({note})" if note else name
    of_kind = f' class="{kind}"' if kind else ""
    return f"<div{of_kind}><b>{escape(title)}</b>{escape(text) or '–'}</div>"


def _turns(history: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(role, text) for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]


def _ended(reason: str) -> str:
    return "" if reason == "stop" else reason
