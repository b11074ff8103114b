"""The types of record, and their JSON form.

`where` is "file:line" of the row a record came from, for messages; equality ignores it.
The rest of `zj.data` turns files into records and records into token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Turn = tuple[str, str]  # (user message, answer)


@dataclass(frozen=True)
class Document:
    """Text for continued pre-training."""

    id: str
    text: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Dialogue:
    """A conversation of one or more turns. Training counts the answers that `trained` names."""

    id: str
    turns: tuple[Turn, ...]  # oldest first, at least one
    system: str = ""
    department: str = ""
    where: str = field(default="", compare=False)
    trained: tuple[bool, ...] = ()  # of each turn, whether its answer is trained on; (): all are
    split_by: str = ""  # text that decides the side of a split; "": the first user message


@dataclass(frozen=True)
class Prompt:
    """A conversation whose last user message has no answer yet."""

    id: str
    user: str
    history: tuple[Turn, ...] = ()  # oldest first
    system: str = ""
    where: str = field(default="", compare=False)
    split_by: str = ""  # as in Dialogue
    department: str = ""


@dataclass(frozen=True)
class Ranking:
    """K answers to one prompt. Rank 1 is best; equal ranks are ties."""

    id: str
    prompt: Prompt
    answers: tuple[str, ...]  # K of them, at least two
    ranks: tuple[int, ...]
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Candidates:
    """K answers to one prompt that nobody has ranked yet."""

    id: str
    prompt: Prompt
    answers: tuple[str, ...]  # K of them, at least two
    models: tuple[str, ...] = ()  # the maker of each answer; (): unknown
    source: str = ""  # where the prompt comes from: "training" or "outside" of the models' training data; "": unknown
    where: str = field(default="", compare=False)


Record = Document | Dialogue | Prompt | Ranking | Candidates


def as_json(record: Record) -> dict:
    """The record in the project's own JSON format; `zj.data.readers` reads it back to an equal record."""
    if isinstance(record, Document):
        return {"id": record.id, "text": record.text}
    if isinstance(record, Dialogue):
        row = {"id": record.id, "messages": _messages(record.system, record.turns, record.trained)}
        return row | _about(record)
    if isinstance(record, Prompt):
        return {"id": record.id, "prompt": _prompt_messages(record)} | _about(record)
    row = {"id": record.id, "prompt": _prompt_messages(record.prompt), "responses": list(record.answers)}
    if isinstance(record, Ranking):
        return row | {"ranks": list(record.ranks)} | _about(record.prompt)
    given = {"models": list(record.models), "source": record.source}
    return row | {key: value for key, value in given.items() if value} | _about(record.prompt)


def _about(record: Dialogue | Prompt) -> dict:
    given = {"department": record.department, "split_by": record.split_by}
    return {key: value for key, value in given.items() if value}


def _prompt_messages(prompt: Prompt) -> list[dict]:
    return _messages(prompt.system, prompt.history) + [{"role": "user", "content": prompt.user}]


def _messages(system: str, turns: tuple[Turn, ...], trained: Sequence[bool] = ()) -> list[dict]:
    messages: list[dict] = [{"role": "system", "content": system}] if system else []
    for (user, answer), counts in zip(turns, trained or [True] * len(turns), strict=True):
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
        messages[-1] |= {} if counts else {"weight": 0}
    return messages
