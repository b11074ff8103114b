"""Text metrics as tables for the terminal, and as JSON: no figure without its interval and its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zj.eval.answer_file import Systems, summary
from zj.eval.report import align_columns
from zj.eval.significance import ALPHA, POWER
from zj.eval.statistics import LEVEL, RESAMPLES, Interval
from zj.eval.text.presets import PRESETS
from zj.eval.text.scores import MetricScores

INTERVAL = (
    f"[{LEVEL:.0%} interval]: bootstrap over whole dialogues, {RESAMPLES:,} resamples, bootstrap-t; of "
    "corpus Distinct: jackknife over dialogues"
)
TEST = (
    f"p: approximate randomization over whole dialogues, {RESAMPLES:,} permutations; of corpus Distinct: jackknife. "
    "Holm: corrected for all p of the table.\n"
    f"detectable: a true difference of this size is seen at p < {ALPHA:g} in {POWER:.0%} of such test sets"
)


def format_preset(name: str, scored: Sequence[MetricScores], against: str = "") -> str:
    """The tables of one preset: the figures, the differences to `against`, the signatures."""
    systems = list(scored[0].scores)
    figures = [
        [row.metric, *(format_interval(row.scores[system], digits(row)) for system in systems)] for row in scored
    ]
    parts = [f"{name}: {PRESETS[name].about}", align_columns([["", *systems], *figures])]
    if against:
        header = [f"minus {against}", "difference", "p", "p (Holm)", "detectable"]
        rows = [
            [
                f"{row.metric}, {system}",
                format_interval(c.difference, digits(row), "+"),
                format_p(c.p),
                format_p(c.p_holm),
                f"{c.detectable:.{digits(row)}f}",
            ]
            for row in scored
            for system, c in row.comparisons.items()
        ]
        parts.append(align_columns([header, *rows]))
    metrics: dict[str, list[str]] = {}
    for row in scored:
        metrics.setdefault(row.signature, []).append(row.metric)
    parts.append("\n".join(f"{', '.join(names)} | {line}" for line, names in metrics.items()))
    return "\n\n".join(parts)


def format_interval(value: Interval, decimals: int, sign: str = "") -> str:
    """12.34 [11.20, 13.41]"""
    mean, low, high = (f"{number:{sign}.{decimals}f}" for number in (value.mean, value.low, value.high))
    return f"{mean} [{low}, {high}]"


def format_p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def digits(row: MetricScores) -> int:
    """Decimals that a figure is shown with: 2 of 100, 4 of 1."""
    return 4 if "| scale: 0-1 |" in row.signature else 2


def as_report(systems: Systems, presets: Mapping[str, Sequence[MetricScores]], against: str) -> dict[str, Any]:
    """The report as JSON: systems, and of each preset the metrics with signature, scores and comparisons."""
    return {
        "systems": {name: summary(rows) for name, rows in systems.items()},
        "interval": INTERVAL,
        "test": TEST if against else "",
        "against": against,
        "presets": {
            name: {"about": PRESETS[name].about, "metrics": [_metric(row) for row in scored]}
            for name, scored in presets.items()
        },
    }


def _metric(row: MetricScores) -> dict[str, Any]:
    def ends(interval: Interval) -> dict[str, float]:
        return {"value": interval.mean, "low": interval.low, "high": interval.high}

    comparisons = {
        name: ends(c.difference) | {key: value for key, value in asdict(c).items() if key != "difference"}
        for name, c in row.comparisons.items()
    }
    scores = {name: ends(interval) for name, interval in row.scores.items()}
    return {"metric": row.metric, "signature": row.signature, "scores": scores, "comparisons": comparisons}
