"""Two methods at equal KL: each question's value along a method's path from the baseline.

A path is one policy at several distances from its baseline: systems of one exam, such as the same adapter scaled by
0.5, 0.75 and 1, and the baseline itself at KL 0. Between the two points around a KL, the value of every question is
interpolated linearly, so two methods are compared question by question. Nothing is extrapolated: a path that ends
before that KL has no value there. Gold against KL: Gao et al. 2023, "Scaling laws for reward model overoptimization".

The KL of a point is a mean over sampled answers; its own error is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zj.eval.claims.claim import LEAST_END, Claim, Measure, Side
from zj.eval.claims.values import Value, Values, read_exam, values


@dataclass(frozen=True)
class Point:
    kl: float  # nats per answer
    values: Values

    @property
    def mean(self) -> float:
        known = [one.value for one in self.values.values() if one.value is not None]
        return sum(known) / len(known)


def path_points(folder: Path, side: Side, measure: Measure) -> list[Point]:
    """In order of their KL. ValueError names the file if a system has no KL."""
    points = []
    for system in side.path:
        of_system = values(folder, replace(side, system=system, path=()), measure)
        kl = read_exam(folder / side.file).kl[system]
        if kl is None:
            raise ValueError(f"{folder / side.file}: system {system} has no KL to baseline, expected a sampled model")
        points.append(Point(kl, of_system))
    return sorted(points, key=lambda point: point.kl)


def common_kl(folder: Path, measure: Measure, claim: Claim) -> float | None:
    """Where the measure compares, in this seed. None: it has no paths."""
    if measure.at_kl != LEAST_END:
        return measure.at_kl if isinstance(measure.at_kl, float) else None
    sides = [(side, one) for one in claim.measure for side in (one.a, one.b) if side.path]
    return min(path_points(folder, side, one)[-1].kl for side, one in sides)


def kl_of(folder: Path, side: Side, measure: Measure) -> float | None:
    """Of one system of an exam; None where it is not known."""
    return read_exam(folder / side.file).kl.get(side.system) if measure.form == "exam" else None


def interpolate(points: Sequence[Point], kl: float) -> Values | None:
    """The value of each question at this KL; None outside of the path."""
    if not points[0].kl <= kl <= points[-1].kl:
        return None
    at = next(number for number, point in enumerate(points) if point.kl >= kl)
    above, below = points[at], points[max(0, at - 1)]
    share = (kl - below.kl) / (above.kl - below.kl) if above.kl > below.kl else 1.0

    def between(low: Value, high: Value) -> Value:
        known = low.value is not None and high.value is not None
        return Value((1 - share) * low.value + share * high.value if known else None, high.cluster)  # type: ignore[operator]

    return {id: between(below.values[id], above.values[id]) for id in above.values}
