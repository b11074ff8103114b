"""Two answers to each held-out question, for scripts/score.py: in how many pairs does a reward model prefer the first?

    python recipes/real/pairs.py ASKED FIRST SECOND OUT

ASKED is a file of answers (scripts/answer.py), whose questions are asked. FIRST and SECOND are such files too, or
"reference" (the doctor's answer), or "another" (the doctor's answer in another dialogue). The first one gets rank 1.
Pairs of equal answers, or with an empty one, are left out and counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from zj.data.records import Ranking, as_json
from zj.eval.answer_file import AnswerRow, read_answers
from zj.eval.text.controls import from_other_dialogues


def main(asked_file: str, first: str, second: str, out: str) -> None:
    asked = read_answers(asked_file)
    pairs = zip(asked, texts_of(first, asked), texts_of(second, asked), strict=True)
    kept = [(row, (a, b)) for row, a, b in pairs if a.strip() and b.strip() and a != b]
    rankings = [Ranking(row.id, row.prompt, answers, (1, 2)) for row, answers in kept]
    lines = [json.dumps(as_json(ranking), ensure_ascii=False) + "\n" for ranking in rankings]
    Path(out).write_text("".join(lines), encoding="utf-8")
    print(f"{out}: {len(rankings):,} pairs, {len(asked) - len(rankings):,} left out")


def texts_of(name: str, asked: Sequence[AnswerRow]) -> list[str]:
    if name == "reference":
        return [row.reference for row in asked]
    if name == "another":
        return from_other_dialogues(asked)
    answers = {row.id: row.answer for row in read_answers(name)}
    return [answers[row.id] for row in asked]


if __name__ == "__main__":
    main(*sys.argv[1:])
