"""Curves of one or more runs in one figure: losses, accuracies, PPO's statistics, and gold against proxy.

    python scripts/plot.py --runs runs/reward runs/ppo --out curves.png

Gold against proxy: the answers saved at each validation of PPO, scored by the clinic's judge (gold) and by the reward
model (proxy). Where the proxy rises and gold falls, the policy overoptimizes the reward model (Gao et al. 2023,
"Scaling laws for reward model overoptimization").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zj.cli import run_command
from zj.eval.curves import COLORS, PANELS, Curves, Panel, open_curves, running_mean, series, shows, window

SUFFIXES = (".png", ".pdf", ".svg")
GREY, FAINT = "#555555", 0.3
COLUMNS, WIDTH = 3, 4.4  # panels per row; width of a panel, inches
TITLE: dict[str, Any] = {"fontsize": 10, "fontweight": "bold"}
SYMLOG_TICKS = (-100, -10, -3, -1, -0.5, 0, 0.5, 1)  # ticks of a symlog axis
STYLES = ("-", "--", ":", "-.")  # of the metrics of one run in one panel


@dataclass(frozen=True)
class Config:
    runs: tuple[str, ...] = ()  # run directories, finished or not; one colour each
    out: str = ""  # figure to write: .png, .pdf or .svg; an existing file is replaced


def main(config: Config) -> None:
    out = Path(config.out)
    if not config.runs:
        raise ValueError("--runs is missing: one or more run directories")
    if len(config.runs) > len(COLORS):
        raise ValueError(f"--runs: found {len(config.runs)}, expected at most {len(COLORS)}: each needs a colour")
    if out.suffix not in SUFFIXES or out.is_dir():
        raise ValueError(f"--out is {config.out!r}, expected a file that ends with {', '.join(SUFFIXES)}")
    Figure = figure_class()
    runs = [open_curves(folder, color, config.runs) for folder, color in zip(config.runs, COLORS, strict=False)]
    panels = [
        (stage, panel) for stage in PANELS for panel in PANELS[stage] if any(shows(run, stage, panel) for run in runs)
    ]
    if not panels:
        raise ValueError(f"--runs {' '.join(config.runs)}: nothing was measured there yet")
    figure = draw(Figure, runs, panels)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".tmp-{out.name}")
    figure.savefig(draft, dpi=130)
    os.replace(draft, out)
    print(f"{out}: {len(runs)} runs, {len(panels) + 2 * any(run.graded for run in runs)} panels")


# ---- drawing


def figure_class():
    """matplotlib's Figure, which needs no display. ValueError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("plot.py needs matplotlib, which is not installed: pip install 'zj[plot]'") from None
    return Figure


def draw(figure_class, runs: list[Curves], panels: list[tuple[str, Panel]]):
    """The Figure: a grid of panels; below it gold against proxy, if any run has graded validations."""
    graded_runs = [run for run in runs if run.graded]
    columns = min(COLUMNS, len(panels))
    panel_rows = -(-len(panels) // columns)
    rows = [WIDTH / 1.5 * panel_rows] + [WIDTH] * bool(graded_runs)
    size = (WIDTH * (COLUMNS if graded_runs else columns), sum(rows) + 0.4)
    figure = figure_class(figsize=size, layout="constrained")
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False).ravel()

    panel_axes = parts[0].subplots(panel_rows, columns, squeeze=False).ravel()
    several = len({stage for stage, _ in panels}) > 1
    for axes, (stage, panel) in zip(panel_axes, panels, strict=False):
        draw_panel(axes, [run for run in runs if shows(run, stage, panel)], panel)
        axes.set_title(f"{stage}: {panel.title}" if several else panel.title, **TITLE)
    for axes in panel_axes[len(panels) :]:
        axes.set_axis_off()
    if graded_runs:
        in_training, against_kl = parts[1].subplots(1, 2)
        draw_gold(in_training, graded_runs, "step")
        draw_gold(against_kl, graded_runs, "kl")
    figure.legend(handles=legend(runs), loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    return figure


def draw_panel(axes, runs: list[Curves], panel: Panel) -> None:
    for run in runs:
        for key, style in zip(panel.training, STYLES, strict=False):
            steps, values = series(run, key)
            mean = running_mean(values)
            axes.plot(
                steps, values, color=run.color, linestyle=style, linewidth=1, alpha=0.7 if mean is None else FAINT
            )
            if mean is not None:
                axes.plot(steps, mean, color=run.color, linestyle=style, linewidth=1.8)
        for key, style in zip(panel.held_out, STYLES, strict=False):
            axes.plot(*series(run, key), color=run.color, linestyle=style, marker="o", markersize=4.5, linewidth=1.8)
    if panel.line is not None:
        axes.axhline(panel.line, color=GREY, linewidth=0.7, zorder=0)
    if panel.symlog:
        axes.set_yscale("symlog", linthresh=1)
        low, high = axes.get_ylim()
        axes.set_yticks([tick for tick in SYMLOG_TICKS if low <= tick <= high])
        axes.yaxis.set_major_formatter("{x:g}")
    if panel.names:
        for name, style in zip(panel.names, STYLES, strict=False):
            axes.plot([], [], color=GREY, linestyle=style, label=name)
        axes.legend(fontsize=8, frameon=False)
    label_axes(axes, "step", panel.unit)


def draw_gold(axes, runs: list[Curves], x_axis: str) -> None:
    """Gold with its 95 % interval on the left axis, the proxy on the right; points are joined in order of training."""
    right = axes.twinx()
    for run in runs:
        x = [getattr(point, x_axis) for point in run.graded]
        gold = np.array([[point.gold.mean, point.gold.low, point.gold.high] for point in run.graded]).T
        half_width = np.abs(gold[1:] - gold[0])
        axes.errorbar(x, gold[0], half_width, color=run.color, marker="o", markersize=5, linewidth=1.5, elinewidth=0.7)
        proxy = [point.proxy for point in run.graded]
        right.plot(x, proxy, color=run.color, linestyle="--", marker="s", markersize=5, markerfacecolor="none")
    x_label = "step" if x_axis == "step" else "KL from the reference, nats per answer"
    label_axes(axes, x_label, "gold score, 0 to 1 (●, 95 % interval)")
    right.set_ylabel("reward model's score (□)", fontsize=9)
    right.tick_params(labelsize=8)
    right.spines["top"].set_visible(False)
    axes.set_title("Gold and proxy in training" if x_axis == "step" else "Gold and proxy against KL", **TITLE)


def label_axes(axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    if x_label == "step":
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def legend(runs: list[Curves]) -> list:
    """One entry per run, and the meaning of the line styles."""
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=run.color, linewidth=3, label=f"{run.name} ({run.stage})") for run in runs]
    entries.append(Line2D([], [], color=GREY, linewidth=1, alpha=0.7, label="training"))
    if any(window(len(run.rows)) > 1 for run in runs):
        entries.append(Line2D([], [], color=GREY, linewidth=1.8, label="running mean"))
    return [*entries, Line2D([], [], color=GREY, marker="o", markersize=4.5, linewidth=1.8, label="held out")]


if __name__ == "__main__":
    run_command(main, Config)
