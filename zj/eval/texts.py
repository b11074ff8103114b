"""Answers of any system, from a file: JSON lines {"id": of the question, "text": the answer}, in any order."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from zj.data.fields import SURROGATE


def read_texts(
    path: str | Path, ids: Sequence[str], known: Collection[str] = (), questions: str = "--data"
) -> list[str]:
    """The answers to the questions `ids`, in order; answers to other `known` questions are ignored.

    `questions`: the flag whose files have the questions, for messages.

    Raises ValueError with file:line for a malformed row, a duplicate id, an unknown id, and a question without an
    answer. An empty text is an answer.
    """
    answers: dict[str, str] = {}
    line, known_ids = 0, {*ids, *known}
    try:
        rows = Path(path).read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start}: expected UTF-8") from None
    for line, row in enumerate(rows, 1):
        if not row.strip():
            continue
        id, text = _parse_row(row, f"{path}:{line}")
        if id not in known_ids:
            raise ValueError(f"{path}:{line}: found id {id!r}, expected that of a question of {questions}")
        if id in answers:
            raise ValueError(f"{path}:{line}: found id {id!r} again, expected one answer to each question")
        answers[id] = text
    for id in ids:
        if id not in answers:
            raise ValueError(f"{path}:{line}: found the end of the file, expected an answer to question {id!r}")
    return [answers[id] for id in ids]


def _parse_row(row: str, where: str) -> tuple[str, str]:
    try:
        parsed = json.loads(row)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{where}: found {type(parsed).__name__}, expected an object with id and text")
    for key in ("id", "text"):
        if not isinstance(parsed.get(key), str):
            raise ValueError(f"{where}: found {key} {parsed.get(key)!r}, expected a text")
        if SURROGATE.search(parsed[key]):
            raise ValueError(f"{where}: found {key} {parsed[key]!r} with half a character, expected valid Unicode")
    return parsed["id"], parsed["text"]
