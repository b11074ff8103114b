"""Controls of a judge: answers compared with themselves, and with what was made worse of them.

| control | the second answer | has to be |
|---|---|---|
| same | the first answer itself | a tie within its interval: ½ lies in it |
| shuffled | its sentences in another order | worse, all three together: the score's interval lies above ½ |
| cut | its first half | (the same) |
| other question | the same system's answer to a question of another dialogue | worse also by itself |

A judge that fails `same` does not see that two texts are one. A judge that looks at lengths alone sees what is cut, but
not an answer to another question. Nor does anybody if the system answers all questions alike: the controls need answers
that fit their questions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from zj.eval.answer_file import AnswerRow
from zj.eval.judges.compare import Comparison, Match
from zj.eval.judges.decisions import figures

SAME = "same"
OTHER = "other question"
CORRUPTIONS = ("shuffled", "cut", OTHER)
SENTENCE = re.compile(r"[^。！？!?\n]*[。！？!?\n]+|[^。！？!?\n]+")


def control_matches(rows: Sequence[AnswerRow], dimension: str, number: int, seed: int) -> list[Match]:
    """Of `number` questions: each answer against itself, and against one of the corruptions in turn."""
    rng = random.Random(f"{seed}/controls")
    answered = [row for row in rows if row.answer.strip()]
    chosen = rng.sample(answered, min(number, len(answered)))
    matches = [Match(row, row, dimension, SAME) for row in chosen]
    for place, row in enumerate(chosen):
        kinds = [CORRUPTIONS[(place + shift) % len(CORRUPTIONS)] for shift in range(len(CORRUPTIONS))]
        made = next(((kind, text) for kind in kinds if (text := _corrupt(kind, row, answered, rng)) is not None), None)
        if made:
            matches.append(Match(row, replace(row, answer=made[1]), dimension, made[0]))
    return matches


def _corrupt(kind: str, row: AnswerRow, rows: Sequence[AnswerRow], rng: random.Random) -> str | None:
    """A worse text than the answer; None where this kind cannot make another one of it."""
    if kind == "shuffled":
        sentences = SENTENCE.findall(row.answer)
        rng.shuffle(sentences)
        text = "".join(sentences)
    elif kind == "cut":
        text = row.answer[: len(row.answer) // 2]
    else:
        others = [one.answer for one in rows if one.dialogue != row.dialogue and one.answer != row.answer]
        text = rng.choice(others) if others else row.answer
    return text if text.strip() and text != row.answer else None


def assess(comparisons: Sequence[Comparison], seed: int) -> dict[str, Any]:
    """{same, corrupted: figures with `passed`; by_kind; passed: both}. None has passed without a single verdict."""
    same = _figures([one for one in comparisons if one.match.control == SAME], seed)
    corrupted = _figures([one for one in comparisons if one.match.control != SAME], seed)
    same["passed"] = bool(same.get("score")) and same["score"]["low"] <= 0.5 <= same["score"]["high"]
    by_kind = {kind: _figures([one for one in comparisons if one.match.control == kind], seed) for kind in CORRUPTIONS}
    for found in (corrupted, by_kind[OTHER]):
        found["passed"] = bool(found.get("score")) and found["score"]["low"] > 0.5
    return {
        "same": same,
        "corrupted": corrupted,
        "by_kind": by_kind,
        "passed": all(found["passed"] for found in (same, corrupted, by_kind[OTHER])),
    }


def _figures(comparisons: Sequence[Comparison], seed: int) -> dict[str, Any]:
    decisions = [one.decision for one in comparisons]
    return figures(decisions, seed, length_control=False) if decisions else {}
