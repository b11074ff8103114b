"""Pictures of claims: the difference in each seed and over the seeds, and gold against KL where paths are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from statistics import mean

from zj.eval.claims.claim import EQUAL, HIGHER, Claim, Measure, Side
from zj.eval.claims.curve import Point, path_points
from zj.eval.claims.measure import ClaimResult, MeasureResult
from zj.eval.claims.report import places, with_ends
from zj.eval.claims.statistics import LEVEL_OF_SEEDS
from zj.eval.curves import COLORS
from zj.eval.statistics import Interval
from zj.pages.drawing import drawing
from zj.pages.figures import TALL, WIDTH, Line, Scale, chart, scale, ticks

NAMES, PLOT, NUMBERS, ROW, AXIS = 190, 320, 170, 26, 40  # widths of the columns; heights of a row and of the axis
KL = "KL to the baseline, nats per answer"
GREY = "#7f8a95"
PALETTE = [color for color in COLORS if color != "#000000"]  # black is not seen on a dark page


def pictures(result: ClaimResult, folders: Mapping[int, Path]) -> dict[str, str]:
    """Name of a file → SVG: the first measure of a claim, if it has a value, and its curves, if it has paths."""
    if not result.measures or result.measures[0].difference is None:
        return {}
    name, first = result.claim.name, result.measures[0]
    made = {f"{name}.svg": forest(name, first)}
    seeds = {one.seed: folders[one.seed] for one in first.seeds}
    if first.measure.at_kl is not None:
        made[f"{name}-kl.svg"] = gold_against_kl(result.claim, first, seeds)
    return made


# ---- the difference


def forest(name: str, result: MeasureResult) -> str:
    """A row for each seed and two for their mean; the claimed side is coloured, and a line stands at no difference."""
    of, measure = result.difference, result.measure
    assert of is not None
    rows = [(f"seed {one.seed}", interval) for one, interval in zip(result.seeds, of.of_seeds, strict=True)]
    rows.append(("mean, 95 % over questions", of.over_questions))
    if of.over_seeds:
        rows.append((f"mean, {LEVEL_OF_SEEDS:.0%} over seeds".replace("%", " %"), of.over_seeds))
    margin = measure.margin or 0.0
    ends = [end for _, row in rows for end in (row.low, row.high)] + [0.0, margin, -margin]
    pad = 0.06 * (max(ends) - min(ends)) or 0.5
    across = scale([min(ends) - pad, max(ends) + pad], NAMES, NAMES + PLOT)
    height = ROW * len(rows)
    parts = [_claimed_side(measure, across, height), _axis(across, height, measure)]
    for at, row in enumerate(rows):
        parts.append(_forest_row(*row, across, ROW * at, at >= len(result.seeds), places(result)))
    about = f"{measure.what}: {measure.a.label} minus {measure.b.label}"
    width = NAMES + PLOT + NUMBERS
    return drawing(f"{name}: {result.verdict}", about, width, height + AXIS, "".join(parts))


def _claimed_side(measure: Measure, across: Scale, height: int) -> str:
    if measure.expected == EQUAL:
        first, last = across(-(measure.margin or 0.0)), across(measure.margin or 0.0)
    elif measure.expected == HIGHER:
        first, last = across(0.0), across.last
    else:
        first, last = across.first, across(0.0)
    return f'<rect class="claimed" x="{first:.1f}" y="0" width="{last - first:.1f}" height="{height}"/>'


def _axis(across: Scale, height: int, measure: Measure) -> str:
    parts = [
        f'<line class="grid" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="0" y2="{height}"/>'
        f'<text x="{across(x):.1f}" y="{height + 15}" text-anchor="middle">{x:g}</text>'
        for x in ticks(across.low, across.high)
    ]
    zero = f'<line class="level" x1="{across(0):.1f}" x2="{across(0):.1f}" y1="0" y2="{height}"/>'
    claimed = "equal, within the margin" if measure.expected == EQUAL else f"{measure.a.label} is {measure.expected}"
    middle = (across.first + across.last) / 2
    text = f'<text x="{middle}" y="{height + 33}" text-anchor="middle">coloured: claimed, {escape(claimed)}</text>'
    return "".join([*parts, zero, text])


def _forest_row(label: str, row: Interval, across: Scale, top: int, is_mean: bool, digits: int) -> str:
    y, x = top + ROW / 2, across(row.mean)
    mark = f'<rect class="mark" x="{x - 5:.1f}" y="{y - 5}" width="10" height="10"/>'
    return (
        f'<text class="ink" x="0" y="{y + 4}">{escape(label)}</text>'
        f'<line class="mark" x1="{across(row.low):.1f}" x2="{across(row.high):.1f}" y1="{y}" y2="{y}"/>'
        + (mark if is_mean else f'<circle class="mark" cx="{x:.1f}" cy="{y}" r="4"/>')
        + f'<text class="ink" x="{NAMES + PLOT + 10}" y="{y + 4}">{with_ends(row, digits)}</text>'
    )


# ---- gold against KL


def gold_against_kl(claim: Claim, first: MeasureResult, folders: Mapping[int, Path]) -> str:
    """A path for each method: faint in each seed, and its points' means over the seeds; where they are compared."""
    measure = first.measure
    sides: dict[tuple[str, tuple[str, ...]], Side] = {}
    for one in claim.measure:
        if one.metric == measure.metric and one.where == measure.where:
            sides |= {(side.file, side.path): side for side in (one.a, one.b) if side.path}
    lines: list[Line] = []
    for side, color in zip(sides.values(), cycle(PALETTE), strict=False):
        of_seeds = [path_points(folder, side, measure) for folder in folders.values()]
        lines += [Line("", color, _places(points), faint=True) for points in of_seeds]
        means = [
            (mean(point.kl for point in at), mean(point.mean for point in at)) for at in zip(*of_seeds, strict=True)
        ]
        lines.append(Line(side.label, color, means, marked=True))
    heights = [y for line in lines for _, y in line.points]
    compared = sorted({kl for one in first.seeds if (kl := one.kl[0]) is not None})
    lines += [
        Line("" if at else "compared here", GREY, [(kl, min(heights)), (kl, max(heights))], dash="2 3")
        for at, kl in enumerate(compared)
    ]
    about = f"{measure.what}; thick: mean of {len(folders)} seeds"
    return drawing(f"{claim.name}", about, WIDTH, TALL + 16, chart(lines, x_label=KL), lines)


def _places(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(point.kl, point.mean) for point in points]
