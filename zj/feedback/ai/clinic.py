"""The clinic's gold judge behind the judge's prompt: what AI feedback makes of it can be compared with the truth."""

from __future__ import annotations

from collections.abc import Iterable

from zj.clinic import Question, judge
from zj.feedback.ai.prompt import TEMPLATES, read, render
from zj.llm import ChatRequest
from zj.llm.clinic import ClinicRole
from zj.llm.judging import Language, parse_ratings, ratings_in_form

SHARED = ("history", "query", "doctor_response")  # texts of the judge's prompt that both answers share


class GoldJudge(ClinicRole):
    """Rates two answers by their gold scores: 1 + 9 × score; two decimals keep all scores apart.

    questions: those that it knows; the text of a prompt says which of them it is about. Its fault exchanges the two
    ratings, so a tie stays one.
    """

    def __init__(self, questions: Iterable[Question]):
        self.by_prompt = {_key(language, question): question for question in questions for language in TEMPLATES}
        self.faults = (self._exchange,)

    def __call__(self, request: ChatRequest) -> str:
        prompt = read(request.messages[-1][1])
        if prompt is None:
            return ""
        language, texts = prompt
        question = self.by_prompt.get(tuple(texts[name] for name in SHARED))
        if question is None:
            return ""
        first, second = (1 + 9 * judge(question, texts[name]).score for name in ("response_a", "response_b"))
        return ratings_in_form(language, {"A": first, "B": second})

    def _exchange(self, request: ChatRequest, text: str) -> str:
        prompt, ratings = read(request.messages[-1][1]), parse_ratings(text)
        assert prompt and ratings, text
        return ratings_in_form(prompt[0], {"A": ratings.b, "B": ratings.a})


def _key(language: Language, question: Question) -> tuple[str, ...]:
    """The texts by which a rendered prompt shows its question; the reference tells patients apart who say the same."""
    rendered = read(render(language, question.prompt, question.reference, "", ""))
    assert rendered is not None, f"{question.prompt.id}: its prompt is not read back"
    return tuple(rendered[1][name] for name in SHARED)
