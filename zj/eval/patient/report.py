"""The table of an examination by simulated patients: means over cases with 95 % intervals, also by department."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from zj.eval.patient.outcome import Outcome
from zj.eval.statistics import bootstrap_interval, opened, paired_difference, share_interval
from zj.eval.tables import Table

ROWS = {
    "diagnosis": "diagnosis: its share in the illnesses named",
    "named": "names the diagnosis",
    "illnesses": "illnesses named",
    "questions": "questions asked",
    "topics": "things of the case asked about",
    "turns": "answers of the doctor",
    "farewell": "ended by the patient",
    "leaked": "patient names the diagnosis first",
    "safe": "safe in every answer (gold)",
    "harmful": "harmful in some answer (gold)",
    "unread": "an answer that gold cannot read",
}

COUNTS = ("illnesses", "questions", "topics", "turns")  # without a greatest value; all else is from 0 to 1

ABOUT = (
    "intervals: Wilson's of shares; of all else bootstrap over cases, and none of a count that is the same in all\n"
    "gold: the clinic's judge, which reads the clinic's own sentences only"
)


def summarise(outcomes: Sequence[Outcome], departments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{"all" or department: {field: {"mean", "low", "high", "n"}}}; what is known of no case is left out."""
    groups = {"all": list(outcomes)}
    for department in sorted({name for name in departments if name}):
        of = [one for one, name in zip(outcomes, departments, strict=True) if name == department]
        groups |= {department: of} if len(of) < len(outcomes) else {}
    return {name: _means(group) for name, group in groups.items()}


def compare(outcomes: Mapping[str, Outcome], earlier: Mapping[str, Outcome]) -> dict[str, Any]:
    """{field: mean difference to the earlier result with its interval}, over the cases that both know."""
    differences: dict[str, Any] = {}
    for field in fields(Outcome):
        pairs = [(getattr(outcomes[id], field.name), getattr(earlier[id], field.name)) for id in outcomes]
        known = [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]
        if known:
            a, b = zip(*known, strict=True)
            interval = paired_difference(a, b)
            if field.name not in COUNTS:
                interval = opened(interval, len(known), least=-1)
            differences[field.name] = asdict(interval) | {"n": len(known)}
    return differences


def tables(report: Mapping[str, Any]) -> list[Table]:
    """All cases, with the constant doctor beside the diagnosis; departments; differences to an earlier result."""
    summary, constant = report["table"], report["constant"]
    ended = ", ".join(f"{end} {number}" for end, number in report["ended"].items())
    rows = [
        (label, _interval(row), f"{row['n']}") for field, label in ROWS.items() if (row := summary["all"].get(field))
    ]
    rows.append((f"diagnosis of a doctor who only ever says {constant['name']}", f"{constant['diagnosis']:.3f}", ""))
    of = "files" if report["settings"]["data"] else "the synthetic clinic"
    doctor, patient = report["doctor"]["model"], report["patient"]["model"]
    title = f"doctor: {doctor}; {report['cases']:,} cases of {of}; patient: {patient}"
    made = [Table(title, ("", "mean [95 % interval]", "cases"), tuple(rows), f"{ABOUT}\nended: {ended}")]
    departments = [
        (name, _interval(group["diagnosis"]), f"{group['diagnosis']['n']}")
        for name, group in summary.items()
        if name != "all" and "diagnosis" in group
    ]
    if departments:
        made.append(Table("", ("diagnosis", "mean [95 % interval]", "cases"), tuple(departments)))
    differences = [(ROWS[field], _interval(row, "+"), f"{row['n']}") for field, row in report["against"].items()]
    if differences:
        made.append(
            Table("", ("difference to --against, case by case", "mean [95 % interval]", "cases"), tuple(differences))
        )
    return made


def _means(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for field in fields(Outcome):
        values = [float(value) for one in outcomes if (value := getattr(one, field.name)) is not None]
        if values:
            interval = bootstrap_interval(values) if field.name in COUNTS else share_interval(values)
            means[field.name] = asdict(interval) | {"n": len(values)}
    return means


def _interval(row: Mapping[str, float], sign: str = "") -> str:
    """A count that is the same in all cases has no interval."""
    if row["low"] == row["high"]:
        return f"{row['mean']:{sign}.3f}"
    return " ".join((f"{row['mean']:{sign}.3f}", f"[{row['low']:{sign}.3f}, {row['high']:{sign}.3f}]"))
