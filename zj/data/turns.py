"""Which turn of a dialogue is the question that a policy answers; and turns that ask nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from zj.data.records import Prompt

Turn = Literal["last", "first", "each"]

THANKS = re.compile(
    r"谢|感激|辛苦了|再见|拜拜|^(?:好的?|嗯+|行|明白了?|知道了|了解了?|清楚了|懂了|收到|没有了?)(?:[，,。.！!~～\s]+|$)(?:我会|我明白|我知道|$)"
    r"|\bthank|\bbye\b|^(?:ok|okay|got it|i see)\b",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"[?？吗呢啥咋]|什么|怎[么样]|如何|哪[个些里种儿家天项]|多[少久长大高]|几[个天次种年月周]|是否|为何|请问|想问|会不会|能不能"
    r"|可不可以|要不要|需不需要|是不是|有没有|该不该|请(?:您|你|医生|告诉|给|介绍|解释|列举)|想(?:了解|咨询|询问|请教|知道)"
    r"|\b(?:what|how|when|which|why|where|who)\b",
    re.IGNORECASE,
)


def choose_turns(prompts: Iterable[Prompt], turn: Turn) -> list[Prompt]:
    """Each prompt's last user turn (as it is), its first, or all of them, with the turns before as history.

    All of one dialogue begin alike, so they are on one side of a split.
    """
    if turn == "last":
        return list(prompts)
    return [part for prompt in prompts for part in _turns(prompt)[: 1 if turn == "first" else None]]


def different_ids(ids: Sequence[str]) -> list[str]:
    """An id that occurs again gets a number: rows of two files may be numbered alike."""
    own, used, numbers, changed = set(ids), set[str](), Counter[str](), []
    for first in ids:
        id = first
        while id in used or (id != first and id in own):
            numbers[first] += 1
            id = f"{first}-{numbers[first] + 1}"
        used.add(id)
        changed.append(id)
    return changed


def _turns(prompt: Prompt) -> list[Prompt]:
    users = [*(user for user, _ in prompt.history), prompt.user]
    return [
        replace(prompt, id=f"{prompt.id}/{number}", user=user, history=prompt.history[: number - 1])
        for number, user in enumerate(users, 1)
    ]


def asks_nothing(prompt: Prompt) -> bool:
    """Whether the user of a dialogue only thanks or closes it: "好的，谢谢医生！".

    A rule on words, for a count.
    """
    return bool(prompt.history and THANKS.search(prompt.user) and not ASKS.search(prompt.user))
