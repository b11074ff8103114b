"""Training runs on a page: what each was trained on, how far it came, its curves, gold against proxy, its settings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from zj.eval.curves import COLORS, PANELS, Curves, Panel, open_curves, running_mean, series, shows
from zj.pages import details, section, table
from zj.pages.figures import Line, curves

BEST = {  # stage -> the validation metric that decides which step is kept, and whether less is better
    "pretrain": ("valid_loss", True),
    "sft": ("valid_loss", True),
    "reward": ("valid_loss", True),
    "dpo": ("valid_loss", True),
    "ppo": ("valid_score", False),
}

SECTIONS = (("pretrain", "sft"), ("reward",), ("ppo",), ("dpo",))
DASHES = ("", "7 4", "2 3")  # of the metrics of one run in one panel


def find_runs(folders: Sequence[str]) -> list[str]:
    """Runs, in the order of the line; a directory that is no run stands for the runs in it.

    ValueError for a directory with no run in it.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        runs = [folder] if _is_run(folder) else sorted(file.parent for file in folder.glob("*/metrics.jsonl"))
        if not runs:
            raise ValueError(f"--runs {folder}: no run is there and none in it (a run has metrics.jsonl)")
        found += runs
    known = list(dict.fromkeys(found))
    if len(known) > len(COLORS):
        raise ValueError(f"--runs: found {len(known)} runs, expected at most {len(COLORS)}: each needs a colour")
    place = {stage: number for number, stage in enumerate(PANELS)}
    return sorted(map(str, known), key=lambda run: place.get(open_config(Path(run))[0], len(place)))


def _is_run(folder: Path) -> bool:
    return (folder / "metrics.jsonl").is_file()


def open_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """(stage, settings) of a run. ValueError names the file."""
    file = folder / "config.toml"
    try:
        text = file.read_text(encoding="utf-8")
        return text.partition("\n")[0].strip("# "), tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"--runs {folder}: config.toml cannot be read ({error})") from None


def runs_html(folders: Sequence[str]) -> list[str]:
    """The table of runs, a section of curves for each stage, gold against proxy, the settings of each run."""
    opened = [open_curves(folder, color, folders) for folder, color in zip(folders, COLORS, strict=False)]
    parts = ["<h2>Runs</h2>", _overview(folders, opened)]
    for stages in SECTIONS:
        figures = [
            _panel(panel, stage, [run for run in opened if shows(run, stage, panel)])
            for stage in stages
            for panel in PANELS[stage]
        ]
        if any(figures):
            parts.append(section(" and ".join(stages), "", f'<div class="figures">{"".join(figures)}</div>'))
    if any(run.graded for run in opened):
        about = "The same held-out answers, scored by the clinic's judge (gold, 95 % interval) and by the reward model."
        both = [_gold(opened), _proxy(opened)]
        parts.append(section("Gold against proxy", about, f'<div class="figures">{"".join(both)}</div>'))
    parts.append("<h3>Settings</h3>")
    for folder in folders:
        listed = (Path(folder) / "config.toml").read_text(encoding="utf-8")
        parts.append(details(folder, f"<pre><code>{escape(listed)}</code></pre>"))
    return parts


def _overview(folders: Sequence[str], opened: Sequence[Curves]) -> str:
    head = ["run", "steps", "million tokens", "minutes", "held out, first", "best", "at step", "trained on"]
    rows = []
    for folder, run in zip(folders, opened, strict=True):
        key, less = BEST[run.stage]
        steps, values = series(run, key)
        best = min(range(len(values)), key=lambda n: values[n] if less else -values[n]) if values else None
        _, settings = open_config(Path(folder))
        rows.append(
            [
                run.name if run.name == run.stage else f"{run.name} ({run.stage})",
                f"{run.rows[-1]['step']:,}" if run.rows else "0",
                f"{_total(run.rows, 'tokens') / 1e6:.2f}",
                f"{_total(run.rows, 'seconds') / 60:.1f}",
                f"{values[0]:.4g}" if values else "",
                f"{values[best]:.4g}" if best is not None else "",
                f"{steps[best]:,}" if best is not None else "",
                "\n".join(_inputs(settings)),
            ]
        )
    legend = "Held out: the loss in nats per token or pair (less is better), of PPO the reward model's score."
    return table(head, rows, last_is_text=True) + f"<p>{legend}</p>"


def _inputs(settings: Mapping[str, Any]) -> list[str]:
    files = settings.get("data") or ["the clinic's own"]
    start = [f"from {settings[name]}" for name in ("model", "reward") if settings.get(name)]
    return [*start, *map(str, files)]


def _total(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(row.get(key) or 0 for row in rows)


def _panel(panel: Panel, stage: str, runs: Sequence[Curves]) -> str:
    lines = []
    for run in runs:
        for key, name, dash in zip(panel.training, panel.names or ("training",) * 3, DASHES, strict=False):
            lines += _training(run, key, f"{run.name}: {name}", dash)
        for key, name, dash in zip(panel.held_out, panel.names or ("held out",) * 3, DASHES, strict=False):
            points = list(zip(*series(run, key), strict=True))
            lines.append(Line(f"{run.name}: {name}", run.color, points, dash, marked=True))
    return curves(f"{stage}: {panel.title}", panel.unit, lines, panel.line)


def _training(run: Curves, key: str, label: str, dash: str) -> list[Line]:
    """The values of each step, faint, and their running mean if there are many."""
    steps, values = series(run, key)
    mean = running_mean(values)
    points = list(zip(steps, values, strict=True))
    if mean is None:
        return [Line(label, run.color, points, dash=dash)]
    return [
        Line("", run.color, points, dash=dash, faint=True),
        Line(label, run.color, list(zip(steps, mean.tolist(), strict=True)), dash=dash),
    ]


def _gold(runs: Sequence[Curves]) -> str:
    lines = [
        Line(
            run.name,
            run.color,
            [(point.kl, point.gold.mean) for point in run.graded],
            marked=True,
            intervals=[(point.gold.low, point.gold.high) for point in run.graded],
        )
        for run in runs
    ]
    return curves("Gold score", "0 to 1", lines, x_label="KL from the reference, nats per answer")


def _proxy(runs: Sequence[Curves]) -> str:
    lines = [
        Line(run.name, run.color, [(point.kl, point.proxy) for point in run.graded], DASHES[1], marked=True)
        for run in runs
    ]
    return curves("Proxy", "the reward model's score", lines, x_label="KL from the reference, nats per answer")
