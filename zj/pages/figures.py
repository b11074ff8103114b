"""Figures as inline SVG: text is escaped, colours are those of the page's style."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BINS = 24  # of a histogram
WIDTH, HEIGHT, ROW = 480, 120, 18  # of a histogram, and of a row of bars; pixels
TALL, LEFT, BOTTOM = 210, 56, 24  # of a chart of lines, and what its axes take


def histogram(title: str, counts: Counter[int], most: str = "longest") -> str:
    """Bars of equal width up to the 99th percentile; the last one is of all that is more. "" if there is nothing."""
    if not counts:
        return ""
    top = max(1, quantile(counts, 0.99))
    step = -(-top // BINS)
    heights = [0] * (top // step + 2)
    for value, number in counts.items():
        heights[min(value // step, len(heights) - 1)] += number
    wide, end = WIDTH / len(heights), f"{(len(heights) - 1) * step:,} or more"
    bars = []
    for at, number in enumerate(heights):
        tall = HEIGHT * number / max(heights)
        label = f"{at * step:,}" + (f" to {(at + 1) * step - 1:,}" if step > 1 else "")
        label = end if at == len(heights) - 1 else label
        place = f'x="{at * wide:.1f}" y="{HEIGHT - tall:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}"'
        bars.append(f"<rect {place}><title>{label}: {number:,}</title></rect>")
    axis = f'<text x="0" y="{HEIGHT + 16}">0</text><text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{end}</text>'
    percentiles = ", ".join(f"{quantile(counts, share):,}" for share in (0.05, 0.5, 0.95))
    about = f"{percentiles} at 5, 50 and 95 %; {most} {max(counts):,}"
    return _figure(title, about, HEIGHT + 22, "".join(bars) + axis)


def bars(title: str, about: str, rows: Sequence[tuple[str, int]]) -> str:
    """One bar a row, with its name and its number."""
    most, parts = max(number for _, number in rows), []
    for at, (name, number) in enumerate(rows):
        base, long = ROW * at + 13, 260 * number / most
        parts.append(
            f'<text x="130" y="{base}" text-anchor="end">{escape(name[:10])}</text>'
            f'<rect x="138" y="{base - 10}" width="{long:.1f}" height="12"><title>{escape(name)}</title></rect>'
            f'<text x="{144 + long:.1f}" y="{base}">{number:,}</text>'
        )
    return _figure(title, about, ROW * len(rows) + 6, "".join(parts))


def quantile(counts: Counter[int], share: float) -> int:
    """The least value that at least this share of the values do not exceed; 0 of none."""
    left = share * counts.total()
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return 0


def _figure(title: str, about: str, height: int, parts: str, below: str = "") -> str:
    return (
        f"<figure><figcaption><b>{escape(title)}</b>: {escape(about)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{parts}</svg>{below}</figure>'
    )


@dataclass(frozen=True)
class Line:
    """Points (x, y) of one curve; `intervals` are (low, high) of each point, or none."""

    label: str
    color: str
    points: Sequence[tuple[float, float]]
    dash: str = ""  # pattern of pixels, as in stroke-dasharray; "": solid
    marked: bool = False  # a dot at each point
    faint: bool = False
    intervals: Sequence[tuple[float, float]] = ()


def curves(title: str, about: str, lines: Sequence[Line], level: float | None = None, x_label: str = "step") -> str:
    """A chart of lines with axes and a legend; `level` is a horizontal line. "" if there is no point."""
    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    legend = "".join(_legend(line) for line in drawn if line.label)
    return _figure(title, about, TALL + 10, chart(drawn, level, x_label), f'<div class="legend">{legend}</div>')


def chart(drawn: Sequence[Line], level: float | None = None, x_label: str = "step") -> str:
    """The inside of an SVG of WIDTH × (TALL + 10): the lines, each with a point at least, and their axes."""
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points] + [y for line in drawn for pair in line.intervals for y in pair]
    across, up = scale(xs, LEFT, WIDTH - 8), scale([*ys, *([level] if level is not None else [])], TALL - BOTTOM, 8)
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{up(y):.1f}" y2="{up(y):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
        for y in ticks(up.low, up.high)
    ]
    parts += [
        f'<text x="{across(x):.1f}" y="{TALL - 8}" text-anchor="middle">{x:g}</text>'
        for x in ticks(across.low, across.high)
        if x_label != "step" or x == round(x)
    ]
    parts.append(f'<text x="{WIDTH - 8}" y="{TALL + 6}" text-anchor="end">{escape(x_label)}</text>')
    if level is not None:
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - 8}" y1="{up(level):.1f}" y2="{up(level):.1f}"/>')
    return "".join([*parts, *(_line(line, across, up) for line in drawn)])


@dataclass(frozen=True)
class Scale:
    """Maps low … high to pixels."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def scale(values: Sequence[float], first: float, last: float) -> Scale:
    """From the least to the greatest value; around a single one, one unit."""
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, first, last)


def ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers (1, 2 or 5 × 10^k apart) between low and high, low < high."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * unit for unit in (10, 5, 2, 1) if (high - low) / (power * unit) >= 3)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(line: Line) -> str:
    """A short piece of the line and its label."""
    color = escape(line.color)
    dash = f' stroke-dasharray="{escape(line.dash)}"' if line.dash else ""
    dot = f'<circle cx="14" cy="6" r="3" fill="{color}"/>' if line.marked else ""
    piece = f'<svg viewBox="0 0 28 12"><line x1="0" x2="28" y1="6" y2="6" stroke="{color}"{dash}/>{dot}</svg>'
    return f"<span>{piece}{escape(line.label)}</span>"


def _line(line: Line, across: Scale, up: Scale) -> str:
    places = [(across(x), up(y)) for x, y in line.points]
    style = f'stroke="{escape(line.color)}"' + (f' stroke-dasharray="{escape(line.dash)}"' if line.dash else "")
    faint = ' class="faint"' if line.faint else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline{faint} points="{path}" {style}/>']
    if line.marked:
        parts += [
            f'<circle cx="{at:.1f}" cy="{to:.1f}" r="3" fill="{escape(line.color)}">'
            f"<title>{escape(line.label)} {x:g}: {y:.4g}</title></circle>"
            for (at, to), (x, y) in zip(places, line.points, strict=True)
        ]
    parts += [
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{up(low):.1f}" y2="{up(high):.1f}" {style}/>'
        for (at, _), (low, high) in zip(places, line.intervals, strict=False)
    ]
    return "".join(parts)
