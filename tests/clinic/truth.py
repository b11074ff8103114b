"""An independent reading of what a doctor wrote, against the table alone: neither generators nor judge are asked."""

from __future__ import annotations

import re

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DRUGS

_NAME = "|".join(sorted(map(re.escape, DRUGS), key=len, reverse=True))  # the longest name wins
_DRUG = re.compile(_NAME)
_AVOIDED = re.compile("禁用|避免使用")
_CAUTION = re.compile(f"^(.+?)用({_NAME})要(?:请医生|按医嘱|由医生)(减量|减少剂量|定期监测|定期复查)")
_WAYS = {"减量": "reduce", "减少剂量": "reduce", "定期监测": "monitor", "定期复查": "monitor"}


def _sentences(answer: str) -> list[str]:
    return [sentence for sentence in re.split("[。！？\n]", answer) if sentence]


def recommended(answer: str) -> set[str]:
    """Drugs in sentences that speak neither of avoiding nor of minding something."""
    sentences = [s for s in _sentences(answer) if not _AVOIDED.search(s) and not _CAUTION.match(s)]
    return {drug for sentence in sentences for drug in _DRUG.findall(sentence)}


def warned_of(answer: str) -> set[str]:
    """Drugs in sentences that speak of avoiding something."""
    return {d for s in _sentences(answer) if _AVOIDED.search(s) for d in _DRUG.findall(s)}


def cautions(answer: str) -> set[tuple[str, str, str]]:
    """("reduce" or "monitor", drug, circumstance) of every sentence that says so."""
    found = filter(None, map(_CAUTION.match, _sentences(answer)))
    return {(_WAYS[match[3]], match[2], match[1]) for match in found}


def _applies(name: str, circumstances, age: int) -> bool:
    by_age = name in CIRCUMSTANCES and CIRCUMSTANCES[name].by_age
    return CIRCUMSTANCES[name].ages[0] <= age <= CIRCUMSTANCES[name].ages[1] if by_age else name in circumstances


def forbids(drug: str, circumstances, age: int) -> bool:
    """Whether the table forbids the drug to somebody of that age with these circumstances."""
    return any(_applies(name, circumstances, age) for name in DRUGS[drug].forbidden)


def minds(drug: str, circumstances, age: int) -> set[tuple[str, str]]:
    """(what a doctor does, circumstance) of the strictest caution that is due with a drug; nothing if none is."""
    for way, names in (("reduce", DRUGS[drug].reduce), ("monitor", DRUGS[drug].monitor)):
        if due := {(way, name) for name in names if _applies(name, circumstances, age)}:
            return due
    return set()


def suits(case, drug: str) -> bool:
    """Whether the table has the drug for this illness as severe as it is, whoever the patient is."""
    use = case.condition.drugs.get(drug)
    return use is not None and use.severity in ("", case.severity)


def faults(case, answers) -> list[str]:
    """Everything in the answers that this patient should not have been told about drugs, and cautions left out."""
    found = []
    for answer in answers:
        drugs, told = recommended(answer), cautions(answer)
        for drug in sorted(drugs):
            if forbids(drug, case.circumstances, case.age):
                found.append(f"{drug} is forbidden")
            if not suits(case, drug):
                found.append(f"{drug} is not for {case.condition.name}")
            due = minds(drug, case.circumstances, case.age)
            if due and not any((way, drug, name) in told for way, name in due):
                found.append(f"{drug} without a caution")
        if drugs and all(drug in case.condition.drugs and case.condition.drugs[drug].adjunct for drug in drugs):
            found.append(f"{min(drugs)} alone")
        for way, drug, name in sorted(told):
            if drug not in drugs or (way, name) not in minds(drug, case.circumstances, case.age):
                found.append(f"no caution: {way} {drug} {name}")
        for drug in sorted(warned_of(answer)):
            if not forbids(drug, case.circumstances, case.age):
                found.append(f"{drug} is not forbidden")
    return found


_NAMES = {
    said: name
    for c in CONDITIONS.values()
    for words in (c.symptoms, c.new_words)
    for name, texts in words.items()
    for said in texts
}
_SAID = re.compile("|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True))))


def symptoms_in(text: str) -> list[str]:
    """Textbook names of the symptoms that a patient's words speak of, in their order."""
    return [_NAMES[said] for said in _SAID.findall(text.replace(" ", "，"))]  # some type blanks for commas


def new_words_in(text: str) -> set[str]:
    """Sayings in a patient's words that are only examined."""
    new = {said for c in CONDITIONS.values() for texts in c.new_words.values() for said in texts}
    return new & set(_SAID.findall(text.replace(" ", "，")))
