"""A hidden patient: everything that is true, whether or not it has been said yet."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.phrases import some
from zj.clinic.table import Circumstance, Condition, options


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

    @property
    def forbidding(self) -> tuple[str, ...]:
        """Names of all circumstances of this patient, those of age included."""
        by_age = [c.name for c in CIRCUMSTANCES.values() if c.by_age and c.ages[0] <= self.age <= c.ages[1]]
        return self.circumstances + tuple(by_age)

    def reason_against(self, drug: str) -> str:
        """The first circumstance of this patient that forbids the drug, "" if none does."""
        return next((name for name in self.forbidding if name in DRUGS[drug].avoid), "")

    @property
    def allowed(self) -> list[str]:
        """The condition's drugs that this patient may take."""
        return [drug for drug in self.condition.drugs if not self.reason_against(drug)]

    @property
    def avoided(self) -> list[str]:
        """The condition's drugs that this patient must not take."""
        return [drug for drug in self.condition.drugs if self.reason_against(drug)]


def patient_of(stream: str, seed: int, number: int) -> tuple[random.Random, Case]:
    """The patient of a stream's record `number`, and the generator for what is said of him."""
    rng = random.Random(f"{seed}/{stream}/{number}")
    return rng, draw_case(rng)


def draw_case(rng: random.Random, condition: Condition | None = None) -> Case:
    """A patient drawn from the table, consistent in sex, age, course and circumstances."""
    condition = condition or rng.choice(list(CONDITIONS.values()))
    age = rng.randint(*condition.ages)
    sex = condition.sex or rng.choice("男女")
    told = some(rng, list(condition.symptoms), 3, 5)
    return Case(
        condition=condition,
        age=age,
        sex=sex,
        subject=_subject(rng, age, sex),
        symptoms={name: rng.choice(options(condition.symptoms[name])) for name in told},
        duration=rng.choice(options(condition.course)),
        answers={question: rng.choice(options(said)) for question, said in condition.questions.items()},
        circumstances=_circumstances(rng, condition, age, sex),
    )


def _subject(rng: random.Random, age: int, sex: str) -> str:
    if age < 14:
        young = ("宝宝",) if age <= 2 else ()
        return rng.choice(("孩子", "我儿子" if sex == "男" else "我女儿", "我家孩子", *young))
    if age >= 60 and rng.random() < 0.5:
        return rng.choice(("我爸", "我父亲") if sex == "男" else ("我妈", "我母亲"))
    return "我"


def _circumstances(rng: random.Random, condition: Condition, age: int, sex: str) -> tuple[str, ...]:
    """Those the condition implies, and in three of five cases one more that forbids one of its drugs."""

    def possible(circumstance: Circumstance) -> bool:
        low, high = circumstance.ages
        alien = circumstance.by_age or circumstance.name in condition.never + condition.always
        pregnant_twice = circumstance.name in ("孕妇", "哺乳期妇女") and condition.always
        return not alien and not pregnant_twice and circumstance.sex in ("", sex) and low <= age <= high

    relevant = {name for drug in condition.drugs for name in DRUGS[drug].avoid}
    choices = [c.name for c in CIRCUMSTANCES.values() if c.name in relevant and possible(c)]
    if choices and rng.random() < 0.6:
        return (*condition.always, rng.choice(choices))
    return condition.always
