"""Synthetic items to try the ranking tool with: questions of the made-up clinic (`zj.SYNTHETIC` says so to people)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

from zj.clinic.exam import Question, question, subject
from zj.clinic.ranking import ANSWERS, with_degraded
from zj.data.records import Candidates
from zj.data.turns import asks_nothing
from zj.feedback.answers.sampling import PromptToAnswer

OWN, WORSE = "clinic", "clinic, made worse"  # who answers


def demo_items(number: int, seed: int) -> list[Candidates]:
    """`number` items with the clinic's own answer and three with one or two faults each; their sources take turns.

    Ids are those of the clinic's questions, so `question_of` and `judge` know the truth about each.
    """
    items = []
    for source, drawn, department in _questions(number, seed):
        rng = random.Random(f"{seed}/demo/{drawn.prompt.id}")
        texts = with_degraded(rng, drawn, [drawn.reference], ANSWERS)
        models = tuple(OWN if text == drawn.reference else WORSE for text in texts)
        prompt = replace(drawn.prompt, department=department)
        items.append(Candidates(prompt.id, prompt, tuple(texts), models, source))
    return items


def demo_prompts(number: int, seed: int) -> list[PromptToAnswer]:
    """The questions of `demo_items`, for a model to answer; the clinic's own answer is the reference."""
    return [
        PromptToAnswer(replace(drawn.prompt, department=department), source, drawn.reference)
        for source, drawn, department in _questions(number, seed)
    ]


def _questions(number: int, seed: int) -> Iterator[tuple[str, Question, str]]:
    """(source, question, department): practice, which models train on, and examination, by turns."""
    sides = [_side("training", seed, held_out=False), _side("outside", seed, held_out=True)]
    return (next(sides[n % 2]) for n in range(number))


def _side(source: str, seed: int, held_out: bool) -> Iterator[tuple[str, Question, str]]:
    """Without a patient's mere thanks."""
    for n in itertools.count():
        drawn = question(seed, n, held_out)
        if not asks_nothing(drawn.prompt):
            yield source, drawn, subject(seed, n, held_out).department
