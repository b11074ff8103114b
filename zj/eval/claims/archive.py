"""One zip with all that the claims need of a seed's results, so that their table can be made again without the runs.

A file in it has the name and the form of the result that it stands for, without the texts of the examination and the
systems that no claim names; the metrics of a run are one row of totals. values.py reads either, so a claim has the same
numbers from both.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from zj.eval.claims.claim import Claim, Measure
from zj.eval.claims.measure import METRICS, taken
from zj.eval.claims.values import exam_of, files
from zj.train.run_directory import read_rows


def archive(claims: Sequence[Claim], folder: Path, file: Path) -> list[str]:
    """Write the zip; the names of results that are not there. The same results give the same bytes."""
    forms = {name: measure.form for claim in claims for measure in claim.measure for name in files(measure)}
    systems = {name for claim in claims for measure in claim.measure for name in _systems(measure)}
    small = {name: _small(folder / name, form, systems) for name, form in forms.items() if (folder / name).is_file()}
    totals = _totals(claims, folder)
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=9) as zip:
        for name, text in sorted((small | totals).items()):
            entry = ZipInfo(name)  # of 1980: no date of its own
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
            zip.writestr(entry, text)
    return sorted(set(forms) - set(small))


def _systems(measure: Measure) -> list[str]:
    return [name for side in (measure.a, measure.b) for name in (side.system, *side.path)]


def _small(file: Path, form: str, systems: Collection[str]) -> str:
    text = file.read_text(encoding="utf-8")
    if form == "answers":
        return text
    if form == "ranking":
        return _lines(
            {key: row[key] for key in ("id", "scores", "ranks")} for row in map(json.loads, text.splitlines())
        )
    report = json.loads(text)
    if form == "exam":
        exam = exam_of(report)
        kls = {name: kl for name, kl in exam.kl.items() if name in systems}
        table = {name: {"KL to baseline": None if kl is None else {"mean": kl}} for name, kl in kls.items()}
        return _json({"table": table, "questions": [_question(row, systems) for row in exam.questions]})
    if form == "choice":
        return _json({"picks": [_pick(row) for row in report["picks"]]})
    return _json({"outcomes": report["outcomes"]})


def _question(row: Mapping[str, Any], systems: Collection[str]) -> dict[str, Any]:
    return {**row, "answers": {name: one for name, one in row["answers"].items() if name in systems}}


def _pick(row: Mapping[str, Any]) -> dict[str, Any]:
    methods = {name: {"picks": one["picks"]} for name, one in row["methods"].items()}
    return {key: row[key] for key in ("id", "question", "options", "right")} | {"methods": methods}


def _totals(claims: Sequence[Claim], folder: Path) -> dict[str, str]:
    """metrics.jsonl of every run of a budget: one row, with the sum or the last of each field that a budget takes."""
    takes: dict[str, dict[str, str]] = {}
    for claim in claims:
        for budget in claim.budget:
            for run in (*budget.a, *budget.b):
                if takes.setdefault(run, {}).setdefault(budget.field, budget.take) != budget.take:
                    raise ValueError(f"claim {claim.name}: {run} has both the sum and the last of {budget.field}")
    made = {}
    for run, fields in takes.items():
        if not (folder / run / METRICS).is_file():
            continue
        rows = read_rows(folder / run / METRICS)
        total: dict[str, Any] = {"step": rows[-1]["step"]} if rows else {}
        for field, take in fields.items():
            if (number := taken(rows, field, take)) is not None:
                total[field] = number
        made[f"{run}/{METRICS}"] = _lines([total])
    return made


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(_json(row) + "\n" for row in rows)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
