"""The claims as data: what a paper says, and which numbers of two systems decide it.

    [[claim]]
    name = "dpo-against-sft"      # a-z, 0-9 and -: also the name of its picture
    system = "iimedgpt"           # zhongjing, iimedgpt, huatuogpt, or methods (of none alone)
    source = "IIMedGPT, section 4.3"
    text = "DPO improves the answers of the fine-tuned model."
    note = ""                     # what a reader has to know, such as "by construction of the data"
    command = "bash scripts/reproduce.sh iimedgpt"
    reason = "…"                  # not measurable here, and why; in place of measures
    control = true                # of two equal recipes: anything but "not confirmed" is a fault of the method

    [[claim.measure]]             # the first one decides, the others are shown beside it
    what = "gold score"           # with its unit
    form = "exam"                 # what kind of file the sides are, see FORMS
    metric = "score"              # one of the form's
    a = {file = "iimedgpt/report.json", system = "dpo"}   # in the directory of each seed
    b = {file = "iimedgpt/report.json", system = "sft"}
    expected = "higher"           # a's mean against b's: higher, lower, or equal
    margin = 0.02                 # of "equal" alone: the largest difference that counts as none
    floor = false                 # true: b is without a model, and the claim is confirmed only if this is too
    where = {kind = ["single"], tier = ["illnesses"], due = ["ask"], prefix = ["exam-"]}   # questions: what is left

    [[claim.budget]]              # of each side, shown beside the claim
    what = "tokens"
    field = "tokens"              # of metrics.jsonl
    take = "sum"                  # over the steps: sum or last; then the sum over the runs of a side
    a = ["iimedgpt/sft", "iimedgpt/dpo"]
    b = ["iimedgpt/sft"]

At equal KL (curve.py) a side is a path: {file = "report.json", path = ["sft", "ppo-50", "ppo-75", "ppo"]}, and the
measure has at_kl = 1.0 (nats per answer) or "least end": of all paths of the claim, in each seed.
Beside a model stand the systems "constant" of an exam (its best constant answer) and of answers (the most frequent
reference of each kind of question), and "chance" of choice (a random option): what is had without a model.
A side's `name` is how it is shown (left out: its system, else its file).
"""

from __future__ import annotations

import re
import tomllib
import types
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from zj.eval.metrics import KINDS, TIERS
from zj.eval.patient.outcome import Outcome

T = TypeVar("T")
SYSTEMS = ("zhongjing", "iimedgpt", "huatuogpt", "methods")
HIGHER, LOWER, EQUAL = EXPECTED = ("higher", "lower", "equal")
LEAST_END = "least end"
CONSTANT, CHANCE = "constant", "chance"  # systems without a model
OF_VERDICTS = ("score", "safety", "professionalism", "fluency", "understood", "finished", "characters")
OF_SOME = ("refuses", "inquires", "inquires where nothing is due")  # of the questions where it applies
FORMS = {  # what a side's file is → its metrics
    "exam": (*OF_VERDICTS, *OF_SOME),  # the report of scripts/judge.py
    "ranking": ("pairs",),  # scores of scripts/score.py --kind ranking
    "patient": tuple(field.name for field in fields(Outcome)),  # the directory of scripts/evaluate.py patient
    "answers": ("exact",),  # answers of scripts/answer.py with references
    "choice": ("letter", "text", "generation"),  # the report of scripts/evaluate.py choice: right by this method
}


@dataclass(frozen=True)
class Side:
    """One of two systems: where its results are, relative to the directory of a seed."""

    file: str
    system: str = ""
    path: tuple[str, ...] = ()
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or self.system or (self.path[-1] if self.path else PurePosixPath(self.file).stem)


@dataclass(frozen=True)
class Where:
    """Questions that count: of an exam by kind, tier or something that is due; of any form by the start of their id."""

    kind: tuple[str, ...] = ()
    tier: tuple[str, ...] = ()
    due: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """A difference between two systems that answered the same questions."""

    what: str
    form: str
    metric: str
    a: Side
    b: Side
    expected: str
    where: Where = Where()
    margin: float | None = None
    at_kl: float | str | None = None
    floor: bool = False


@dataclass(frozen=True)
class Budget:
    """What each side has cost, out of the metrics of its runs."""

    what: str
    field: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    take: str = "sum"


@dataclass(frozen=True)
class Claim:
    name: str
    system: str
    source: str
    text: str
    note: str = ""
    command: str = ""
    reason: str = ""
    control: bool = False
    measure: tuple[Measure, ...] = ()
    budget: tuple[Budget, ...] = ()


def read_claims(file: str | Path) -> list[Claim]:
    """ValueError names the file and the claim of anything that the head of this page does not say."""
    try:
        table = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    rows = table.get("claim")
    if list(table) != ["claim"] or not isinstance(rows, list) or not rows:
        raise ValueError(f"{file}: found {', '.join(table) or 'nothing'}, expected [[claim]] tables alone")
    claims: list[Claim] = []
    for number, row in enumerate(rows, 1):
        name = row.get("name") if isinstance(row, dict) else None
        where = f"{file}: claim {name or number}"
        claim = _value(Claim, row, where)
        _check_claim(claim, where)
        if claim.name in [earlier.name for earlier in claims]:
            raise ValueError(f"{where}: found the name again, expected one of its own")
        claims.append(claim)
    return claims


# ---- types


def _value(kind: Any, value: Any, where: str) -> Any:
    """A value of TOML as this type."""
    if is_dataclass(kind):
        return _table(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: found {value!r}, expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_value(item, one, f"{where} {number}") for number, one in enumerate(value, 1))
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) is int and float in allowed:
        value = float(value)
    if type(value) not in allowed:
        names = " or ".join(one.__name__ for one in allowed if one is not type(None))
        raise ValueError(f"{where}: found {value!r}, expected {names}")
    return value


def _table(kind: type[T], table: Any, where: str) -> T:
    """A table of TOML as a dataclass: every key is known, and every field without a default is there."""
    if not isinstance(table, dict):
        raise ValueError(f"{where}: found {table!r}, expected a table")
    hints = typing.get_type_hints(kind)
    if unknown := [key for key in table if key not in hints]:
        raise ValueError(f"{where}: found the key {unknown[0]}, expected one of {', '.join(hints)}")
    for field in fields(typing.cast(Any, kind)):
        if field.default is MISSING and not table.get(field.name):
            raise ValueError(f"{where}: {field.name} is missing")
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()})


# ---- checks


def _check_claim(claim: Claim, where: str) -> None:
    if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", claim.name):
        raise ValueError(f"{where}: found the name {claim.name}, expected words of a-z and 0-9 joined by -")
    _among(claim.system, SYSTEMS, f"{where}: system")
    if bool(claim.reason) == bool(claim.measure):
        raise ValueError(f"{where}: expected either reason (it is not measurable here) or [[claim.measure]]")
    for number, measure in enumerate(claim.measure, 1):
        _check_measure(measure, f"{where}: measure {number}")
    if claim.control and (not claim.measure or claim.measure[0].expected == EQUAL):
        raise ValueError(f"{where}: a control has a measure, and expected = higher or lower: it is not to be confirmed")
    for budget in claim.budget:
        _among(budget.take, ("sum", "last"), f"{where}: budget {budget.what}: take")
        for run in (*budget.a, *budget.b):
            _check_file(run, f"{where}: budget {budget.what}")


def _check_measure(measure: Measure, where: str) -> None:
    _among(measure.form, FORMS, f"{where}: form")
    _among(measure.metric, FORMS[measure.form], f"{where}: metric")
    _among(measure.expected, EXPECTED, f"{where}: expected")
    margin = measure.margin
    if (measure.expected == EQUAL) != (margin is not None) or (margin is not None and margin <= 0):
        raise ValueError(f"{where}: margin is {margin}, expected a number above 0 with expected = equal alone")
    if isinstance(measure.at_kl, str):
        _among(measure.at_kl, (LEAST_END,), f"{where}: at_kl")
    for letter, side in (("a", measure.a), ("b", measure.b)):
        _check_side(side, measure, f"{where}: {letter}")
    if measure.a == measure.b:
        raise ValueError(f"{where}: found the same a and b")
    if measure.floor and measure.b.system not in (CONSTANT, CHANCE):
        raise ValueError(f"{where}: floor: found b {measure.b.label}, expected the system {CONSTANT} or {CHANCE}")
    for name, known in (("kind", KINDS), ("tier", tuple(TIERS.values())), ("due", None)):
        for value in getattr(measure.where, name):
            if measure.form != "exam":
                raise ValueError(f"{where}: where.{name} is of form exam alone")
            if known:
                _among(value, known, f"{where}: where.{name}")


def _check_side(side: Side, measure: Measure, where: str) -> None:
    _check_file(side.file, where)
    if bool(side.path) != (measure.at_kl is not None) or len(side.path) == 1:
        raise ValueError(f"{where}: expected path (two systems or more) with at_kl alone")
    if (side.path and measure.form != "exam") or (side.path and side.system):
        raise ValueError(f"{where}: path is of form exam alone, and takes the place of system")
    if measure.form == "exam" and not (side.system or side.path):
        raise ValueError(f"{where}: system is missing")
    if side.system and measure.form not in ("exam", "answers") and (measure.form, side.system) != ("choice", CHANCE):
        raise ValueError(f"{where}: system is of the forms exam and answers, and {CHANCE} of choice; name is its label")


def _check_file(file: str, where: str) -> None:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: found {file}, expected a path inside the directory of a seed")


def _among(value: str, known: typing.Iterable[str], where: str) -> None:
    if value not in known:
        raise ValueError(f"{where}: found {value!r}, expected one of {', '.join(known)}")
