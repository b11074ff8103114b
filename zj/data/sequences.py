"""What encoding makes of records: token ids, which of them are trained on, and how many records met what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple


@dataclass(frozen=True)
class Encoded:
    """One sequence. `counted[i]`: token i is trained on (part of an answer, or its EOS)."""

    ids: list[int]
    counted: list[bool]
    where: str  # file:line of the record


class Spanned(NamedTuple):
    """`Encoded` in fewer words, as a store holds it: a flag for each token takes longer to make than the token."""

    ids: list[int]
    spans: list[int]  # [from, to, from, to, …] of the tokens that are trained on
    where: str

    @classmethod
    def of(cls, encoded: Encoded) -> Spanned:
        return cls(encoded.ids, spans_of(encoded.counted), encoded.where)

    def encoded(self) -> Encoded:
        return Encoded(self.ids, flags_of(self.spans, len(self.ids)), self.where)


def spans_of(counted: Sequence[bool]) -> list[int]:
    """[from, to, from, to, …] of the runs of True."""
    flags, spans, end = bytes(counted), [], 0
    while (start := flags.find(True, end)) >= 0:
        end = flags.find(False, start) % (len(flags) + 1)  # -1, there is none: the length
        spans += [start, end]
    return spans


def flags_of(spans: Sequence[int], length: int) -> list[bool]:
    """[length], True in the spans."""
    flags = [False] * length
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        flags[start:end] = [True] * (end - start)
    return flags


@dataclass(frozen=True)
class Counts:
    """How many records were encoded, shortened and dropped."""

    records: int = 0
    shortened: int = 0  # dialogues without their oldest turns
    dropped: int = 0  # dialogues whose last turn alone is too long
    nothing_to_count: int = 0  # dropped sequences without a token that is trained on
    sequences: int = 0
    tokens: int = 0
    counted: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, vars(self).values(), vars(other).values()))

    def __str__(self) -> str:
        return (
            f"{self.records:,} records: {self.shortened:,} shortened, {self.dropped:,} dropped, "
            f"{self.nothing_to_count:,} with nothing to count; "
            f"{self.sequences:,} sequences, {self.tokens:,} tokens, {self.counted:,} counted"
        )
