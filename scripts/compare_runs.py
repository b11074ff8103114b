"""One table of several runs: validation before and after training, steps, tokens and time.

python scripts/compare_runs.py --runs runs/pretrain runs/sft runs/sft-from-scratch
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zj.cli import run_command
from zj.train import read_run
from zj.weights.directory import RESULTS

HEADER = ("run", "stage", "before", "after", "result", "of step", "steps", "tokens", "tokens/s", "minutes")


LEGEND = """before, after: on data held out from training, at the start and at the end
result: of the model that the run's directory holds, and its step; ppo keeps the last model, the others the best one
runs are comparable that validate on the same records with the same tokenizer
pretrain, sft: cross-entropy, nats per counted token; reward, dpo: ranking loss, nats per prompt (lower is better)
ppo: mean calibrated reward of an answer (higher is better)"""


@dataclass(frozen=True)
class Config:
    runs: tuple[str, ...] = ()  # run directories


def main(config: Config) -> None:
    if not config.runs:
        raise ValueError("--runs is missing: one or more run directories")
    rows = [HEADER, *(summary(Path(folder)) for folder in config.runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        print(
            "  ".join(
                cell.rjust(width) if column > 1 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    print(LEGEND)


def summary(folder: Path) -> tuple[str, ...]:
    """The row of one run. Raises ValueError if the directory is not a run."""
    stage, rows = read_run(folder)
    measure = "valid_score" if stage == "ppo" else "valid_loss"
    validations = [(row[measure], row["step"]) for row in rows if row.get(measure) is not None]
    steps = [row for row in rows if "tokens" in row]
    if not validations or not steps:
        return (folder.name, stage, *["-"] * 4, str(steps[-1]["step"] if steps else 0), *["-"] * 3)
    result, result_step = validations[-1] if stage == "ppo" else min(validations, key=lambda pair: pair[0])
    tokens, seconds = sum(row["tokens"] for row in steps), sum(row["seconds"] for row in steps)
    scores = [f"{score:.3f}" for score in (validations[0][0], validations[-1][0], result)]
    if not any((folder / name).is_file() for name in RESULTS):
        scores[-1], result_step = "unfinished", "-"
    return (
        folder.name,
        stage,
        *scores,
        str(result_step),
        str(steps[-1]["step"]),
        f"{tokens:,}",
        f"{tokens / seconds:,.0f}",
        f"{seconds / 60:.1f}",
    )


if __name__ == "__main__":
    run_command(main, Config)
