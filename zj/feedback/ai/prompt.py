"""The judge's prompt, its inverse, and the ratings in a reply.

The English prompt is that of HuatuoGPT, appendix A.4, word for word; the paper has no Chinese one, so "zh" is a
translation made here. The system text of a conversation is left out: it tells the doctor what to do, not the judge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Literal, NamedTuple

from zj.data.records import Prompt

Language = Literal["en", "zh"]

TEMPLATES: dict[Language, str] = {
    "en": """Here is a conversation history:
[History]
{history}
[End of History]
Here is the final question and the standard answer:
[Question]
{query}
[End of question]
[Standard answer]
{doctor_response}
[End of standard answer]
Based on the conversation history, user question, and standard answer, please rate the following two AI responses on \
a scale of 1 to 10, considering accuracy, conciseness, and similarity to the standard answer. Please provide the \
ratings in the following format: "Rating A: [score]; Rating B: [score]".
[Assistant A]
{response_a}
[End of Assistant A]
[Assistant B]
{response_b}
[End of Assistant B]""",
    "zh": """以下是一段对话历史：
[对话历史]
{history}
[对话历史结束]
以下是最后的问题和标准答案：
[问题]
{query}
[问题结束]
[标准答案]
{doctor_response}
[标准答案结束]
请根据对话历史、用户的问题和标准答案，从准确性、简洁性以及与标准答案的相似程度，给下面两个AI回复打分，分数为1到10分。\
请按以下格式给出分数：“评分A：[分数]；评分B：[分数]”。
[助手A]
{response_a}
[助手A结束]
[助手B]
{response_b}
[助手B结束]""",
}
_SPEAKERS: dict[Language, tuple[str, str]] = {"en": ("User: ", "Doctor: "), "zh": ("用户：", "医生：")}
_MARK = re.compile(r"\[([^\[\]{}\n]+)\]")


class Ratings(NamedTuple):
    """Of the answer in seat A and of that in seat B, each 1 to 10."""

    a: float
    b: float

    @property
    def sign(self) -> int:
        """1: the first seat wins, -1: the second, 0: equal."""
        return (self.a > self.b) - (self.a < self.b)


def render(language: Language, prompt: Prompt, reference: str, first: str, second: str) -> str:
    """The judge's prompt for two answers, `first` in seat A. A section mark in a text cannot end its section."""
    user, doctor = _SPEAKERS[language]
    texts = {
        "history": "\n".join(f"{user}{message}\n{doctor}{answer}" for message, answer in prompt.history),
        "query": prompt.user,
        "doctor_response": reference,
        "response_a": first,
        "response_b": second,
    }
    return TEMPLATES[language].format(**{name: _without_marks(text) for name, text in texts.items()})


def read(text: str) -> tuple[Language, dict[str, str]] | None:
    """(language, the five texts) of a rendered prompt; None for any other text. The inverse of `render`."""
    for language in TEMPLATES:
        match = _pattern(language).fullmatch(text)
        if match:
            return language, match.groupdict()
    return None


def _without_marks(text: str) -> str:
    """Brackets of the templates' own marks become full-width ones; all else stays."""
    return _MARK.sub(lambda mark: f"［{mark[1]}］" if mark[1].lower() in _marks() else mark[0], text)


@cache
def _marks() -> frozenset[str]:
    return frozenset(mark.lower() for template in TEMPLATES.values() for mark in _MARK.findall(template))


@cache
def _pattern(language: Language) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", TEMPLATES[language])
    fields = [f"(?P<{part}>.*?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(fields), re.DOTALL)


def digest(language: Language) -> str:
    """SHA-256 of the template: it stands beside every result."""
    return hashlib.sha256(TEMPLATES[language].encode()).hexdigest()


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
