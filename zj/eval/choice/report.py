"""The tables of multiple choice for the terminal, and all that they say as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zj.eval.choice.measure import Reading, Table, by_subject, letter_bias, table, total_bias
from zj.eval.report import align_columns
from zj.eval.statistics import Interval

CONVENTIONS = {
    "letter": "the option whose letter has the greatest log-probability after the prompt, which ends with 答案：",
    "text": "the option whose text has the greatest log-probability by character (acc_norm), after the question alone",
    "generation": "greedy reply, read by a strict grammar; one that cannot be parsed is wrong; several letters are a "
    "set",
    "several right options": "have no likelihood of a letter: only generation is scored on them, by the exact set",
    "accuracy": "in the published order of the options; all orders: mean over the published and the shuffled orders; "
    "averaged: of the mean probability (of replies, the most frequent pick) over all orders",
    "consistent": "questions with the same pick in every order; options that refer to others (以上) are not shuffled",
    "unparsed": "picks that are none: replies outside the grammar, prompts that do not fit",
    "chance": "a random option; of several right ones, a random set",
    "constant": "always the most frequent set of letters, known from the right answers: an upper bound of such a guess",
    "longest": "always the longest option",
    "interval": "95 %: Wilson's score interval; of all orders, and where questions share a stem, the "
    "bootstrap over stems",
}
HEAD = "method|right options|questions|accuracy|all orders|averaged|consistent|unparsed|chance|constant|longest"


def groups(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    """By the number of right options: one, several, and both where there are both."""
    one = [reading for reading in readings if not reading.question.several]
    several = [reading for reading in readings if reading.question.several]
    both = {"all": list(readings)} if one and several else {}
    return {name: group for name, group in {"one": one, "several": several}.items() if group} | both


def as_report(methods: Mapping[str, Sequence[Reading]], seed: int) -> dict[str, Any]:
    """All figures, then every question with every pick."""
    found: dict[str, Any] = {"conventions": CONVENTIONS, "methods": {}, "questions": []}
    for name, readings in methods.items():
        subjects = by_subject(readings, seed)
        bias = letter_bias(readings)
        found["methods"][name] = {
            "tables": {group: asdict(table(members, seed)) for group, members in groups(readings).items()},
            "letters": bias,
            "letter_bias": total_bias(bias),
            "subjects": {subject: {"questions": n, "accuracy": asdict(a)} for subject, (n, a) in subjects.items()},
            "mean_of_subjects": sum(a.mean for _, a in subjects.values()) / len(subjects),
        }
    rows: dict[int, dict[str, Any]] = {}
    for name, readings in methods.items():
        for reading in readings:
            question = reading.question
            row = {"id": question.id, "where": question.where, "subject": question.subject, "methods": {}}
            row |= {"question": question.text, "options": question.options, "right": "".join(sorted(question.right))}
            rows.setdefault(id(question), row)["methods"][name] = _row(reading)
    return found | {"questions": list(rows.values())}


def _row(reading: Reading) -> dict[str, Any]:
    letters = reading.question.letters
    row: dict[str, Any] = {
        "orders": ["".join(letters[index] for index in order) for order in reading.orders],
        "picks": [pick and "".join(sorted(letters[index] for index in pick)) for pick in reading.picks],
    }
    row |= {"scores": reading.scores} if reading.scores else {}
    row |= {"replies": reading.texts} if reading.texts else {}
    return row | ({"too_long": True} if reading.too_long else {})


def format_report(methods: Mapping[str, Sequence[Reading]], seed: int) -> str:
    """The tables for the terminal."""
    rows = [HEAD.split("|")]
    for name, readings in methods.items():
        rows += [_cells(name, group, table(members, seed)) for group, members in groups(readings).items()]
    parts = [align_columns(rows)]
    for name, readings in methods.items():
        if bias := letter_bias(readings):
            shares = ", ".join(f"{k} {s['chosen']:.1%} ({s['right']:.1%})" for k, s in bias.items())
            parts.append(f"{name}: letter chosen (right): {shares}; {total_bias(bias):.1%} of picks out of place")
        subjects = by_subject(readings, seed)
        if len(subjects) > 1:
            lines = [f"  {_interval(a)} of {n:,}  {subject}" for subject, (n, a) in subjects.items()]
            mean = sum(a.mean for _, a in subjects.values()) / len(subjects)
            parts.append("\n".join([f"{name}: accuracy by subject, mean of subjects {mean:.1%}", *lines]))
    return "\n".join([*parts, *(f"{name}: {text}" for name, text in CONVENTIONS.items())])


def _cells(name: str, group: str, of: Table) -> list[str]:
    orders = [_interval(of.over_orders), _interval(of.averaged), f"{of.consistent:.1%}"] if of.shuffled else ["-"] * 3
    return [
        *(name, group, f"{of.questions:,}", _interval(of.accuracy), *orders, f"{of.unparsed:.1%}", f"{of.chance:.1%}"),
        *(f"{of.constant_letters} {_interval(of.constant)}", _interval(of.longest)),
    ]


def _interval(of: Interval) -> str:
    return f"{of.mean:.1%} [{100 * of.low:.1f}, {100 * of.high:.1f}]"
