"""Rank a model's own answers to the clinic's prompts by the gold judge: rankings for train_reward.py and train_dpo.py.

python scripts/rank.py --model runs/sft --data clinic/prompt.jsonl --out rankings.jsonl
python scripts/rank.py ... --sampled 3 4 --out mixed.jsonl own.jsonl      (two files from one sampling)
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.cli import run_command
from zj.clinic import Question, judge, rank
from zj.clinic.ranking import degrade, with_degraded
from zj.data.records import Ranking, as_json
from zj.eval.answers import answers, load_chat_model, read_questions
from zj.train import DTYPES, start
from zj.train.checkpoint import write_text


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    data: tuple[str, ...] = ()  # files of the clinic's prompts (prompt.jsonl)
    out: tuple[str, ...] = ()  # files of rankings to write, one ranking a line; those that are there stay
    answers: int = 4  # answers to a prompt
    sampled: tuple[int, ...] = (3,)  # of them from the model, for each file; the clinic's and degraded ones make it up
    ties: Literal["leave-out", "break"] = "leave-out"  # prompts whose answers all tie; break: see `without_tie`
    temperature: float = 1.0  # of sampling; 0 takes the most probable token
    max_new_tokens: int = 160  # longest answer; one that is cut off there is judged as it is
    limit: int | None = None  # only the first so many prompts (none: all)
    seed: int = 0  # of sampling and of the degraded answers
    slots: int = 32  # answers at work at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    for flag in ("model", "data", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    possible = [0 <= number <= config.answers for number in config.sampled]
    if config.answers < 2 or not possible or not all(possible):
        told = " ".join(map(str, config.sampled))
        raise ValueError(f"--sampled {told} --answers {config.answers}: expected 0 to --answers, which is 2 or more")
    files, numbers = len(set(config.out)), len(config.sampled)
    if files != numbers:
        raise ValueError(f"--out: {files} different files for {numbers} numbers of --sampled, expected as many")
    missing = dict(zip(map(Path, config.out), config.sampled, strict=True))
    for out in [*missing]:
        if out.is_dir():
            raise ValueError(f"--out {out} is a directory, expected the name of a file")
        if out.exists():
            print(f"{out} is there already, nothing was done; remove it to rank again")
            del missing[out]
    if not missing:
        return
    questions = read_questions(config.data, config.limit)
    for out in missing:
        out.parent.mkdir(parents=True, exist_ok=True)
    most = max(missing.values())
    sampled = sample(config, questions, most) if most else [[] for _ in questions]
    for out, number in missing.items():
        write(config, out, questions, [texts[:number] for texts in sampled])
    print(f"{SYNTHETIC}\n{NOTICE}")


def sample(config: Config, questions: list[Question], k: int) -> list[list[str]]:
    """k answers of the model to each question; with the same seed, the first of them are those of a smaller k."""
    device = start(config.device).device
    speaker = load_chat_model(config.model, "--model", DTYPES[config.dtype], device)
    said = answers(
        speaker,
        [asked.prompt for asked in questions for _ in range(k)],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    texts = [[answer.text for answer in said[at : at + k]] for at in range(0, len(said), k)]
    grades = [judge(asked, text).score for asked, group in zip(questions, texts, strict=True) for text in group]
    cut = sum(not answer.finished for answer in said) / len(said)
    print(
        f"{len(said):,} answers of {config.model}: mean gold score {sum(grades) / len(grades):.3f} (0 to 1), "
        f"{sum(map(len, (answer.text for answer in said))) / len(said):.0f} characters, {cut:.1%} cut off"
    )
    return texts


def write(config: Config, out: Path, questions: list[Question], sampled: list[list[str]]) -> None:
    """One file of rankings, without those whose answers all tie."""
    rankings = [ranked(config, asked, texts) for asked, texts in zip(questions, sampled, strict=True)]
    kept = [ranking for ranking in rankings if len(set(ranking.ranks)) > 1]
    write_text(out, "".join(json.dumps(as_json(ranking), ensure_ascii=False) + "\n" for ranking in kept))
    tied, pairs = count_ties(kept)
    print(
        f"{out}: {len(kept):,} rankings, {len(rankings) - len(kept):,} left out because all answers tie; "
        f"{tied / max(1, pairs):.1%} of their {pairs:,} pairs are ties"
    )


def ranked(config: Config, asked: Question, sampled: list[str]) -> Ranking:
    """The sampled answers, equal ones once; half of the time the clinic's own; degraded ones up to the number."""
    rng = random.Random(f"{config.seed}/rank/{asked.prompt.id}")
    texts = list(dict.fromkeys(text for text in sampled if text))
    if len(texts) < config.answers and rng.random() < 0.5:
        texts.append(asked.reference)
    chosen = with_degraded(rng, asked, texts, config.answers)
    if config.ties == "break":
        chosen = without_tie(rng, asked, chosen)
    ranks = rank([judge(asked, text) for text in chosen])
    return Ranking(asked.prompt.id, asked.prompt, tuple(chosen), ranks)


def without_tie(rng: random.Random, asked: Question, texts: list[str]) -> list[str]:
    """Where all answers tie, one gives way to the clinic's own, or to a degraded one if they are as good as that.

    Else training sees only what the model does now well and now badly, and unlearns what it always did well.
    """
    grades = {judge(asked, text).score for text in texts}
    if len(grades) > 1:
        return texts
    others = itertools.chain([asked.reference], (degrade(rng, asked) for _ in range(100)))
    other = next((text for text in others if judge(asked, text).score not in grades), texts[0])
    return rng.sample([other, *texts[1:]], len(texts))


def count_ties(rankings: Iterable[Ranking]) -> tuple[int, int]:
    """(tied pairs, all pairs)."""
    pairs = [a == b for ranking in rankings for a, b in itertools.combinations(ranking.ranks, 2)]
    return sum(pairs), len(pairs)


if __name__ == "__main__":
    run_command(main, Config)
