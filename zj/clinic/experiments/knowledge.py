"""Multiple choice about the facts of illnesses, half of them illnesses that only the textbook has.

The options are one fact each of several illnesses, and which of these is asked about is drawn last. So no property of
the options (length, frequency, letter) tells the right one: given k options, each is right with probability 1/k. The
illnesses are of one tier, since facts of the other tier would stand in dialogues or not, and that would tell. They are
of one department too, except where the textbook alone has them: a department has but one or two of those.

There are four options, or fewer where a tier of the illnesses in question has fewer illnesses. A tier with one has no
question. No option shares a character with a name: a reader who knows nothing would find 甲状腺超声 for 甲状腺结节. Tests
and causes almost always do, so they are not asked about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

from zj.clinic.facts import CONDITIONS
from zj.clinic.table import Condition

TIERS = ("textbook", "patients")
# Kind of fact -> the question, and the facts of a condition. Near to the textbook's questions, since a small model finds no
# fact in strange words, but no sentence of it.
FACTS: dict[str, tuple[str, Callable[[Condition], Sequence[str]]]] = {
    "drug": ("哪种药用于{n}的治疗？", lambda c: list(c.drugs)),
    "treatment": ("{n}该怎么治疗？", lambda c: c.treatment),
    "care": ("{n}日常注意什么？", lambda c: c.care),
    "department": ("{n}看什么科？", lambda c: [c.department]),
}
OPTIONS = 4
LENGTHS = 1.5  # the longest option has at most so many times the characters of the shortest
_COMMON = set("病症炎性的、，和与不或是一有")  # characters that tell nothing about an illness


def knowledge(seed: int, number: int, about: tuple[str, ...] = ()) -> dict | None:
    """Question `number` in the form that `scripts/evaluate.py choice` reads; `group` is the illness asked about.

    `about` names conditions or departments (none: all), whose facts alone are options. Tiers and kinds of fact take
    turns. None if there is no question about these conditions.
    """
    by_tier = [kinds for tier in TIERS if (kinds := _kinds(tier, about))]
    if not by_tier:
        return None
    kinds = by_tier[number % len(by_tier)]
    kind, pools = kinds[number // len(by_tier) % len(kinds)]
    rng = random.Random(f"{seed}/knowledge/{number}")
    options = _fair_draw(rng, kind, pools, _number_of_options(about), attempts=100_000)
    right = rng.randrange(len(options))
    condition = options[right][0]
    tier = "textbook" if condition.textbook_only else "patients"
    return {
        "id": f"knowledge-{tier}-{kind}-{number:06d}",
        "question": FACTS[kind][0].format(n=condition.name),
        "options": {letter: text for letter, (_, text) in zip("ABCD", options, strict=False)},
        "answer": "ABCD"[right],
        "subject": tier,
        "group": condition.name,
    }


def knowledge_subject(seed: int, number: int, about: tuple[str, ...] = ()) -> Condition:
    """The condition that question `number` asks about; where there is no question, one of `about`."""
    row = knowledge(seed, number, about)
    return CONDITIONS[row["group"]] if row else _of_tier("patients", about)[0]


Pools = tuple[tuple[Condition, ...], ...]  # sets of conditions; those of one question are from one of them


@cache
def _kinds(tier: str, about: tuple[str, ...]) -> list[tuple[str, Pools]]:
    """(kind of fact, pools) of all kinds that have a question about this tier's conditions."""
    of_tier, options, found = _of_tier(tier, about), _number_of_options(about), []
    for kind in FACTS:
        pools = [of_tier]
        if tier == "patients" and kind != "department":
            departments = dict.fromkeys(c.department for c in of_tier)
            pools = [tuple(c for c in of_tier if c.department == department) for department in departments]
        large = tuple(pool for pool in pools if len(pool) >= options)
        if large and _fair_draw(random.Random(0), kind, large, options, attempts=3000):
            found.append((kind, large))
    return found


def _number_of_options(about: tuple[str, ...]) -> int:
    """The same for both tiers, as a tier with one condition has no question."""
    return min([OPTIONS, *(size for tier in TIERS if (size := len(_of_tier(tier, about))) > 1)])


def _of_tier(tier: str, about: tuple[str, ...]) -> tuple[Condition, ...]:
    of_tier = (c for c in CONDITIONS.values() if c.textbook_only == (tier == "textbook"))
    return tuple(c for c in of_tier if not about or {c.name, c.department} & set(about))


def _fair_draw(rng: random.Random, kind: str, pools: Pools, options: int, attempts: int) -> list[tuple[Condition, str]]:
    """(condition, its fact) of each option; [] after so many attempts without a fair set."""
    for _ in range(attempts):
        illnesses = rng.sample(rng.choice(pools), options)
        texts = [rng.choice(FACTS[kind][1](illness)) for illness in illnesses]
        if _fair(kind, illnesses, texts):
            return list(zip(illnesses, texts, strict=True))
    return []


def _fair(kind: str, illnesses: list[Condition], texts: list[str]) -> bool:
    """Whether each fact is true of one illness alone, all are of similar length, and no name hints at any of them.

    Every rule treats the four alike, so that which of them is asked about stays open.
    """
    lengths = [len(text) for text in texts]
    names = set("".join(c.name for c in illnesses)) - _COMMON
    return (
        max(lengths) <= LENGTHS * min(lengths)
        and all(sum(text in FACTS[kind][1](c) for c in illnesses) == 1 for text in texts)
        and not any(set(text) & names for text in texts)
    )
