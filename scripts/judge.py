"""Examine systems: each answers the clinic's held-out questions, the gold judge grades the answers without their names.

python scripts/judge.py --models sft=runs/sft ppo=runs/ppo dpo=runs/dpo --data clinic/exam.jsonl --out report.json
python scripts/judge.py --texts other=answers.jsonl --data clinic/exam.jsonl --out report.json

A file of --texts has a line {"id": "exam-0-000007", "text": "..."} for every question. The judge reads the language of
this clinic only: it is the referee of models that learnt it, and an answer in other words is "not understood".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.cli import run_command
from zj.clinic import Question
from zj.clinic.adversaries import best_constant, practice
from zj.data.readers import read
from zj.data.tokenizer import Tokenizer
from zj.eval.answers import Answer, ChatModel, answers, load_chat_model, log_likelihoods, read_questions
from zj.eval.metrics import Answers, by_group, graded, metrics
from zj.eval.report import BOUNDS, question_rows, tables
from zj.eval.texts import read_texts
from zj.train import DTYPES, start
from zj.train.checkpoint import write_text

TOKENS_PER_PACK = 4096  # in one forward pass
PRACTICE = 300  # questions on which the best constant answer is searched


@dataclass(frozen=True)
class Config:
    models: tuple[str, ...] = ()  # NAME=DIR of each model or PEFT adapter
    texts: tuple[str, ...] = ()  # NAME=FILE of any system's answers, JSON lines {"id": of the question, "text": answer}
    data: tuple[str, ...] = ()  # files of the clinic's prompts (exam.jsonl)
    out: str = ""  # report to write: JSON with the tables, every text and every verdict
    baseline: str = ""  # name of the system that the others are compared with (none: the first)
    limit: int | None = 300  # only the first so many questions (none: all)
    temperature: float = 1.0  # of sampling; 0 takes the most probable token
    max_new_tokens: int = 160  # longest answer; one that is cut off there is judged as it is
    seed: int = 0  # of sampling, the same for every model, of the intervals and of the best constant answer
    slots: int = 32  # answers at work at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    models, files, baseline = systems_of(config)
    out = Path(config.out)
    if not config.out or out.is_dir():
        raise ValueError(f"--out is {config.out!r}, expected the name of a file")
    if out.exists():
        print(f"{out} is there already, nothing was done; remove it to judge again")
        return
    questions = read_questions(config.data, config.limit)
    known = {prompt.id for prompt in read(config.data, "prompt")[0]} if files else set()
    texts = {name: read_texts(file, [q.prompt.id for q in questions], known) for name, file in files.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    sampled, own = {}, {}
    for name, folder in models.items():
        measured = config.temperature > 0 and baseline in models and name != baseline
        sampled[name], own[name] = let_answer(config, name, folder, questions, measured)
    ratios = divergences(config, baseline, sampled, own) if baseline in models else {}
    systems = bounds(config, questions)
    for name, spoken in sampled.items():
        finished = [answer.finished for answer in spoken]
        systems[name] = graded(questions, [answer.text for answer in spoken], finished, ratios.get(name))
    systems |= {name: graded(questions, texts[name]) for name in files}
    columns = {name: metrics(questions, system, systems[baseline], config.seed) for name, system in systems.items()}
    groups = {name: by_group(questions, system, systems[baseline], config.seed) for name, system in systems.items()}
    report = {
        "notice": f"{SYNTHETIC} {NOTICE}",
        "settings": asdict(config),
        "table": {name: {row: value and asdict(value) for row, value in c.items()} for name, c in columns.items()},
        "groups": {name: {row: asdict(group) for row, group in g.items()} for name, g in groups.items()},
        "questions": list(question_rows(questions, systems)),
    }
    write_text(out, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(questions):,} questions\n{tables(columns, groups, baseline)}")
    print(f"the constant answer: {systems['constant'].texts[0]}")
    print(f"{out}: every text and verdict\n{SYNTHETIC}\n{NOTICE}")


def systems_of(config: Config) -> tuple[dict[str, str], dict[str, str], str]:
    """(name -> directory of a model, name -> file of texts, name of the baseline)."""
    found: dict[str, dict[str, str]] = {"models": {}, "texts": {}}
    names: set[str] = set(BOUNDS)
    for flag, given, what in (("models", config.models, "DIR"), ("texts", config.texts, "FILE")):
        for text in given:
            name, mark, path = text.partition("=")
            if not (name and mark and path) or name in names:
                raise ValueError(
                    f"--{flag} {text}: expected NAME={what}, every name once, none of them {' or '.join(BOUNDS)}"
                )
            if not (Path(path).is_dir() if what == "DIR" else Path(path).is_file()):
                # found out now, not after the first model has answered everything
                raise ValueError(f"--{flag} {text}: no {'directory' if what == 'DIR' else 'file'} {path}")
            found[flag][name] = path
            names.add(name)
    every = [*found["models"], *found["texts"]]
    if not every:
        raise ValueError("--models is missing, and so is --texts: NAME=DIR of models or NAME=FILE of answers")
    baseline = config.baseline or every[0]
    if baseline not in every:
        raise ValueError(f"--baseline {baseline}: expected one of {' '.join(every)}")
    return found["models"], found["texts"], baseline


def bounds(config: Config, questions: Sequence[Question]) -> dict[str, Answers]:
    """What lies above every system and what lies below: the clinic's own answers, and the best constant answer.

    The constant one is found on practice questions of the same departments; those of the examination it never sees.
    """
    about = {question.case.condition.department for question in questions if question.case}
    print("searching for the best constant answer to practice questions", flush=True)
    constant, _ = best_constant(practice(config.seed, PRACTICE, about), seed=config.seed)
    return {
        "reference": graded(questions, [question.reference for question in questions]),
        "constant": graded(questions, [constant] * len(questions)),
    }


def let_answer(
    config: Config, name: str, folder: str, questions: Sequence[Question], measured: bool
) -> tuple[list[Answer], list[float]]:
    """(a model's answers, its own log-likelihood of each if its divergence from the baseline is to be measured)."""
    print(f"{name}: {len(questions):,} questions to {folder}", flush=True)
    speaker = open_chat_model(config, name, folder)
    sampled = answers(
        speaker,
        [question.prompt for question in questions],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    return sampled, log_likelihoods(speaker, sampled, config.temperature, TOKENS_PER_PACK) if measured else []


def open_chat_model(config: Config, name: str, folder: str) -> ChatModel:
    return load_chat_model(folder, f"--models {name}", DTYPES[config.dtype], start(config.device).device)


def divergences(
    config: Config, baseline: str, sampled: Mapping[str, list[Answer]], own: Mapping[str, list[float]]
) -> dict[str, list[float]]:
    """log p(answer) - log p_baseline(answer) of each answer that was sampled: its mean estimates KL, nats per answer.

    Of models that speak in the baseline's token ids only, and not of greedy answers, which estimate nothing.
    """
    if not config.temperature:
        return {}
    models, found = systems_of(config)[0], {baseline: [0.0] * len(sampled[baseline])}
    speaker = open_chat_model(config, "the baseline", models[baseline])
    for name, folder in models.items():
        if name != baseline and Tokenizer.load(folder).same_ids(speaker.tokenizer):
            others = log_likelihoods(speaker, sampled[name], config.temperature, TOKENS_PER_PACK)
            found[name] = [mine - other for mine, other in zip(own[name], others, strict=True)]
    return found


if __name__ == "__main__":
    run_command(main, Config)
