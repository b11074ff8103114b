"""The judge's prompt and its inverse.

The English prompt is that of HuatuoGPT, appendix A.4, word for word; the paper has no Chinese one, so "zh" is a
translation made here. The system text of a conversation is left out: it tells the doctor what to do, not the judge.
"""

from __future__ import annotations

import re

from zj.data.records import Prompt
from zj.llm.judging import Language, transcript
from zj.llm.prompts import Template

_TEXTS: dict[Language, str] = {
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
_MARKS = tuple(dict.fromkeys(mark for text in _TEXTS.values() for mark in re.findall(r"\[[^\[\]{}\n]+\]", text)))
TEMPLATES: dict[Language, Template] = {language: Template(text, _MARKS) for language, text in _TEXTS.items()}


def render(language: Language, prompt: Prompt, reference: str, first: str, second: str) -> str:
    """The judge's prompt for two answers, `first` in seat A. A section mark in a text cannot end its section."""
    return TEMPLATES[language].fill(
        history="\n".join(transcript(prompt.history, *_SPEAKERS[language])),
        query=prompt.user,
        doctor_response=reference,
        response_a=first,
        response_b=second,
    )


def read(text: str) -> tuple[Language, dict[str, str]] | None:
    """(language, the five texts) of a rendered prompt; None for any other text. The inverse of `render`."""
    for language, template in TEMPLATES.items():
        texts = template.read(text)
        if texts is not None:
            return language, texts
    return None
