"""One person's judgement of an item, and what comes of the item in the end. All is by answer, not by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zj.data.records import Candidates
from zj.feedback.ranking.criteria import ABILITY_KEYS, DIMENSION_KEYS
from zj.feedback.ranking.ranks import Ranks, competition_ranks, lexicographic, tie_opposites

OVERALL = "overall"  # an imported judgement may have one order alone, of no dimension
LONGEST_TEXT = 20_000  # characters of notes, of a reason, of a rewritten answer


@dataclass(frozen=True)
class Judgement:
    """What one person says of K answers. Its JSON form is `as_json`, with ranks as they were given."""

    ranks: dict[str, Ranks]  # of each dimension, or of OVERALL alone
    faults: tuple[tuple[str, ...], ...]  # of each answer: abilities of Table 2 that it lacks
    rewrites: dict[int, str] = field(default_factory=dict)  # answer → a better text: for fine-tuning, never ranked
    notes: str = ""

    @property
    def final(self) -> Ranks:
        """One order: safety, then professionalism, then fluency."""
        return self.ranks.get(OVERALL) or lexicographic([self.ranks[key] for key in DIMENSION_KEYS])

    def as_json(self) -> dict[str, Any]:
        return {
            "ranks": {key: list(ranks) for key, ranks in self.ranks.items()},
            "faults": [list(keys) for keys in self.faults],
            "rewrites": {str(answer): text for answer, text in self.rewrites.items()},
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Outcome:
    """An item on which all is done."""

    item: Candidates
    ranks: dict[str, Ranks]  # of each dimension, or of OVERALL alone; of both annotators or of the expert
    decided_by: str  # pseudonym of the expert; "": the annotators agree
    judgements: tuple[tuple[str, Judgement], ...]  # (pseudonym, judgement) of each annotator, the expert's too if any

    @property
    def final(self) -> Ranks:
        """The expert's order; of two who agree the joint one, in which a pair ties that their final orders reverse."""
        order = Judgement(self.ranks, ()).final
        return order if self.decided_by else tie_opposites(order, [given.final for _, given in self.judgements])


def judgement_from_json(row: dict[str, Any]) -> Judgement:
    """The inverse of `Judgement.as_json`, of what was checked when it came in."""
    ranks = {key: tuple(ranks) for key, ranks in row["ranks"].items()}
    rewrites = {int(answer): text for answer, text in row["rewrites"].items()}
    return Judgement(ranks, tuple(map(tuple, row["faults"])), rewrites, row["notes"])


def parse_judgement(value: Any, answers: int, complete: bool = True) -> Judgement:
    """A judgement from JSON. Its ranks become competition ranks, however they were numbered (1, 1, 2 → 1, 1, 3).

    `complete` False: a draft, whose ranks may hold None; they are kept as they are. ValueError for anything else.
    """
    if not isinstance(value, dict) or not value.keys() <= {"ranks", "faults", "rewrites", "notes"}:
        raise ValueError("found no judgement, expected ranks, faults, rewrites, notes")
    faults = value.get("faults") or [[] for _ in range(answers)]
    if not isinstance(faults, list) or len(faults) != answers or not all(_are_abilities(keys) for keys in faults):
        raise ValueError(f"found faults of another form, expected a list of abilities for each of {answers} answers")
    rewrites = value.get("rewrites") or {}
    if not isinstance(rewrites, dict) or not rewrites.keys() <= {str(k) for k in range(answers)}:
        raise ValueError(f"found rewrites of other answers, expected them of 0 to {answers - 1}")
    return Judgement(
        _ranks(value.get("ranks"), answers, complete),
        tuple(tuple(key for key in ABILITY_KEYS if key in keys) for keys in faults),
        {int(answer): text.strip() for answer, text in rewrites.items() if checked_text(text, "a rewrite").strip()},
        checked_text(value.get("notes") or "", "notes"),
    )


def checked_text(value: Any, name: str) -> str:
    """A text of at most `LONGEST_TEXT` characters that SQLite and JSON can hold; else ValueError."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"found {name} of another form, expected a text of at most {LONGEST_TEXT:,} characters")
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def _ranks(value: Any, answers: int, complete: bool) -> dict[str, Ranks]:
    keys = set(value) if isinstance(value, dict) else set()
    if not (keys == set(DIMENSION_KEYS) or keys == {OVERALL} or (not complete and keys <= set(DIMENSION_KEYS))):
        raise ValueError(f"found ranks of {sorted(map(str, keys))}, expected those of {', '.join(DIMENSION_KEYS)}")
    for key, ranks in value.items():
        good = isinstance(ranks, list) and len(ranks) == answers and all(_is_rank(r, answers, complete) for r in ranks)
        if not good:
            raise ValueError(f"found {key} = {str(ranks)[:80]}, expected {answers} ranks from 1 to {answers}")
    return {key: tuple(value[key]) if not complete else competition_ranks(value[key]) for key in value}


def _is_rank(value: Any, answers: int, complete: bool) -> bool:
    return (value is None and not complete) or (type(value) is int and 1 <= value <= answers)


def _are_abilities(keys: Sequence[Any]) -> bool:
    return isinstance(keys, list) and all(isinstance(key, str) and key in ABILITY_KEYS for key in keys)
