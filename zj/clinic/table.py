"""The shapes of a medical fact: condition, drug, circumstance. The facts themselves are in `zj/clinic/facts/*.toml`.

Where a field is called "said" or "new_words", each phrase is a patient's own words without a subject, so that "我",
"孩子" or "我妈" can be put in front.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Circumstance:
    """Something about a patient, other than the illness, that forbids some drugs or calls for care with them."""

    name: str  # as in "孕妇禁用"
    said: tuple[str, ...]
    sex: str = ""  # "男" or "女" if only one of them can be meant
    ages: tuple[int, int] = (0, 99)  # years, both inclusive
    by_age: bool = False  # follows from the age alone, so nobody has to mention it


@dataclass(frozen=True)
class Drug:
    """One entry of the formulary. A circumstance stands in at most one of `forbidden`, `reduce`, `monitor`."""

    name: str
    kind: str  # what sort of drug it is
    prescription: bool
    oral: bool  # swallowed: tablet, capsule, syrup …
    side_effects: tuple[str, ...]
    forbidden: tuple[str, ...] = ()  # circumstances in which it must not be taken
    reduce: tuple[str, ...] = ()  # … in which a doctor sets a smaller dose
    monitor: tuple[str, ...] = ()  # … in which it is taken only with checks


@dataclass(frozen=True)
class Use:
    """What a drug does for one condition."""

    use: str  # how it is used
    adjunct: bool = False  # helps beside another drug; alone it is no treatment of this illness
    severity: str = ""  # "轻" or "重": only for patients whose illness is that; "" any


@dataclass(frozen=True)
class Condition:
    """What the clinic knows of one illness. All phrases are short and compose into sentences."""

    name: str
    department: str
    ages: tuple[int, int]  # years, both inclusive
    course: tuple[str, ...]  # how long it has lasted
    cause: str  # completes "X是……"
    symptoms: dict[str, tuple[str, ...]]  # textbook name -> said
    new_words: dict[str, tuple[str, ...]]  # textbook name -> further sayings, which are only examined, never trained
    questions: dict[str, tuple[str, ...]]  # what a doctor asks -> what patients with this condition say
    tests: tuple[str, ...]  # nouns
    treatment: tuple[str, ...]  # verb phrases
    drugs: dict[str, Use]  # name in the formulary -> use; the guideline's order, the first choice first
    care: tuple[str, ...]  # verb phrases: what patients do themselves
    red_flags: dict[str, str]  # sign -> what to do
    severity: dict[str, tuple[str, ...]] = field(default_factory=dict)  # {} or "轻" and "重" -> said
    sex: str = ""  # "男" or "女" if only one of them falls ill
    always: tuple[str, ...] = ()  # circumstances of every such patient
    never: tuple[str, ...] = ()  # circumstances that would contradict the condition
    urgent: bool = False  # needs a hospital at once, whatever else is said
    textbook_only: bool = False  # stands in the textbook and in no dialogue


_PLACES = {"家居健康": "全科门诊", "整形美容": "整形美容科"}  # departments that no hospital has a door for


def place(department: str) -> str:
    """Where a patient of that department goes."""
    return _PLACES.get(department, department)
