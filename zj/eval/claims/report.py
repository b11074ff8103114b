"""The table of claims as Markdown and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zj.eval.claims.claim import EQUAL, SYSTEMS
from zj.eval.claims.measure import NOT_MEASURABLE, BudgetResult, ClaimResult, MeasureResult
from zj.eval.claims.statistics import CONFIRMED, LEVEL_OF_SEEDS
from zj.eval.statistics import Interval

TITLES = dict(zip(SYSTEMS, ("Zhongjing", "IIMedGPT", "HuatuoGPT", "Methods"), strict=True))
HEAD = ("claim", "verdict", "a", "b", "a - b [95 %]", "seeds [90 %]", "command", "picture")
Pictures = Mapping[str, Sequence[str]]  # claim → names of files
LEGEND = f"""- a, b: means over the seeds.
- a - b: in pairs by question, with its 95 % interval over questions (whole clusters resampled within each seed).
- seeds: the difference of each seed, and Student's {100 * LEVEL_OF_SEEDS:.0f} % interval over seeds (one-sided: 95 %).
- confirmed: every seed has the claimed sign, and both intervals lie on the claimed side (equal: within the margin).
  "The opposite" is the same rule on the other side. "No better than without a model": so they are, but a is not above
  the constant answer, or chance, by this rule.
- One of twenty claims without any effect may be confirmed by chance, at most. A control is two equal recipes: it
  should never be confirmed.
- not run yet: results are missing. one seed: a verdict needs two at least. no value at this KL: a path ends before."""


def markdown(results: Sequence[ClaimResult], pictures: Pictures, seeds: Sequence[int]) -> str:
    """A page: counts, the tables, then every claim with its measures."""
    lines = ["# The papers' claims", "", f"Seeds {', '.join(map(str, seeds))}. {counts(results)}.", "", LEGEND]
    lines += [tables(results, pictures), "", "## Every claim"]
    for one in results:
        lines += _details(one, pictures.get(one.claim.name, ()))
    return "\n".join(lines) + "\n"


def tables(results: Sequence[ClaimResult], pictures: Pictures, folder: str = "") -> str:
    """A table per system, and one of the controls. folder: where claims.md and the pictures are, ending in /."""
    lines = []
    for system in (*SYSTEMS, ""):
        of = [one for one in results if ("" if one.claim.control else one.claim.system) == system]
        if of:
            cells = [_cells(one, pictures.get(one.claim.name, ()), folder) for one in of]
            title = TITLES.get(system, "Controls")
            lines += ["", f"## {title}", "", _row(HEAD), _row(["---"] * len(HEAD)), *map(_row, cells)]
    return "\n".join(lines)


def counts(results: Sequence[ClaimResult]) -> str:
    """12 claims: 5 confirmed, 4 not confirmed, …; 2 controls: 2 not confirmed"""
    parts = []
    for noun, control in (("claim", False), ("control", True)):
        of = Counter(one.verdict for one in results if one.claim.control is control)
        if number_of := of.total():
            verdicts = ", ".join(f"{times} {name}" for name, times in of.items())
            parts.append(f"{number_of} {noun}{'s' * (number_of > 1)}: {verdicts}")
    return "; ".join(parts)


def as_json(results: Sequence[ClaimResult], seeds: Sequence[int]) -> dict[str, Any]:
    """All that the table says, and every seed of every measure."""
    return {"seeds": list(seeds), "claims": [asdict(one) for one in results]}


# ---- tables


def _cells(result: ClaimResult, pictures: Sequence[str], folder: str) -> list[str]:
    claim = result.claim
    shown = f"[{claim.name}]({folder}claims.md#{claim.name}): {claim.text}"
    end = [f"`{claim.command}`" if claim.command else "", " ".join(f"[{name}]({folder}{name})" for name in pictures)]
    if not result.measures:
        return [shown, f"{NOT_MEASURABLE}: {claim.reason}", "", "", "", "", *end]
    name = f"**{result.verdict}**" if result.verdict == CONFIRMED else result.verdict
    return [shown, name, *_numbers(result.measures[0]), *end]


def _numbers(result: MeasureResult) -> list[str]:
    """a, b, a - b with its interval, the seeds with theirs."""
    of, (a, b) = result.difference, (result.measure.a.label, result.measure.b.label)
    if of is None:
        return [a, b, "", ""]
    digits = places(result)
    apart = ", ".join(f"{one.mean:+.{digits}f}" for one in of.of_seeds)
    over_seeds = with_ends(of.over_seeds, digits).partition(" ")[2] if of.over_seeds else ""
    return [
        f"{a} {result.a:.{digits}f}",
        f"{b} {result.b:.{digits}f}",
        with_ends(of.over_questions, digits),
        f"{apart} {over_seeds}",
    ]


def _budgets(budgets: Sequence[BudgetResult]) -> str:
    return "; ".join(
        f"{one.what} {_amount(one.a)}" + ("" if one.a == one.b else f" against {_amount(one.b)}") for one in budgets
    )


def _details(result: ClaimResult, pictures: Sequence[str]) -> list[str]:
    claim = result.claim
    lines = ["", f"### {claim.name}", "", f"{claim.text} ({claim.source})", "", f"Verdict: {result.verdict}."]
    lines += ["", f"Reason: {claim.reason}"] if claim.reason else []
    lines += ["", f"Note: {claim.note}"] if claim.note else []
    lines += ["", f"Command: `{claim.command}`"] if claim.command else []
    lines += ["", f"Budget: {_budgets(result.budgets)}"] if result.budgets else []
    if result.measures:
        head = ("measure", "expected", "verdict", *HEAD[2:6], "questions (clusters)")
        lines += ["", _row(head), _row(["---"] * len(head))]
        lines += [_row(_measure_cells(one)) for one in result.measures]
    left_out = dict.fromkeys(
        f"- {one.measure.what}: seed {seed}: {why}" for one in result.measures for seed, why in one.left_out.items()
    )
    lines += ["", *left_out] if left_out else []
    for name in pictures:
        lines += ["", f"![{claim.name}: {claim.measure[0].what}]({name})"]
    return lines


def _measure_cells(result: MeasureResult) -> list[str]:
    measure = result.measure
    expected = f"equal, margin {measure.margin:g}" if measure.expected == EQUAL else f"a {measure.expected}"
    kls = sorted({round(one.kl[0] or 0, 2) for one in result.seeds}) if measure.at_kl is not None else []
    at = f" at KL {', '.join(f'{kl:g}' for kl in kls)} nats" if kls else ""
    sizes = ", ".join(f"{one.questions:,} ({one.clusters:,})" for one in result.seeds)
    return [measure.what + at, expected, result.verdict, *_numbers(result), sizes]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


# ---- numbers


def places(result: MeasureResult) -> int:
    """Decimals of all numbers of a measure: three, and one where its sides reach 10."""
    return 1 if max(abs(result.a), abs(result.b)) >= 10 else 3


def with_ends(interval: Interval, places: int) -> str:
    """+0.011 [+0.005, +0.016]"""
    return f"{interval.mean:+.{places}f} [{interval.low:+.{places}f}, {interval.high:+.{places}f}]"


def _amount(value: float | None) -> str:
    """1.23 M, 45.6 k, 12; "?" where no run is there."""
    if value is None:
        return "?"
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
