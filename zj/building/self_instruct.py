"""Instructions from seeds by a language model: role, instruction, input, and then an answer (HuatuoGPT, appendix A.1).

Each request shows some seeds and wants a list of new triples. A triple of another form is never guessed at. One whose
instruction is near that of a seed or of an earlier one is dropped: ROUGE-L of 0.7 or more, as in self-instruct (Wang et
al. 2022), of characters, as Chinese has no spaces. With `of` "question", instruction and input are one text,
so an instruction may come again with another input.
"""

from __future__ import annotations

import random
import re
import tomllib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.building.writer import trouble
from zj.data.cases import rows_of
from zj.data.held_out import normalised
from zj.data.records import Dialogue
from zj.llm import ChatReply, ChatRequest
from zj.llm.chat import Ask
from zj.llm.prompts import Template
from zj.train.files import to_json

Of = Literal["instruction", "question"]
SEEDS = Path(__file__).with_name("self_instruct.toml")
NEAR = 0.7  # ROUGE-L
BORDER, NOTHING = "###", "无"
TRIPLE = re.compile(
    r"(?:\d+[.、]\s*)?角色：(?P<role>[^\n]*)\n指令：(?P<instruction>[^\n]+)\n输入：(?P<input>.*)", re.DOTALL
)
LABEL = re.compile("^(?:角色|指令|输入)：", re.MULTILINE)
POINTER = re.compile(r"(?:https?://|www\.)\S+|[\w-]+\.(?:pdf|docx?|txt|jpe?g|png|xlsx?)")  # a link or a file name alone


@dataclass(frozen=True)
class Triple:
    role: str  # "" is nobody
    instruction: str
    input: str  # "" is none

    def __str__(self) -> str:
        """In the form that the prompt wants."""
        return f"角色：{self.role or NOTHING}\n指令：{self.instruction}\n输入：{self.input or NOTHING}"

    @property
    def question(self) -> str:
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


class Kept:
    """Triples that a new one is compared with: those alone that share enough characters for an ROUGE-L of NEAR."""

    def __init__(self, of: Of = "instruction") -> None:
        self.of, self.texts = of, list[str]()
        self.lengths = array("q")
        self.having: dict[tuple[str, int], array[int]] = {}  # (character, its number in a text) -> numbers of texts

    def near(self, triple: Triple) -> str:
        """A text that is near, or ""; if there is none, the new one is kept."""
        text = normalised(triple.instruction if self.of == "instruction" else triple.question)
        marks = [(character, text.count(character, 0, at)) for at, character in enumerate(text)]
        candidates = (self.texts[number] for number in self._candidates(marks))
        repeated = next((other for other in candidates if rouge_l(text, other) >= NEAR), "")
        if not repeated:
            for mark in marks:
                self.having.setdefault(mark, array("q")).append(len(self.texts))
            self.texts.append(text)
            self.lengths.append(len(text))
        return repeated

    def _candidates(self, marks: Sequence[tuple[str, int]]) -> list[int]:
        """Texts that share so many characters with another that their common subsequence may be long enough."""
        having = [np.array(self.having[mark]) for mark in marks if mark in self.having]
        if not having:
            return []
        shared = np.bincount(np.concatenate(having), minlength=len(self.texts))
        return np.flatnonzero(2 * shared >= NEAR * (len(marks) + np.array(self.lengths))).tolist()


def read_seeds(paths: Sequence[str] = ()) -> list[Triple]:
    """Seeds of JSON files with role, instruction, input; (): self_instruct.toml. ValueError names file:line."""
    own = [("", row) for row in tomllib.loads(SEEDS.read_text(encoding="utf-8"))["seed"]]
    seeds = []
    for where, row in rows_of(paths) if paths else own:
        fields = [row.get(name, "") for name in ("role", "instruction", "input")]
        if not all(isinstance(field, str) for field in fields) or not fields[1].strip():
            raise ValueError(f"{where}: expected texts role, instruction and input, of which instruction is not empty")
        seeds.append(Triple(*(field.strip() for field in fields)))
    return seeds


def write_triples(
    seeds: Sequence[Triple],
    template: Template,
    request: ChatRequest,
    ask: Ask,
    report: StepReport,
    failed: Spool,
    *,
    count: int,
    number: int = 20,
    examples: int = 3,
    most_rounds: int = 10,
    of: Of = "instruction",
    seed: int = 0,
) -> list[Triple]:
    """At most `count` new triples. Each request wants `number` of them; in rounds, as many requests as are missing.

    Examples are drawn from the seeds alone, so what a round asks for does not depend on replies, but their number.
    """
    if examples > len(seeds):
        raise ValueError(f"--examples {examples}: there are {len(seeds)} seeds")
    kept, triples, sent = Kept(of), list[Triple](), 0
    for one in seeds:
        kept.near(one)
    for _ in range(most_rounds):
        missing = -(-(count - len(triples)) // number)
        if missing <= 0:
            break
        requests = []
        for sample in range(sent, sent + missing):
            shown = random.Random(f"{seed}/examples/{sample}").sample(seeds, examples)
            prompt = template.fill(number=str(number), examples=f"\n{BORDER}\n".join(map(str, shown)))
            requests.append(replace(request, messages=(("user", prompt),), sample=sample))
        for one_request, reply in zip(requests, ask(requests), strict=True):
            triples += _new_triples(f"reply {one_request.sample}", reply, kept, report, failed)
        sent += missing
    if len(triples) > count:
        report.removed += len(triples) - count
        report.add("beyond --count", "the last round", number=len(triples) - count)
    return triples[:count]


def _new_triples(where: str, reply: ChatReply, kept: Kept, report: StepReport, failed: Spool) -> Iterator[Triple]:
    """The triples of a reply that are of the form and new; the others are counted, and go to `failed` as they are."""
    fault = trouble(reply)
    if fault and fault != "cut off":
        report.add(fault, where)
        failed.append(to_json({"where": where, "fault": fault, "reply": reply.text}) + "\n")
        return
    blocks = [block.strip() for block in re.split(rf"^{BORDER}\s*$", reply.text, flags=re.MULTILINE) if block.strip()]
    for at, block in enumerate(blocks):
        report.read += 1
        triple, fault = parse(block), ""
        if reply.finish_reason == "length" and at == len(blocks) - 1:
            fault = "cut off"
        elif triple is None:
            fault = "unparsed"
        elif POINTER.fullmatch(triple.input):
            fault = "input is a link or a file"
        elif kept.near(triple):
            fault = "near-repeat"
        if triple and not fault:
            yield triple
        else:
            report.removed += 1
            report.add(fault, where)
            failed.append(to_json({"where": where, "fault": fault, "reply": block}) + "\n")


def parse(block: str) -> Triple | None:
    """A triple in the form of the prompt; None for anything else: another order, a label missing or twice."""
    match = TRIPLE.fullmatch(block.strip())
    if match is None or len(LABEL.findall(match["input"])) > 0:
        return None
    role, instruction, text = (match[name].strip() for name in ("role", "instruction", "input"))
    return (
        Triple("" if role == NOTHING else role, instruction, "" if text == NOTHING else text) if instruction else None
    )


def write_answers(
    triples: Sequence[Triple], template: Template, request: ChatRequest, ask: Ask, report: StepReport, failed: Spool
) -> Iterator[Dialogue]:
    """The triples with their answers, as dialogues of one turn; without a role it is a doctor who answers."""
    prompts = [template.fill(role=triple.role or "医生", question=triple.question) for triple in triples]
    replies = ask([replace(request, messages=(("user", prompt),)) for prompt in prompts])
    for number, (triple, reply) in enumerate(zip(triples, replies, strict=True)):
        if fault := trouble(reply):
            report.removed += 1
            report.add(f"answer: {fault}", f"instruction {number}")
            row = {"where": f"instruction {number}", "fault": f"answer: {fault}"} | vars(triple)
            failed.append(to_json(row | {"reply": reply.text}) + "\n")
        else:
            yield Dialogue(f"instruction-{number:06d}", ((triple.question, reply.text.strip()),))


def rouge_l(a: str, b: str) -> float:
    """F1 of the longest common subsequence of characters (Lin 2004, with beta = 1), 0 to 1."""
    return 2 * common(a, b) / (len(a) + len(b)) if a and b else 0.0


def common(a: str, b: str) -> int:
    """Length of the longest common subsequence, a row of the table at a time in the bits of a number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << at
    everything = row = (1 << len(a)) - 1
    for character in b:
        matches = row & places.get(character, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(a) - row.bit_count()
