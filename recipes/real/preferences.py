"""Two answers to each held-out question, for scripts/score.py: in how many pairs does a reward model prefer the first?

    python recipes/real/preferences.py pairs ANSWERS FIRST SECOND OUT
    python recipes/real/preferences.py rates ANSWERS SCORES...

ANSWERS is a file of answers (scripts/answer.py); its questions count. FIRST and SECOND are such files too, or
"reference" (the doctor's answer), or "shuffled" (the doctor's answer in another dialogue). The first one gets rank 1.
Pairs of equal answers, or with one that is empty or cut off, are left out and counted.
SCORES are what score.py wrote of the pairs: the share in which the first one has the higher score, with its interval.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from zj.data.records import Ranking, as_json
from zj.eval.answer_file import STOP, read_answers, read_systems
from zj.eval.statistics import bootstrap_interval
from zj.eval.tables import Table
from zj.eval.text.controls import shuffled_references


def write_pairs(answers: str, first: str, second: str, out: str) -> None:
    questions = read_answers(answers)
    pairs = zip(questions, texts_of(first, answers), texts_of(second, answers), strict=True)
    kept = [(row, (a, b)) for row, a, b in pairs if a and b and a != b]
    rankings = [Ranking(row.id, row.prompt, answers, (1, 2)) for row, answers in kept]
    lines = [json.dumps(as_json(ranking), ensure_ascii=False) + "\n" for ranking in rankings]
    Path(out).write_text("".join(lines), encoding="utf-8")
    print(f"{out}: {len(rankings):,} pairs, {len(questions) - len(rankings):,} left out")


def texts_of(name: str, answers: str) -> list[str]:
    """To each question the answer without blanks around it; "" if it was cut off."""
    if name == "reference":
        return [row.reference.strip() for row in read_answers(answers)]
    if name == "shuffled":
        return [text.strip() for text in shuffled_references(read_answers(answers))]
    rows = read_systems([f"questions={answers}", f"answers={name}"])["answers"]  # in the order of the questions
    return [row.answer.strip() if row.finish_reason == STOP else "" for row in rows]


def print_rates(answers: str, *files: str) -> None:
    dialogue_of = {row.id: row.dialogue for row in read_answers(answers)}
    rows = []
    for file in files:
        scored = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
        first = [float(a > b) + float(a == b) / 2 for a, b in (row["scores"] for row in scored)]
        rate = bootstrap_interval(first, clusters=[dialogue_of[row["id"]] for row in scored])
        rows.append((Path(file).stem, f"{rate.mean:.1%} [{rate.low:.1%}, {rate.high:.1%}]", f"{len(first):,}"))
    print(Table("the reward model prefers the first", ("pair", "share [95 %]", "pairs"), tuple(rows)))


COMMANDS: dict[str, Callable[..., None]] = {"pairs": write_pairs, "rates": print_rates}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
