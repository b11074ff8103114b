"""Requests to refuse, and questions whose right answer is "I do not know", drawn from requests/*.toml.

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
from zj.clinic.held_out import draw_for_training
from zj.clinic.phrases import say
from zj.clinic.table import Condition
from zj.data.records import Dialogue

FOLDER = Path(__file__).with_name("requests")
KINDS = ("harmful", "ethics", "beyond", "drug")


@dataclass(frozen=True)
class Entry:
    """One template of a request; `span` and `ask` are templates of `zj/clinic/phrases.py`."""

    name: str  # "harmful-07"
    kind: str
    span: str  # what is wanted, or what nobody knows, in the writer's words
    ask: str
    matter: tuple[str, ...] = ()  # the clinic's names of it; the doctor uses the first
    why: tuple[str, ...] = ()  # clauses: valid reasons
    instead: tuple[str, ...] = ()  # clauses: fitting alternatives
    held_out: bool = False  # in the examination only


@dataclass(frozen=True)
class Request:
    """One request, the clinic's answer, and its matter."""

    entry: Entry
    text: str
    answer: str
    span: str
    matter: tuple[str, ...]  # the clinic's names of it
    condition: Condition  # whose name or drugs it may mention
    drug: str = ""  # drug of the table that the request mentions
    reason: str = ""  # kind "drug": the circumstance that forbids it

    @property
    def key(self) -> str:
        """What it asks, without the wording around it: decides between training and examination."""
        return self.span


@cache
def shared() -> Mapping[str, Mapping]:
    """The tables of requests/shared.toml: reasons, alternatives, words for slots."""
    return tomllib.loads((FOLDER / "shared.toml").read_text(encoding="utf-8"))


@cache
def entries(kind: str) -> tuple[Entry, ...]:
    """All templates of a kind. Raises ValueError with file and entry for an unknown key."""
    path, rows = FOLDER / f"{kind}.toml", []
    for number, row in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["entry"], 1):
        try:
            why, instead = (tuple(shared()[key][name] for name in row.pop(key, ())) for key in ("why", "instead"))
            span = row.pop("about" if kind == "beyond" else "do")
            matter = tuple(row.pop("matter", ()))
            rows.append(Entry(f"{kind}-{number:02d}", kind, span, matter=matter, why=why, instead=instead, **row))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: entry {number}: {error}") from None
    return tuple(rows)


def draw_request(rng: random.Random, kind: str, condition: Condition, held_out: bool) -> Request | None:
    """A request of the kind, from held-out or other templates; None if this condition has no fitting drug."""
    entry = rng.choice([entry for entry in entries(kind) if entry.held_out == held_out])
    return _forbidden_drug(rng, entry, condition) if kind == "drug" else _request(rng, entry, condition)


def request(seed: int, number: int) -> Dialogue:
    """Request `number` of the seed's stream, with its answer; none of the examination."""
    rng = random.Random(f"{seed}/safety/{number}")
    kind, condition = _draw_subject(seed, number)
    drawn = trained_request(rng, kind, condition)
    return Dialogue(f"safety-{number:06d}", ((drawn.text, drawn.answer),))


def trained_request(rng: random.Random, kind: str, condition: Condition) -> Request:
    """A request that training may see."""
    draws = (draw_request(rng, kind, condition, held_out=False) for _ in itertools.count())
    return draw_for_training(lambda: next(r for r in draws if r is not None), lambda request: request.key)


def request_subject(seed: int, number: int) -> Condition:
    """The condition whose name and drugs request `number` may mention."""
    return _draw_subject(seed, number)[1]


def _draw_subject(seed: int, number: int) -> tuple[str, Condition]:
    rng = random.Random(f"{seed}/safety/{number}/subject")
    kind = rng.choice(KINDS)
    return kind, rng.choice(subjects(kind))


@cache
def subjects(kind: str) -> tuple[Condition, ...]:
    """The conditions for requests of a kind; for "drug", those with a drug that some circumstance forbids."""
    return tuple(condition for condition in IN_DIALOGUES if kind != "drug" or _forbidden(condition))


def _forbidden(condition: Condition) -> list[tuple[str, str]]:
    """(drug, circumstance that forbids it) of the condition's drugs."""
    return [(drug, name) for drug in condition.drugs for name in DRUGS[drug].forbidden if name in CIRCUMSTANCES]


def _request(rng: random.Random, entry: Entry, condition: Condition) -> Request | None:
    slots = {name: rng.choice(choices) for name, choices in shared()["slots"].items()} | {"condition": condition.name}
    oral = [drug for drug in condition.drugs if DRUGS[drug].oral]
    for name, drugs in (("drug", oral), ("rx", [drug for drug in oral if DRUGS[drug].prescription])):
        if "{" + name + "}" in entry.span + entry.ask:
            if not drugs:
                return None
            slots[name] = rng.choice(drugs)
    span = say(rng, f"({entry.span})", **slots)
    drug = slots.get("rx", slots.get("drug", ""))
    why = rng.choice(entry.why) if entry.why else ""
    answer = _greeting(rng) + (doctor.admit if entry.kind == "beyond" else doctor.refuse)(rng, entry.matter[0], why)
    answer += doctor.suggest_alternatives(rng, rng.sample(entry.instead, min(len(entry.instead), rng.randint(1, 2))))
    text = say(rng, f"({entry.ask})", **(slots | {"do": span, "about": span}))
    return Request(entry, text, answer, span, entry.matter, condition, drug)


def _forbidden_drug(rng: random.Random, entry: Entry, condition: Condition) -> Request:
    """A request for one of the condition's drugs by somebody to whom it is forbidden."""
    drug, reason = rng.choice(_forbidden(condition))
    who = say(rng, "(我家孩子|孩子)") if CIRCUMSTANCES[reason].by_age else "我"
    span = say(rng, f"({entry.span})", drug=drug)
    ask = say(rng, f"({entry.ask})", do=span, drug=drug)
    answer = _greeting(rng) + doctor.refuse(rng, f"自行使用{drug}", f"{reason}禁用{drug}")
    answer += doctor.suggest_alternatives(rng, rng.sample(DRUG_INSTEAD, rng.randint(1, 2)))
    text = f"{who}{rng.choice(CIRCUMSTANCES[reason].said)}，{ask}"
    return Request(entry, text, answer, span, (f"自行使用{drug}",), condition, drug, reason)


DRUG_INSTEAD = ("请把情况告诉医生", "请让医生或药师帮您换一种药", "请带上病历到医院就诊", "您的安全最重要")


def _greeting(rng: random.Random) -> str:
    return say(rng, "(|您好，|您好，我是仲景，|您好！)")


def all_matters(*kinds: str) -> tuple[str, ...]:
    """The clinic's names of all matters of these kinds."""
    return tuple(dict.fromkeys(matter for kind in kinds for entry in entries(kind) for matter in entry.matter))


def all_reasons() -> tuple[str, ...]:
    """All reasons in the clinic's language."""
    return tuple(shared()["why"].values())


def all_alternatives() -> tuple[str, ...]:
    """All alternatives in the clinic's language."""
    return (*shared()["instead"].values(), *DRUG_INSTEAD)
