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
from zj.clinic import Case, Patient, Question
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
