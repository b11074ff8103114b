"""scripts/evaluate.py patient: conversations of a doctor model with simulated patients, and what they show."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

from zj import NOTICE
from zj.cli import already_there, check_range
from zj.clinic import Case
from zj.data.cases import MedicalCase, read_cases
from zj.data.records import Dialogue, Prompt, as_json
from zj.eval.answer_file import AnswerRow, lines_of
from zj.eval.patient.cases import constant_doctor, exam_cases, read_illnesses
from zj.eval.patient.outcome import Outcome, outcome_of
from zj.eval.patient.report import compare, summarise, tables
from zj.eval.tables import as_rows
from zj.llm import ChatReply
from zj.llm.chat import REFUSED, Message
from zj.llm.client import ChatClient, ChatConfig
from zj.llm.clinic import CaseDoctor, ClinicPatient
from zj.llm.conversation import PATIENT_PROMPT, Speaker, Talk, converse
from zj.train.files import to_json, write_text

SPEAKERS = ("患者", "医生")
_SPEAKER = re.compile(rf"^\W*({'|'.join(SPEAKERS)})\W*[:：]\W*", re.MULTILINE)


@dataclass(frozen=True)
class PatientConfig(ChatConfig):
    ROLE: ClassVar[str] = "doctor"

    doctor: str = ""  # who is examined: a model or adapter directory, endpoint, or clinic (a doctor who knows the case)
    doctor_model: str = ""  # name of the endpoint's model that is the doctor
    system: str = ""  # system message of the doctor (none: no message)
    patient: str = "clinic"  # who is the patient: clinic (of its own cases), endpoint, or a model directory
    patient_model: str = ""  # name of the endpoint's model that is the patient
    data: tuple[str, ...] = ()  # files of cases, {"medical_case": …, "doctor_diagnosis": …} (none: the clinic's)
    about: tuple[str, ...] = ()  # departments of the clinic's cases (none: all)
    count: int = 100  # number of cases: of the clinic, or the first of --data (0: all)
    illnesses: str = ""  # text file of names of illnesses, one a line (none: the clinic's)
    turns: int = 8  # most answers of the doctor
    max_tokens: int = 200  # of the longest message; one that is cut off there is used as it is
    against: str = ""  # directory of an earlier result on the same cases, to compare with case by case
    out: str = ""  # directory of the results; one that has report.json is kept

    def __post_init__(self) -> None:
        for flag in ("doctor", "out"):
            if not getattr(self, flag):
                raise ValueError(f"--{flag} is missing")
        super().__post_init__()
        as_patient(self)
        check_range(self, "turns", 1)
        check_range(self, "count", 0 if self.data else 1)
        if (self.patient == "clinic") == bool(self.data):
            raise ValueError(f"--patient {self.patient}: --data is for every patient but the clinic, which has its own")
        if self.doctor == "clinic" and self.data:
            raise ValueError("--doctor clinic: knows the clinic's cases alone; leave --data out")
        if self.about and self.data:
            raise ValueError("--about: of the clinic's cases; leave --data out")


@dataclass(frozen=True)
class SimulatedPatient(ChatConfig):
    """The patient's flags: those of the command, without what is the doctor's alone."""

    ROLE: ClassVar[str] = "patient"

    patient: str = "clinic"
    patient_model: str = ""


def as_patient(config: PatientConfig) -> SimulatedPatient:
    own = {"base": "", "template": "", "noise": 0.0}  # the doctor's
    shared = {field.name: getattr(config, field.name) for field in fields(SimulatedPatient)}
    return SimulatedPatient(**shared | own)


def examine(config: PatientConfig) -> None:
    out = Path(config.out)
    if already_there(out / "report.json", "examine"):
        return
    cases, patients = cases_of(config)
    illnesses = read_illnesses(config.illnesses)
    earlier = read_outcomes(config.against, [case.id for case in cases]) if config.against else {}
    out.mkdir(parents=True, exist_ok=True)
    doctor = ChatClient(config, out / "replies.sqlite", CaseDoctor(patients), dry_text="…")
    patient = ChatClient(as_patient(config), out / "replies.sqlite", ClinicPatient(patients), dry_text="…")
    doctor.shares_budget_with(patient)
    talks = converse(cases, speakers_of(config, doctor, patient), config.turns, trouble, config.seed)
    if doctor.dry_run and patient.dry_run:
        print(doctor.dry_run.summary(), patient.dry_run.summary(), NOTICE, sep="\n")
        return
    outcomes = {talk.case.id: outcome_of(talk, illnesses, patients.get(talk.case.case)) for talk in talks}
    constant, share = constant_doctor(cases, illnesses)
    summary = summarise(list(outcomes.values()), [case.department for case in cases])
    report = {
        "doctor": doctor.facts(),
        "patient": patient.facts(),
        "settings": asdict(config),
        "cases": len(cases),
        "table": summary,
        "constant": {"name": constant, "diagnosis": share},
        "ended": {end: sum(talk.ended == end for talk in talks) for end in sorted({talk.ended for talk in talks})},
        "against": compare(outcomes, earlier) if earlier else {},
        "outcomes": {id: asdict(outcome) for id, outcome in outcomes.items()},
        "notice": NOTICE,
    }
    report["tables"] = as_rows(tables(report))
    write_text(out / "dialogues.jsonl", (to_json(row_of(talk)) + "\n" for talk in talks if talk.turns))
    write_text(out / "answers.jsonl", lines_of(map(answer_row, talks, [doctor.model.name] * len(talks))))
    write_text(out / "report.json", to_json(report, indent=1) + "\n")
    print(f"{len(cases):,} cases", *tables(report), sep="\n\n")
    print(doctor, patient, f"{out / 'dialogues.jsonl'}: every conversation", NOTICE, sep="\n")


def cases_of(config: PatientConfig) -> tuple[list[MedicalCase], dict[str, Case]]:
    """ValueError if two cases have one id: their results could not be told apart."""
    if not config.data:
        return exam_cases(config.seed, config.count, config.about)
    cases = read_cases(config.data)[: config.count or None]
    first: dict[str, MedicalCase] = {}
    for case in cases:
        if first.setdefault(case.id, case) is not case:
            raise ValueError(f"{case.where}: id {case.id} occurs again, expected one id a case")
    return cases, {}


def speakers_of(config: PatientConfig, doctor: ChatClient, patient: ChatClient) -> dict[str, Speaker]:
    """The doctor gets nothing but the conversation, the patient its case in HuatuoGPT's prompt."""

    def to_patient(case: MedicalCase) -> tuple[Message, ...]:
        return (("user", PATIENT_PROMPT.fill(medical_case=case.case)),)

    def to_doctor(case: MedicalCase) -> tuple[Message, ...]:
        return (("system", config.system),) if config.system else ()

    return {
        "patient": Speaker(patient.ask, patient.request(), to_patient),
        "doctor": Speaker(doctor.ask, doctor.request(), to_doctor),
    }


def trouble(reply: ChatReply) -> str:
    """Why a reply ends the conversation. One that is cut off is what the model says."""
    if reply.finish_reason == REFUSED:
        return "no reply, or no room for one"
    return "" if reply.text.strip() else "empty"


def row_of(talk: Talk) -> dict[str, object]:
    """A conversation as a record that every reader of dialogues takes."""
    return as_json(Dialogue(talk.case.id, talk.turns, department=talk.case.department)) | {"ended": talk.ended}


def answer_row(talk: Talk, model: str) -> AnswerRow:
    """A conversation as one answer, for judges of answers: the case is the question, the diagnosis the reference.

    A speaker in front of a line of a message is put in quotation marks: no doctor speaks for its patient.
    """
    lines = (_SPEAKER.sub(r"“\1：”", message) for message in talk.messages)
    text = "\n".join(f"{SPEAKERS[n % 2]}：{message}" for n, message in enumerate(lines))
    prompt = Prompt(talk.case.id, talk.case.case, department=talk.case.department)
    return AnswerRow(prompt, talk.case.id, talk.case.diagnosis, model, text, talk.ended)


def read_outcomes(folder: str, ids: Sequence[str]) -> dict[str, Outcome]:
    """The outcomes of an earlier result, in the order of `ids`. ValueError names --against."""
    file = Path(folder) / "report.json"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["outcomes"]
        outcomes = {id: Outcome(**row) for id, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--against {folder}: expected the directory of an earlier result ({error})") from None
    if set(outcomes) != set(ids):
        raise ValueError(f"--against {folder}: its cases are others than these ({len(outcomes)} and {len(ids)})")
    return {id: outcomes[id] for id in ids}
