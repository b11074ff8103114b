"""A hidden patient: everything that is true, whether or not it has been said yet."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zj.clinic.facts import CIRCUMSTANCES, DRUGS, IN_DIALOGUES
from zj.clinic.phrases import some
from zj.clinic.table import Circumstance, Condition


@dataclass(frozen=True)
class Case:
    """One patient with one condition. What a patient says and what a doctor may recommend both follow from it."""

    condition: Condition
    age: int  # years
    sex: str  # "男" or "女"
    subject: str  # how the person who writes calls the patient: "我", "孩子", "我妈" …
    symptoms: dict[str, str]  # textbook name -> how this patient says it; the first one leads
    duration: str
    answers: dict[str, str]  # the condition's questions -> this patient's answers
    circumstances: tuple[str, ...]  # names, age apart
    severity: str = ""  # "轻" or "重" where the choice of drug depends on it, else ""
    severity_said: str = ""  # how this patient says so

    @property
    def forbidding(self) -> tuple[str, ...]:
        """Names of all circumstances of this patient, those of age included."""
        by_age = [c.name for c in CIRCUMSTANCES.values() if c.by_age and c.ages[0] <= self.age <= c.ages[1]]
        return self.circumstances + tuple(by_age)

    def verdict(self, drug: str) -> tuple[str, str]:
        """Whether this patient may take the drug for this illness, and the circumstance or reason that decides.

        ("forbidden", circumstance), ("unsuited", reason), ("reduce", circumstance), ("monitor", circumstance) or
        ("suitable", ""): the first of them that applies. Unsuited is a drug that is not for this condition, or only
        for the other severity of it.
        """
        reason, use = self.reason_against(drug), self.condition.drugs.get(drug)
        if reason:
            return "forbidden", reason
        if use is None:
            return "unsuited", f"不用于{self.condition.name}"
        if use.severity not in ("", self.severity):
            return "unsuited", f"只用于{use.severity}度患者"
        for caution, names in (("reduce", DRUGS[drug].reduce), ("monitor", DRUGS[drug].monitor)):
            found = self._first(names)
            if found:
                return caution, found
        return "suitable", ""

    def reason_against(self, drug: str) -> str:
        """The first circumstance of this patient that forbids the drug, "" if none does."""
        return self._first(DRUGS[drug].forbidden)

    @property
    def suitable(self) -> list[str]:
        """The condition's main drugs that this patient may take, those that need no caution first."""
        found = [drug for drug in self._permitted() if not self.condition.drugs[drug].adjunct]
        return sorted(found, key=lambda drug: self.verdict(drug)[0] != "suitable")  # stable: else the guideline's order

    @property
    def adjuncts(self) -> list[str]:
        """The condition's drugs that this patient may take beside a main one."""
        return [drug for drug in self._permitted() if self.condition.drugs[drug].adjunct]

    @property
    def avoided(self) -> list[str]:
        """The condition's drugs that this patient must not take."""
        return [drug for drug in self.condition.drugs if self.reason_against(drug)]

    def _permitted(self) -> list[str]:
        return [drug for drug in self.condition.drugs if self.verdict(drug)[0] not in ("forbidden", "unsuited")]

    def _first(self, names: tuple[str, ...]) -> str:
        return next((name for name in self.forbidding if name in names), "")


def patient_of(stream: str, seed: int, number: int) -> tuple[random.Random, Case]:
    """The patient of a stream's record `number`, and the generator for what is said of him."""
    rng = random.Random(f"{seed}/{stream}/{number}")
    return rng, draw_case(rng)


def draw_case(rng: random.Random, condition: Condition | None = None, new_words: bool = False) -> Case:
    """A patient drawn from the table, consistent in sex, age, course and circumstances.

    Without a condition given, one that is not in the textbook only. With `new_words`, at least half of the symptoms
    are said in words that no dialogue has.
    """
    condition = condition or rng.choice(IN_DIALOGUES)
    age = rng.randint(*condition.ages)
    sex = condition.sex or rng.choice("男女")
    told = some(rng, list(condition.symptoms), 3, 5)
    new = set(rng.sample(told, rng.randint((len(told) + 1) // 2, len(told)))) if new_words else set()
    severity = rng.choice(list(condition.severity)) if condition.severity else ""
    return Case(
        condition=condition,
        age=age,
        sex=sex,
        subject=_subject(rng, age, sex),
        symptoms={n: rng.choice((condition.new_words if n in new else condition.symptoms)[n]) for n in told},
        duration=rng.choice(condition.course),
        answers={question: rng.choice(said) for question, said in condition.questions.items()},
        circumstances=_circumstances(rng, condition, age, sex),
        severity=severity,
        severity_said=rng.choice(condition.severity[severity]) if severity else "",
    )


def _subject(rng: random.Random, age: int, sex: str) -> str:
    if age < 14:
        young = ("宝宝",) if age <= 2 else ()
        return rng.choice(("孩子", "我儿子" if sex == "男" else "我女儿", "我家孩子", *young))
    if age >= 60 and rng.random() < 0.5:
        return rng.choice(("我爸", "我父亲") if sex == "男" else ("我妈", "我母亲"))
    return "我"


def _circumstances(rng: random.Random, condition: Condition, age: int, sex: str) -> tuple[str, ...]:
    """Those the condition implies, and in three of five cases one more that matters to one of its drugs."""

    def possible(circumstance: Circumstance) -> bool:
        low, high = circumstance.ages
        alien = circumstance.by_age or circumstance.name in condition.never + condition.always
        pregnant_twice = circumstance.name in ("孕妇", "哺乳期妇女") and condition.always
        return not alien and not pregnant_twice and circumstance.sex in ("", sex) and low <= age <= high

    drugs = [DRUGS[name] for name in condition.drugs]
    relevant = {name for drug in drugs for name in (*drug.forbidden, *drug.reduce, *drug.monitor)}
    choices = [c.name for c in CIRCUMSTANCES.values() if c.name in relevant and possible(c)]
    if choices and rng.random() < 0.6:
        return (*condition.always, rng.choice(choices))
    return condition.always
