"""The patients of an examination: the clinic's held-out ones, or cases of a file; and names of illnesses."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from zj.clinic import CONDITIONS, Case, Patient, draw_case
from zj.clinic.facts import IN_DIALOGUES
from zj.clinic.held_out import is_exam_only
from zj.data.cases import MedicalCase
from zj.data.text import read_bytes, read_text
from zj.llm.clinic import describe
from zj.llm.conversation import samples, terms


def exam_cases(seed: int, count: int, about: Sequence[str] = ()) -> tuple[list[MedicalCase], dict[str, Case]]:
    """(cases of the clinic whose first messages are in no training file, the patient behind the text of each).

    about: departments (none: all). ValueError if the clinic has no such department.
    """
    departments = {condition.department for condition in IN_DIALOGUES}
    if unknown := [name for name in about if name not in departments]:
        raise ValueError(f"--about {unknown[0]}: expected one of {' '.join(sorted(departments))}")
    pool = [condition for condition in IN_DIALOGUES if not about or condition.department in about]
    cases: list[MedicalCase] = []
    patients: dict[str, Case] = {}
    for number in itertools.count():
        rng = random.Random(f"{seed}/patient of the examination/{number}")
        patient = draw_case(rng, rng.choice(pool))
        condition = patient.condition
        case = MedicalCase(f"patient-{seed}-{number:06d}", describe(patient), condition.name, condition.department)
        if case.case not in patients and is_exam_only(Patient(patient, samples([case], seed)[0]).opening()):
            cases.append(case)
            patients[case.case] = patient
        if len(cases) == count:
            return cases, patients
    raise AssertionError("count has no end")


def read_illnesses(file: str) -> list[str]:
    """Names of a text file, one a line; "": the clinic's. Those of one character are left out: they are in any text."""
    if not file:
        return list(CONDITIONS)
    lines = read_text(Path(file), read_bytes(Path(file)))[0].split("\n")
    names = [name for line in lines if len(name := line.strip()) > 1]
    if not names:
        raise ValueError(f"--illnesses {file}: found no name, expected one a line")
    return list(dict.fromkeys(names))


def constant_doctor(cases: Iterable[MedicalCase], illnesses: Sequence[str]) -> tuple[str, float]:
    """(the name that is right most often, the share of the cases): what a doctor gets who asks nothing.

    It is chosen on the very cases of the examination, which favours this doctor.
    """
    names_of = [names for case in cases if (names := terms(case.diagnosis, illnesses))]
    counts = Counter(name for names in names_of for name in names)
    if not counts:
        return "", 0.0
    name, number = counts.most_common(1)[0]
    return name, number / len(names_of)
