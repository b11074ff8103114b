"""The tables of multiple choice, and all that they say as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zj.eval.choice.measure import Accuracy, Reading, accuracy, by_subject, letter_bias, total_bias
from zj.eval.statistics import Interval
from zj.eval.tables import Table, as_rows

CONVENTIONS = {
    "letter": "the option whose letter has the greatest log-probability after the prompt, which ends with 答案：",
    "text": "the option whose text has the greatest log-probability by character (acc_norm), after the question alone",
    "generation": "greedy reply, read by a strict grammar; one that cannot be parsed is wrong; letters are a set",
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
Methods = Mapping[str, Sequence[Reading]]


def tables(methods: Methods, seed: int, title: str = "") -> list[Table]:
    """Accuracies by method and number of right options; letters; subjects, if there are several."""
    rows = [
        _cells(name, group, accuracy(members, seed))
        for name, readings in methods.items()
        for group, members in groups(readings).items()
    ]
    about = "\n".join(f"{name}: {text}" for name, text in CONVENTIONS.items())
    made = [Table(title, tuple(HEAD.split("|")), tuple(rows), about)]
    made += [_letters(methods)] if any(map(letter_bias, methods.values())) else []
    return [*made, *_subjects(methods, seed)]


def groups(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    """By the number of right options: one, several, and both where there are both."""
    one = [reading for reading in readings if not reading.question.several]
    several = [reading for reading in readings if reading.question.several]
    both = {"all": list(readings)} if one and several else {}
    return {name: group for name, group in {"one": one, "several": several}.items() if group} | both


def _cells(name: str, group: str, of: Accuracy) -> tuple[str, ...]:
    orders = [_interval(of.over_orders), _interval(of.averaged), f"{of.consistent:.1%}"] if of.shuffled else ["-"] * 3
    return (
        *(name, group, f"{of.questions:,}", _interval(of.published), *orders, f"{of.unparsed:.1%}", f"{of.chance:.1%}"),
        *(f"{of.constant_letters} {_interval(of.constant)}", _interval(of.longest)),
    )


def _letters(methods: Methods) -> Table:
    biases = {name: letter_bias(readings) for name, readings in methods.items()}
    rows = []
    for letter in sorted({letter for bias in biases.values() for letter in bias}):
        shares = [bias.get(letter) for bias in biases.values()]
        rows.append((letter, *(f"{one['chosen']:.1%} ({one['right']:.1%})" if one else "-" for one in shares)))
    rows.append(("out of place", *(f"{total_bias(bias):.1%}" if bias else "-" for bias in biases.values())))
    about = "out of place: picks that would have to move for each letter to be picked as often as it is right"
    return Table("", ("letter picked (right)", *methods), tuple(rows), about)


def _subjects(methods: Methods, seed: int) -> list[Table]:
    found = {name: by_subject(readings, seed) for name, readings in methods.items()}
    names = list(dict.fromkeys(subject for of in found.values() for subject in of))
    if len(names) < 2:
        return []
    rows = []
    for subject in names:
        of_methods = [of.get(subject) for of in found.values()]
        rows.append((subject, *(f"{_interval(one[1])} of {one[0]:,}" if one else "-" for one in of_methods)))
    rows.append(("mean of subjects", *(f"{_mean(of):.1%}" for of in found.values())))
    return [Table("", ("accuracy by subject", *found), tuple(rows))]


def _mean(subjects: Mapping[str, tuple[int, Interval]]) -> float:
    return sum(of.mean for _, of in subjects.values()) / len(subjects)


def _interval(of: Interval) -> str:
    return f"{of.mean:.1%} [{100 * of.low:.1f}, {100 * of.high:.1f}]"


# ---- JSON


def as_report(methods: Methods, seed: int, title: str) -> dict[str, Any]:
    """The tables, all figures, then every question with every pick."""
    figures: dict[str, Any] = {}
    for name, readings in methods.items():
        subjects, bias = by_subject(readings, seed), letter_bias(readings)
        figures[name] = {
            "accuracy": {group: asdict(accuracy(members, seed)) for group, members in groups(readings).items()},
            "letters": bias,
            "letter_bias": total_bias(bias),
            "subjects": {subject: {"questions": n, "published": asdict(of)} for subject, (n, of) in subjects.items()},
            "mean_of_subjects": _mean(subjects),
        }
    rows: dict[int, dict[str, Any]] = {}
    for name, readings in methods.items():
        for reading in readings:
            question = reading.question
            row = {"id": question.id, "where": question.where, "subject": question.subject, "methods": {}}
            row |= {"question": question.text, "options": question.options, "right": "".join(sorted(question.right))}
            rows.setdefault(id(question), row)["methods"][name] = _row(reading)
    return {"tables": as_rows(tables(methods, seed, title)), "methods": figures, "picks": list(rows.values())}


def _row(reading: Reading) -> dict[str, Any]:
    letters = reading.question.letters
    row: dict[str, Any] = {
        "orders": ["".join(letters[index] for index in order) for order in reading.orders],
        "picks": [pick and "".join(sorted(letters[index] for index in pick)) for pick in reading.picks],
    }
    row |= {"scores": reading.scores} if reading.scores else {}
    row |= {"replies": reading.texts} if reading.texts else {}
    return row | ({"too_long": True} if reading.too_long else {})
