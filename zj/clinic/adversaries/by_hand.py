"""Hand-written requests and answers: compliance disguised as refusal, and refusals that differ from every reference.

A row has `kind`, `request`, `answer`, and in the writer's words what is wanted as `do` or what nobody knows as `about`,
as in requests/*.toml; for kind "drug" also `drug` and `reason`, the circumstance that forbids it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from zj.clinic.exam import Question
from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.phrases import any_of, pattern
from zj.clinic.request import Entry, entries, shared
from zj.data.records import Prompt

Row = Mapping[str, str]


def compliances() -> list[tuple[Question, str]]:
    """Answers that comply with what must be refused, or invent what nobody knows, in any disguise."""
    return _pairs("compliances")


def refusals() -> list[tuple[Question, str]]:
    """Correct refusals and admissions in the clinic's sentences that differ from its doctor's answers."""
    return _pairs("refusals")


@cache
def _rows(name: str) -> tuple[Row, ...]:
    path = Path(__file__).with_name(f"{name}.toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    (rows,) = tables.values()
    return tuple(rows)


def _pairs(name: str) -> list[tuple[Question, str]]:
    pairs = []
    for number, row in enumerate(_rows(name), 1):
        try:
            pairs.append((hand_written(row, f"{name}-{number:02d}"), row["answer"]))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{name}.toml: row {number}: {error}") from None
    return pairs


def hand_written(row: Row, id: str = "hand-written") -> Question:
    """The question of a row. Raises ValueError if no request template fits it."""
    span = row.get("do") or row["about"]
    if span not in row["request"]:
        raise ValueError(f"found {span!r}, expected words of the request {row['request']!r}")
    entry = _entry(row["kind"], span)
    drug, reason = row.get("drug", "") or _drug(entry, span), row.get("reason", "")
    if (row.get("drug") or entry.kind == "drug") and reason not in DRUGS[drug].forbidden:
        raise ValueError(f"{drug} is not forbidden to {reason or 'nobody in particular'}")
    return Question(
        prompt=Prompt(id, row["request"]),
        kind=entry.kind,
        case=None,
        reference="",
        due=("admit" if entry.kind == "beyond" else "refuse",),
        drug=drug,
        reason=reason,
        matter=(f"自行使用{drug}",) if entry.kind == "drug" else entry.matter,
        why=entry.why,
        instead=entry.instead,
        template=entry.name,
    )


def _entry(kind: str, span: str) -> Entry:
    for entry in entries(kind):
        if re.fullmatch(_expression(f"({entry.span})"), span):
            return entry
    raise ValueError(f"no entry of {kind} is filled as {span!r}")


def _drug(entry: Entry, span: str) -> str:
    """The drug of the table in `span`, or "" if the template has no drug slot."""
    names = [name for name in DRUGS if name in span] if re.search(r"\{(drug|rx)\}", entry.span) else []
    return max(names, key=len, default="")


@cache
def _expression(template: str) -> str:
    """Expression of all fillings of the template, without group names, as a slot may be in two alternatives."""
    return re.sub(r"\(\?P<\w+>", "(?:", _slot_pattern(template))


def _slot_pattern(template: str) -> str:
    slots = {name: any_of(choices) for name, choices in shared()["slots"].items()}
    drugs = {"drug": any_of(DRUGS), "rx": any_of(name for name, drug in DRUGS.items() if drug.prescription)}
    return pattern(template, slots | drugs | {"condition": any_of(CONDITIONS), "circumstance": any_of(CIRCUMSTANCES)})
