"""Examine systems: each answers the clinic's held-out questions, and the gold judge grades the answers.

python scripts/judge.py --models sft=runs/sft ppo=runs/ppo dpo=runs/dpo --data clinic/exam.jsonl --out report.json
python scripts/judge.py --texts other=answers.jsonl --data clinic/exam.jsonl --out report.json

A file of --texts has a line {"id": "exam-0-000007", "text": "..."} for every question. The judge reads this clinic's
language only, so it can grade models trained on it; an answer in other words is "not understood".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.cli import already_there, run_command
from zj.clinic import Question
from zj.clinic.adversaries import best_constant, practice
from zj.data.readers import read
from zj.data.tokenizer import Tokenizer
from zj.eval.metrics import Answers, compute_metrics, group_scores, judge_answers
from zj.eval.questions import read_questions
from zj.eval.report import BOUNDS, question_rows, tables
from zj.eval.tables import as_rows
from zj.eval.texts import read_texts
from zj.llm.answers import (
    Answer,
    LoadedModel,
    check_chat_model,
    generate_answers,
    load_chat_model,
    log_likelihoods,
)
from zj.train import DTYPES, start, to_json, write_text
from zj.weights import check_base_is_used

TOKENS_PER_PACK = 4096  # in one forward pass
PRACTICE = 300  # practice questions for the search of the best constant answer


@dataclass(frozen=True)
class Config:
    models: tuple[str, ...] = ()  # NAME=DIR of each model or PEFT adapter
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    texts: tuple[str, ...] = ()  # NAME=FILE of a system's answers, JSON lines {"id": of the question, "text": answer}
    data: tuple[str, ...] = ()  # files of the clinic's prompts (exam.jsonl)
    template: str = ""  # prompt format of all models (none: the one stored with each)
    out: str = ""  # report to write: JSON with tables, texts and verdicts
    baseline: str = ""  # name of the system that the others are compared with (none: the first)
    limit: int | None = 300  # number of questions, from the first (none: all)
    temperature: float = 1.0  # of sampling; 0 is greedy
    max_new_tokens: int = 160  # tokens of the longest answer; a truncated one is judged as it is
    seed: int = 0  # of sampling (the same for every model), of the intervals and of the search of the constant answer
    slots: int = 32  # answers sampled at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    models, files, baseline = parse_systems(config)
    out = Path(config.out)
    if not config.out or out.is_dir():
        raise ValueError(f"--out is {config.out!r}, expected the name of a file")
    if already_there(out, "judge"):
        return
    for name, folder in models.items():
        check_chat_model(folder, f"--models {name}", config.max_new_tokens, config.base, config.template)
    check_base_is_used(config.base, *models.values())
    questions = read_questions(config.data, config.limit)
    known = {prompt.id for prompt in read(config.data, "prompt")[0]} if files else set()
    texts = {name: read_texts(file, [q.prompt.id for q in questions], known) for name, file in files.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    sampled, likelihoods = {}, {}
    for name, folder in models.items():
        with_likelihoods = config.temperature > 0 and baseline in models and name != baseline
        sampled[name], likelihoods[name] = sample_answers(config, name, folder, questions, with_likelihoods)
    ratios = log_ratios(config, baseline, sampled, likelihoods) if baseline in models else {}
    systems = bound_systems(config, questions)
    for name, answers in sampled.items():
        finished = [answer.finished for answer in answers]
        systems[name] = judge_answers(questions, [answer.text for answer in answers], finished, ratios.get(name))
    systems |= {name: judge_answers(questions, texts[name]) for name in files}
    base, seed = systems[baseline], config.seed
    columns = {name: compute_metrics(questions, system, base, seed) for name, system in systems.items()}
    groups = {name: group_scores(questions, system, base, seed) for name, system in systems.items()}
    shown = tables(columns, groups, baseline)
    report = {
        "notice": f"{SYNTHETIC} {NOTICE}",
        "settings": asdict(config),
        "table": {name: {row: value and asdict(value) for row, value in c.items()} for name, c in columns.items()},
        "groups": {name: {row: asdict(group) for row, group in g.items()} for name, g in groups.items()},
        "tables": as_rows(shown),
        "questions": list(question_rows(questions, systems)),
    }
    write_text(out, to_json(report, indent=1) + "\n")
    print(f"{len(questions):,} questions", *shown, sep="\n\n")
    print(f"the constant answer: {systems['constant'].texts[0]}")
    print(f"{out}: every text and verdict\n{SYNTHETIC}\n{NOTICE}")


def parse_systems(config: Config) -> tuple[dict[str, str], dict[str, str], str]:
    """(name -> directory of a model, name -> file of texts, name of the baseline)."""
    paths: dict[str, dict[str, str]] = {"models": {}, "texts": {}}
    names: set[str] = set(BOUNDS)
    for flag, entries, kind in (("models", config.models, "DIR"), ("texts", config.texts, "FILE")):
        for entry in entries:
            name, mark, path = entry.partition("=")
            if not (name and mark and path) or name in names:
                raise ValueError(
                    f"--{flag} {entry}: expected NAME={kind}, every name once, none of them {' or '.join(BOUNDS)}"
                )
            if not (Path(path).is_dir() if kind == "DIR" else Path(path).is_file()):
                # before the first model samples its answers
                raise ValueError(f"--{flag} {entry}: no {'directory' if kind == 'DIR' else 'file'} {path}")
            paths[flag][name] = path
            names.add(name)
    all_names = [*paths["models"], *paths["texts"]]
    if not all_names:
        raise ValueError("--models is missing, and so is --texts: NAME=DIR of models or NAME=FILE of answers")
    baseline = config.baseline or all_names[0]
    if baseline not in all_names:
        raise ValueError(f"--baseline {baseline}: expected one of {' '.join(all_names)}")
    return paths["models"], paths["texts"], baseline


def bound_systems(config: Config, questions: Sequence[Question]) -> dict[str, Answers]:
    """Upper and lower bound of the systems: the clinic's own answers, and the best constant answer.

    The constant answer is searched on practice questions of the same departments, not on those of the examination.
    """
    about = {question.case.condition.department for question in questions if question.case}
    print("searching for the best constant answer to practice questions", flush=True)
    constant, _ = best_constant(practice(config.seed, PRACTICE, about), seed=config.seed)
    return {
        "reference": judge_answers(questions, [question.reference for question in questions]),
        "constant": judge_answers(questions, [constant] * len(questions)),
    }


def sample_answers(
    config: Config, name: str, folder: str, questions: Sequence[Question], with_likelihoods: bool
) -> tuple[list[Answer], list[float]]:
    """(a model's answers; its own log-likelihood of each if `with_likelihoods`)."""
    print(f"{name}: {len(questions):,} questions to {folder}", flush=True)
    chat_model = open_chat_model(config, name, folder)
    answers = generate_answers(
        chat_model,
        [question.prompt for question in questions],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    if not with_likelihoods:
        return answers, []
    return answers, log_likelihoods(chat_model, answers, config.temperature, TOKENS_PER_PACK)


def open_chat_model(config: Config, name: str, folder: str) -> LoadedModel:
    device = start(config.device, config.dtype).device
    return load_chat_model(folder, f"--models {name}", DTYPES[config.dtype], device, config.base, config.template)


def log_ratios(
    config: Config, baseline: str, sampled: Mapping[str, list[Answer]], likelihoods: Mapping[str, list[float]]
) -> dict[str, list[float]]:
    """log p(answer) - log p_baseline(answer) of each sampled answer; the mean estimates KL, nats per answer.

    Only for models with the baseline's token ids. {} at temperature 0: greedy answers do not estimate KL.
    """
    if not config.temperature:
        return {}
    models, ratios = parse_systems(config)[0], {baseline: [0.0] * len(sampled[baseline])}
    chat_model = open_chat_model(config, "the baseline", models[baseline])
    for name, folder in models.items():
        if name != baseline and Tokenizer.load(folder).same_ids(chat_model.tokenizer):
            of_baseline = log_likelihoods(chat_model, sampled[name], config.temperature, TOKENS_PER_PACK)
            ratios[name] = [p - q for p, q in zip(likelihoods[name], of_baseline, strict=True)]
    return ratios


if __name__ == "__main__":
    run_command(main, Config)
