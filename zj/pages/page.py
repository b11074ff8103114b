"""The parts of a page. All text is escaped; colours follow the reader's choice of light or dark, paper is white."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

# What a page does not show, or what would reorder its text (U+202E); \r of a line end is left out.
CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
CONTROLS |= {ord("\t"): "\t", ord("\n"): "\n", ord("\r"): ""}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page. `parts` are HTML; empty ones are left out."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body><h1>{escape(title)}</h1>",
        *parts,
        "</body></html>",
    ]
    return ("\n".join(line for line in lines if line) + "\n").translate(CONTROLS)


def section(title: str, about: str, *parts: str) -> str:
    """A panel with a title and a line of text above its parts, which are HTML."""
    text = f"<p>{escape(about)}</p>" if about else ""
    return f"<section><h3>{escape(title)}</h3>{text}{''.join(parts)}</section>"


def details(summary: str, html: str) -> str:
    """A part that is closed until the reader opens it."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], last_is_text: bool = False) -> str:
    """The first column is text, the others are numbers, but for the last one with `last_is_text`."""
    numbers = range(1, len(head) - last_is_text)

    def cells(tag: str, row: Sequence[str]) -> str:
        classes = [' class="n"' if at in numbers else "" for at in range(len(row))]
        return "".join(f"<{tag}{c}>{escape(text)}</{tag}>" for c, text in zip(classes, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells("th", head)}</tr>{body}</table></div>'
