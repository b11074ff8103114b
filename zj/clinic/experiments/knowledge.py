"""Multiple choice about the facts of illnesses, half of them illnesses that only the textbook has.

The options are one fact each of four illnesses, and which of the four is asked about is drawn last. So no property of the
options (length, frequency, letter) tells the right one: given the options, each is right with probability 1/4. The four
are of one tier and, where the tier has them, of one department; a department has but one or two illnesses of the textbook
alone, so those come from all departments. Options of the other tier would stand in dialogues, and that would tell.

No option shares a character with a name: a reader who knows nothing would find 甲状腺超声 for 甲状腺结节. Tests and causes
almost always do, so they are not asked about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

from zj.clinic.facts import CONDITIONS
from zj.clinic.table import Condition

TIERS = ("textbook", "patients")
# Kind of fact -> the question, and the facts of a condition.
FACTS: dict[str, tuple[str, Callable[[Condition], Sequence[str]]]] = {
    "drug": ("下列药物中，哪一种可以用来治疗{n}？", lambda c: list(c.drugs)),
    "treatment": ("关于{n}的处理，下面哪一项是对的？", lambda c: c.treatment),
    "care": ("得了{n}的人，在生活上要做到哪一项？", lambda c: c.care),
    "department": ("下列科室中，诊治{n}的是哪一个？", lambda c: [c.department]),
}
LENGTHS = 1.5  # the longest option has at most so many times the characters of the shortest
_COMMON = set("病症炎性的、，和与不或是一有")  # characters that tell nothing about an illness


def knowledge(seed: int, number: int) -> dict:
    """Question `number` in the form that `scripts/evaluate.py choice` reads; `group` is the illness asked about.

    Tiers and kinds of fact take turns.
    """
    kind, illnesses, texts, asked = _draw(seed, number)
    condition = illnesses[asked]
    tier = "textbook" if condition.textbook_only else "patients"
    return {
        "id": f"knowledge-{tier}-{kind}-{number:06d}",
        "question": FACTS[kind][0].format(n=condition.name),
        "options": dict(zip("ABCD", texts, strict=True)),
        "answer": "ABCD"[asked],
        "subject": tier,
        "group": condition.name,
    }


def knowledge_subject(seed: int, number: int) -> Condition:
    """The condition that question `number` asks about."""
    _, illnesses, _, asked = _draw(seed, number)
    return illnesses[asked]


def _draw(seed: int, number: int) -> tuple[str, list[Condition], list[str], int]:
    """(kind, four illnesses, a fact of each, index of the one asked about)."""
    tier, kind = TIERS[number % 2], list(FACTS)[number // 2 % len(FACTS)]
    pools = _pools(tier, of_one_department=tier == "patients" and kind != "department")
    rng = random.Random(f"{seed}/knowledge/{number}")
    for _ in range(100_000):
        illnesses = rng.sample(rng.choice(pools), 4)
        texts = [rng.choice(FACTS[kind][1](illness)) for illness in illnesses]
        if _fair(kind, illnesses, texts):
            return kind, illnesses, texts, rng.randrange(4)
    raise AssertionError(f"knowledge {number} of seed {seed}: 100,000 draws without four fitting options")


@cache
def _pools(tier: str, of_one_department: bool) -> list[list[Condition]]:
    """The sets that four illnesses are drawn from: the tier, or its part of each department."""
    of_tier = [c for c in CONDITIONS.values() if c.textbook_only == (tier == "textbook")]
    if not of_one_department:
        return [of_tier]
    departments = dict.fromkeys(c.department for c in of_tier)
    pools = [[c for c in of_tier if c.department == department] for department in departments]
    return [pool for pool in pools if len(pool) >= 4]


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
