"""What noise and adjudication do to a reward model: six simulated annotators rank the clinic's answers.

python -m bench.rankings --model runs/sft --data runs/clinic/ranking.jsonl --out runs/rankings

For each noise: items → two of six annotators → the rule of disagreement, with the expert or without → export →
scripts/train_reward.py → its accuracy on the gold judge's ranking of held-out items. Theory: zj/feedback/simulate.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zj.cli import check_range, run_command
from zj.clinic import question_of
from zj.data.batching import split
from zj.data.readers import read
from zj.data.records import Candidates, Ranking, as_json
from zj.feedback.agreement import FINAL
from zj.feedback.export import export
from zj.feedback.ranks import lexicographic
from zj.feedback.simulate import Gold, expected_agreement, gold_ranks, judged, label_noise, pair_counts, simulate
from zj.train import write_text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("noise", "adjudicated", "to expert", "alpha", "in theory", "labels right", "in theory", "reward model")
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
    train, held_out = split(read(config.data, "ranking")[0], config.valid_fraction)
    items, out = [_with_gold(record) for record in train], Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    gold = out / "gold.jsonl"
    write_text(gold, "".join(json.dumps(as_json(record), ensure_ascii=False) + "\n" for record in held_out))
    print(f"{len(items):,} items to judge, {len(held_out):,} held out\n" + "".join(f"{name:>14}" for name in COLUMNS))
    rows = []
    for noise in config.noise:
        for adjudicated in (True, False):
            rows.append(_measure(config, items, noise, adjudicated, out, gold))
            print("".join(f"{cell:>14}" for cell in map(_shown, rows[-1].values())), flush=True)
    write_text(out / "rankings.json", json.dumps(rows, indent=2) + "\n")


def _with_gold(record: Ranking) -> tuple[Candidates, Gold]:
    item = Candidates(record.id, record.prompt, record.answers, source="outside")
    return item, gold_ranks(question_of(record.id), record.answers)


def _measure(
    config: Config, items: Items, noise: float, adjudicated: bool, out: Path, valid: Path
) -> dict[str, float | bool]:
    """One row of the table."""
    outcomes = list(simulate(items, noise, config.seed, adjudicated))
    name = f"noise-{noise}-{'expert' if adjudicated else 'mean'}"
    folder, run = out / name / "export", out / name / "reward"
    if not folder.exists():
        export(outcomes, judged(outcomes), folder, {"noise": noise, "seed": config.seed})
    agreement = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["agreement"][FINAL]
    golds = [gold for _, gold in items]
    theory = label_noise(golds, noise, adjudicated)
    counts = [pair_counts(lexicographic(gold), o.final) for gold, o in zip(golds, outcomes, strict=True)]
    right, wrong, _ = (sum(column) for column in zip(*counts, strict=True))
    return {
        "noise": noise,
        "adjudicated": adjudicated,
        "expert": sum(bool(outcome.decided_by) for outcome in outcomes) / len(outcomes),
        "alpha": agreement["alpha"],
        "alpha_in_theory": expected_agreement([lexicographic(gold) for gold in golds], noise)["alpha"],
        "labels": right / (right + wrong),
        "labels_in_theory": theory.accuracy,
        "reward_model": _train(config, folder / "rankings.jsonl", valid, run),
    }


def _train(config: Config, data: Path, valid: Path, run: Path) -> float:
    """The accuracy of the last reward model on the held-out pairs."""
    given: dict[str, Any] = {"config": config.recipe, "model": config.model, "data": data, "valid-data": valid}
    given |= {"valid-limit": 100_000, "seed": config.seed, "out": run}
    flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / "train.log").open("w", encoding="utf-8") as log:
        script = str(ROOT / "scripts" / "train_reward.py")
        subprocess.run([sys.executable, script, *flags], check=True, stdout=log, stderr=log)
    rows = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["valid_accuracy"] for row in rows if "valid_accuracy" in row][-1]


def _shown(value: float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"


if __name__ == "__main__":
    run_command(main, Config)
