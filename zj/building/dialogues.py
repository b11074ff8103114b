"""Dialogues that two language models write: a patient who knows the case, a doctor who knows the diagnosis (A.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.data.cases import MedicalCase
from zj.data.records import Dialogue
from zj.llm.chat import Message
from zj.llm.conversation import Opening, Talk, leaks_of, terms
from zj.llm.prompts import Template
from zj.train.files import to_json

UNKNOWN = "no name of the diagnosis is known, so no leak is seen"


def openings(patient: Template, doctor: Template) -> dict[str, Opening]:
    """What each model gets first: the patient its case as a user's message, the doctor the diagnosis as a system's."""

    def to_patient(case: MedicalCase) -> tuple[Message, ...]:
        return (("user", patient.fill(medical_case=case.case)),)

    def to_doctor(case: MedicalCase) -> tuple[Message, ...]:
        return (("system", doctor.fill(doctor_diagnosis=case.diagnosis)),)

    return {"patient": to_patient, "doctor": to_doctor}


def records(
    talks: Iterable[Talk], names: Iterable[str], report: StepReport, failed: Spool, drop: bool = False
) -> Iterator[Dialogue]:
    """The dialogues that ended well or at the limit. The others, and with `drop` those that leak, go to `failed`."""
    illnesses = list(names)
    for talk in talks:
        report.read += 1
        leaks = leaks_of(talk, illnesses)
        unknown = [] if terms(talk.case.diagnosis, illnesses) else [UNKNOWN]
        for reason in (f"end: {talk.ended}", *leaks, *unknown):
            report.add(reason, talk.case.where or talk.case.id, talk.case.id)
        if talk.failed or not talk.turns or (drop and leaks):
            report.removed += 1
            reply = talk.failed and {"text": talk.failed.text, "finish_reason": talk.failed.finish_reason}
            row = {"id": talk.case.id, "end": talk.ended, "leaks": leaks, "messages": talk.messages, "reply": reply}
            failed.append(to_json(row) + "\n")
        else:
            yield Dialogue(talk.case.id, talk.turns, department=talk.case.department, where=talk.case.where)
