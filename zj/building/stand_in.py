"""The clinic in the place of a language model that writes, so that every builder runs offline.

It is no language model and does not pretend to be one: its name, in every report, says "synthetic". It reads the very
prompts that a model would get, and replies by the clinic's own phrases.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zj.building.prompts import Template
from zj.clinic.phrases import say
from zj.feedback.llm.cache import key_of
from zj.feedback.llm.chat import REFUSED, ChatReply, ChatRequest, estimate_tokens
from zj.feedback.llm.clinic import clinic_digest

Fault = Callable[[ChatRequest, str], str]  # a reply with a fault put in


class StandIn:
    """A chat model of a function from requests to texts; "" is a refusal.

    noise: the share of replies that get one of the `faults` of the function, chosen by a hash of seed and request.
    """

    def __init__(self, write: Writes, noise: float = 0.0, seed: int = 0):
        self.write, self.noise, self.seed = write, noise, seed
        self.name = f"synthetic clinic {clinic_digest()} {_digest()}" + (f" noise {noise:g} {seed}" if noise else "")

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        for number, request in enumerate(requests):
            text = self.write(request)
            rng = random.Random(f"{self.seed}/fault/{key_of('', request)}")
            if text and rng.random() < self.noise:
                text = rng.choice(self.write.faults)(request, text)
            tokens = (estimate_tokens(request.messages), estimate_tokens([("assistant", text)]))
            yield number, ChatReply(text, "stop", *tokens) if text else ChatReply("", REFUSED, 0, 0)


class Writes:
    """What a stand-in replies, and the faults that noise puts into it."""

    faults: Sequence[Fault] = (lambda request, text: f"As an AI language model, I cannot help. {len(text)}",)

    def __call__(self, request: ChatRequest) -> str:
        raise NotImplementedError


@cache
def _digest() -> str:
    """Of the stand-ins' code: one that was changed gives other replies."""
    files = sorted(Path(__file__).parent.glob("stand_in*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


@dataclass
class Rewriter(Writes):
    """Puts a doctor's reply between two phrases."""

    template: Template
    drugs: Sequence[str]

    def __post_init__(self) -> None:
        self.faults = (*Writes.faults, self._adds_a_drug, self._drops_a_drug, lambda _, text: f"{text}每次服97片。")

    def __call__(self, request: ChatRequest) -> str:
        fields = self.template.read(request.messages[-1][1])
        if fields is None:
            return ""
        rng = random.Random(f"rewriter/{fields['reply']}")
        hello = say(rng, "(您好，您的情况我了解了。|感谢您的信任，先别着急。|您好，我来为您解答。)")
        return hello + fields["reply"] + say(rng, "(还有疑问可以继续问我。|有任何变化请随时告诉我。)")

    def _adds_a_drug(self, request: ChatRequest, text: str) -> str:
        drug = next((name for name in self.drugs if name not in text), "")
        return f"{text}另外可以用{drug}。"

    def _drops_a_drug(self, request: ChatRequest, text: str) -> str:
        drug = next((name for name in self.drugs if name in text), "")
        return text.replace(drug, "这种药") if drug else self._adds_a_drug(request, text)
