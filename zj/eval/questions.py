"""The clinic's questions of files of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zj.clinic import Question, question_of
from zj.data.readers import read
from zj.data.records import Prompt


def read_questions(paths: Sequence[str], limit: int | None = None) -> list[Question]:
    """The clinic's questions of the files' prompts, the first `limit` of them; what was read is printed.

    Raises ValueError with file:line for a prompt that is not the clinic's: its truth is unknown.
    """
    if not paths:
        raise ValueError("--data is missing: one or more files of the clinic's prompts")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit is {limit}, expected at least 1 (none: all prompts)")
    prompts, report = read(paths, "prompt")
    print(report, flush=True)
    return [question_of_prompt(prompt) for prompt in prompts[:limit]]


def question_of_prompt(prompt: Prompt) -> Question:
    """The clinic's question with the id of the prompt. ValueError if its words are others."""
    try:
        question = question_of(prompt.id)
    except ValueError as error:
        raise ValueError(f"{prompt.where}: {error}") from None
    if question.prompt != replace(prompt, department=question.prompt.department):  # a name beside it asks nothing else
        raise ValueError(f"{prompt.where}: found other words than those of question {prompt.id} of this clinic")
    return question
