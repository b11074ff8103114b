"""The clinic's medical knowledge: conditions by department, drugs, circumstances, written by hand in TOML.

A physician can read and correct the `*.toml` in this folder. A misspelt or missing field is a ValueError that names
file, entry and field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from zj.clinic.table import Circumstance, Condition, Drug, Use

FOLDER = Path(__file__).parent
FILES = (
    *("dermatology", "surgery", "paediatrics", "cosmetic", "gynaecology", "sensory", "chinese"),
    *("oncology", "internal", "venereal", "household", "andrology", "infectious", "psychology"),
)
# Course of a condition -> how long a patient has been ill.
COURSES = {
    "hours": ("两三个小时", "半天", "从昨晚到现在"),
    "days": ("一天", "两天", "三天", "四五天"),
    "weeks": ("一个多星期", "十来天", "半个月", "三周左右"),
    "months": ("一个多月", "两个月", "三个多月", "半年"),
    "years": ("一年多", "两三年", "好几年"),
}
_DEFAULTS = {str: "", bool: False, tuple: (), list: [], dict: {}}


class _Table:
    """One table of a TOML file; each key is taken once. `where` names the table in errors."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{where}: found {values!r}, expected a table")
        self.values, self.where = dict(values), where

    def take(self, key: str, kind: type, optional: bool = False) -> Any:
        """The value of a key, a list of strings as a tuple; ValueError if it is missing or of another type."""
        if key not in self.values:
            if optional:
                return _DEFAULTS[kind]
            raise ValueError(f"{self.where}: {key} is missing")
        value = self.values.pop(key)
        if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        if type(value) is not kind:
            raise ValueError(f"{self.where}: {key}: found {value!r}, expected {_KINDS[kind]}")
        return value

    def ages(self, optional: bool = False) -> tuple[int, int]:
        value = self.take("ages", list, optional) or [0, 99]
        if [type(age) for age in value] != [int, int] or value[0] > value[1]:
            raise ValueError(f"{self.where}: ages: found {value!r}, expected [youngest, oldest]")
        return value[0], value[1]

    def rows(self, key: str, name: str, optional: bool = False) -> Iterator[tuple[str, _Table]]:
        """(name, the rest) of each [[key]]; names are unique."""
        names: set[str] = set()
        for number, values in enumerate(self.take(key, list, optional), 1):
            row = _Table(values, f"{self.where}: {key} {number}")
            text = row.take(name, str)
            row.where = f"{self.where}: {key} {text}"
            if text in names:
                raise ValueError(f"{row.where}: {name} stands twice")
            names.add(text)
            yield text, row
            row.check_empty()

    def check_known(self, key: str, names: tuple[str, ...], known: Container[str], kind: str) -> tuple[str, ...]:
        """Returns the names; ValueError if one is not in `known`."""
        for name in names:
            if name not in known:
                raise ValueError(f"{self.where}: {key}: no {kind} is called {name!r}")
        return names

    def check_empty(self) -> None:
        """ValueError if a key was not taken."""
        if self.values:
            raise ValueError(f"{self.where}: unknown key {next(iter(self.values))!r}")


_KINDS = {str: "a text", bool: "true or false", tuple: "a list of texts", list: "a list", dict: "a table"}


def _read(path: Path) -> _Table:
    try:
        return _Table(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise ValueError(f"{path.name}: {error}") from None


def load_circumstances(path: Path) -> tuple[dict[str, Circumstance], tuple[str, ...]]:
    """(name -> circumstance, contraindications on labels that no patient of this clinic has)."""
    table, circumstances = _read(path), {}
    unmet = table.take("unmet", tuple)
    for name, row in table.rows("circumstance", "name"):
        circumstances[name] = Circumstance(
            name=name,
            said=row.take("said", tuple),
            sex=row.take("sex", str, optional=True),
            ages=row.ages(optional=True),
            by_age=row.take("by_age", bool, optional=True),
        )
    table.check_empty()
    return circumstances, unmet


def load_drugs(path: Path, circumstances: set[str]) -> dict[str, Drug]:
    """Name -> drug; ValueError for an unknown circumstance."""
    table, drugs = _read(path), {}
    for name, row in table.rows("drug", "name"):
        when = {
            key: row.check_known(key, row.take(key, tuple, optional=True), circumstances, "circumstance")
            for key in ("forbidden", "reduce", "monitor")
        }
        names = [name for group in when.values() for name in group]
        if len(set(names)) < len(names):
            raise ValueError(f"{row.where}: a circumstance stands twice in forbidden, reduce and monitor")
        drugs[name] = Drug(
            name=name,
            kind=row.take("kind", str),
            prescription=row.take("prescription", bool),
            oral=row.take("oral", bool),
            side_effects=row.take("side_effects", tuple),
            **when,
        )
    table.check_empty()
    return drugs


def load_conditions(path: Path, circumstances: set[str], drugs: set[str]) -> dict[str, Condition]:
    """Name -> condition, of one department; ValueError for an unknown drug or circumstance."""
    table, conditions = _read(path), {}
    department = table.take("department", str)
    for name, row in table.rows("condition", "name"):
        conditions[name] = _condition(name, department, row, circumstances, drugs)
    table.check_empty()
    return conditions


def _condition(name: str, department: str, row: _Table, circumstances: set[str], drugs: set[str]) -> Condition:
    symptoms, new_words = {}, {}
    for symptom, part in row.rows("symptom", "name"):
        symptoms[symptom], new_words[symptom] = part.take("said", tuple), part.take("new_words", tuple)
    severity = _Table(row.take("severity", dict, optional=True), f"{row.where}: severity")
    severities = {degree: severity.take(degree, tuple) for degree in (("轻", "重") if severity.values else ())}
    severity.check_empty()
    return Condition(
        name=name,
        department=department,
        ages=row.ages(),
        course=_course(row),
        cause=row.take("cause", str),
        symptoms=symptoms,
        new_words=new_words,
        questions={ask: part.take("answers", tuple) for ask, part in row.rows("question", "ask")},
        tests=row.take("tests", tuple),
        treatment=row.take("treatment", tuple),
        drugs={drug: _use(part, drug, drugs, severities) for drug, part in row.rows("drug", "name")},
        care=row.take("care", tuple),
        red_flags={sign: part.take("action", str) for sign, part in row.rows("red_flag", "sign")},
        severity=severities,
        sex=row.take("sex", str, optional=True),
        always=row.check_known("always", row.take("always", tuple, optional=True), circumstances, "circumstance"),
        never=row.check_known("never", row.take("never", tuple, optional=True), circumstances, "circumstance"),
        urgent=row.take("urgent", bool, optional=True),
        textbook_only=row.take("textbook_only", bool, optional=True),
    )


def _course(row: _Table) -> tuple[str, ...]:
    durations: list[str] = []
    for text in row.take("course", tuple):
        if text.isascii() and text not in COURSES:
            raise ValueError(f"{row.where}: course: found {text!r}, expected one of {', '.join(COURSES)} or Chinese")
        durations += COURSES.get(text, (text,))
    return tuple(durations)


def _use(part: _Table, drug: str, drugs: set[str], severity: dict[str, tuple[str, ...]]) -> Use:
    part.check_known("name", (drug,), drugs, "drug")
    degree = part.take("severity", str, optional=True)
    if degree and degree not in severity:
        raise ValueError(f"{part.where}: severity: found {degree!r}, expected one of [condition.severity]")
    return Use(part.take("use", str), part.take("adjunct", bool, optional=True), degree)


CIRCUMSTANCES, UNMET = load_circumstances(FOLDER / "circumstances.toml")
DRUGS = load_drugs(FOLDER / "drugs.toml", {*CIRCUMSTANCES, *UNMET})
CONDITIONS: dict[str, Condition] = {}
for _name in FILES:
    CONDITIONS |= load_conditions(FOLDER / f"{_name}.toml", set(CIRCUMSTANCES), set(DRUGS))
DEPARTMENTS = tuple(dict.fromkeys(condition.department for condition in CONDITIONS.values()))
IN_DIALOGUES = tuple(condition for condition in CONDITIONS.values() if not condition.textbook_only)

__all__ = ["CIRCUMSTANCES", "CONDITIONS", "DEPARTMENTS", "DRUGS", "IN_DIALOGUES", "UNMET"]
