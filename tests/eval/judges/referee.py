"""Answers whose quality can be read, and a judge of known faults that reads it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow
from zj.eval.judges.prompt import OVERALL, read_prompts
from zj.llm import ChatReply, ChatRequest
from zj.llm.cache import key_of

PROMPT = read_prompts()["zhongjing"]
TEMPLATE = PROMPT.template(OVERALL)
WORDS = {1: "Win", 0: "Tie", -1: "Lose"}


def answer(quality: int, length: int = 40) -> str:
    text = f"质量{quality}分。"
    return text + "好" * (length - len(text))


def rows(texts: Sequence[str], model: str = "a", questions: int = 1) -> list[AnswerRow]:
    """One answer of each question; `questions` of a dialogue."""
    prompts = [Prompt(f"q{n}", f"第{n}题？", department=("内科", "皮肤科")[n % 2]) for n in range(len(texts))]
    return [
        AnswerRow(prompt, f"d{n // questions}", "", model, text, "stop")
        for n, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
    ]


@dataclass
class Referee:
    """With probability `silent` a reply has no verdict, with `seat` it is for the first answer, with `longer` for the
    longer one; else it is for the better one, or with probability `noise` for the other one."""

    seat: float = 0.0
    noise: float = 0.0
    longer: float = 0.0
    silent: float = 0.0
    blind: bool = False  # sees no quality: tosses a coin
    seed: int = 0

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self.requests = list(requests)
        return [ChatReply(self.reply(request), "stop", 1, 1) for request in requests]

    def reply(self, request: ChatRequest) -> str:
        rng = random.Random(f"{self.seed}/{key_of('', request)}")
        texts = TEMPLATE.read(request.messages[-1][1])
        assert texts is not None
        first, second = texts["answer1"], texts["answer2"]
        if rng.random() < self.silent:
            return "Both answers have strengths. I would not say Win, Lose or Tie here."
        if rng.random() < self.seat:
            return "Win"
        if rng.random() < self.longer and len(first) != len(second):
            return WORDS[1 if len(first) > len(second) else -1]
        if self.blind:
            return rng.choice(["Win", "Tie", "Lose"])
        sign = _quality(first, texts["question"]) - _quality(second, texts["question"])
        sign = (sign > 0) - (sign < 0)
        return WORDS[-sign if rng.random() < self.noise else sign]


def _quality(text: str, question: str) -> int:
    """Of a whole answer; -1 where it does not begin as it should, is cut, or is about another question."""
    match, about = re.match(r"质量(\d+)分。", text), re.search(r"第\d+题", text)
    fits = about is None or about[0] in question
    return int(match[1]) if match and fits and len(text) >= 40 else -1
