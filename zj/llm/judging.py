"""What judges share, of AI feedback and of evaluations: verdicts in both orders, ratings, the clinic's questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from zj.clinic import Question, question_of
from zj.data.records import Prompt, Turn

Language = Literal["en", "zh"]
Outcome = int | None  # 1: the first is better, -1: the second, 0: a tie, None: no verdict


def outcome_of(first: int | None, second: int | None) -> Outcome:
    """Of the signs of the two orders, both seen from the pair's first answer; None: that reply has no verdict.

    The better one is who is better in both orders, all else is a tie; without a verdict in both there is none.
    """
    if first is None or second is None:
        return None
    return first if first == second else 0


def transcript(history: Sequence[Turn], user: str, doctor: str) -> list[str]:
    """The lines of earlier turns, each with its speaker before it."""
    return [f"{user}{message}\n{doctor}{answer}" for message, answer in history]


def clinic_question(prompt: Prompt) -> Question | None:
    """The clinic's question with this prompt's id and words; None for any other prompt."""
    try:
        question = question_of(prompt.id)
    except ValueError:
        return None
    same = (question.prompt.history, question.prompt.user) == (prompt.history, prompt.user)
    return question if same else None


class Ratings(NamedTuple):
    """Of the answer in seat A and of that in seat B, each 1 to 10."""

    a: float
    b: float

    @property
    def sign(self) -> int:
        """1: the first seat wins, -1: the second, 0: equal."""
        return (self.a > self.b) - (self.a < self.b)


_NUMBER = r"[\[［]?\s*(\d+(?:\.\d+)?)\s*[\]］]?(?:\s*/\s*10|\s*分)?(?!\.?\d|/)"
_RATINGS = re.compile(
    rf"(?:Rating|评分)\s*A\s*[:：]\s*{_NUMBER}[\s;；,，。]*(?:Rating|评分)\s*B\s*[:：]\s*{_NUMBER}", re.IGNORECASE
)


def parse_ratings(reply: str, cut_off: bool = False) -> Ratings | None:
    """The ratings in the form that the prompt asks for; None if there are none, or two different ones.

    `cut_off`: the reply ended at its longest length, so that a number at its end may lack digits. Only emphasis (*) is
    ignored. Nothing is guessed from other words.
    """
    text = reply.replace("*", "")
    matches = list(_RATINGS.finditer(text))
    ratings = {Ratings(float(match[1]), float(match[2])) for match in matches}
    if len(ratings) != 1 or (cut_off and matches[-1].end() == len(text)):
        return None
    (one,) = ratings
    return one if all(1 <= rating <= 10 for rating in one) else None


def ratings_in_form(language: Language, ratings: Mapping[str, float]) -> str:
    """A reply in the form that the prompt asks for; `ratings` of "A" and "B"."""
    form = "Rating A: {A:.2f}; Rating B: {B:.2f}" if language == "en" else "评分A：{A:.2f}；评分B：{B:.2f}"
    return form.format(**ratings)
