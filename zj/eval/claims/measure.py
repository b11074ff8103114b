"""Measure the claims: every measure in the directory of every seed, then over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from zj.eval.claims.claim import Budget, Claim, Measure, Side
from zj.eval.claims.curve import common_kl, interpolate, kl_of, path_points
from zj.eval.claims.statistics import CONFIRMED, NOT_CONFIRMED, Difference, Pairs, difference_of, verdict
from zj.eval.claims.values import Values, files, values
from zj.train.run_directory import read_rows

NOT_MEASURABLE, NOT_RUN, ONE_SEED = "not measurable here", "not run yet", "one seed"
NO_VALUE = "no value at this KL"
METRICS = "metrics.jsonl"  # of a run
UNDER_FLOOR = f"{NOT_CONFIRMED}, no better than without a model"


@dataclass(frozen=True)
class SeedResult:
    """Of one measure in one seed."""

    seed: int
    questions: int
    clusters: int
    a: float
    b: float
    kl: tuple[float | None, float | None]  # of a and b to the baseline, nats per answer; None: not known


@dataclass(frozen=True)
class MeasureResult:
    measure: Measure
    verdict: str
    seeds: tuple[SeedResult, ...] = ()  # those that have a value
    difference: Difference | None = None  # None: no seed has one
    left_out: dict[int, str] = field(default_factory=dict)  # seed → why it has no value

    @property
    def a(self) -> float:
        return mean(one.a for one in self.seeds)

    @property
    def b(self) -> float:
        return mean(one.b for one in self.seeds)


@dataclass(frozen=True)
class BudgetResult:
    """Means over the seeds that the first measure has, and whose runs are there; None: of none."""

    what: str
    a: float | None
    b: float | None


@dataclass(frozen=True)
class ClaimResult:
    claim: Claim
    verdict: str
    measures: tuple[MeasureResult, ...] = ()
    budgets: tuple[BudgetResult, ...] = ()  # with the KL of the first measure's sides


def measure_claim(claim: Claim, folders: dict[int, Path]) -> ClaimResult:
    """folders: seed → directory of its results. ValueError names the claim, and the file that cannot be read."""
    if claim.reason:
        return ClaimResult(claim, NOT_MEASURABLE)
    try:
        measures = tuple(_measure(measure, claim, folders) for measure in claim.measure)
        measured = {one.seed: folders[one.seed] for one in measures[0].seeds}  # others may have a run in work
        budgets = (*(_budget(budget, measured) for budget in claim.budget), *_kl(measures[0]))
    except ValueError as error:
        raise ValueError(f"claim {claim.name}: {error}") from None
    decided, floors = measures[0].verdict, [one.verdict for one in measures if one.measure.floor]
    if decided == CONFIRMED and any(one != CONFIRMED for one in floors):
        decided = UNDER_FLOOR
    return ClaimResult(claim, decided, measures, budgets)


def _measure(measure: Measure, claim: Claim, folders: dict[int, Path]) -> MeasureResult:
    seeds: list[SeedResult] = []
    pairs_of: list[tuple[int, Pairs]] = []
    left_out: dict[int, str] = {}
    needed = [measure, *(one for one in claim.measure if isinstance(measure.at_kl, str) and one.at_kl is not None)]
    names = list(dict.fromkeys(name for one in needed for name in files(one)))
    for seed, folder in folders.items():
        if missing := [name for name in names if not (folder / name).is_file()]:
            left_out[seed] = f"{NOT_RUN}: {', '.join(f'{folder.name}/{name}' for name in missing)}"
            continue
        kl = common_kl(folder, measure, claim)
        sides = [_values(folder, side, measure, kl) for side in (measure.a, measure.b)]
        ended = [side for side in sides if isinstance(side, str)]
        if ended:
            left_out[seed] = f"{NO_VALUE}: {'; '.join(ended)}"
            continue
        a, b = (side for side in sides if not isinstance(side, str))
        pairs = pair_up(a, b, folder / measure.a.file, folder / measure.b.file)
        means = (float(pairs.a.mean()), float(pairs.b.mean()))
        kls = (kl, kl) if kl is not None else (kl_of(folder, measure.a, measure), kl_of(folder, measure.b, measure))
        seeds.append(SeedResult(seed, len(pairs.a), len(set(pairs.clusters)), *means, kls))
        pairs_of.append((seed, pairs))
    if not seeds:
        return MeasureResult(measure, _why(left_out), left_out=left_out)
    difference = difference_of(pairs_of)
    found = ONE_SEED if len(seeds) < 2 else verdict(difference, measure.expected, measure.margin)
    return MeasureResult(measure, found, tuple(seeds), difference, left_out)


def _values(folder: Path, side: Side, measure: Measure, kl: float | None) -> Values | str:
    """A side's values; as a text, why it has none at this KL."""
    if kl is None:
        return values(folder, side, measure)
    points = path_points(folder, side, measure)
    found = interpolate(points, kl)
    return found or f"{side.label} goes from {points[0].kl:.3f} to {points[-1].kl:.3f} nats, not to {kl:.3f}"


def pair_up(a: Values, b: Values, file_a: Path, file_b: Path) -> Pairs:
    """Of the questions that have a value on both sides. ValueError names the files if their questions differ."""
    if missing := [id for id in a if id not in b] + [id for id in b if id not in a]:
        raise ValueError(f"{file_b}: {len(missing)} questions are not those of {file_a}, such as {missing[0]}")
    if other := [id for id in a if a[id].cluster != b[id].cluster]:
        raise ValueError(f"{file_b}: question {other[0]} has another cluster than in {file_a}")
    known = sorted(id for id in a if a[id].value is not None and b[id].value is not None)
    if not known:
        raise ValueError(f"{file_b}: no question has a value here and in {file_a}")
    one, other_side = (np.array([side[id].value for id in known], dtype=np.float64) for side in (a, b))
    return Pairs(one, other_side, [a[id].cluster for id in known])


def _why(left_out: dict[int, str]) -> str:
    """The verdict of a measure without a value in any seed."""
    return NO_VALUE if any(why.startswith(NO_VALUE) for why in left_out.values()) else NOT_RUN


# ---- budgets


def _budget(budget: Budget, folders: dict[int, Path]) -> BudgetResult:
    a, b = (
        [total for folder in folders.values() if (total := _total(folder, runs, budget)) is not None]
        for runs in (budget.a, budget.b)
    )
    return BudgetResult(budget.what, mean(a) if a else None, mean(b) if b else None)


def _kl(result: MeasureResult) -> list[BudgetResult]:
    """How far both sides are from the baseline; none where this is not known of both."""
    of = [[kl for one in result.seeds if (kl := one.kl[side]) is not None] for side in (0, 1)]
    return [BudgetResult("KL, nats", mean(of[0]), mean(of[1]))] if all(of) and any(of[0] + of[1]) else []


def _total(folder: Path, runs: Sequence[str], budget: Budget) -> float | None:
    """Of all runs of a side in one seed; None if one of them is not there."""
    total = 0.0
    for run in runs:
        file = folder / run / METRICS
        if not file.is_file():
            return None
        part = taken(read_rows(file), budget.field, budget.take)
        if part is None:
            raise ValueError(f"{file}: found no numbers {budget.field}, which budget {budget.what} is about")
        total += part
    return total


def taken(rows: Sequence[Mapping[str, Any]], field: str, take: str) -> float | None:
    """The sum or the last of a field of a run's metrics; None if no row has it, or one has no number there."""
    known = [row[field] for row in rows if row.get(field) is not None]
    if not known or not all(type(number) in (int, float) for number in known):
        return None
    return sum(known) if take == "sum" else known[-1]
