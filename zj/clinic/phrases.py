"""A tiny template language, so that one line of Chinese stands for many sentences.

"(甲|乙)" is one of the alternatives, "[甲|乙]" is one of them or nothing, both may be nested; "{name}" is filled in
last, so the filling is never read as a template. "()[]{}|" are ASCII; Chinese full-width brackets are plain text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_GROUP = re.compile(r"[(\[][^()\[\]]*[)\]]")


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


def some(rng: random.Random, items: Sequence[str], low: int, high: int) -> list[str]:
    """Between low and high of the items (as many as there are), in their own order."""
    count = min(len(items), rng.randint(low, high))
    kept = sorted(rng.sample(range(len(items)), count))
    return [items[i] for i in kept]


def listed(items: Sequence[str], last: str = "和") -> str:
    """甲、乙和丙."""
    return items[0] if len(items) == 1 else "、".join(items[:-1]) + last + items[-1]
