"""A small template language: one template generates many sentences, and parses them.

"(甲|乙)" is one of the alternatives, "[甲|乙]" one of them or nothing; both may be nested. "{name}" is filled last, so
slot values are not parsed as templates. "()[]{}|" are ASCII; Chinese full-width brackets are plain text.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

_GROUP = re.compile(r"[(\[][^()\[\]]*[)\]]")
_AS_REGEX = {"(": "(?:", ")": ")", "[": "(?:", "]": ")?", "|": "|"}


def say(rng: random.Random, template: str, **slots: object) -> str:
    """A random sentence of the template, its slots filled."""

    def choose(match: re.Match) -> str:
        group = match.group()
        choices = group[1:-1].split("|")
        if group[0] == "[" and rng.random() < 0.5:
            return ""
        return rng.choice(choices)

    changed = 1
    while changed:  # innermost groups first
        template, changed = _GROUP.subn(choose, template)
    return template.format(**slots) if slots else template


def pattern(template: str, slots: Mapping[str, str]) -> str:
    """A regular expression of all sentences of the template; `filling` reads its matches.

    `slots` gives the expression for each slot.
    """
    uses: Counter[str] = Counter()

    def part(match: re.Match) -> str:
        mark, slot = match.group(), match["slot"]
        if not slot:
            return _AS_REGEX.get(mark, re.escape(mark))
        uses[slot] += 1  # group names of an expression are unique
        return f"(?P<{slot}_{uses[slot]}>{slots[slot]})"

    return re.sub(r"\{(?P<slot>\w+)\}|.", part, template, flags=re.DOTALL)


def filling(match: re.Match) -> dict[str, str]:
    """Slot -> value, of a match of `pattern`; the first value if a slot occurs twice."""
    values: dict[str, str] = {}
    for group, text in match.groupdict().items():
        if text:
            values.setdefault(group.rpartition("_")[0], text)
    return values


def any_of(texts: Iterable[str]) -> str:
    """A regular expression of these texts, longest match first, as a prefix tree for speed."""
    tree: dict = {}
    for text in texts:
        node = tree
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branch(tree)


def _branch(node: dict) -> str:
    ends = "" in node
    parts = [re.escape(character) + _branch(below) for character, below in node.items() if character]
    if not parts:
        return ""
    if len(parts) == 1 and not ends:
        return parts[0]
    return f"(?:{'|'.join(parts)})" + ("?" if ends else "")


def sample_in_order(rng: random.Random, items: Sequence[str], low: int, high: int) -> list[str]:
    """A random subset of low to high items (at most all), in their order."""
    count = min(len(items), rng.randint(low, high))
    chosen = sorted(rng.sample(range(len(items)), count))
    return [items[i] for i in chosen]


def join_list(items: Sequence[str], last: str = "和") -> str:
    """甲、乙和丙; "" for no items."""
    return "".join(items) if len(items) < 2 else "、".join(items[:-1]) + last + items[-1]
