"""The file of answers that every evaluation reads: JSON lines, one row of each question and model.

    {"id": "d7/2", "prompt": [{"role": "user", "content": "…"}, …], "department": "皮肤科", "dialogue": "d7",
     "reference": "…", "model": "sft", "answer": "…", "finish_reason": "stop", "turns_left_out": 0}

| field | |
|---|---|
| id | of the question: that of the dialogue, with `/2` behind it for its second turn where several are asked |
| prompt | the conversation up to the question, as the test file has it; the last message is the user's |
| department | of the dialogue; left out where it is unknown |
| dialogue | questions of one dialogue depend on each other: they are one cluster, resampled together |
| reference | the test file's own answer; "" where it has none |
| model | who answers: a name for people |
| answer | its text; "" where there is none |
| finish_reason | stop, length (cut off at the longest length), refused (no reply will come), too long (the last message
  does not fit beside an answer, and was not sent), or what an endpoint calls it |
| turns_left_out | of the oldest turns, those that the model did not see because the prompt was too long for it |

A pair (id, model) occurs once; rows of one id have the same prompt, dialogue and reference.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zj.data.fields import Notes, string_of
from zj.data.formats import to_records
from zj.data.json_rows import parse_line
from zj.data.records import Prompt, as_json

STOP, LENGTH, REFUSED, TOO_LONG = "stop", "length", "refused", "too long"
PROMPT_FIELDS = ("id", "prompt", "department", "split_by")


@dataclass(frozen=True)
class AnswerRow:
    """One answer of one model, with all that is needed to judge it."""

    prompt: Prompt  # has the id of the question, its department, and the turns before it
    dialogue: str
    reference: str
    model: str
    answer: str
    finish_reason: str
    turns_left_out: int = 0

    @property
    def id(self) -> str:
        return self.prompt.id


def lines_of(rows: Iterable[AnswerRow]) -> Iterator[str]:
    """The rows as lines of JSON, for `write_text`."""
    for row in rows:
        fields = {name: value for name, value in vars(row).items() if name != "prompt"}
        yield json.dumps(as_json(row.prompt) | fields, ensure_ascii=False) + "\n"


def read_answers(path: str | Path) -> list[AnswerRow]:
    """The rows of a file in their order. ValueError with file:line for any that is not as this page says."""
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start}: expected UTF-8") from None
    rows: list[AnswerRow] = []
    seen: dict[tuple[str, str], int] = {}
    first: dict[str, AnswerRow] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row_of(parse_line(line), f"{path}:{number}")
            before = seen.setdefault((row.id, row.model), number)
            if before != number:
                raise ValueError(f"found an answer of {row.model} to {row.id} again, as in line {before}")
            if _question(first.setdefault(row.id, row)) != _question(row):
                raise ValueError(f"found another prompt, dialogue or reference of {row.id} than before")
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: found no row, expected answers as scripts/answer.py writes them")
    return rows


def _row_of(row: Any, where: str) -> AnswerRow:
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict) or "prompt" not in row:
        raise ValueError("found no prompt, expected a row of scripts/answer.py")
    for name in ("id", "dialogue", "reference", "model", "answer", "finish_reason"):
        if not isinstance(row.get(name), str) or (not row[name] and name in ("id", "dialogue", "model")):
            raise ValueError(f"found {name} {row.get(name)!r}, expected a text")
        string_of(row[name], name)
    if type(row.get("turns_left_out", 0)) is not int:
        raise ValueError(f"found turns_left_out {row['turns_left_out']!r}, expected a whole number")
    (prompt,) = to_records({name: row[name] for name in PROMPT_FIELDS if name in row}, "prompt", where, Notes())
    assert isinstance(prompt, Prompt)
    texts = {name: row[name] for name in ("dialogue", "reference", "model", "answer", "finish_reason")}
    return AnswerRow(prompt, **texts, turns_left_out=row.get("turns_left_out", 0))


def _question(row: AnswerRow) -> tuple[Prompt, str, str]:
    return row.prompt, row.dialogue, row.reference


def summary(rows: Sequence[AnswerRow]) -> dict[str, int]:
    """What became of the questions of one model."""
    reasons = Counter(row.finish_reason for row in rows)
    return {
        "answers": len(rows),
        "empty": sum(not row.answer.strip() for row in rows),
        "cut_off": reasons[LENGTH],
        "refused": reasons[REFUSED],
        "too_long": reasons[TOO_LONG],
        "shortened": sum(row.turns_left_out > 0 for row in rows),
    }


def counts_in_words(rows: Sequence[AnswerRow]) -> str:
    """The summary as a line: 50 answers, 2 empty, …"""
    return ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in summary(rows).items())


# ---- several models


Systems = dict[str, list[AnswerRow]]  # model → its answers; those of all models are to the same questions, in order


def read_systems(named_files: Sequence[str], flag: str = "--texts") -> Systems:
    """The models of several files, each given as FILE or NAME=FILE; NAME takes the place of the only model in
    FILE, or chooses one of several.

    ValueError, naming the flag or the file, if a name occurs twice or if two models answer different questions.
    """
    systems: Systems = {}
    origin: dict[str, str] = {}
    for given in named_files:
        name, equals, path = ("", "", given) if Path(given).exists() else given.partition("=")  # runs/lr=1e-5/a.jsonl
        rows = read_answers(path if equals else given)
        models = dict.fromkeys(row.model for row in rows)
        if equals and len(models) > 1:
            if name not in models:
                found = f"{flag} {given}: found the models {', '.join(models)}"
                raise ValueError(f"{found}, expected one of these, or a file of one to give a name to")
            models = {name: None}
        for model in models:
            label = name if equals else model
            if label in systems:
                raise ValueError(f"{flag} {given}: found a second model {label}, expected NAME=FILE with another name")
            systems[label] = [replace(row, model=label) for row in rows if row.model == model]
            origin[label] = given
    first, *others = systems
    ids = {row.id: row for row in systems[first]}
    for label in others:
        systems[label] = _in_order(ids, systems[label], f"{flag} {origin[label]}", first)
    return systems


def _in_order(ids: dict[str, AnswerRow], rows: list[AnswerRow], where: str, first: str) -> list[AnswerRow]:
    by_id = {row.id: row for row in rows}
    if missing := [id for id in ids if id not in by_id] + [id for id in by_id if id not in ids]:
        raise ValueError(f"{where}: {len(missing)} questions are not those of {first}, such as {missing[0]}")
    for id, row in ids.items():
        if _question(by_id[id]) != _question(row):
            raise ValueError(f"{where}: question {id} has another prompt, dialogue or reference than that of {first}")
    return [by_id[id] for id in ids]
