"""The synthetic clinic in the place of a language model, so that every command runs offline.

It is no language model and does not pretend to be one: its name, in every report, says "synthetic". It reads the very
prompts that a model would get. A role of the clinic replies to them: a doctor, a patient, a judge, a writer.
"""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import zj.clinic
from zj.clinic import Case, Patient, Question, doctor
from zj.clinic.case import patient_of
from zj.clinic.phrases import join_list
from zj.data.cases import MedicalCase
from zj.llm.cache import key_of
from zj.llm.chat import REFUSED, ChatReply, ChatRequest, estimate_tokens

Fault = Callable[[ChatRequest, str], str]  # a reply with a fault put in


class ClinicRole:
    """What the clinic replies in one role, and the faults that noise puts into it."""

    faults: Sequence[Fault] = (lambda request, text: f"As an AI language model, I cannot help. {len(text)}",)

    def __call__(self, request: ChatRequest) -> str:
        """The reply; "" refuses a request that is not of this role."""
        raise NotImplementedError


class ClinicModel:
    """A chat model of one role.

    noise: the share of replies that get one of the role's faults, chosen by a hash of seed and request.
    """

    def __init__(self, role: ClinicRole, noise: float = 0.0, seed: int = 0):
        self.role, self.noise, self.seed = role, noise, seed
        with_noise = f" noise {noise:g} {seed}" if noise else ""
        self.name = f"synthetic clinic {clinic_digest()} {_digest(role)}{with_noise}"

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        for number, request in enumerate(requests):
            text = self.role(request)
            rng = random.Random(f"{self.seed}/fault/{key_of('', request)}")
            if text and rng.random() < self.noise:
                text = rng.choice(self.role.faults)(request, text)
            tokens = (estimate_tokens(request.messages), estimate_tokens([("assistant", text)]))
            yield number, ChatReply(text, "stop", *tokens) if text else ChatReply("", REFUSED, 0, 0)


class ClinicDoctor(ClinicRole):
    """Answers a conversation with a known question by the clinic's reference."""

    def __init__(self, questions: Iterable[Question]):
        self.answers = {(q.prompt.history, q.prompt.user): q.reference for q in questions}

    def __call__(self, request: ChatRequest) -> str:
        turns = [text for role, text in request.messages if role != "system"]
        history = tuple(zip(turns[:-1:2], turns[1::2], strict=False))
        return self.answers.get((history, turns[-1]), "") if len(turns) % 2 else ""


class ClinicPatient(ClinicRole):
    """Speaks as the assistant of a conversation whose first message has the text of its case; ends with 再见.

    HuatuoGPT, appendix A.3. cases: text of a case → the case.
    """

    def __init__(self, cases: Mapping[str, Case]):
        self.cases = cases

    def __call__(self, request: ChatRequest) -> str:
        """The patient's next message; its earlier ones follow from the doctor's messages."""
        case = next((case for text, case in self.cases.items() if text in request.messages[0][1]), None)
        if case is None:
            return ""
        patient = Patient(case, request.sample)
        message = patient.opening()
        for role, text in request.messages[1:]:
            if role == "user":
                message = patient.reply(text)
        thanks = not patient.pending and "谢" in message and "？" not in message
        return f"{message}再见。" if thanks else message


class CaseDoctor(ClinicRole):
    """A doctor who knows the hidden case of each patient: it finds the case by the patient's first message.

    patients: text of a case → the case. A system message that names the illness tells patients apart who begin alike.
    """

    def __init__(self, patients: Mapping[str, Case]):
        self.patients = patients
        self.known: dict[tuple[str, str, int], Case | None] = {}

    def __call__(self, request: ChatRequest) -> str:
        case = self.case_of(request)
        return "" if case is None else _answer(case, sum(role == "user" for role, _ in request.messages))

    def case_of(self, request: ChatRequest) -> Case | None:
        system = request.messages[0][1] if request.messages[0][0] == "system" else ""
        opening = next((text for role, text in request.messages if role == "user"), "")
        key = (system, opening, request.sample)
        if key not in self.known:
            same = (case for case in self.patients.values() if not system or case.condition.name in system)
            begins = (case for case in same if opening.endswith(Patient(case, request.sample).opening()))
            self.known[key] = next(begins, None)
        return self.known[key]


def _answer(case: Case, turn: int) -> str:
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


@cache
def clinic_digest() -> str:
    """Of the clinic's facts and code: a clinic that was changed gives other replies, and needs another name."""
    folder = Path(zj.clinic.__file__).parent
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".toml"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _digest(role: ClinicRole) -> str:
    """Of the code of a role and of this file."""
    files = [Path(inspect.getfile(type(role))), Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
