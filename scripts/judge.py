"""Examine models: each answers the clinic's held-out questions, the gold judge grades the answers without their names.

python scripts/judge.py --models sft=runs/sft ppo=runs/ppo dpo=runs/dpo --data clinic/exam.jsonl --out report.json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.answers import Answer, Speaker, answers, load_speaker, log_likelihoods, read_questions
from zj.clinic import Question, Verdict, judge
from zj.config import run
from zj.data.records import as_json
from zj.data.tokenizer import Tokenizer
from zj.eval import Interval, bootstrap_interval, paired_difference, win_tie_loss
from zj.train import DTYPES, start
from zj.train.checkpoint import write_text

TOKENS_PER_PACK = 4096  # in one forward pass
Table = dict[str, dict[str, Interval | None]]  # model -> measure -> value; None where no question is about it


@dataclass(frozen=True)
class Config:
    models: tuple[str, ...] = ()  # NAME=DIR of each model or PEFT adapter
    data: tuple[str, ...] = ()  # files of the clinic's prompts (exam.jsonl)
    out: str = ""  # report to write: JSON with the table, every text and every verdict
    baseline: str = ""  # name of the model that the others are compared with (none: the first)
    limit: int | None = 300  # only the first so many questions (none: all)
    temperature: float = 1.0  # of sampling; 0 takes the most probable token
    max_new_tokens: int = 160  # longest answer; one that is cut off there is judged as it is
    seed: int = 0  # of sampling, the same for every model, and of the intervals
    slots: int = 32  # answers at work at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    models, out = named_models(config), Path(config.out)
    baseline = config.baseline or next(iter(models))
    if baseline not in models:
        raise ValueError(f"--baseline {baseline}: expected one of --models {' '.join(models)}")
    if not config.out or out.is_dir():
        raise ValueError(f"--out is {config.out!r}, expected the name of a file")
    if out.exists():
        print(f"{out} is there already, nothing was done; remove it to judge again")
        return
    questions = read_questions(config.data, config.limit)
    out.parent.mkdir(parents=True, exist_ok=True)
    said, own = {}, {}
    for name, folder in models.items():
        said[name], own[name] = let_answer(
            config, name, folder, questions, measured=config.temperature > 0 and name != baseline
        )
    away = divergences(config, baseline, said, own)
    verdicts = {
        name: [judge(asked, answer.text) for asked, answer in zip(questions, texts, strict=True)]
        for name, texts in said.items()
    }
    table = {
        name: measures(questions, said[name], verdicts[name], verdicts[baseline], away.get(name), config.seed)
        for name in models
    }
    write_text(out, json.dumps(report(config, questions, said, verdicts, table), ensure_ascii=False, indent=1) + "\n")
    print(drawn(table, baseline, len(questions)))
    print(f"{out}: every text and verdict\n{SYNTHETIC}\n{NOTICE}")


def named_models(config: Config) -> dict[str, str]:
    """Name -> directory."""
    found: dict[str, str] = {}
    for text in config.models:
        name, mark, folder = text.partition("=")
        if not (name and mark and folder) or name in found:
            raise ValueError(f"--models {text}: expected NAME=DIR, every name once")
        if not Path(folder).is_dir():  # found out now, not after the first model has answered everything
            raise ValueError(f"--models {text}: no directory {folder}")
        found[name] = folder
    if not found:
        raise ValueError("--models is missing: NAME=DIR of one or more models")
    return found


def let_answer(
    config: Config, name: str, folder: str, questions: Sequence[Question], measured: bool
) -> tuple[list[Answer], list[float]]:
    """(a model's answers, its own log-likelihood of each if its divergence from the baseline is to be measured)."""
    print(f"{name}: {len(questions):,} questions to {folder}", flush=True)
    speaker = open_speaker(config, name, folder)
    said = answers(
        speaker,
        [asked.prompt for asked in questions],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    return said, log_likelihoods(speaker, said, config.temperature, TOKENS_PER_PACK) if measured else []


def open_speaker(config: Config, name: str, folder: str) -> Speaker:
    return load_speaker(folder, f"--models {name}", DTYPES[config.dtype], start(config.device).device)


def divergences(
    config: Config, baseline: str, said: dict[str, list[Answer]], own: dict[str, list[float]]
) -> dict[str, list[float]]:
    """log p(answer) - log p_baseline(answer) of each answer that was sampled: its mean estimates KL, nats per answer.

    Of models that speak in the baseline's token ids only, and not of greedy answers, which estimate nothing.
    """
    if not config.temperature:
        return {}
    models, found = named_models(config), {baseline: [0.0] * len(said[baseline])}
    speaker = open_speaker(config, "the baseline", models[baseline])
    for name, folder in models.items():
        if name != baseline and Tokenizer.load(folder).same_ids(speaker.tokenizer):
            theirs = log_likelihoods(speaker, said[name], config.temperature, TOKENS_PER_PACK)
            found[name] = [mine - other for mine, other in zip(own[name], theirs, strict=True)]
    return found


def measures(
    questions: Sequence[Question],
    said: Sequence[Answer],
    verdicts: Sequence[Verdict],
    baseline: Sequence[Verdict],
    away: list[float] | None,
    seed: int,
) -> dict[str, Interval | None]:
    """One column of the table: what the verdicts of one model amount to, beside those of the baseline."""
    scores, theirs = [v.score for v in verdicts], [v.score for v in baseline]
    win, tie, loss = win_tie_loss(scores, theirs, seed)

    def mean(values: Sequence[float]) -> Interval | None:
        return bootstrap_interval(values, seed) if values else None

    judged = list(zip(questions, verdicts, strict=True))
    return {
        "gold score": mean(scores),
        "score - baseline": paired_difference(scores, theirs, seed),
        "wins": win,
        "ties": tie,
        "losses": loss,
        "safety": mean([v.safety for v in verdicts]),
        "professionalism": mean([v.professionalism for v in verdicts]),
        "fluency": mean([v.fluency for v in verdicts]),
        "inquires": mean([v.inquires for asked, v in judged if {"ask", "more", "history"} & set(asked.due)]),
        "refuses": mean([v.refuses for asked, v in judged if {"refuse", "admit"} & set(asked.due)]),
        "finished": mean([answer.finished for answer in said]),
        "characters": mean([len(answer.text) for answer in said]),
        "KL to baseline": mean(away) if away else None,
    }


SHARES = ("wins", "ties", "losses", "inquires", "refuses", "finished")
LEGEND = """mean [95 % interval: bootstrap over questions, 10,000 resamples; against the baseline in pairs]
gold score: 0 to 1, ordered as safety > professionalism > fluency (each 0 to 4)
inquires: where a question to the patient is due; refuses: where a refusal, or that one does not know, is due
finished: ended by itself within --max-new-tokens; KL to baseline: nats per answer, of the sampled answers"""


def drawn(table: Table, baseline: str, questions: int) -> str:
    """The table for the terminal: one column a model."""
    against = ("score - baseline", "wins", "ties", "losses", "KL to baseline")
    rows = [["", *(f"{name} (baseline)" if name == baseline else name for name in table)]]
    for measure in next(iter(table.values())):
        cells = [None if name == baseline and measure in against else table[name][measure] for name in table]
        rows.append([measure, *(shown(measure, cell) for cell in cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([f"{questions:,} questions", *lines, LEGEND])


def shown(measure: str, value: Interval | None) -> str:
    """0.712 [0.690, 0.733]."""
    if value is None:
        return "-"
    numbers = (value.mean, value.low, value.high)
    if measure in SHARES:
        mean, low, high = (f"{100 * number:.1f}" for number in numbers)
        return f"{mean} % [{low}, {high}]"
    form = {"characters": ".0f", "score - baseline": "+.3f", "gold score": ".3f"}.get(measure, ".2f")
    mean, low, high = (format(number, form) for number in numbers)
    return f"{mean} [{low}, {high}]"


def report(
    config: Config,
    questions: Sequence[Question],
    said: dict[str, list[Answer]],
    verdicts: dict[str, list[Verdict]],
    table: Table,
) -> dict:
    """Everything that the table came from, as JSON."""
    rows = []
    for number, asked in enumerate(questions):
        row = as_json(asked.prompt) | {"kind": asked.kind, "due": asked.due, "reference": asked.reference}
        row["answers"] = {
            name: {"text": said[name][number].text, "finished": said[name][number].finished}
            | asdict(verdicts[name][number])
            | {"score": verdicts[name][number].score}
            for name in said
        }
        rows.append(row)
    numbers = {
        name: {measure: asdict(value) if value else None for measure, value in column.items()}
        for name, column in table.items()
    }
    return {"notice": f"{SYNTHETIC} {NOTICE}", "settings": asdict(config), "table": numbers, "questions": rows}


if __name__ == "__main__":
    run(main, Config)
