"""The clinic in the place of a language model that rewrites doctors' replies, by the clinic's own phrases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from zj.clinic.phrases import say
from zj.llm import ChatRequest
from zj.llm.clinic import ClinicRole
from zj.llm.prompts import Template


@dataclass
class Rewriter(ClinicRole):
    """Puts a doctor's reply between two phrases."""

    template: Template
    drugs: Sequence[str]

    def __post_init__(self) -> None:
        self.faults = (*ClinicRole.faults, self._adds_a_drug, self._drops_a_drug, lambda _, text: f"{text}每次服97片。")

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
