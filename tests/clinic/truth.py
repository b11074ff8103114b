"""An independent reading of what a doctor wrote, against the table alone: nothing here calls the generators."""

from __future__ import annotations

import re

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.table import options

_DRUG = re.compile("|".join(sorted(DRUGS, key=len, reverse=True)))  # the longest name wins
_AVOIDED = re.compile("禁用|避免使用")


def recommended(answer: str) -> set[str]:
    """Drugs in sentences that do not speak of avoiding something."""
    sentences = [s for s in re.split("[。！？\n]", answer) if not _AVOIDED.search(s)]
    return {drug for sentence in sentences for drug in _DRUG.findall(sentence)}


def warned_of(answer: str) -> set[str]:
    """Drugs in sentences that do."""
    return {d for s in re.split("[。！？\n]", answer) if _AVOIDED.search(s) for d in _DRUG.findall(s)}


def forbids(drug: str, circumstances, age: int) -> bool:
    """Whether the table forbids the drug to somebody of that age with these circumstances."""

    def applies(name: str) -> bool:
        by_age = name in CIRCUMSTANCES and CIRCUMSTANCES[name].by_age
        return CIRCUMSTANCES[name].ages[0] <= age <= CIRCUMSTANCES[name].ages[1] if by_age else name in circumstances

    return any(applies(name) for name in DRUGS[drug].avoid)


def faults(case, answers) -> list[str]:
    """Everything in the answers that this patient should not have been told about drugs."""
    found = []
    for answer in answers:
        for drug in recommended(answer):
            if forbids(drug, case.circumstances, case.age):
                found.append(f"{drug} is forbidden")
            if drug not in case.condition.drugs:
                found.append(f"{drug} is not for {case.condition.name}")
        for drug in warned_of(answer):
            if not forbids(drug, case.circumstances, case.age):
                found.append(f"{drug} is not forbidden")
    return found


_NAMES = {said: name for c in CONDITIONS.values() for name, text in c.symptoms.items() for said in options(text)}
_SAID = re.compile("|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True))))


def symptoms_in(text: str) -> list[str]:
    """Textbook names of the symptoms that a patient's words speak of, in their order."""
    return [_NAMES[said] for said in _SAID.findall(text.replace(" ", "，"))]  # some type blanks for commas
