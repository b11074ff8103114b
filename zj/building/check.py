"""Statements of answers against a knowledge graph: a drug recommended for an illness that the graph does not know it
for, or to a patient who must not take it.

What counts as a statement is a stated rule, not understanding (words: `check.toml`):
- A drug is recommended where its clause (between commas) has a word such as 用 or 服 and none such as 不要 or 禁用, and
  the sentence is no question.
- It is for the illnesses of its sentence, else for those that the record has named so far, patient or doctor.
- A patient has the illnesses and circumstances of their messages, except in clauses with 没, 无 and the like.
A drug without uses in the graph, or a record that names no illness, gives no finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from zj.building.filter import parts_of
from zj.building.graph import Graph, Triple, words
from zj.building.report import StepReport, row_with
from zj.building.spool import Spool
from zj.data.records import Dialogue, Document, Prompt, Record, Turn

SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n]?")
WHOLE = re.compile("患者|病人|者|禁|、|和|及|与|或|的|时|等|$")  # behind an illness in a contraindication: not 哮喘危象
BORDER = re.compile(r"[，,。！？!?；;：:\s]")


@dataclass(frozen=True)
class Finding:
    """A recommendation that the graph speaks against, or does not know."""

    finding: Literal["contraindicated", "unknown use"]
    turn: int  # counted from 1
    drug: str
    condition: str  # the patient's illness or circumstance
    triple: Triple | None  # the contraindication; None: there is no triple of the drug and the illness
    sentence: str


@dataclass(frozen=True)
class _Mention:
    name: str
    kinds: set[str]
    before: str  # of its clause
    after: str  # of its clause

    def has(self, found: list[str]) -> bool:
        """Whether the rest of the clause has one of these words."""
        return any(word in self.before or word in self.after for word in found)


class Checker:
    """Reads records by the names of a graph. ValueError if ahocorasick-rs is not installed."""

    def __init__(self, graph: Graph) -> None:
        try:
            from ahocorasick_rs import AhoCorasick, MatchKind
        except ImportError:
            raise ValueError("mentions need ahocorasick-rs: pip install 'zj[data]'") from None
        self.graph, self.names = graph, list(graph.names)
        self.automaton = AhoCorasick(self.names, matchkind=MatchKind.LeftmostLongest)

    def findings(self, turns: Iterable[Turn]) -> list[Finding]:
        """The findings of a conversation, each drug and condition once."""
        named: list[str] = []  # illnesses, the latest last
        patient: set[str] = set()  # illnesses and circumstances
        found: dict[tuple[str, str], Finding] = {}
        for number, (user, answer) in enumerate(turns, 1):
            for mention in self._mentions(user):
                if not mention.has(words()["patient"]["negation"]):
                    patient |= self._conditions(mention)
                    named += [mention.name] if "illness" in mention.kinds else []
            sentences = [(sentence, list(self._mentions(sentence))) for sentence in SENTENCE.findall(answer)]
            named += [m.name for _, mentions in sentences for m in mentions if self._is_target(m)]
            for sentence, mentions in sentences:
                targets = [m.name for m in mentions if self._is_target(m)] or named
                for drug in (m.name for m in mentions if self._is_recommended(m, sentence)):
                    for finding in self._judge(drug, targets, patient, number, sentence.strip()):
                        found.setdefault((drug, finding.condition), finding)
        return list(found.values())

    def _judge(self, drug: str, targets: list[str], patient: set[str], turn: int, sentence: str) -> Iterator[Finding]:
        uses = self.graph.uses(drug)
        ill = patient.union(*(self.graph.entities(target, "illness") for target in targets))
        for triple in self.graph.against(drug):
            both = [name for name in sorted(ill & self._forbidden(triple[2])) if not self._is_known(uses, name)]
            if both:
                yield Finding("contraindicated", turn, drug, both[0], triple, sentence)
                return
        if uses and targets and not any(self._is_known(uses, target) for target in targets):
            yield Finding("unknown use", turn, drug, targets[-1], None, sentence)

    def _is_known(self, uses: tuple[Triple, ...], illness: str) -> bool:
        """Whether one of the uses is the illness: by a name of it, or as a part of the other's name."""
        names = {illness, *self.graph.entities(illness, "illness")}
        of_drug = words()["graph"]["uses"]
        for subject, relation, object_ in uses:
            use = object_ if relation in of_drug else subject
            for known in {use, *self.graph.entities(use, "illness")}:
                if any(known in name or name in known for name in names):
                    return True
        return False

    def _forbidden(self, text: str) -> set[str]:
        """The illnesses and circumstances that a contraindication names; none if it only asks for caution."""
        if "慎用" in text and "禁" not in text:
            return set()
        named: set[str] = set()
        for mention in self._mentions(text):
            part = any(word in mention.before for word in ("并发", "合并", "过敏"))
            illness = WHOLE.match(mention.after) and not part and "过敏" not in mention.name
            named |= self._conditions(mention) if illness or "circumstance" in mention.kinds else set()
        circumstances = words()["circumstances"]
        return named | {name for name in circumstances if any(word in text for word in (name, *circumstances[name]))}

    def _conditions(self, mention: _Mention) -> set[str]:
        entities = self.graph.entities
        return {*entities(mention.name, "illness"), *entities(mention.name, "circumstance")}

    def _mentions(self, text: str) -> Iterator[_Mention]:
        for index, start, end in self.automaton.find_matches_as_indexes(text):
            begin = max((m.end() for m in BORDER.finditer(text, 0, start)), default=0)
            border = BORDER.search(text, end)
            before, after = text[begin:start], text[end : border.start() if border else len(text)]
            name = self.names[index]
            yield _Mention(name, self.graph.names[name], before, after)

    @staticmethod
    def _is_target(mention: _Mention) -> bool:
        """Whether an illness in an answer may be what a drug is for."""
        rules = words()["answer"]
        behind_effect = any(word in mention.before for word in rules["effect"])
        return "illness" in mention.kinds and not behind_effect and not mention.has(rules["negation"])

    @staticmethod
    def _is_recommended(mention: _Mention, sentence: str) -> bool:
        rules = words()["answer"]
        asks = sentence.rstrip().endswith(("？", "?"))
        clear = mention.has(rules["recommend"]) and not mention.has(rules["negation"])
        return mention.kinds == {"drug"} and clear and not asks


def conversations(record: Record) -> Iterator[tuple[Turn, ...]]:
    """The conversations of a record: of a prompt with K answers K of them, of a ranking those to the best answers."""
    if isinstance(record, Document):
        yield (("", record.text),)
    elif isinstance(record, Dialogue):
        yield record.turns
    elif isinstance(record, Prompt):
        yield record.history
    else:
        answers = parts_of(record).answers
        yield from ((*record.prompt.history, (record.prompt.user, answer)) for answer in answers)


def check(
    records: Iterable[Record], report: StepReport, checker: Checker, flagged: Spool, remove: bool = False
) -> Iterator[Record]:
    """The records, all or without those with a finding; these go to `flagged`, with their findings."""
    for record in records:
        report.read += 1
        findings = [finding for turns in conversations(record) for finding in checker.findings(turns)]
        for kind in dict.fromkeys(finding.finding for finding in findings):
            report.add(kind, record.where, record.id)
        if findings:
            flagged.append(row_with(record, check=[asdict(finding) for finding in findings]))
            report.removed += remove
        if not (findings and remove):
            yield record
