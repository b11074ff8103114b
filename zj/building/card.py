"""The card of a data set as a page: kinds, lengths, departments, sources, and what each step removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from zj import pages
from zj.building.summary import Summary, mean, share
from zj.pages import details, section, table
from zj.pages.figures import bars, histogram, quantile

BARS = 20  # departments that are listed one by one


def page(
    title: str, kinds: Mapping[str, Summary], reports: Sequence[Mapping[str, Any]], made: Mapping[str, str]
) -> str:
    """The card of the kinds' summaries and of the steps' reports; `made` gives the step that made a file."""
    total = sum(summary.records for summary in kinds.values())
    return pages.page(
        title,
        [
            f"<p>{total:,} records. Lengths are in characters. Repeats are exact, by normalised text. An answer asks "
            "something if it has a question mark.</p><h2>Kinds</h2>",
            _kinds(kinds, total),
            *(_kind(name, summary) for name, summary in kinds.items()),
            "<h2>Sources</h2>",
            _sources(kinds, made),
            "<h2>Steps</h2>" if reports else "",
            *map(_step, reports),
        ],
    )


def _kinds(kinds: Mapping[str, Summary], total: int) -> str:
    head = ("kind", "records", "share", "turns", "question", "answer", "answers that ask", "repeats")
    rows = [
        (
            name,
            f"{summary.records:,}",
            share(summary.records, total),
            f"{mean(summary.turns):.2f}",
            f"{quantile(summary.questions, 0.5):,}",
            f"{quantile(summary.answers, 0.5):,}",
            share(summary.asking, summary.answers.total()),
            f"{summary.repeats:,}",
        )
        for name, summary in kinds.items()
    ]
    return table(head, rows) + "<p>Turns: the mean. Question and answer: the median length.</p>"


def _kind(name: str, summary: Summary) -> str:
    figures = [histogram(f"Length of {'texts' if name == 'documents' else 'answers'}", summary.answers)]
    figures.insert(0, histogram("Length of questions", summary.questions))
    if len(summary.turns) > 1:
        figures.append(histogram("Turns", summary.turns, "most"))
    if given := summary.departments.keys() - {""}:
        rows = [(department or "not given", number) for department, number in summary.departments.most_common(BARS)]
        if rest := summary.departments.total() - sum(number for _, number in rows):
            rows.append((f"{len(summary.departments) - BARS} more", rest))
        figures.append(bars("Departments", f"{len(given):,}", rows))
    asking = share(summary.records_asking, summary.records)
    about = f"{asking} of them have an answer that asks something."
    return section(f"{name}: {summary.records:,}", about, f'<div class="figures">{"".join(figures)}</div>')


def _sources(kinds: Mapping[str, Summary], made: Mapping[str, str]) -> str:
    files = dict.fromkeys(file for summary in kinds.values() for file in summary.files)
    rows = [[file, *(f"{summary.files[file]:,}" for summary in kinds.values()), made.get(file, "")] for file in files]
    return table(["file", *kinds, "made by the step"], rows, last_is_text=True)


def _step(report: Mapping[str, Any]) -> str:
    """What a step did, with some of the records that it names."""
    samples, settings = report["samples"], report["settings"]
    title = " ".join(
        filter(None, [report["step"], str(settings.get("kind", "")), Path(str(settings.get("out", ""))).name])
    )
    counts = ", ".join(f"{report[name]:,} {name}" for name in ("read", "removed", "changed", "written"))
    reasons = [
        [reason, f"{number:,}", share(number, report["read"]), "\n".join(samples.get(reason, []))]
        for reason, number in sorted(report["reasons"].items(), key=lambda item: -item[1])
    ]
    reasons_table = (
        table(["reason", "records", "of those read", "for example"], reasons, last_is_text=True) if reasons else ""
    )
    listed = "".join(f"{escape(name)} = {escape(str(value))}\n" for name, value in settings.items())
    settings_of_step = details("settings", f"<pre><code>{listed}</code></pre>")
    return f"<h3>{escape(title)}</h3><p>{counts}</p>{reasons_table}{settings_of_step}"
