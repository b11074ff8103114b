"""The shapes of a medical fact: condition, drug, circumstance. The facts themselves are in `zj.clinic.facts`.

Where a field is called "said", it is a patient's own words without a subject, alternatives separated by "/",
so that "我", "孩子" or "我妈" can be put in front.
"""

from __future__ import annotations

from dataclasses import dataclass

# How long a patient has been ill when asking, by the course that a condition takes.
HOURS = "两三个小时/半天/从昨晚到现在"
DAYS = "一天/两天/三天/四五天"
WEEKS = "一个多星期/十来天/半个月/三周左右"
MONTHS = "一个多月/两个月/三个多月/半年"
YEARS = "一年多/两三年/好几年"


@dataclass(frozen=True)
class Circumstance:
    """Something about a patient, other than the illness, that forbids some drugs."""

    name: str  # as in "孕妇禁用"
    said: str
    sex: str = ""  # "男" or "女" if only one of them can be meant
    ages: tuple[int, int] = (0, 99)  # years, both inclusive
    by_age: bool = False  # follows from the age alone, so nobody has to mention it


@dataclass(frozen=True)
class Drug:
    """One line of the formulary."""

    name: str
    kind: str  # what sort of drug it is
    prescription: bool
    avoid: tuple[str, ...]  # names of the circumstances that forbid it, at least one
    side_effects: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """What the clinic knows of one illness. All phrases are short and compose into sentences."""

    name: str
    department: str
    ages: tuple[int, int]  # years, both inclusive
    course: str  # how long it has lasted: alternatives separated by "/"
    cause: str  # completes "X是……"
    symptoms: dict[str, str]  # textbook name -> said
    questions: dict[str, str]  # what a doctor asks -> what a patient with this condition says
    tests: tuple[str, ...]  # nouns
    treatment: tuple[str, ...]  # verb phrases
    drugs: dict[str, str]  # name in the formulary -> how it is used; the first choice first
    care: tuple[str, ...]  # verb phrases: what patients do themselves
    red_flags: dict[str, str]  # sign -> what to do
    sex: str = ""  # "男" or "女" if only one of them falls ill
    always: tuple[str, ...] = ()  # circumstances of every such patient
    never: tuple[str, ...] = ()  # circumstances that would contradict the condition
    urgent: bool = False  # needs a hospital at once, whatever else is said


_PLACES = {"家居健康": "全科门诊", "整形美容": "整形美容科"}  # departments that no hospital has a door for


def place(department: str) -> str:
    """Where a patient of that department goes."""
    return _PLACES.get(department, department)


def options(said: str) -> list[str]:
    """The alternatives of a "/"-separated text."""
    return said.split("/")
