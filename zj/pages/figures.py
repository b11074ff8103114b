"""Figures as inline SVG: text is escaped, colours are those of the page's style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

BINS = 24  # of a histogram
WIDTH, HEIGHT, ROW = 480, 120, 18  # of a histogram, and of a row of bars; pixels


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


def _figure(title: str, about: str, height: int, parts: str) -> str:
    return (
        f"<figure><figcaption><b>{escape(title)}</b>: {escape(about)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{parts}</svg></figure>'
    )
