"""Questions of the examination are in no training file: a hash of the question decides between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zj.data.held_out import hash_position

T = TypeVar("T")

SHARE = 0.3  # of all questions is for the examination only


def is_exam_only(text: str) -> bool:
    """Whether only the examination may ask this; False for "", which asks nothing.

    The prefix makes the hash independent of the one that splits the training files: with the same hash, all that such
    a split holds out would be in the examination, and training files would have no validation.
    """
    return bool(text) and hash_position("examination " + text) < SHARE


def draw_for_training(draw: Callable[[], T], text_of: Callable[[T], str]) -> T:
    """The first draw whose question training may see."""
    for _ in range(1000):
        candidate = draw()
        if not is_exam_only(text_of(candidate)):
            return candidate
    raise AssertionError(f"1,000 draws that only the examination may ask, the last: {text_of(candidate)}")
