"""The tables of the judges for the terminal, and the correction for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zj.eval.significance import holm
from zj.eval.tables import align_columns

LEGEND = """score: win + ½ tie, ½ is no difference; [95 % interval: bootstrap over whole dialogues, 10,000 resamples]
equal lengths: the score at equal lengths (a + b tanh(difference / its sd), logistic); p: exact sign test over
dialogues, corrected over this table by Holm; detectable: distance from ½ that is seen with 80 % power"""
RUBRIC_LEGEND = """score: points of the criteria met / positive points, mean over questions, clipped to 0..1
[95 % interval: bootstrap over whole dialogues, 10,000 resamples]
bounds: the score if all criteria without a verdict were the worse, or the better"""
SEATS = "consistent: both orders agree; first seat: single verdicts for the answer that stands first (fair: ½)"


def correct_for_number(results: Sequence[dict[str, Any]]) -> None:
    """Holm's correction of the sign tests of all results together, put beside each."""
    for row, p in zip(results, holm([row["sign_test"]["p"] for row in results]), strict=True):
        row["sign_test"]["p_holm"] = p


def figures_table(results: Sequence[dict[str, Any]], seats: bool) -> str:
    """One line of each pair of systems and dimension. seats: with what only a judge of two orders has."""
    head = ["", "n", "unparsed", "win", "tie", "loss", "score", "equal lengths", "p", "detectable"]
    rows = [head + (["consistent", "first seat", "longer wins"] if seats else [])]
    for row in results:
        line = [f"{row['against']}: {row['dimension']}", f"{row['n']:,}", f"{row['unparsed']:,}"]
        line += [_percent(row[name]) for name in ("win", "tie", "loss")]
        line += [_interval(row["score"]), _interval(row.get("length_controlled"))]
        line += [f"{row['sign_test']['p_holm']:.2g}", "-" if row["detectable"] is None else f"{row['detectable']:.3f}"]
        rows.append(line + ([_percent(row[name]) for name in ("consistent", "first_seat", "longer_wins")] * seats))
    return align_columns(rows)


def groups_table(results: Sequence[dict[str, Any]]) -> str:
    """The groups of the first dimension against each system; "" where there are none."""
    shown = {row["against"]: row for row in reversed(results)}
    rows = [
        [f"{against}: {name}", f"{group['n']:,}", f"{group['unparsed']:,}"]
        + [_percent(group[key]) for key in ("win", "tie", "loss")]
        + [_interval(group["score"])]
        for against, row in reversed(shown.items())
        for name, group in row["groups"].items()
    ]
    dimension = results[0]["dimension"]
    return (
        align_columns([[f"groups ({dimension})", "n", "unparsed", "win", "tie", "loss", "score"], *rows])
        if rows
        else ""
    )


def pairwise_table(report: dict[str, Any]) -> str:
    prompt, controls = report["prompt"], report["controls"]
    parts = [
        f"{report['first']} against {', '.join(report['against'])}: {report['questions']:,} questions of "
        f"{report['dialogues']:,} dialogues; prompt {prompt['name']} ({prompt['file_sha256'][:12]})\n{report['rule']}",
        figures_table(report["results"], seats=True),
        f"{LEGEND}\n{SEATS}",
        groups_table(report["results"]),
        controls_text(controls) if controls else "no controls: how far this judge can be believed was not measured",
    ]
    if report["self_judged"]:
        names = ", ".join(report["self_judged"])
        parts.append(f"SELF-JUDGED: the judge has the name of {names}; models prefer their own answers")
    return "\n\n".join(part for part in parts if part)


def controls_text(controls: dict[str, Any]) -> str:
    def line(name: str, found: dict[str, Any]) -> list[str]:
        verdict = {True: "passed", False: "FAILED", None: ""}[found.get("passed")]
        if not found.get("n"):
            return [name, "0", "", "", "", "", "", verdict]
        shares = [_percent(found[key]) for key in ("win", "tie", "loss")]
        return [name, f"{found['n']:,}", f"{found['unparsed']:,}", *shares, _interval(found["score"]), verdict]

    rows = [["controls", "n", "unparsed", "win", "tie", "loss", "score", ""]]
    rows += [line("an answer against itself: a tie?", controls["same"])]
    rows += [line("against a worse one: wins?", controls["corrupted"])]
    rows += [line(f"  {kind}", found) for kind, found in controls["by_kind"].items()]
    if controls["passed"]:
        return align_columns(rows)
    failed = "this judge does not read what it judges, or the system answers all questions alike"
    return f"{align_columns(rows)}\nTHE CONTROLS FAIL: {failed}. The verdicts above are not to be believed"


def _percent(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.1%}"


def _interval(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def rubric_table(report: dict[str, Any]) -> str:
    """One column of each system: its score, then by tag."""
    systems = report["systems"]
    first, *_ = systems
    rows = [["", *systems]]
    rows.append(["score", *(_interval(found["score"]) for found in systems.values())])
    rows.append(["each clipped", *(_interval(found["score_clipped_by_question"]) for found in systems.values())])
    rows.append([f"difference to {first}", *(_interval(report["differences"].get(name)) for name in systems)])
    rows.append(["questions", *(f"{found['n']:,}" for found in systems.values())])
    rows.append(["without a score", *(f"{found['unparsed']:,}" for found in systems.values())])
    rows.append(["criteria unparsed", *(f"{found['criteria_unparsed']:,}" for found in systems.values())])
    rows.append(["bounds", *("{:.3f} to {:.3f}".format(*found["bounds"]) for found in systems.values())])
    for tag in dict.fromkeys(tag for found in systems.values() for tag in found["tags"]):
        cells = (found["tags"].get(tag) for found in systems.values())
        rows.append([tag, *(_interval(cell["score"]) if cell else "-" for cell in cells)])
    return f"{align_columns(rows)}\n\n{RUBRIC_LEGEND}"


def human_table(report: dict[str, Any]) -> str:
    rows = [["judge and people", "n", "agree", "kappa", "without ties", "agree", "kappa"]]
    for row in report["results"]:
        if found := row["judge"]:
            cells = [_agreement(found[kind]) for kind in ("with_ties", "without_ties")]
            rows.append([f"{row['against']}: {row['dimension']}", *cells[0], *cells[1]])
    parts = [
        f"{report['judged']:,} of {report['items']:,} items judged, {report['judgements']:,} judgements that count; "
        f"{report['identical']:,} questions with one answer of all are ties\n{report['rule']}",
        figures_table(report["results"], seats=False),
        LEGEND,
        groups_table(report["results"]),
        align_columns(rows) if len(rows) > 1 else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _agreement(found: dict[str, Any]) -> list[str]:
    figures = (found["share"], found["kappa"])
    return [f"{found['n']:,}", *("-" if value is None else f"{value:.2f}" for value in figures)]
