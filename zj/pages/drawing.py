"""An SVG file by itself, such as an image in Markdown: its style, background and legend are inside.

It follows the reader's choice of light or dark, as page.css does. Its own background keeps it readable where the page
around it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from zj.pages.figures import Line
from zj.pages.page import CONTROLS

STYLE = """
svg { --ink: #1d2733; --faint: #5c6b7a; --line: #d5dce3; --bar: #2f6f9f; --page: #ffffff; --claimed: #dcefe3; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e4e9ee; --faint: #9aa8b5; --line: #37424d; --bar: #6fb1e0; --page: #14191f; --claimed: #1d3a2b; }
}
text { font: 12px system-ui, "Noto Sans CJK SC", sans-serif; fill: var(--faint); }
text.ink { fill: var(--ink); } text.title { fill: var(--ink); font-size: 14px; font-weight: 600; }
rect.page { fill: var(--page); } rect.claimed { fill: var(--claimed); } rect.mark, circle.mark { fill: var(--bar); }
polyline, line { fill: none; stroke-width: 1.8; } line.mark { stroke: var(--bar); }
polyline.faint { stroke-width: 1; opacity: .6; }
line.grid { stroke: var(--line); stroke-width: 1; } line.level { stroke: var(--faint); stroke-width: 1; }
"""
MARGIN, TITLE, ROW = 12, 28, 18  # around the drawing, of the title, of a line below it or of the legend; pixels
LETTER = 6.5  # width of a letter at most, on average


def drawing(title: str, about: str, width: int, height: int, parts: str, legend: Sequence[Line] = ()) -> str:
    """The text of a file. `parts` are SVG elements in width × height, below the title and the text about it."""
    named, words = [line for line in legend if line.label], wrap(about, int(width / LETTER))
    top = TITLE + ROW * len(words)
    wide, tall = width + 2 * MARGIN, top + height + ROW * len(named) + MARGIN
    below = "".join(
        f'<text x="{MARGIN}" y="{TITLE + 10 + ROW * at}">{escape(line)}</text>' for at, line in enumerate(words)
    )
    rows = "".join(_legend(line, top + height + ROW * at) for at, line in enumerate(named))
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}" role="img"'
        f' aria-label="{escape(title)}"><style>{STYLE}</style><rect class="page" width="{wide}" height="{tall}"/>'
        f'<text class="title" x="{MARGIN}" y="20">{escape(title)}</text>{below}'
        f'<g transform="translate({MARGIN} {top})">{parts}</g>{rows}</svg>\n'
    )
    return text.translate(CONTROLS)


def _legend(line: Line, top: float) -> str:
    color, y = escape(line.color), top + ROW / 2
    dash = f' stroke-dasharray="{escape(line.dash)}"' if line.dash else ""
    dot = f'<circle cx="{MARGIN + 14}" cy="{y}" r="3" fill="{color}"/>' if line.marked else ""
    stroke = f'stroke="{color}"{dash}'
    return (
        f'<line x1="{MARGIN}" x2="{MARGIN + 28}" y1="{y}" y2="{y}" {stroke}/>{dot}'
        f'<text x="{MARGIN + 36}" y="{y + 4}">{escape(line.label)}</text>'
    )
