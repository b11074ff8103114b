"""What metrics of text give to answers that read no question: references of other questions, and one answer to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from zj.eval.answer_file import STOP, AnswerRow, Systems

ANOTHER, CONSTANT = "another question's reference", "constant reference"
CANDIDATES = 300  # references that the constant is chosen from; each is compared with all


def with_controls(systems: Systems) -> Systems:
    """The systems, and the two controls. ValueError where fewer than two dialogues have a reference."""
    rows = next(iter(systems.values()))
    if taken := [name for name in (ANOTHER, CONSTANT) if name in systems]:
        raise ValueError(f"--controls: a model has the name {taken[0]!r}; give it another one, as NAME=FILE")
    others = from_other_dialogues(rows)
    best = most_central([row.reference for row in rows if row.reference.strip()])
    return systems | {
        ANOTHER: [_answered(row, ANOTHER, text) for row, text in zip(rows, others, strict=True)],
        CONSTANT: [_answered(row, CONSTANT, best) for row in rows],
    }


def from_other_dialogues(rows: Sequence[AnswerRow]) -> list[str]:
    """To each question the reference of the next one that is of another dialogue."""
    known = [row for row in rows if row.reference.strip()]
    if len({row.dialogue for row in known}) < 2:
        raise ValueError("--controls: expected references of two dialogues at least")
    place = {row.id: n for n, row in enumerate(known)}
    texts = []
    for row in rows:
        start = place.get(row.id, -1) + 1
        texts.append(next(one.reference for one in known[start:] + known[:start] if one.dialogue != row.dialogue))
    return texts


def most_central(texts: Sequence[str]) -> str:
    """The text with the highest mean F1 of characters to all texts: it is chosen on the questions that it answers."""
    counts = [Counter("".join(text.split())) for text in texts]
    candidates = range(0, len(texts), -(-len(texts) // CANDIDATES))
    return texts[max(candidates, key=lambda one: sum(character_f1(counts[one], other) for other in counts))]


def character_f1(a: Counter[str], b: Counter[str]) -> float:
    return 2 * (a & b).total() / max(a.total() + b.total(), 1)


def _answered(row: AnswerRow, name: str, text: str) -> AnswerRow:
    return replace(row, model=name, answer=text, finish_reason=STOP, turns_left_out=0)
