"""The clinic's patient and a doctor who knows the case, in the place of the two models of a written dialogue."""

from __future__ import annotations

from collections.abc import Mapping

from zj.clinic import Case
from zj.llm import ChatRequest
from zj.llm.clinic import CaseDoctor, ClinicPatient, ClinicRole


class TwoRoles(ClinicRole):
    """Patient and doctor of the clinic's cases."""

    def __init__(self, patients: Mapping[str, Case]):
        """patients: text of a case → the patient."""
        self.patients, self.patient, self.doctor = patients, ClinicPatient(patients), CaseDoctor(patients)
        self.faults = (*ClinicRole.faults, self._leaks)

    def __call__(self, request: ChatRequest) -> str:
        return (self.patient if request.messages[0][0] == "user" else self.doctor)(request)

    def _leaks(self, request: ChatRequest, text: str) -> str:
        """The patient names its illness; a doctor begins with the diagnosis."""
        prompt = request.messages[0][1]
        patient = next((case for known, case in self.patients.items() if known in prompt), None)
        case = patient or self.doctor.case_of(request)
        return f"是不是{case.condition.name}？{text}" if case else text
