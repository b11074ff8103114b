"""Curves of runs: which metrics a stage shows, and their values over the steps. plot.py and report.py draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zj.eval.overoptimization import GradedValidation, grade
from zj.train.run_directory import read_rows, read_run

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")  # Okabe & Ito 2008


@dataclass(frozen=True)
class Panel:
    """Metrics of metrics.jsonl over the step."""

    title: str
    unit: str  # of the vertical axis
    training: tuple[str, ...]  # keys drawn as lines, one line style each
    held_out: tuple[str, ...] = ()  # keys drawn as joined points
    names: tuple[str, ...] = ()  # legend of the line styles
    line: float | None = None  # horizontal reference line
    symlog: bool = False  # vertical axis is logarithmic beyond -1 and 1


NATS, SHARE = "nats per token", "share of the pairs"
TEXT = (Panel("Loss", NATS, ("loss",), ("valid_loss",)),)
PANELS = {
    "pretrain": TEXT,
    "sft": TEXT,
    "reward": (
        Panel("Ranking loss", "nats per pair", ("loss",), ("valid_loss",), line=float(np.log(2))),
        Panel("Accuracy", SHARE, ("accuracy",), ("valid_accuracy",), line=0.5),
        Panel(
            "Accuracy, the better answer is …",
            SHARE,
            (),
            ("valid_accuracy_better_longer", "valid_accuracy_better_shorter"),
            names=("longer", "shorter"),
            line=0.5,
        ),
    ),
    "dpo": (
        Panel("DPO loss", "nats per pair", ("loss",), ("valid_loss",), line=float(np.log(2))),
        Panel("Accuracy of the implicit reward", SHARE, ("accuracy",), ("valid_accuracy",), line=0.5),
        Panel("Margin of the implicit reward", "nats per pair, times beta", ("margin",), ("valid_margin",), line=0.0),
    ),
    "ppo": (
        Panel("Score", "reward model's score", ("score",), ("valid_score",)),
        Panel("KL from the reference", "nats per answer", ("kl",), ("valid_kl",), line=0.0),
        Panel("Entropy", NATS, ("entropy_per_token",)),
        Panel("Clip fraction", "share of the tokens", ("clip_fraction",)),
        Panel("Explained variance", "share of the returns' variance", ("explained_variance",), line=0.0, symlog=True),
        Panel("Length", "tokens per answer", ("length",), ("valid_length",)),
        Panel("Answers that end with EOS", "share of the answers", ("eos_rate",), ("valid_eos_rate",)),
        Panel(
            "Time",
            "seconds per step",
            ("seconds_sample", "seconds_judge", "seconds_learn"),
            names=("sample", "judge", "learn"),
        ),
    ),
}


@dataclass(frozen=True)
class Curves:
    """The metrics of one run and its colour."""

    name: str
    color: str
    stage: str
    rows: list[dict[str, Any]]
    graded: list[GradedValidation]


def open_curves(folder: str, color: str, folders: Sequence[str]) -> Curves:
    """A run, named by the last part of its path, or by the whole path if two runs share that part."""
    path = Path(folder)
    unique = sum(Path(other).resolve().name == path.resolve().name for other in folders) == 1
    stage, rows = read_run(path)
    if stage not in PANELS:
        raise ValueError(f"--runs {folder}: config.toml names stage {stage!r}, expected one of {', '.join(PANELS)}")
    graded = gold_against_proxy(path, rows) if stage == "ppo" else []
    return Curves(path.resolve().name if unique else folder, color, stage, rows, graded)


def shows(run: Curves, stage: str, panel: Panel) -> bool:
    return run.stage == stage and any(key in row for row in run.rows for key in (*panel.training, *panel.held_out))


def gold_against_proxy(folder: Path, rows: list[dict[str, Any]]) -> list[GradedValidation]:
    """The graded validations of a PPO run; prints a line if prompts are not the clinic's."""
    if not (folder / "samples.jsonl").exists():
        return []
    kl = {row["step"]: row["valid_kl"] for row in rows if row.get("valid_kl") is not None}
    graded, foreign = grade(read_rows(folder / "samples.jsonl"), kl)
    if foreign:
        print(f"{folder}: prompts that are not the clinic's ({foreign} is one) have no gold score, left out")
    return graded


def series(run: Curves, key: str) -> tuple[list[int], list[float]]:
    """(steps, values) of the rows that have `key`; a value that is not finite has no place on a page."""
    points = [(row["step"], row[key]) for row in run.rows if row.get(key) is not None and math.isfinite(row[key])]
    return [step for step, _ in points], [value for _, value in points]


def running_mean(values: list[float]) -> np.ndarray | None:
    """Centred running mean over about 1/30 of the values; None for fewer than 60 values."""
    half = window(len(values)) // 2
    if not half:
        return None
    kernel = np.ones(2 * half + 1)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def window(count: int) -> int:
    """Window of the running mean, in values."""
    return count // 30 if count >= 60 else 1
