"""A tiny template language, so that one line of Chinese stands for many sentences, spoken and read.

"(甲|乙)" is one of the alternatives, "[甲|乙]" is one of them or nothing, both may be nested; "{name}" is filled in
last, so the filling is never read as a template. "()[]{}|" are ASCII; Chinese full-width brackets are plain text.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

_GROUP = re.compile(r"[(\[][^()\[\]]*[)\]]")
_AS_REGEX = {"(": "(?:", ")": ")", "[": "(?:", "]": ")?", "|": "|"}


def say(rng: random.Random, template: str, **slots: object) -> str:
    """One sentence of the many that the template stands for."""

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
    """The same template read backwards: a regular expression of all its sentences, for `filling`.

    `slots` gives the expression of what may fill each slot.
    """
    seen: Counter[str] = Counter()

    def part(match: re.Match) -> str:
        mark, slot = match.group(), match["slot"]
        if not slot:
            return _AS_REGEX.get(mark, re.escape(mark))
        seen[slot] += 1  # a group's name may stand only once in an expression
        return f"(?P<{slot}_{seen[slot]}>{slots[slot]})"

    return re.sub(r"\{(?P<slot>\w+)\}|.", part, template, flags=re.DOTALL)


def filling(match: re.Match) -> dict[str, str]:
    """Slot -> what fills it, of a match of `pattern`; of a slot that stands there twice, the first."""
    found: dict[str, str] = {}
    for group, text in match.groupdict().items():
        if text:
            found.setdefault(group.rpartition("_")[0], text)
    return found


def any_of(texts: Iterable[str]) -> str:
    """A regular expression of these texts, longest first, sharing their beginnings so that it is quick."""
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


def some(rng: random.Random, items: Sequence[str], low: int, high: int) -> list[str]:
    """Between low and high of the items (as many as there are), in their own order."""
    count = min(len(items), rng.randint(low, high))
    kept = sorted(rng.sample(range(len(items)), count))
    return [items[i] for i in kept]


def listed(items: Sequence[str], last: str = "和") -> str:
    """甲、乙和丙; "" for nothing."""
    return "".join(items) if len(items) < 2 else "、".join(items[:-1]) + last + items[-1]
