"""The synthetic clinic as a chat model: it reads the very prompts that a language model would be given.

Its judge knows the truth, so what AI feedback makes of it can be compared with the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import zj.clinic
from zj.clinic import Case, Patient, Question, judge
from zj.feedback.ai.prompt import TEMPLATES, Language, ratings_in_form, read, render
from zj.feedback.llm.cache import key_of
from zj.feedback.llm.chat import REFUSED, ChatReply, ChatRequest, estimate_tokens

SHARED = ("history", "query", "doctor_response")  # texts of the judge's prompt that both answers share


class ClinicModel:
    """Gold judge, doctor and patient; a request to none of them is refused.

    The judge rates two answers by their gold scores: 1 + 9 × score, and two decimals keep all scores apart. The doctor
    answers a conversation with a known question by the clinic's reference. The patient speaks as the assistant of a
    conversation whose first message has the text of its case, and ends with 再见 (HuatuoGPT, appendix A.3).

    questions: those that judge and doctor know; the text of a prompt says which of them it is about. cases: text of a
    case → the case. noise: the share of verdicts that are put wrong on purpose, by a hash of seed and request: the two
    ratings are exchanged, so a tie stays one.
    """

    def __init__(
        self,
        questions: Iterable[Question],
        noise: float = 0.0,
        seed: int = 0,
        cases: Mapping[str, Case] = MappingProxyType({}),
    ):
        self.noise, self.seed, self.cases = noise, seed, cases
        self.name = f"clinic {clinic_digest()}" + (f" noise {noise:g} seed {seed}" if noise else "")
        known = list(questions)
        self.by_prompt = {_key(language, question): question for question in known for language in TEMPLATES}
        self.answers = {(q.prompt.history, q.prompt.user): q.reference for q in known}

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        for number, request in enumerate(requests):
            text = self._rate(request) or self._answer(request) or self._speak(request)
            tokens = (estimate_tokens(request.messages), estimate_tokens([("assistant", text)]))
            yield number, ChatReply(text, "stop", *tokens) if text else ChatReply("", REFUSED, 0, 0)

    def _rate(self, request: ChatRequest) -> str:
        prompt = read(request.messages[-1][1])
        if prompt is None:
            return ""
        language, texts = prompt
        question = self.by_prompt.get(tuple(texts[name] for name in SHARED))
        if question is None:
            return ""
        first, second = (1 + 9 * judge(question, texts[name]).score for name in ("response_a", "response_b"))
        if self._is_wrong(request):
            first, second = second, first
        return ratings_in_form(language, {"A": first, "B": second})

    def _is_wrong(self, request: ChatRequest) -> bool:
        digest = hashlib.sha256(f"{self.seed}/{key_of('', request)}".encode()).digest()
        return int.from_bytes(digest[:8]) / 2**64 < self.noise

    def _answer(self, request: ChatRequest) -> str:
        turns = [text for role, text in request.messages if role != "system"]
        history = tuple(zip(turns[:-1:2], turns[1::2], strict=False))
        return self.answers.get((history, turns[-1]), "") if len(turns) % 2 else ""

    def _speak(self, request: ChatRequest) -> str:
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


def _key(language: Language, question: Question) -> tuple[str, ...]:
    """The texts by which a rendered prompt shows its question; the reference tells patients apart who say the same."""
    rendered = read(render(language, question.prompt, question.reference, "", ""))
    assert rendered is not None, f"{question.prompt.id}: its prompt is not read back"
    return tuple(rendered[1][name] for name in SHARED)


@cache
def clinic_digest() -> str:
    """Of the clinic's facts and code: a clinic that was changed gives other replies, and needs another name."""
    folder = Path(zj.clinic.__file__).parent
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".toml"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
