"""The clinic's patient and a doctor who knows the case, in the place of the two models of a written dialogue."""

from __future__ import annotations

import random
from collections.abc import Mapping

from zj.clinic import Case, Patient, doctor
from zj.llm import ChatRequest
from zj.llm.clinic import ClinicPatient, ClinicRole


class TwoRoles(ClinicRole):
    """Patient and doctor of the clinic's cases. The doctor finds its case by the patient's first message."""

    def __init__(self, patients: Mapping[str, Case]):
        """patients: text of a case → the patient."""
        self.patient = ClinicPatient(patients)
        self.patients = patients
        self.faults = (*ClinicRole.faults, self._leaks)

    def __call__(self, request: ChatRequest) -> str:
        if request.messages[0][0] == "user":
            return self.patient(request)
        case = self._case_of(request)
        return "" if case is None else _doctor(case, sum(role == "user" for role, _ in request.messages))

    def _case_of(self, request: ChatRequest) -> Case | None:
        opening = request.messages[1][1]
        same = (case for case in self.patients.values() if case.condition.name in request.messages[0][1])
        return next((case for case in same if opening.endswith(Patient(case, request.sample).opening())), None)

    def _leaks(self, request: ChatRequest, text: str) -> str:
        """The patient names its illness; a doctor begins with the diagnosis."""
        prompt = request.messages[0][1]
        patient = next((case for known, case in self.patients.items() if known in prompt), None)
        case = patient or self._case_of(request)
        return f"是不是{case.condition.name}？{text}" if case else text


def _doctor(case: Case, turn: int) -> str:
    """The answer to the patient's message number `turn`: questions first, then diagnosis, drugs and advice."""
    rng = random.Random(f"doctor/{turn}/{case}")
    acts = {
        1: lambda: doctor.greet(rng, case) + doctor.ask(rng, list(case.answers)[:2]) + doctor.ask_more(rng, True),
        2: lambda: doctor.acknowledge(rng) + doctor.ask_profile(rng, case) + doctor.ask_history(rng, case, False),
        3: lambda: doctor.diagnose(rng, case, list(case.symptoms)) + doctor.advise_tests(rng, case),
        4: lambda: doctor.advise_drug(rng, case) + doctor.advise_treatment(rng, case),
        5: lambda: doctor.advise_care(rng, case) + doctor.warn(rng, case),
    }
    return acts[turn]() if turn in acts else doctor.close(rng, case, thanked=True)
