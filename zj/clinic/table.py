"""Types of medical facts: condition, drug, circumstance. The facts are in `zj/clinic/facts/*.toml`.

Phrases in `said` and `new_words` are a patient's own words without a subject, so that "我", "孩子" or "我妈" can
precede them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Circumstance:
    """A property of a patient, other than the illness, that forbids some drugs or requires caution with them."""

    name: str  # as in "孕妇禁用"
    said: tuple[str, ...]
    sex: str = ""  # "男" or "女" if it applies to one only
    ages: tuple[int, int] = (0, 99)  # years, both inclusive
    by_age: bool = False  # follows from the age, so patients do not mention it


@dataclass(frozen=True)
class Drug:
    """One entry of the formulary. A circumstance is in at most one of `forbidden`, `reduce`, `monitor`."""

    name: str
    kind: str  # drug class
    prescription: bool
    oral: bool  # swallowed: tablet, capsule, syrup …
    side_effects: tuple[str, ...]
    forbidden: tuple[str, ...] = ()  # circumstances that forbid it
    reduce: tuple[str, ...] = ()  # … that require a smaller dose
    monitor: tuple[str, ...] = ()  # … that require monitoring


@dataclass(frozen=True)
class Use:
    """The use of a drug for one condition."""

    use: str  # dosage and route
    adjunct: bool = False  # given beside a main drug; alone it is no treatment of this illness
    severity: str = ""  # "轻" or "重": only for that severity; "" any


@dataclass(frozen=True)
class Condition:
    """The facts of one illness. All phrases are short and compose into sentences."""

    name: str
    department: str
    ages: tuple[int, int]  # years, both inclusive
    course: tuple[str, ...]  # how long it has lasted
    cause: str  # completes "X是……"
    symptoms: dict[str, tuple[str, ...]]  # textbook name -> said
    new_words: dict[str, tuple[str, ...]]  # textbook name -> further phrases, for the examination only
    questions: dict[str, tuple[str, ...]]  # doctor's question -> patients' answers
    tests: tuple[str, ...]  # nouns
    treatment: tuple[str, ...]  # verb phrases
    drugs: dict[str, Use]  # name in the formulary -> use; in the guideline's order, first choice first
    care: tuple[str, ...]  # verb phrases: self-care
    red_flags: dict[str, str]  # sign -> what to do
    severity: dict[str, tuple[str, ...]] = field(default_factory=dict)  # {} or "轻" and "重" -> said
    sex: str = ""  # "男" or "女" if only one is affected
    always: tuple[str, ...] = ()  # circumstances of every such patient
    never: tuple[str, ...] = ()  # circumstances that contradict the condition
    urgent: bool = False  # needs a hospital at once
    textbook_only: bool = False  # in the textbook, in no dialogue


_PLACES = {"家居健康": "全科门诊", "整形美容": "整形美容科"}  # department -> where its patients go


def place(department: str) -> str:
    """Where a patient of this department goes."""
    return _PLACES.get(department, department)
