"""Dialogues for train_sft.py out of sampled and scored answers: to each prompt the best one, or a control.

    python scripts/score.py --reward runs/reward --model runs/sft --best-of 4 --data prompts.jsonl --out scored.jsonl
    python scripts/best_of_n.py --data prompts.jsonl --scores scored.jsonl --keep best --out best.jsonl
    python scripts/best_of_n.py --data prompts.jsonl --scores scored.jsonl --keep random --out random.jsonl
    python scripts/train_sft.py --model runs/sft --data best.jsonl --out runs/best-of-4

One sampling serves all three. A model fine-tuned on random answers of its own shows what fine-tuning alone changes.
Only the kept answer is trained on, not those of the turns before it.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from zj import NOTICE
from zj.cli import already_there, check_range, run_command
from zj.data.records import Dialogue, Prompt, as_json
from zj.data.report import count
from zj.rl.best_of import Keep, best_of_kl, choose
from zj.stages.setup import read_records
from zj.train import write_text


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # the files of prompts that score.py --best-of was given
    scores: str = ""  # the file that it wrote
    keep: Keep = "best"  # which answer to each prompt: that of the highest score, of the lowest, or any
    n: int = 0  # of how many answers, from the first (0: of all)
    out: str = ""  # file of dialogues to write; an existing file is kept
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read
    seed: int = 0  # of --keep random

    def __post_init__(self) -> None:
        check_range(self, "n", 0)


@dataclass(frozen=True)
class Scored:
    """A prompt and the answers that may be trained on: whole ones (with EOS) that say something."""

    prompt: Prompt
    texts: list[str]  # K of them; K may be 0
    scores: list[float]  # [K]


def main(config: Config) -> None:
    for flag in ("data", "scores", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    out = Path(config.out)
    if out.is_dir():
        raise ValueError(f"--out {out} is a directory, expected the name of a file")
    if already_there(out, "choose"):
        return
    prompts = {prompt.id: prompt for prompt in read_records(config.data, "prompt", config.on_bad_row)}
    everything = read_scored(config, prompts)
    groups = [group for group in everything if group.scores]
    if not groups:
        raise ValueError(f"--scores {config.scores}: found no whole answer")
    chosen = [choose(group.scores, config.keep, rng_of(config, group.prompt)) for group in groups]
    dialogues = [dialogue(group.prompt, group.texts[at]) for group, at in zip(groups, chosen, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, "".join(json.dumps(as_json(one), ensure_ascii=False) + "\n" for one in dialogues))
    left_out = count(len(everything) - len(groups), "prompt")
    print(f"{out}: {count(len(groups), 'dialogue')}; {left_out} without a whole answer left out")
    print(report(config, groups, [group.scores[at] for group, at in zip(groups, chosen, strict=True)]))
    print(NOTICE)


def read_scored(config: Config, prompts: dict[str, Prompt]) -> list[Scored]:
    """The rows that score.py --best-of wrote, with their prompts. ValueError names a row that is something else."""
    if not Path(config.scores).is_file():
        raise ValueError(f"--scores {config.scores}: no such file")
    groups = dict[str, Scored]()
    for number, line in enumerate(Path(config.scores).read_text(encoding="utf-8").splitlines(), 1):
        where = f"{config.scores}:{number}"
        try:
            row = json.loads(line)
            name, answers = row["id"], [*zip(row["answers"], row["finished"], row["scores"], strict=True)]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{where}: expected a row of score.py --best-of: id, answers, finished, scores") from None
        if name in groups or name not in prompts:
            found = "is there twice" if name in groups else "is none of --data"
            raise ValueError(f"{where}: the prompt {name!r} {found}, expected the prompts that score.py was given")
        if config.n > len(answers):
            raise ValueError(f"--n is {config.n}: {where} has {count(len(answers), 'answer')}")
        usable = [(text, score) for text, done, score in answers[: config.n or None] if done and text.strip()]
        groups[name] = Scored(prompts[name], [text for text, _ in usable], [score for _, score in usable])
    return [*groups.values()]


def rng_of(config: Config, prompt: Prompt) -> random.Random:
    """Of one prompt, whatever the others are."""
    return random.Random(f"{config.seed}/best_of_n/{prompt.id}")


def dialogue(prompt: Prompt, answer: str) -> Dialogue:
    """The prompt with its answer, which alone is trained on."""
    trained = (*(False for _ in prompt.history), True)
    about = {"system": prompt.system, "department": prompt.department, "split_by": prompt.split_by}
    return Dialogue(prompt.id, (*prompt.history, (prompt.user, answer)), trained=trained, **about)


def report(config: Config, groups: list[Scored], kept: list[float]) -> str:
    """The mean score of the kept answers, beside those of the best, the worst and all answers."""
    best, worst, any = (fmean(of(group.scores) for group in groups) for of in (max, min, fmean))
    n = config.n or max(len(group.scores) for group in groups)
    bound = f"; the best of {n} are at most {best_of_kl(n):.2f} nats per answer from the model"
    means = f"best {best:.3f}, any {any:.3f}, worst {worst:.3f}"
    return f"mean score of the kept answers {fmean(kept):.3f}; of {n}: {means}{bound}"


if __name__ == "__main__":
    run_command(main, Config)
