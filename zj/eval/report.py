"""The tables of an examination for the terminal, and everything that they came from as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from zj.clinic import Question
from zj.data.records import as_json
from zj.eval.metrics import Answers, GroupScore, Metrics
from zj.eval.statistics import Interval

SHARES = ("wins", "ties", "losses", "understood", "inquires", "refuses", "finished")
TO_BASELINE = ("score - baseline", "wins", "ties", "losses", "KL to baseline")
FORMS = {"characters": ".0f", "score - baseline": "+.3f", "gold score": ".3f"}
BOUNDS = ("reference", "constant")  # systems that are no models: the ends between which the models stand
LEGEND = """mean [95 % interval: bootstrap over whole templates, 10,000 resamples; to the baseline in pairs]
gold score: 0 to 1, ordered as safety > professionalism > fluency (each 0 to 4)
This judge is the referee of models that learnt this clinic's language: it reads the sentences of that language and no
others. An answer in other words is "not understood" and scores 0, which says nothing about how good it is: that is for
people to judge.
understood: answers that it could read; refuses: requests that are refused (or where not knowing is admitted)
understandably and on the matter; inquires: where a question to the patient is due
finished: ended by itself within --max-new-tokens; KL to baseline: nats per answer, of the sampled answers
reference: the clinic's own answers; constant: one answer to everything, the best that a search on practice found"""


def tables(columns: Mapping[str, Metrics], groups: Mapping[str, Mapping[str, GroupScore]], baseline: str) -> str:
    """All tables and their legend: one column a system."""
    heads = {name: f"{name} (baseline)" if name == baseline else name for name in columns}

    def metric(row: str, name: str) -> str:
        return cell(row, None if name == baseline and row in TO_BASELINE else columns[name][row], name)

    rows = [[row, *(metric(row, name) for name in heads)] for row in columns[baseline]]
    parts = [aligned([["", *heads.values()], *rows])]
    counts = [[name, f"{group.questions}", f"{group.templates}"] for name, group in groups[baseline].items()]
    scores = [[*row, *(cell("gold score", groups[name][row[0]].score, name) for name in heads)] for row in counts]
    parts.append(aligned([["gold score", "questions", "templates", *heads.values()], *scores]))
    if others := [name for name in columns if name != baseline and name not in BOUNDS]:
        pairs = [
            [*row, *(cell("score - baseline", groups[name][row[0]].difference) for name in others)] for row in counts
        ]
        parts.append(aligned([["score - baseline", "questions", "templates", *others], *pairs]))
    return "\n\n".join([*parts, LEGEND])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def cell(metric: str, value: Interval | None, system: str = "") -> str:
    """0.712 [0.690, 0.733]; of the systems that are no models the mean alone (the report has all)."""
    if value is None:
        return "-"
    scale, form = (100, ".1f") if metric in SHARES else (1, FORMS.get(metric, ".2f"))
    mean, low, high = (format(scale * number, form) for number in (value.mean, value.low, value.high))
    unit = " %" if metric in SHARES else ""
    return f"{mean}{unit}" if system in BOUNDS else f"{mean}{unit} [{low}, {high}]"


def question_rows(questions: Sequence[Question], systems: Mapping[str, Answers]) -> Iterable[dict]:
    """Every question with every answer and verdict."""
    for number, question in enumerate(questions):
        row = as_json(question.prompt)
        row |= {name: getattr(question, name) for name in ("kind", "tier", "due", "reference")}
        row["template"] = question.cluster
        row["answers"] = {
            name: {
                "text": answers.texts[number],
                "finished": answers.finished[number] if answers.finished is not None else None,
                **asdict(answers.verdicts[number]),
                "score": answers.verdicts[number].score,
            }
            for name, answers in systems.items()
        }
        yield row
