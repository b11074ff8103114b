"""What a data set holds, counted record by record: the numbers of its card."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from zj.building.filter import parts_of
from zj.data.held_out import normalised
from zj.data.readers import texts_of
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, Record

ASKS = re.compile("[?？]")


@dataclass
class Summary:
    """Counts of the records of one kind. Lengths are in characters, by length."""

    records: int = 0
    repeats: int = 0  # records whose normalised texts an earlier record of the kind has
    turns: Counter[int] = field(default_factory=Counter)
    questions: Counter[int] = field(default_factory=Counter)  # lengths
    answers: Counter[int] = field(default_factory=Counter)  # lengths; of documents: of their texts
    asking: int = 0  # answers that ask something
    records_asking: int = 0  # records with such an answer
    departments: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    _seen: set[bytes] = field(default_factory=set)

    def add(self, record: Record, file: str) -> None:
        parts = parts_of(record)
        self.records += 1
        self.files[file] += 1
        self.turns[len(parts.questions)] += 1
        self.questions.update(map(len, parts.questions))
        answers = record.answers if isinstance(record, Ranking | Candidates) else parts.answers
        self.answers.update(map(len, answers))
        asking = sum(ASKS.search(text) is not None for text in answers)
        self.asking += asking
        self.records_asking += asking > 0
        self.departments[_department(record)] += 1
        content = "\n".join(map(normalised, texts_of(record)))
        digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self.repeats += digest in self._seen
        self._seen.add(digest)


def summarise(records: Iterable[tuple[str, Record]]) -> dict[str, Summary]:
    """The records, each with its file → a summary of each kind, in the order in which the kinds occur."""
    kinds: dict[str, Summary] = {}
    for file, record in records:
        kinds.setdefault(kind_of(record), Summary()).add(record, file)
    return kinds


def kind_of(record: Record) -> str:
    if isinstance(record, Dialogue):
        return "dialogues of one turn" if len(record.turns) == 1 else "dialogues of several turns"
    names = {Document: "documents", Prompt: "prompts", Ranking: "rankings", Candidates: "candidates"}
    return names[type(record)]


def _department(record: Record) -> str:
    if isinstance(record, Document):
        return ""
    return record.department if isinstance(record, Dialogue | Prompt) else record.prompt.department


def mean(counts: Counter[int]) -> float:
    return sum(value * number for value, number in counts.items()) / max(1, counts.total())


def share(part: int, whole: int) -> str:
    """In per cent, as it is shown."""
    return f"{part / whole:.1%}" if whole else "–"
