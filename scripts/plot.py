"""Curves of one or more runs in one picture: losses, accuracies, all that PPO tells, and gold against proxy.

    python scripts/plot.py --runs runs/reward runs/ppo --out curves.png

Gold against proxy: the answers that PPO kept of each validation, graded by the clinic's judge, who knows the truth,
beside what the reward model said of them. Where the proxy goes on climbing and gold falls, the policy has learnt to
please the reward model (Gao et al. 2023, "Scaling laws for reward model overoptimization").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zj.cli import run_command
from zj.eval import Graded, grade
from zj.train import read_rows, read_run

SUFFIXES = (".png", ".pdf", ".svg")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C564B")  # Okabe & Ito 2008
GREY, FAINT = "#555555", 0.3
COLUMNS, WIDTH = 3, 4.4  # panels side by side; inches of one
TITLE: dict[str, Any] = {"fontsize": 10, "fontweight": "bold"}
FOLDED = (-100, -10, -3, -1, -0.5, 0, 0.5, 1)  # ticks of an axis that is logarithmic far away
STYLES = ("-", "--", ":", "-.")  # of the numbers that one panel draws of one run


@dataclass(frozen=True)
class Config:
    runs: tuple[str, ...] = ()  # run directories, finished or not; one colour each
    out: str = ""  # picture to write: .png, .pdf or .svg; one that is there is replaced


@dataclass(frozen=True)
class Panel:
    """Numbers of metrics.jsonl over the step."""

    title: str
    unit: str  # of the vertical axis
    training: tuple[str, ...]  # drawn as lines, each in a style of its own
    held_out: tuple[str, ...] = ()  # drawn as points, joined
    names: tuple[str, ...] = ()  # what tells several numbers of one run apart
    line: float | None = None  # a level to compare with
    folded: bool = False  # logarithmic beyond -1 and 1, for values that begin far away


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
        Panel("Explained variance", "share of the returns' variance", ("explained_variance",), line=0.0, folded=True),
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
    """A run, to be drawn in its colour."""

    name: str
    color: str
    stage: str
    rows: list[dict[str, Any]]
    graded: list[Graded]


def main(config: Config) -> None:
    out = Path(config.out)
    if not config.runs:
        raise ValueError("--runs is missing: one or more run directories")
    if len(config.runs) > len(COLORS):
        raise ValueError(f"--runs: found {len(config.runs)}, expected at most {len(COLORS)}: each needs a colour")
    if out.suffix not in SUFFIXES or out.is_dir():
        raise ValueError(f"--out is {config.out!r}, expected a file that ends with {', '.join(SUFFIXES)}")
    Figure = figure_class()
    runs = [open_named(folder, color, config.runs) for folder, color in zip(config.runs, COLORS, strict=False)]
    panels = [
        (stage, panel) for stage in PANELS for panel in PANELS[stage] if any(shows(one, stage, panel) for one in runs)
    ]
    if not panels:
        raise ValueError(f"--runs {' '.join(config.runs)}: nothing was measured there yet")
    figure = draw(Figure, runs, panels)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".tmp-{out.name}")
    figure.savefig(draft, dpi=130)
    os.replace(draft, out)
    print(f"{out}: {len(runs)} runs, {len(panels) + 2 * any(one.graded for one in runs)} panels")


# ---- what there is to draw


def open_named(folder: str, color: str, folders: tuple[str, ...]) -> Curves:
    """A run under the last part of its path, or under the whole where two end alike."""
    path = Path(folder)
    alone = sum(Path(other).resolve().name == path.resolve().name for other in folders) == 1
    stage, rows = read_run(path)
    if stage not in PANELS:
        raise ValueError(f"--runs {folder}: config.toml names stage {stage!r}, expected one of {', '.join(PANELS)}")
    graded = gold_against_proxy(path, rows) if stage == "ppo" else []
    return Curves(path.resolve().name if alone else folder, color, stage, rows, graded)


def shows(one: Curves, stage: str, panel: Panel) -> bool:
    return one.stage == stage and any(key in row for row in one.rows for key in (*panel.training, *panel.held_out))


def gold_against_proxy(folder: Path, rows: list[dict[str, Any]]) -> list[Graded]:
    """The validations of a PPO run, graded; where prompts are not the clinic's, a line says so."""
    if not (folder / "samples.jsonl").exists():
        return []
    kl = {row["step"]: row["valid_kl"] for row in rows if "valid_kl" in row}
    graded, foreign = grade(read_rows(folder / "samples.jsonl"), kl)
    if foreign:
        print(f"{folder}: prompts that are not the clinic's ({foreign} is one) have no gold score, left out")
    return graded


# ---- drawing


def figure_class():
    """matplotlib's Figure, which needs no display. ValueError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("plot.py needs matplotlib, which is not installed: pip install 'zj[plot]'") from None
    return Figure


def draw(figure_class, runs: list[Curves], panels: list[tuple[str, Panel]]):
    """The Figure: one panel after the other; below them gold against proxy, where there is any."""
    graded = [one for one in runs if one.graded]
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    rows = [WIDTH / 1.5 * lines] + [WIDTH] * bool(graded)
    size = (WIDTH * (COLUMNS if graded else columns), sum(rows) + 0.4)
    figure = figure_class(figsize=size, layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False).ravel()

    places = parts[0].subplots(lines, columns, squeeze=False).ravel()
    several = len({stage for stage, _ in panels}) > 1
    for place, (stage, panel) in zip(places, panels, strict=False):
        draw_panel(place, [one for one in runs if shows(one, stage, panel)], panel)
        place.set_title(f"{stage}: {panel.title}" if several else panel.title, **TITLE)
    for place in places[len(panels) :]:
        place.set_axis_off()
    if graded:
        in_training, against_kl = parts[1].subplots(1, 2)
        draw_gold(in_training, graded, "step")
        draw_gold(against_kl, graded, "kl")
    figure.legend(handles=legend(runs), loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    return figure


def draw_panel(place, runs: list[Curves], panel: Panel) -> None:
    for one in runs:
        for key, style in zip(panel.training, STYLES, strict=False):
            steps, values = series(one, key)
            smooth = running_mean(values)
            place.plot(
                steps, values, color=one.color, linestyle=style, linewidth=1, alpha=0.7 if smooth is None else FAINT
            )
            if smooth is not None:
                place.plot(steps, smooth, color=one.color, linestyle=style, linewidth=1.8)
        for key, style in zip(panel.held_out, STYLES, strict=False):
            place.plot(*series(one, key), color=one.color, linestyle=style, marker="o", markersize=4.5, linewidth=1.8)
    if panel.line is not None:
        place.axhline(panel.line, color=GREY, linewidth=0.7, zorder=0)
    if panel.folded:
        place.set_yscale("symlog", linthresh=1)
        low, high = place.get_ylim()
        place.set_yticks([tick for tick in FOLDED if low <= tick <= high])
        place.yaxis.set_major_formatter("{x:g}")
    if panel.names:
        for name, style in zip(panel.names, STYLES, strict=False):
            place.plot([], [], color=GREY, linestyle=style, label=name)
        place.legend(fontsize=8, frameon=False)
    dress(place, "step", panel.unit)


def draw_gold(place, runs: list[Curves], across: str) -> None:
    """Gold on the left axis with its 95 % interval, the proxy on the right one; points in the order of training."""
    right = place.twinx()
    for one in runs:
        x = [getattr(point, across) for point in one.graded]
        gold = np.array([[point.gold.mean, point.gold.low, point.gold.high] for point in one.graded]).T
        reach = np.abs(gold[1:] - gold[0])
        place.errorbar(x, gold[0], reach, color=one.color, marker="o", markersize=5, linewidth=1.5, elinewidth=0.7)
        proxy = [point.proxy for point in one.graded]
        right.plot(x, proxy, color=one.color, linestyle="--", marker="s", markersize=5, markerfacecolor="none")
    below = "step" if across == "step" else "KL from the reference, nats per answer"
    dress(place, below, "gold score, 0 to 1 (●, 95 % interval)")
    right.set_ylabel("reward model's score (□)", fontsize=9)
    right.tick_params(labelsize=8)
    right.spines["top"].set_visible(False)
    place.set_title("Gold and proxy in training" if across == "step" else "Gold and proxy against KL", **TITLE)


def dress(place, below: str, beside: str) -> None:
    place.set_xlabel(below, fontsize=9)
    place.set_ylabel(beside, fontsize=9)
    place.tick_params(labelsize=8)
    if below == "step":
        place.xaxis.get_major_locator().set_params(integer=True)
    place.grid(alpha=0.25, linewidth=0.6)
    place.spines[["top", "right"]].set_visible(False)


def legend(runs: list[Curves]) -> list:
    """One entry a run, and what the kinds of lines mean."""
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=one.color, linewidth=3, label=f"{one.name} ({one.stage})") for one in runs]
    entries.append(Line2D([], [], color=GREY, linewidth=1, alpha=0.7, label="training"))
    if any(width(len(one.rows)) > 1 for one in runs):
        entries.append(Line2D([], [], color=GREY, linewidth=1.8, label="running mean"))
    return [*entries, Line2D([], [], color=GREY, marker="o", markersize=4.5, linewidth=1.8, label="held out")]


def series(one: Curves, key: str) -> tuple[list[int], list[float]]:
    """(steps, values) of the rows that have it."""
    found = [(row["step"], row[key]) for row in one.rows if key in row]
    return [step for step, _ in found], [value for _, value in found]


def running_mean(values: list[float]) -> np.ndarray | None:
    """Each value with its neighbours, so many that about 30 means are different; None where there are too few."""
    reach = width(len(values)) // 2
    if not reach:
        return None
    kernel = np.ones(2 * reach + 1)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def width(count: int) -> int:
    """Values in one mean."""
    return count // 30 if count >= 60 else 1


if __name__ == "__main__":
    run_command(main, Config)
