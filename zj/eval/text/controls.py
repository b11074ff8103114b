"""What metrics of text give to answers that read no question: references of other dialogues, and one answer to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from zj.eval.answer_file import STOP, AnswerRow, Systems
from zj.eval.text.tokens import characters_without_blanks

SHUFFLED, CONSTANT = "shuffled references", "constant"
CANDIDATES = 300  # references that the constant is chosen from; each is compared with all


def with_controls(systems: Systems) -> Systems:
    """The systems, and the two controls. ValueError where the references are of too few dialogues."""
    rows = next(iter(systems.values()))
    if taken := [name for name in (SHUFFLED, CONSTANT) if name in systems]:
        raise ValueError(f"--controls: a model has the name {taken[0]!r}; give it another one, as NAME=FILE")
    try:
        shuffled = shuffled_references(rows)
    except ValueError as error:
        raise ValueError(f"--controls: {error}") from None
    constant = most_central([row.reference for row in rows if row.reference.strip()])
    return systems | {
        SHUFFLED: [_answered(row, SHUFFLED, text) for row, text in zip(rows, shuffled, strict=True)],
        CONSTANT: [_answered(row, CONSTANT, constant) for row in rows],
    }


def shuffled_references(rows: Sequence[AnswerRow]) -> list[str]:
    """The references, each at a question of another dialogue; "" where there is none, which stays where it is.

    Of all shifts, the first one by which no reference comes to a question with an equal one, or else the one by which
    the fewest do. ValueError if each shift leaves one in its own dialogue.
    """
    known = [row for row in rows if row.reference.strip()]

    def clashes(shift: int) -> tuple[int, int]:
        pairs = list(zip(known, known[shift:] + known[:shift], strict=True))
        return sum(a.dialogue == b.dialogue for a, b in pairs), sum(a.reference == b.reference for a, b in pairs)

    best, fewest = 0, (len(known) + 1, 0)
    for shift in range(1, len(known)):
        if (number := clashes(shift)) < fewest:
            best, fewest = shift, number
        if fewest == (0, 0):
            break
    if fewest[0]:
        raise ValueError("expected references of two dialogues at least, and at most half of them of one")
    shifted = iter(known[best:] + known[:best])
    return [next(shifted).reference if row.reference.strip() else "" for row in rows]


def most_central(texts: Sequence[str]) -> str:
    """The text with the highest mean F1 of characters to all texts: it is chosen on the questions that it answers."""
    counts = [Counter(characters_without_blanks(text)) for text in texts]
    candidates = range(0, len(texts), -(-len(texts) // CANDIDATES))
    return texts[max(candidates, key=lambda one: sum(character_f1(counts[one], other) for other in counts))]


def character_f1(a: Counter[str], b: Counter[str]) -> float:
    return 2 * (a & b).total() / max(a.total() + b.total(), 1)


def _answered(row: AnswerRow, name: str, text: str) -> AnswerRow:
    return replace(row, model=name, answer=text, finish_reason=STOP, turns_left_out=0)
