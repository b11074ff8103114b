"""What the examination asks never stands in a training file: a hash of what is asked decides on which side it falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zj.data.held_out import hash_position

T = TypeVar("T")

SHARE = 0.3  # of all that can be asked is examined only


def examined(asked: str) -> bool:
    """Whether only the examination may ask this; never of "", which asks nothing.

    The name in front makes it another hash than that of a split of the training files: else those would have no
    validation, because all that such a split holds out first is examined.
    """
    return bool(asked) and hash_position("examination " + asked) < SHARE


def trained(draw: Callable[[], T], asked: Callable[[T], str]) -> T:
    """The first of many draws whose question training may see."""
    for _ in range(1000):
        found = draw()
        if not examined(asked(found)):
            return found
    raise AssertionError(f"1,000 draws that only the examination may ask, the last: {asked(found)}")
