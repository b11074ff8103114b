"""Parse an answer with the clinic's sentence templates: text → acts.

At each position the longest matching template of `zj/clinic/language.py` is taken; if none matches, the text up to the
end of the sentence is unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS, UNMET
from zj.clinic.language import SENTENCES
from zj.clinic.phrases import any_of, filling, pattern
from zj.clinic.request import all_alternatives, all_matters, all_reasons
from zj.clinic.table import place

LONGEST = 2000  # characters; the rest of an answer is unread
_FULL_WIDTH = str.maketrans("?!,;:", "？！，；：")
_REST = re.compile("[^。！？\n]*[。！？\n]?")
LISTS = ("s", "t", "steps", "care", "w", "instead")  # slots that hold several items


@dataclass(frozen=True)
class Act:
    """One sentence of an answer: its act and slot values."""

    name: str  # a key of SENTENCES
    text: str
    slots: Mapping[str, str]

    def items(self, slot: str) -> list[str]:
        """The items of a slot: 甲、乙和丙, or steps separated by "；"."""
        return _item(slot).findall(self.slots.get(slot, ""))


@dataclass(frozen=True)
class Reading:
    """One parsed answer."""

    text: str
    acts: tuple[Act, ...]
    unread: tuple[str, ...]

    @property
    def understood(self) -> float:
        """Share of the characters that were parsed."""
        return 1 - sum(map(len, self.unread)) / max(1, len(self.text))

    def of(self, *names: str) -> list[Act]:
        """The acts with these names, in order."""
        return [act for act in self.acts if act.name in names]


def read(answer: str) -> Reading:
    """The acts of an answer, in order, and its unread parts."""
    return _parse(answer.strip().translate(_FULL_WIDTH))


@lru_cache(maxsize=100_000)
def _parse(text: str) -> Reading:
    acts, unread, at = [], [], 0
    end = min(len(text), LONGEST)
    while at < end:
        if text[at].isspace():  # between sentences
            at += 1
            continue
        longest, name = max(
            ((match, name) for name, rule in _rules() if (match := rule.match(text, at))),
            key=lambda candidate: candidate[0].end(),
            default=(None, ""),
        )
        if longest is None:
            rest = _REST.match(text, at)
            assert rest is not None
            unread.append(rest.group())
            at = max(at + 1, rest.end())
        else:
            acts.append(_act(name, longest))
            at = longest.end()
    if len(text) > LONGEST:
        unread.append(text[LONGEST:])
    return Reading(text, tuple(acts), tuple(unread))


def _act(name: str, match: re.Match) -> Act:
    return Act(name, match.group(), filling(match))


@cache
def _rules() -> tuple[tuple[str, re.Pattern], ...]:
    """(act, expression) of each template."""
    slots = _slots()
    return tuple((act, re.compile(pattern(text, slots))) for act, texts in SENTENCES.items() for text in texts)


def _slots() -> dict[str, str]:
    """Slot -> expression of its values."""
    conditions, items = CONDITIONS.values(), _items()

    def several(slot: str, between: str) -> str:
        return f"{items[slot]}(?:{between}{items[slot]})*"

    drug, circumstance = any_of(DRUGS), any_of([*CIRCUMSTANCES, *UNMET])
    return {
        "y": any_of(("您", "您父亲", "您母亲", "孩子", "宝宝")),
        "s": several("s", "[、和]"),
        "n": any_of(CONDITIONS),
        "c": any_of(c.cause for c in conditions),
        "p": any_of(place(c.department) for c in conditions),
        "t": several("t", "[、和]"),
        "steps": several("steps", "；"),
        "care": several("care", "；"),
        "d": drug,
        "b": drug,
        "u": any_of(use.use for c in conditions for use in c.drugs.values()),
        "r": circumstance,
        "w": several("w", "[、和]"),
        "q": any_of(text for c in conditions for text in c.questions),
        "sign": any_of(sign for c in conditions for sign in c.red_flags),
        "action": any_of(action for c in conditions for action in c.red_flags.values()),
        "do": f"(?:{any_of(all_matters('harmful', 'ethics'))}|自行使用{drug})",
        "about": any_of(all_matters("beyond")),
        "why": f"(?:{any_of(all_reasons())}|{circumstance}禁用{drug})",
        "instead": several("instead", "，"),
    }


@cache
def _item(slot: str) -> re.Pattern:
    """Expression of one item of a list slot."""
    return re.compile(_items()[slot])


@cache
def _items() -> dict[str, str]:
    """List slot -> expression of one item."""
    fields = {"s": "symptoms", "t": "tests", "steps": "treatment", "care": "care"}
    patterns = {
        slot: any_of(text for condition in CONDITIONS.values() for text in getattr(condition, field))
        for slot, field in fields.items()
    }
    return patterns | {"w": any_of([*CIRCUMSTANCES, *UNMET]), "instead": any_of(all_alternatives())}


def names_in(acts: Iterable[Act], slot: str) -> list[str]:
    """The values of a slot in the acts."""
    return [act.slots[slot] for act in acts if slot in act.slots]
