"""What noise and adjudication do to a reward model: six simulated annotators rank the clinic's answers.

python -m bench.rankings --model runs/sft --data runs/clinic/ranking.jsonl --out runs/rankings

For each noise: items → two of six annotators → the rule of disagreement, with the expert or without → export →
scripts/train_reward.py → how often it prefers the better of two answers to a held-out item, by the gold judge ("reward
model") and by labels of the same noise ("on labels"), as right as those allow. Theory: zj/feedback/ranking/simulate.py.
Two baselines that learn nothing stand above the table: the longer answer, and a random head on the same model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from zj.cli import check_range, run_command
from zj.clinic import question_of
from zj.data.batching import split
from zj.data.prompt_formats import choose_template
from zj.data.readers import read
from zj.data.records import Candidates, Ranking, as_json
from zj.data.template import encode_answers
from zj.data.tokenizer import Tokenizer
from zj.feedback.ranking.agreement import FINAL
from zj.feedback.ranking.export import export
from zj.feedback.ranking.ranks import Ranks, lexicographic
from zj.feedback.ranking.simulate import (
    Gold,
    expected_agreement,
    gold_ranks,
    judged,
    label_noise,
    pair_counts,
    simulate,
)
from zj.model import Packed, ScalarHead
from zj.train import write_text
from zj.weights import load_model

ROOT = Path(__file__).resolve().parent.parent
COLUMNS: tuple[str, ...] = ("noise", "adjudicated", "to expert", "alpha", "in theory", "labels right", "in theory")
COLUMNS = (*COLUMNS, "reward model", "on labels", "in theory")
Items = list[tuple[Candidates, Gold]]


@dataclass(frozen=True)
class Config:
    model: str = ""  # model to train the reward model on
    data: tuple[str, ...] = ()  # the clinic's rankings, whose answers are ranked anew
    out: str = ""  # directory to write to; runs that are there are not repeated
    noise: tuple[float, ...] = (0.0, 0.2, 0.4)  # chance that an annotator mixes the answers of an item up
    valid_fraction: float = 0.25  # of the items, held out with the gold judge's ranks
    recipe: str = "recipes/tiny/reward.toml"  # of train_reward.py
    seed: int = 0  # of the annotators and of training

    def __post_init__(self) -> None:
        check_range(self, "valid_fraction", 0.01, 0.99)


def main(config: Config) -> None:
    sides = split(read(config.data, "ranking")[0], config.valid_fraction)
    train, held_out = ([_with_gold(record) for record in side] for side in sides)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    write_text(
        out / "gold.jsonl", "".join(json.dumps(as_json(record), ensure_ascii=False) + "\n" for record in sides[1])
    )
    print(f"{len(train):,} items to judge, {len(held_out):,} held out")
    baselines = _baselines(config, held_out)
    print("".join(f"{name}: {accuracy:.3f} of the pairs\n" for name, accuracy in baselines.items()), end="")
    print("".join(f"{name:>14}" for name in COLUMNS), flush=True)
    rows = []
    for noise in config.noise:
        for adjudicated in (True, False) if noise else (True,):
            rows.append(_measure(config, train, held_out, noise, adjudicated))
            print("".join(f"{cell:>14}" for cell in map(_shown, rows[-1].values())), flush=True)
    write_text(out / "rankings.json", json.dumps({"baselines": baselines, "rows": rows}, indent=2) + "\n")


def _with_gold(record: Ranking) -> tuple[Candidates, Gold]:
    item = Candidates(record.id, record.prompt, record.answers, source="outside")
    return item, gold_ranks(question_of(record.id), record.answers)


def _measure(config: Config, train: Items, held_out: Items, noise: float, adjudicated: bool) -> dict[str, float | bool]:
    """One row of the table."""
    out = Path(config.out) / f"noise-{noise}-{'expert' if adjudicated else 'mean'}"
    outcomes = list(simulate(train, noise, config.seed, adjudicated))
    if not (out / "export").exists():
        export(outcomes, judged(outcomes), out / "export", {"noise": noise, "seed": config.seed})
    agreement = json.loads((out / "export" / "manifest.json").read_text(encoding="utf-8"))["agreement"][FINAL]
    golds = [gold for _, gold in train]
    theory = label_noise(golds, noise, adjudicated).accuracy
    counts = [pair_counts(lexicographic(gold), o.final) for gold, o in zip(golds, outcomes, strict=True)]
    right, wrong, _ = (sum(column) for column in zip(*counts, strict=True))
    scores = _scores(config, out)
    truth = {item.id: lexicographic(gold) for item, gold in held_out}
    labels = {outcome.item.id: outcome.final for outcome in simulate(held_out, noise, config.seed, adjudicated)}
    accuracy = _accuracy(scores, truth, truth)
    allowed = label_noise([gold for _, gold in held_out], noise, adjudicated).accuracy
    return {
        "noise": noise,
        "adjudicated": adjudicated,
        "expert": sum(bool(outcome.decided_by) for outcome in outcomes) / len(outcomes),
        "alpha": agreement["alpha"],
        "alpha_in_theory": expected_agreement([lexicographic(gold) for gold in golds], noise)["alpha"],
        "labels": right / (right + wrong),
        "labels_in_theory": theory,
        "reward_model": accuracy,
        "on_labels": _accuracy(scores, labels, truth),
        "on_labels_in_theory": allowed * accuracy + (1 - allowed) * (1 - accuracy),
    }


def _scores(config: Config, out: Path) -> dict[str, list[float]]:
    """The scores of the held-out items' answers by a reward model that is trained on OUT/export."""
    gold, reward = Path(config.out) / "gold.jsonl", out / "reward"
    given: dict[str, Any] = {"config": config.recipe, "model": config.model, "data": out / "export" / "rankings.jsonl"}
    given |= {"valid-data": gold, "valid-limit": 100_000, "seed": config.seed, "out": reward}
    scores = {"reward": reward, "kind": "ranking", "data": gold, "out": out / "scores.jsonl"}
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        for script, values in (("train_reward", given), ("score", scores)):
            flags = [word for name, value in values.items() for word in (f"--{name}", str(value))]
            command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *flags]
            subprocess.run(command, check=True, stdout=log, stderr=log)
    rows = map(json.loads, (out / "scores.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["id"]: row["scores"] for row in rows}


@torch.no_grad()
def _baselines(config: Config, held_out: Items) -> dict[str, float]:
    """Accuracy of what has learnt no ranking, on the same pairs: the longer answer, a random head on the model."""
    tokenizer, template = Tokenizer.load(config.model), choose_template("", config.model)
    model = load_model(config.model, torch.float32, torch.device("cpu")).eval()
    head = ScalarHead(model.config.hidden_size, config.seed)
    untrained = {}
    for item, _ in held_out:
        packed = Packed.of([answer.ids for answer in encode_answers(item.prompt, item.answers, tokenizer, template)])
        untrained[item.id] = head(model(packed)[packed.last]).tolist()
    lengths = {item.id: [len(answer) for answer in item.answers] for item, _ in held_out}
    truth = {item.id: lexicographic(gold) for item, gold in held_out}
    scores = {"longer answer": lengths, "untrained head": untrained}
    return {name: _accuracy(score, truth, truth) for name, score in scores.items()}


def _accuracy(scores: Mapping[str, Sequence[float]], labels: Mapping[str, Ranks], truth: Mapping[str, Ranks]) -> float:
    """Of the pairs of answers that labels and gold order: how often the one that is labelled better scores higher.

    Equal scores count half.
    """
    right = [
        0.5
        if scores[name][i] == scores[name][j]
        else (scores[name][i] - scores[name][j]) * (labels[name][i] - labels[name][j]) < 0
        for name, gold in truth.items()
        for i, j in combinations(range(len(gold)), 2)
        if gold[i] != gold[j] and labels[name][i] != labels[name][j]
    ]
    return fmean(right)


def _shown(value: float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"


if __name__ == "__main__":
    run_command(main, Config)
