"""The judges' tables, for the terminal, a report and a page, and the correction for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zj.eval.significance import holm
from zj.eval.tables import Table

LEGEND = """score: win + ½ tie, ½ is no difference; [95 % interval: bootstrap over whole dialogues, 10,000 resamples]
equal lengths: the score at equal lengths (a + b tanh(difference / its sd), logistic); p: exact sign test over
dialogues, corrected over this table by Holm; detectable: distance from ½ that is seen with 80 % power"""
SEATS = "consistent: both orders agree; first seat: single verdicts for the answer that stands first (fair: ½)"
RUBRIC_LEGEND = """score: points of the criteria met / positive points, mean over questions, clipped to 0..1
[95 % interval: bootstrap over whole dialogues, 10,000 resamples]
bounds: the score if all criteria without a verdict were the worse, or the better"""
NO_CONTROLS = "No controls: how far this judge can be believed was not measured."
SHARES = ("win", "tie", "loss")


def correct_for_number(results: Sequence[dict[str, Any]]) -> None:
    """Holm's correction of the sign tests of all results together, put beside each."""
    for row, p in zip(results, holm([row["sign_test"]["p"] for row in results]), strict=True):
        row["sign_test"]["p_holm"] = p


def pairwise_tables(report: dict[str, Any]) -> list[Table]:
    prompt, controls, counts = report["prompt"], report["controls"], report["counts"]
    title = (
        f"{report['first']} against {', '.join(report['against'])}: {counts['questions']:,} questions of "
        f"{counts['dialogues']:,} dialogues, judged by {report['model']}, prompt {prompt['name']} "
        f"({prompt['file_sha256'][:12]})"
    )
    about = f"{report['rule']}\n{LEGEND}\n{SEATS}"
    if report["self_judged"]:
        names = ", ".join(report["self_judged"])
        about += f"\nSELF-JUDGED: the judge has the name of {names}; models prefer their own answers"
    if report["refused"]:
        about += f"\n{report['refused']:,} requests had no reply: too long for the judge, or refused by its filter"
    if not controls:
        about += f"\n{NO_CONTROLS}"
    tables = [figures_table(report["results"], title, about, seats=True), *groups_tables(report["results"])]
    return [*tables, controls_table(controls)] if controls else tables


def figures_table(results: Sequence[dict[str, Any]], title: str, about: str, seats: bool) -> Table:
    """One line of each pair of systems and dimension. seats: with what only a judge of two orders has."""
    head = ("", "n", "unparsed", *SHARES, "score", "equal lengths", "p", "detectable")
    rows = []
    for row in results:
        line = [f"{row['against']}: {row['dimension']}", *_shares(row), _interval(row["length_controlled"])]
        line += [f"{row['sign_test']['p_holm']:.2g}", "-" if row["detectable"] is None else f"{row['detectable']:.3f}"]
        line += [_percent(row[name]) for name in ("consistent", "first_seat", "longer_wins")] * seats
        rows.append(tuple(line))
    return Table(title, head + ("consistent", "first seat", "longer wins") * seats, tuple(rows), about)


def groups_tables(results: Sequence[dict[str, Any]]) -> list[Table]:
    """The groups of the first dimension against each system; [] where there are none. The report has all."""
    return [
        Table(
            f"{row['against']}: {row['dimension']}, by department and turns",
            ("", "n", "unparsed", *SHARES, "score"),
            tuple((name, *_shares(group)) for name, group in row["groups"].items()),
        )
        for row in results
        if row["groups"] and row["dimension"] == results[0]["dimension"]
    ]


def controls_table(controls: dict[str, Any]) -> Table:
    named = {
        "an answer against itself: a tie?": controls["same"],
        "against a worse one: wins?": controls["corrupted"],
        **{f"  {kind}": found for kind, found in controls["by_kind"].items()},
    }
    rows = []
    for name, found in named.items():
        passed = {True: "passed", False: "FAILED", None: ""}[found.get("passed")]
        rows.append((name, *(_shares(found) if found.get("n") else ("0", "", "", "", "", "")), passed))
    failed = (
        "THE CONTROLS FAIL: this judge does not read what it judges, or the system answers all questions alike. "
        "Its verdicts are not to be believed."
    )
    head = ("", "n", "unparsed", *SHARES, "score", "")
    return Table("controls of the judge", head, tuple(rows), "" if controls["passed"] else failed)


def rubric_tables(report: dict[str, Any]) -> list[Table]:
    """One column of each system: its score, then by tag."""
    systems = report["systems"]
    first, *_ = systems
    cells = {
        "score": [_interval(found["score"]) for found in systems.values()],
        "each clipped": [_interval(found["score_clipped_by_question"]) for found in systems.values()],
        f"difference to {first}": [_interval(report["differences"].get(name)) for name in systems],
        "questions": [f"{found['n']:,}" for found in systems.values()],
        "without a score": [f"{found['unparsed']:,}" for found in systems.values()],
        "criteria unparsed": [f"{found['criteria_unparsed']:,}" for found in systems.values()],
        "bounds": ["{:.3f} to {:.3f}".format(*found["bounds"]) for found in systems.values()],
    }
    for tag in dict.fromkeys(tag for found in systems.values() for tag in found["tags"]):
        tagged = [found["tags"].get(tag) for found in systems.values()]
        cells[tag] = [_interval(found["score"]) if found else "-" for found in tagged]
    title = f"{report['counts']['questions']:,} questions by the rubric {report['rubric']}, judged by {report['model']}"
    about = RUBRIC_LEGEND
    if report["self_judged"]:
        about += f"\nSELF-JUDGED: the judge has the name of {', '.join(report['self_judged'])}"
    return [Table(title, ("", *systems), tuple((name, *row) for name, row in cells.items()), about)]


def human_tables(report: dict[str, Any]) -> list[Table]:
    title = (
        f"people: {report['judged']:,} of {report['items']:,} items judged, {report['judgements']:,} judgements that "
        f"count; {report['identical']:,} questions with one answer of all are ties"
    )
    about = f"{report['rule']}\n{LEGEND}"
    if (open_items := report["items"] - report["judged"]) > 0:
        about += (
            f"\n{open_items:,} items are in no figure: two have not judged them, or disagree and wait for an expert "
            "(annotate.py user --role expert), so what is disputed is missing here"
        )
    tables = [figures_table(report["results"], title, about, seats=False)]
    rows = tuple(
        (f"{row['against']}: {row['dimension']}", *_agreement(found["with_ties"]), *_agreement(found["without_ties"]))
        for row in report["results"]
        if (found := row["judge"])
    )
    head = ("", "n", "agree", "kappa", "n without ties", "agree", "kappa")
    return [*tables, *groups_tables(report["results"]), *([Table("judge and people", head, rows)] if rows else [])]


def _agreement(found: dict[str, Any]) -> list[str]:
    figures = (found["share"], found["kappa"])
    return [f"{found['n']:,}", *("-" if value is None else f"{value:.2f}" for value in figures)]


def _shares(found: dict[str, Any]) -> tuple[str, ...]:
    """n, unparsed, win, tie, loss, score."""
    shares = (_percent(found[name]) for name in SHARES)
    return (f"{found['n']:,}", f"{found['unparsed']:,}", *shares, _interval(found["score"]))


def _percent(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.1%}"


def _interval(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
