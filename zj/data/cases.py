"""Cases of patients: what a simulated patient knows, and the diagnosis that a doctor should reach.

    {"id": 1, "medical_case": "发病两年了…", "doctor_diagnosis": "甲营养不良", "Department": "皮肤科"}

The names are those of HuatuoGPT's published cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from zj.data.files import files_of
from zj.data.json_rows import json_rows
from zj.data.text import read_bytes, read_text


@dataclass(frozen=True)
class MedicalCase:
    id: str
    case: str  # for the patient alone
    diagnosis: str  # never for the patient
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
