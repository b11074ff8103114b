"""Answers and references to measure: made up, with every kind of character that a metric may trip over."""

from __future__ import annotations

import random

from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow

WORDS = (
    "头痛",
    "建议",
    "多喝水",
    "复查",
    "高血压",
    "您好",
    "。",
    "，",
    "？",
    "！",
    "……",
    "的",
    "37.5℃",
    "80mmHg",
    "CT",
)
WORDS += ("１２３", "ＡＢ", "（）", " ", "\n", "😀", "👩‍⚕️", "vitamin", "Été", "1.", "无", "𠀀", "　", "。。。")


def pairs(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """(answer, reference): the answer shares words with its reference; both may be empty or of one character."""
    rng = random.Random(seed)
    made = []
    for n in range(number):
        reference = rng.choices(WORDS, k=rng.choice((0, 1, 1, 4, 4, 12, 12, 20)))
        answer = [word for word in reference if rng.random() < 0.7] + rng.choices(WORDS, k=rng.choice((0, 1, 6)))
        made.append(("".join(answer), "".join(reference)))
        if n % 50 == 0:
            made[-1] = (rng.choice(("", " ", "痛")), made[-1][1])
    return made


def rows(made: list[tuple[str, str]], model: str = "a", per_dialogue: int = 1) -> list[AnswerRow]:
    return [
        AnswerRow(Prompt(f"d{n}", "问"), f"d{n // per_dialogue}", reference, model, answer, "stop")
        for n, (answer, reference) in enumerate(made)
    ]
