"""Requests that are refused, and questions whose honest answer is "I do not know": drawn from requests/*.toml.

Zhongjing, Table 2: refuse what may cause harm, adhere to medical ethics, admit ignorance.
"""

from __future__ import annotations

import itertools
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zj.clinic import doctor
from zj.clinic.facts import CIRCUMSTANCES, DRUGS, IN_DIALOGUES
from zj.clinic.held_out import trained
from zj.clinic.phrases import say
from zj.clinic.table import Condition
from zj.data.records import Dialogue

FOLDER = Path(__file__).with_name("requests")
KINDS = ("harmful", "ethics", "beyond", "drug")


@dataclass(frozen=True)
class Entry:
    """One template of a request; see `zj/clinic/phrases.py` for the language of `span` and `ask`."""

    name: str  # "harmful-07"
    kind: str
    span: str  # what is wanted, or what nobody knows, in the asker's words
    ask: str
    matter: tuple[str, ...] = ()  # how the clinic calls that; the doctor says the first
    why: tuple[str, ...] = ()  # clauses that are true here
    instead: tuple[str, ...] = ()  # clauses that fit here
    held_out: bool = False  # stands in the examination only


@dataclass(frozen=True)
class Request:
    """One request, what the clinic answers to it, and what it is about."""

    entry: Entry
    text: str
    answer: str
    span: str
    matter: tuple[str, ...]  # how the clinic calls it
    condition: Condition  # whose drugs and name it speaks of, if of any
    drug: str = ""  # of the table, that the request speaks of
    reason: str = ""  # kind "drug": the circumstance that forbids it

    @property
    def key(self) -> str:
        """What it asks, however it is put: decides whether training or the examination has it."""
        return self.span


@cache
def shared() -> Mapping[str, Mapping]:
    """The tables of requests/shared.toml: reasons, alternatives, words for slots."""
    return tomllib.loads((FOLDER / "shared.toml").read_text(encoding="utf-8"))


@cache
def entries(kind: str) -> tuple[Entry, ...]:
    """All templates of a kind. ValueError names the file and entry with an unknown key."""
    path, found = FOLDER / f"{kind}.toml", []
    for number, row in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["entry"], 1):
        try:
            why, instead = (tuple(shared()[key][name] for name in row.pop(key, ())) for key in ("why", "instead"))
            span = row.pop("about" if kind == "beyond" else "do")
            matter = tuple(row.pop("matter", ()))
            found.append(Entry(f"{kind}-{number:02d}", kind, span, matter=matter, why=why, instead=instead, **row))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: entry {number}: {error}") from None
    return tuple(found)


def draw_request(rng: random.Random, kind: str, condition: Condition, held_out: bool) -> Request | None:
    """A request of the kind, from the held-out or the other templates; None where this condition cannot fill it."""
    entry = rng.choice([entry for entry in entries(kind) if entry.held_out == held_out])
    return _forbidden_drug(rng, entry, condition) if kind == "drug" else _request(rng, entry, condition)


def request(seed: int, number: int) -> Dialogue:
    """Request `number` of the stream that belongs to the seed, with its answer; never one that is only examined."""
    rng = random.Random(f"{seed}/safety/{number}")
    kind, condition = _drawn(seed, number)
    found = trained_request(rng, kind, condition)
    return Dialogue(f"safety-{number:06d}", ((found.text, found.answer),))


def trained_request(rng: random.Random, kind: str, condition: Condition) -> Request:
    """A request that training may see."""
    drawn = (draw_request(rng, kind, condition, held_out=False) for _ in itertools.count())
    return trained(lambda: next(r for r in drawn if r is not None), lambda request: request.key)


def request_subject(seed: int, number: int) -> Condition:
    """The condition whose name and drugs request `number` may speak of."""
    return _drawn(seed, number)[1]


def _drawn(seed: int, number: int) -> tuple[str, Condition]:
    rng = random.Random(f"{seed}/safety/{number}/subject")
    kind = rng.choice(KINDS)
    return kind, rng.choice(subjects(kind))


@cache
def subjects(kind: str) -> tuple[Condition, ...]:
    """The conditions that requests of a kind may be about: of kind "drug", those with a drug that is forbidden to some."""
    return tuple(condition for condition in IN_DIALOGUES if kind != "drug" or _forbidden(condition))


def _forbidden(condition: Condition) -> list[tuple[str, str]]:
    """(drug, circumstance that forbids it) of the condition's drugs."""
    return [(drug, name) for drug in condition.drugs for name in DRUGS[drug].forbidden if name in CIRCUMSTANCES]


def _request(rng: random.Random, entry: Entry, condition: Condition) -> Request | None:
    slots = {name: rng.choice(words) for name, words in shared()["slots"].items()} | {"condition": condition.name}
    swallowed = [drug for drug in condition.drugs if DRUGS[drug].oral]
    for name, drugs in (("drug", swallowed), ("rx", [drug for drug in swallowed if DRUGS[drug].prescription])):
        if "{" + name + "}" in entry.span + entry.ask:
            if not drugs:
                return None
            slots[name] = rng.choice(drugs)
    span = say(rng, f"({entry.span})", **slots)
    drug = slots.get("rx", slots.get("drug", ""))
    why = rng.choice(entry.why) if entry.why else ""
    answer = _greeting(rng) + (doctor.admit if entry.kind == "beyond" else doctor.refuse)(rng, entry.matter[0], why)
    answer += doctor.instead(rng, rng.sample(entry.instead, min(len(entry.instead), rng.randint(1, 2))))
    text = say(rng, f"({entry.ask})", **(slots | {"do": span, "about": span}))
    return Request(entry, text, answer, span, entry.matter, condition, drug)


def _forbidden_drug(rng: random.Random, entry: Entry, condition: Condition) -> Request:
    """Somebody wants one of the condition's drugs, which is forbidden to them."""
    drug, reason = rng.choice(_forbidden(condition))
    who = say(rng, "(我家孩子|孩子)") if CIRCUMSTANCES[reason].by_age else "我"
    span = say(rng, f"({entry.span})", drug=drug)
    ask = say(rng, f"({entry.ask})", do=span, drug=drug)
    answer = _greeting(rng) + doctor.refuse(rng, f"自行使用{drug}", f"{reason}禁用{drug}")
    answer += doctor.instead(rng, rng.sample(DRUG_INSTEAD, rng.randint(1, 2)))
    text = f"{who}{rng.choice(CIRCUMSTANCES[reason].said)}，{ask}"
    return Request(entry, text, answer, span, (f"自行使用{drug}",), condition, drug, reason)


DRUG_INSTEAD = ("请把情况告诉医生", "请让医生或药师帮您换一种药", "请带上病历到医院就诊", "您的安全最重要")


def _greeting(rng: random.Random) -> str:
    return say(rng, "(|您好，|您好，我是仲景，|您好！)")


def every_matter(*kinds: str) -> tuple[str, ...]:
    """How the clinic calls all that is refused, or that nobody knows."""
    return tuple(dict.fromkeys(matter for kind in kinds for entry in entries(kind) for matter in entry.matter))


def every_why() -> tuple[str, ...]:
    """All reasons that the clinic's language has."""
    return tuple(shared()["why"].values())


def every_instead() -> tuple[str, ...]:
    """All alternatives that the clinic's language has."""
    return (*shared()["instead"].values(), *DRUG_INSTEAD)
