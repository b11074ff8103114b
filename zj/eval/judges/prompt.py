"""The pairwise judge's prompts (prompts.toml), and the verdict in a reply.

A question is the patient's last message, with the earlier turns before it where there are any. The system text of a
conversation is left out: it tells the doctor what to do, not the judge.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from zj.data.records import Prompt
from zj.llm.chat import ChatReply
from zj.llm.judging import Ratings, parse_ratings, ratings_in_form, transcript
from zj.llm.prompts import Template

FILE = Path(__file__).with_name("prompts.toml")
Name = Literal["zhongjing", "iimedgpt", "huatuogpt"]
OVERALL = "overall"  # the dimension of all criteria: the prompt as it is published
SPEAKERS = ("User: ", "Doctor: ")
WORDS = {1: "Win", 0: "Tie", -1: "Lose"}  # of the first answer, relative to the second
_VERDICT = re.compile(r"(?:(?:output|result|verdict)\s*:\W*)?(win|tie|lose)", re.IGNORECASE)
_AROUND = " \t\"'“”[]【】.。"  # what may stand around a verdict


@dataclass(frozen=True)
class Criterion:
    name: str  # in the prompt's note
    text: str


@dataclass(frozen=True)
class JudgePrompt:
    """One paper's prompt. `reply` is the form of the judge's last line: a verdict, or ratings of both answers."""

    name: str
    source: str
    reply: Literal["verdict", "ratings"]
    text: str
    note: str
    marks: tuple[str, ...]
    criteria: dict[str, Criterion]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """All criteria together, then each by itself. Others are several criteria with + between them."""
        return OVERALL, *self.criteria

    def criteria_of(self, dimension: str) -> tuple[str, ...]:
        """ValueError for a dimension that the prompt does not have."""
        chosen = tuple(self.criteria) if dimension == OVERALL else tuple(dimension.split("+"))
        if not set(chosen) <= set(self.criteria) or len(set(chosen)) < len(chosen):
            known = ", ".join(self.dimensions)
            raise ValueError(f"--dimensions {dimension}: expected those of the prompt {self.name}: {known}, or a+b")
        return chosen

    def template(self, dimension: str) -> Template:
        """The prompt with the fields question, answer1 and answer2."""
        chosen = [self.criteria[key] for key in self.criteria_of(dimension)]
        note = self.note.replace("{order}", " > ".join(one.name for one in chosen)) if len(chosen) > 1 else ""
        text = self.text.replace("{criteria}", "\n".join(one.text for one in chosen))
        return Template(text.replace("{note}\n", f"{note}\n" if note else ""), self.marks)

    def ratings(self, reply: ChatReply) -> Ratings | None:
        """The ratings of both answers on the last line; None where there are none, or in a reply that was cut off."""
        return None if reply.finish_reason == "length" else parse_ratings(_last_line(reply.text))

    def sign(self, reply: ChatReply) -> int | None:
        """1: the first answer is better, -1: the second, 0: a tie; None for a reply without the form. Only the last
        line counts, nothing is guessed from other words, and a reply that was cut off has no last line."""
        if self.reply == "ratings":
            ratings = self.ratings(reply)
            return ratings.sign if ratings else None
        match = _VERDICT.fullmatch(_last_line(reply.text).replace("*", "").strip(_AROUND))
        if match is None or reply.finish_reason == "length":
            return None
        return {word.lower(): sign for sign, word in WORDS.items()}[match[1].lower()]

    def reply_in_form(self, sign: int) -> str:
        """A reply with this verdict in the form that the prompt wants."""
        return WORDS[sign] if self.reply == "verdict" else ratings_in_form("en", {"A": 5 + sign, "B": 5 - sign})


def render(template: Template, prompt: Prompt, first: str, second: str) -> str:
    """The judge's prompt for two answers, `first` before `second`."""
    return template.fill(question=question_text(prompt), answer1=first, answer2=second)


def question_text(prompt: Prompt) -> str:
    if not prompt.history:
        return prompt.user
    return "\n".join([*transcript(prompt.history, *SPEAKERS), f"{SPEAKERS[0]}{prompt.user}"])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


@cache
def read_prompts() -> dict[str, JudgePrompt]:
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: _prompt(name, **rows) for name, rows in table.items()}


def sha256(file: str | Path) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _prompt(
    name: str, source: str, reply: Literal["verdict", "ratings"], text: str, note: str, marks: list[str], criteria: dict
) -> JudgePrompt:
    parts = {key: Criterion(row["name"], row["text"].strip("\n")) for key, row in criteria.items()}
    return JudgePrompt(name, source, reply, text.strip("\n"), note.strip("\n"), tuple(marks), parts)
