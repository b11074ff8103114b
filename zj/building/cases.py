"""Cases of real patients, or the clinic's: what a patient and a doctor of a written dialogue know.

    {"id": 1, "medical_case": "发病两年了…", "doctor_diagnosis": "甲营养不良", "Department": "皮肤科"}

The names are those of HuatuoGPT's published cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from zj.clinic import Case
from zj.clinic.case import patient_of
from zj.clinic.phrases import join_list
from zj.data.files import files_of
from zj.data.json_rows import json_rows
from zj.data.text import read_bytes, read_text


@dataclass(frozen=True)
class MedicalCase:
    id: str
    case: str  # for the patient alone
    diagnosis: str  # for the doctor alone
    department: str = ""
    where: str = field(default="", compare=False)


def read_cases(paths: Sequence[str]) -> list[MedicalCase]:
    """ValueError names file:line of a row without a case or a diagnosis."""
    cases: list[MedicalCase] = []
    for where, row in rows_of(paths):
        case, diagnosis = row.get("medical_case"), row.get("doctor_diagnosis")
        if not (isinstance(case, str) and isinstance(diagnosis, str) and case.strip() and diagnosis.strip()):
            raise ValueError(f"{where}: expected texts medical_case and doctor_diagnosis")
        department = row.get("department") or row.get("Department") or ""
        cases.append(MedicalCase(str(row.get("id", len(cases))), case.strip(), diagnosis.strip(), department, where))
    return cases


def rows_of(paths: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file:line", object) of files of JSON, JSON lines or an array."""
    for file in files_of(paths):
        for line, row in json_rows(read_text(file, read_bytes(file))[0], file):
            if not isinstance(row, dict):
                raise ValueError(f"{file}:{line}: {row if isinstance(row, ValueError) else 'expected an object'}")
            yield f"{file}:{line}", row


def clinic_cases(seed: int, count: int) -> tuple[list[MedicalCase], dict[str, Case]]:
    """(cases of the clinic, the patient behind the text of each)."""
    cases: list[MedicalCase] = []
    patients: dict[str, Case] = {}
    for number in range(count):
        _, patient = patient_of("dialogues", seed, number)
        case = MedicalCase(
            f"case-{number:06d}", describe(patient), patient.condition.name, patient.condition.department
        )
        cases.append(case)
        patients[case.case] = patient
    return cases, patients


def describe(patient: Case) -> str:
    """What a patient of the clinic knows of itself, in textbook names; the illness is not named."""
    lines = [
        f"患者：{patient.subject}，{patient.sex}，{patient.age}岁",
        f"症状：{join_list(list(patient.symptoms.values()))}",
        f"病程：{patient.duration}",
        *(f"{question}{answer}" for question, answer in patient.answers.items()),
        f"特殊情况：{join_list(list(patient.circumstances)) if patient.circumstances else '无'}",
        *([f"程度：{patient.severity_said}"] if patient.severity else []),
    ]
    return "\n".join(lines).replace(patient.condition.name, "这个毛病")
