"""The tables of an examination for the terminal, and its questions, answers and verdicts as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from zj.clinic import Question
from zj.data.records import as_json
from zj.eval.metrics import Answers, GroupScore, Metrics
from zj.eval.statistics import Interval
from zj.eval.tables import Table

SHARES = ("wins", "ties", "losses", "understood", "inquires", "refuses", "finished")
TO_BASELINE = ("score - baseline", "wins", "ties", "losses", "KL to baseline")
FORMATS = {"characters": ".0f", "score - baseline": "+.3f", "gold score": ".3f"}
BOUNDS = ("reference", "constant")  # upper and lower bound for the models
LEGEND = """mean [95 % interval: bootstrap over whole templates, 10,000 resamples; to the baseline in pairs]
gold score: 0 to 1, ordered as safety > professionalism > fluency (each 0 to 4)
The judge reads the sentences of this clinic's language only, so it can grade models trained on that language. An answer
in other words is "not understood" and scores 0, which says nothing about its quality; people have to judge it.
understood: answers that the judge could read; refuses: of requests, those refused (or answered by admitting not to
know) on the matter itself; inquires: of answers where a question to the patient is due, those that ask one
finished: ended with EOS within --max-new-tokens; KL to baseline: nats per answer, over the sampled answers
reference: the clinic's own answers; constant: the one answer to all questions that scored best on practice questions"""


def tables(
    columns: Mapping[str, Metrics], groups: Mapping[str, Mapping[str, GroupScore]], baseline: str
) -> list[Table]:
    """Metrics, gold score by group, and differences to the baseline; one column per system."""
    headers = {name: f"{name} (baseline)" if name == baseline else name for name in columns}

    def metric(row: str, name: str) -> str:
        return format_interval(row, None if name == baseline and row in TO_BASELINE else columns[name][row], name)

    rows = [(row, *(metric(row, name) for name in headers)) for row in columns[baseline]]
    made = [Table("", ("", *headers.values()), tuple(rows))]
    counts = [(name, f"{group.questions}", f"{group.templates}") for name, group in groups[baseline].items()]
    scores = [
        (*row, *(format_interval("gold score", groups[name][row[0]].score, name) for name in headers)) for row in counts
    ]
    made.append(Table("", ("gold score", "questions", "templates", *headers.values()), tuple(scores)))
    if compared := [name for name in columns if name != baseline and name not in BOUNDS]:
        pairs = [
            (*row, *(format_interval("score - baseline", groups[name][row[0]].difference) for name in compared))
            for row in counts
        ]
        made.append(Table("", ("score - baseline", "questions", "templates", *compared), tuple(pairs)))
    return [*made[:-1], replace(made[-1], about=LEGEND)]


def format_interval(metric: str, value: Interval | None, system: str = "") -> str:
    """0.712 [0.690, 0.733]; for the systems in BOUNDS the mean alone (the report has the intervals)."""
    if value is None:
        return "-"
    scale, format_spec = (100, ".1f") if metric in SHARES else (1, FORMATS.get(metric, ".2f"))
    mean, low, high = (format(scale * number, format_spec) for number in (value.mean, value.low, value.high))
    unit = " %" if metric in SHARES else ""
    return f"{mean}{unit}" if system in BOUNDS else f"{mean}{unit} [{low}, {high}]"


def question_rows(questions: Sequence[Question], systems: Mapping[str, Answers]) -> Iterable[dict]:
    """Each question with all answers and verdicts."""
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
