"""Rank a model's answers to the clinic's prompts by the gold judge: rankings for train_reward.py and train_dpo.py.

python scripts/rank.py --model runs/sft --data clinic/prompt.jsonl --out rankings.jsonl
python scripts/rank.py ... --sampled 3 4 --out mixed.jsonl own.jsonl      (two files from one sampling)
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.cli import already_there, run_command
from zj.clinic import Question, judge, rank
from zj.clinic.ranking import all_wrong, degrade, with_admission, with_degraded
from zj.data.records import Ranking, as_json
from zj.eval.questions import read_questions
from zj.llm.answers import check_chat_model, generate_answers, load_chat_model
from zj.train import DTYPES, start, write_text
from zj.weights import check_base_is_used


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files of the clinic's prompts (prompt.jsonl)
    template: str = ""  # prompt format (none: the one stored with the model)
    out: tuple[str, ...] = ()  # files of rankings to write, one ranking per line; existing files are kept
    answers: int = 4  # answers per prompt
    sampled: tuple[int, ...] = (3,)  # how many of them the model samples, per file; the rest are reference or degraded
    ties: Literal["leave-out", "break"] = "leave-out"  # prompts whose answers all tie; break: replace one answer
    all_wrong: Literal["keep", "admit"] = "keep"  # admit: where no answer is safe, one admits not to know, and is best
    temperature: float = 1.0  # of sampling; 0 is greedy
    max_new_tokens: int = 160  # tokens of the longest answer; a truncated one is judged as it is
    limit: int | None = None  # number of prompts, from the first (none: all)
    seed: int = 0  # of sampling and of the degraded answers
    slots: int = 32  # answers sampled at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    for flag in ("model", "data", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    in_range = [0 <= number <= config.answers for number in config.sampled]
    if config.answers < 2 or not in_range or not all(in_range):
        listed = " ".join(map(str, config.sampled))
        raise ValueError(f"--sampled {listed} --answers {config.answers}: expected 0 to --answers, which is 2 or more")
    files, numbers = len(set(config.out)), len(config.sampled)
    if files != numbers:
        raise ValueError(f"--out: {files} different files for {numbers} numbers of --sampled, expected as many")
    missing = dict(zip(map(Path, config.out), config.sampled, strict=True))
    for out in [*missing]:
        if out.is_dir():
            raise ValueError(f"--out {out} is a directory, expected the name of a file")
        if already_there(out, "rank"):
            del missing[out]
    if not missing:
        return
    check_chat_model(config.model, "--model", config.max_new_tokens, config.base, config.template)
    check_base_is_used(config.base, config.model)
    questions = read_questions(config.data, config.limit)
    for out in missing:
        out.parent.mkdir(parents=True, exist_ok=True)
    most = max(missing.values())
    sampled = sample(config, questions, most) if most else [[] for _ in questions]
    for out, number in missing.items():
        write_rankings(config, out, questions, [texts[:number] for texts in sampled])
    print(f"{SYNTHETIC}\n{NOTICE}")


def sample(config: Config, questions: list[Question], per_question: int) -> list[list[str]]:
    """`per_question` sampled answers to each question; with the same seed a smaller number gives the first of them."""
    device = start(config.device, config.dtype).device
    chat_model = load_chat_model(config.model, "--model", DTYPES[config.dtype], device, config.base, config.template)
    answers = generate_answers(
        chat_model,
        [question.prompt for question in questions for _ in range(per_question)],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    texts = [[answer.text for answer in answers[at : at + per_question]] for at in range(0, len(answers), per_question)]
    grades = [judge(question, text).score for question, group in zip(questions, texts, strict=True) for text in group]
    cut = sum(not answer.finished for answer in answers) / len(answers)
    print(
        f"{len(answers):,} answers of {config.model}: mean gold score {sum(grades) / len(grades):.3f} (0 to 1), "
        f"{sum(map(len, (answer.text for answer in answers))) / len(answers):.0f} characters, {cut:.1%} cut off"
    )
    return texts


def write_rankings(config: Config, out: Path, questions: list[Question], sampled: list[list[str]]) -> None:
    """Write one file of rankings, without those whose answers all tie."""
    made = [make_ranking(config, question, texts) for question, texts in zip(questions, sampled, strict=True)]
    rankings = [ranking for ranking, _ in made]
    untied = [ranking for ranking in rankings if len(set(ranking.ranks)) > 1]
    write_text(out, "".join(json.dumps(as_json(ranking), ensure_ascii=False) + "\n" for ranking in untied))
    if config.all_wrong == "admit":
        kinds = Counter(question.kind for question, (_, admits) in zip(questions, made, strict=True) if admits)
        listed = ", ".join(f"{kind} {number:,}" for kind, number in sorted(kinds.items()))
        where = f"{out}: {kinds.total():,} of {len(made):,} prompts had no safe answer"
        print(f"{where}, one of theirs became an admission: {listed or 'none'}")
    tied, pairs = count_ties(untied)
    print(
        f"{out}: {len(untied):,} rankings, {len(rankings) - len(untied):,} left out because all answers tie; "
        f"{tied / max(1, pairs):.1%} of their {pairs:,} pairs are ties"
    )


def make_ranking(config: Config, question: Question, sampled: list[str]) -> tuple[Ranking, bool]:
    """(ranking, whether an answer became an admission).

    The distinct sampled answers; then the reference with probability 1/2; then degraded ones up to --answers.
    """
    rng = random.Random(f"{config.seed}/rank/{question.prompt.id}")
    texts = list(dict.fromkeys(text for text in sampled if text))
    if len(texts) < config.answers and rng.random() < 0.5:
        texts.append(question.reference)
    chosen = with_degraded(rng, question, texts, config.answers)
    if config.all_wrong == "admit" and all_wrong(question, chosen):
        chosen, ranks = with_admission(rng, question, chosen)
        return Ranking(question.prompt.id, question.prompt, tuple(chosen), ranks), True
    if config.ties == "break":
        chosen = without_tie(rng, question, chosen)
    ranks = rank([judge(question, text) for text in chosen])
    return Ranking(question.prompt.id, question.prompt, tuple(chosen), ranks), False


def without_tie(rng: random.Random, question: Question, texts: list[str]) -> list[str]:
    """If all answers tie, one is replaced by the reference, or by a degraded answer if the reference ties too.

    Else training has no pairs where the model is consistently good, and unlearns that.
    """
    grades = {judge(question, text).score for text in texts}
    if len(grades) > 1:
        return texts
    replacements = itertools.chain([question.reference], (degrade(rng, question) for _ in range(100)))
    replacement = next((text for text in replacements if judge(question, text).score not in grades), texts[0])
    return rng.sample([replacement, *texts[1:]], len(texts))


def count_ties(rankings: Iterable[Ranking]) -> tuple[int, int]:
    """(number of tied pairs, number of pairs)."""
    pairs = [a == b for ranking in rankings for a, b in itertools.combinations(ranking.ranks, 2)]
    return sum(pairs), len(pairs)


if __name__ == "__main__":
    run_command(main, Config)
