"""Text metrics as tables and as JSON: no figure without its interval and its signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from zj.data.turns import asks_nothing
from zj.eval.answer_file import Systems, summary
from zj.eval.significance import ALPHA, POWER
from zj.eval.statistics import LEVEL, RESAMPLES, Interval
from zj.eval.tables import Table
from zj.eval.text.presets import PRESETS
from zj.eval.text.scores import MetricScores

INTERVAL = (
    f"[{LEVEL:.0%} interval]: bootstrap over whole dialogues, {RESAMPLES:,} resamples, BCa; of corpus "
    "Distinct: jackknife over dialogues"
)
TEST = (
    f"p: approximate randomization over whole dialogues, {RESAMPLES:,} permutations; of corpus Distinct: jackknife. "
    "Holm: corrected for all p of the table.\n"
    f"detectable: a true difference of this size is seen at p < {ALPHA:g} in {POWER:.0%} of such test sets"
)


def answers_table(systems: Systems) -> Table:
    """What became of the questions, and what makes the figures of these answers mean less."""
    counts = {name: summary(rows) for name, rows in systems.items()}
    first = next(iter(systems.values()))
    about = []
    if idle := sum(asks_nothing(row.prompt) for row in first):
        about.append(
            f"{idle:,} of {len(first):,} questions ask nothing, such as thanks, so that courtesy raises the figures "
            "(answer.py --closing-turns leave-out)"
        )
    for name, of in counts.items():
        if of["cut_off"] > len(first) / 5:
            about.append(f"{of['cut_off'] / len(first):.0%} of the answers of {name} are cut off: does it end at all?")
    rows = tuple((name, *(f"{number:,}" for number in of.values())) for name, of in counts.items())
    head = ("", *(what.replace("_", " ") for what in summary(first)))
    return Table("answers", head, rows, "\n".join(about))


def tables(name: str, scored: Sequence[MetricScores], against: str = "") -> list[Table]:
    """Of one preset: the figures with their signatures, and the differences to `against`."""
    about = PRESETS[name].about
    if not scored:
        return [Table(f"{name}: not measured, no question has a reference", ("",), (), about)]
    systems = tuple(scored[0].scores)
    figures = tuple((row.metric, *(format_interval(row.scores[one], digits(row)) for one in systems)) for row in scored)
    metrics: dict[str, list[str]] = {}
    for row in scored:
        metrics.setdefault(row.signature, []).append(row.metric)
    signatures = [f"{', '.join(names)} | {signature}" for signature, names in metrics.items()]
    made = [Table(name, ("", *systems), figures, "\n".join([about, *signatures]))]
    if against:
        head = (f"minus {against}", "difference", "p", "p (Holm)", "detectable")
        differences = tuple(
            (
                f"{row.metric}, {one}",
                format_interval(c.difference, digits(row), "+"),
                format_p(c.p),
                format_p(c.p_holm),
                "-" if c.detectable is None else f"{c.detectable:.{digits(row)}f}",
            )
            for row in scored
            for one, c in row.comparisons.items()
        )
        made.append(Table(f"{name}, against {against}", head, differences))
    return made


def format_interval(value: Interval, decimals: int, sign: str = "") -> str:
    """12.34 [11.20, 13.41]"""
    mean, low, high = (f"{number:{sign}.{decimals}f}" for number in (value.mean, value.low, value.high))
    return f"{mean} [{low}, {high}]"


def format_p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def digits(row: MetricScores) -> int:
    """Decimals that a figure is shown with: 2 of 100, 4 of 1."""
    return 4 if "| scale: 0-1 |" in row.signature else 2


def metric_as_json(row: MetricScores) -> dict[str, Any]:
    """{"metric", "signature", "scores": by system, "comparisons": by system}"""

    def ends(interval: Interval) -> dict[str, float]:
        return {"value": interval.mean, "low": interval.low, "high": interval.high}

    comparisons = {
        name: ends(c.difference) | {key: value for key, value in asdict(c).items() if key != "difference"}
        for name, c in row.comparisons.items()
    }
    scores = {name: ends(interval) for name, interval in row.scores.items()}
    return {"metric": row.metric, "signature": row.signature, "scores": scores, "comparisons": comparisons}
