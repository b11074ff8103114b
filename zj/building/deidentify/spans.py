"""What the rules share: a place in a text, and the text as the rules read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """An identifier in a text: text[start:end] is replaced."""

    start: int
    end: int
    kind: str


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def any_of(text: str) -> str:
    """A pattern of words that are separated by spaces; the longest first, so that none hides another."""
    return f"(?:{'|'.join(sorted(words(text), key=len, reverse=True))})"


# Full width digits, letters and signs as their ASCII, character for character, so that places stay the same.
_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_WIDE |= {ord(wide): ord(plain) for wide, plain in zip("＠＋－＿．（）：＃／", "@+-_.():#/", strict=True)}
_HAS_WIDE = re.compile("[＃-／０-：＠-Ｚ＿ａ-ｚ]")


def plain(text: str) -> str:
    """The text with ASCII for full width digits, letters and signs; of the same length."""
    return text.translate(_WIDE) if _HAS_WIDE.search(text) else text


def without_overlaps(spans: Iterable[Span], length: int) -> list[Span]:
    """The spans in the order of their places; of two that overlap the one that comes first in `spans`.

    Of an address that runs into another span, what stands before that is kept.
    """
    kept, taken = [], bytearray(length)
    for span in spans:
        first = taken.find(1, span.start, span.end)
        if first > span.start and span.kind == "address":
            span, first = span._replace(end=first), -1
        if first < 0:
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept)
