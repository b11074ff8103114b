"""A hidden patient: all facts, mentioned in the conversation or not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from zj.clinic.facts import CIRCUMSTANCES, DRUGS, IN_DIALOGUES
from zj.clinic.phrases import sample_in_order
from zj.clinic.table import Circumstance, Condition


@dataclass(frozen=True)
class Case:
    """One patient with one condition; determines what the patient says and what a doctor may recommend."""

    condition: Condition
    age: int  # years
    sex: str  # "男" or "女"
    subject: str  # how the writer refers to the patient: "我", "孩子", "我妈" …
    symptoms: dict[str, str]  # textbook name -> this patient's phrase; main symptom first
    duration: str
    answers: dict[str, str]  # the condition's questions -> this patient's answers
    circumstances: tuple[str, ...]  # names, without those of age
    severity: str = ""  # "轻" or "重" if the choice of drug depends on it, else ""
    severity_said: str = ""  # this patient's phrase for it

    @property
    def all_circumstances(self) -> tuple[str, ...]:
        """Names of all circumstances of this patient, including those of age."""
        by_age = [c.name for c in CIRCUMSTANCES.values() if c.by_age and c.ages[0] <= self.age <= c.ages[1]]
        return self.circumstances + tuple(by_age)

    def verdict(self, drug: str) -> tuple[str, str]:
        """Whether this patient may take the drug for this illness, and the circumstance or reason.

        The first that applies of ("forbidden", circumstance), ("unsuited", reason), ("reduce", circumstance),
        ("monitor", circumstance), ("suitable", ""). A drug is unsuited if it is not for this condition or not for its
        severity.
        """
        reason, use = self.reason_against(drug), self.condition.drugs.get(drug)
        if reason:
            return "forbidden", reason
        if use is None:
            return "unsuited", f"不用于{self.condition.name}"
        if use.severity not in ("", self.severity):
            return "unsuited", f"只用于{use.severity}度患者"
        for caution, names in (("reduce", DRUGS[drug].reduce), ("monitor", DRUGS[drug].monitor)):
            circumstance = self._first_circumstance(names)
            if circumstance:
                return caution, circumstance
        return "suitable", ""

    def reason_against(self, drug: str) -> str:
        """The first circumstance of this patient that forbids the drug, or ""."""
        return self._first_circumstance(DRUGS[drug].forbidden)

    @property
    def suitable(self) -> list[str]:
        """The condition's main drugs that this patient may take; those without a caution first."""
        drugs = [drug for drug in self._permitted() if not self.condition.drugs[drug].adjunct]
        return sorted(drugs, key=lambda drug: self.verdict(drug)[0] != "suitable")  # stable: else the guideline's order

    @property
    def adjuncts(self) -> list[str]:
        """The condition's adjunct drugs that this patient may take."""
        return [drug for drug in self._permitted() if self.condition.drugs[drug].adjunct]

    @property
    def avoided(self) -> list[str]:
        """The condition's drugs that this patient must not take."""
        return [drug for drug in self.condition.drugs if self.reason_against(drug)]

    def _permitted(self) -> list[str]:
        return [drug for drug in self.condition.drugs if self.verdict(drug)[0] not in ("forbidden", "unsuited")]

    def _first_circumstance(self, names: tuple[str, ...]) -> str:
        return next((name for name in self.all_circumstances if name in names), "")


def patient_of(stream: str, seed: int, number: int) -> tuple[random.Random, Case]:
    """(generator for the text, patient) of a stream's record `number`."""
    rng = random.Random(f"{seed}/{stream}/{number}")
    return rng, draw_case(rng)


def draw_case(rng: random.Random, condition: Condition | None = None, new_words: bool = False) -> Case:
    """Draw a patient, consistent in sex, age, course and circumstances.

    The condition defaults to a random one outside the textbook-only ones. With `new_words`, at least half of the
    symptoms get phrases that occur in no dialogue.
    """
    condition = condition or rng.choice(IN_DIALOGUES)
    age = rng.randint(*condition.ages)
    sex = condition.sex or rng.choice("男女")
    names = sample_in_order(rng, list(condition.symptoms), 3, 5)
    in_new_words = set(rng.sample(names, rng.randint((len(names) + 1) // 2, len(names)))) if new_words else set()
    severity = rng.choice(list(condition.severity)) if condition.severity else ""
    return Case(
        condition=condition,
        age=age,
        sex=sex,
        subject=_subject(rng, age, sex),
        symptoms={n: rng.choice((condition.new_words if n in in_new_words else condition.symptoms)[n]) for n in names},
        duration=rng.choice(condition.course),
        answers={question: rng.choice(phrases) for question, phrases in condition.questions.items()},
        circumstances=_circumstances(rng, condition, age, sex),
        severity=severity,
        severity_said=rng.choice(condition.severity[severity]) if severity else "",
    )


def _subject(rng: random.Random, age: int, sex: str) -> str:
    if age < 14:
        infant = ("宝宝",) if age <= 2 else ()
        return rng.choice(("孩子", "我儿子" if sex == "男" else "我女儿", "我家孩子", *infant))
    if age >= 60 and rng.random() < 0.5:
        return rng.choice(("我爸", "我父亲") if sex == "男" else ("我妈", "我母亲"))
    return "我"


def _circumstances(rng: random.Random, condition: Condition, age: int, sex: str) -> tuple[str, ...]:
    """Those the condition implies, and with probability 0.6 one more that affects one of its drugs."""

    def possible(circumstance: Circumstance) -> bool:
        low, high = circumstance.ages
        excluded = circumstance.by_age or circumstance.name in condition.never + condition.always
        pregnant_twice = circumstance.name in ("孕妇", "哺乳期妇女") and condition.always
        return not excluded and not pregnant_twice and circumstance.sex in ("", sex) and low <= age <= high

    drugs = [DRUGS[name] for name in condition.drugs]
    relevant = {name for drug in drugs for name in (*drug.forbidden, *drug.reduce, *drug.monitor)}
    candidates = [c.name for c in CIRCUMSTANCES.values() if c.name in relevant and possible(c)]
    if candidates and rng.random() < 0.6:
        return (*condition.always, rng.choice(candidates))
    return condition.always
