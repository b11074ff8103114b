"""One HTML page on a run or a whole line: data, curves, gold against proxy, evaluations, answers side by side.

python scripts/report.py --runs runs/demo --evaluations runs/demo/report.json --out report.html
python scripts/report.py --runs runs/sft runs/ppo --texts sft.jsonl ppo.jsonl --evaluations text.json --out report.html

--runs takes run directories, or a directory with runs in it. --evaluations takes what judge.py, evaluate.py and
ai_feedback.py wrote. The page has no scripts and needs nothing else: it can be sent, archived, printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from zj import NOTICE, pages
from zj.cli import already_there, check_range, run_command
from zj.data.report import count
from zj.eval.answer_file import read_systems
from zj.eval.page.runs import find_runs, runs_html
from zj.eval.page.samples import Sample, choose, of_examination, of_systems, samples_html
from zj.eval.tables import tables_of
from zj.train import write_text


@dataclass(frozen=True)
class Config:
    runs: tuple[str, ...] = ()  # run directories, or directories with runs in them
    evaluations: tuple[str, ...] = ()  # reports (JSON) of judge.py, evaluate.py or ai_feedback.py, or their directories
    texts: tuple[str, ...] = ()  # files of answers, as answer.py writes them, to show side by side: FILE or NAME=FILE
    samples: int = 8  # number of questions to show, drawn at random; of --texts, or else of the first examination
    seed: int = 0  # of that draw
    title: str = ""  # of the page (none: the name of the first run or evaluation)
    out: str = ""  # page to write; an existing file is kept

    def __post_init__(self) -> None:
        check_range(self, "samples", 0)
        if not (self.runs or self.evaluations or self.texts):
            raise ValueError("--runs, --evaluations and --texts are missing: nothing to show")
        if not self.out or Path(self.out).is_dir():
            raise ValueError(f"--out is {self.out!r}, expected the name of a file")


def main(config: Config) -> None:
    out = Path(config.out)
    if already_there(out, "write it"):
        return
    reports = {name: read_report(name) for name in config.evaluations}
    samples = samples_of(config, reports)
    parts = [f"<p>{escape(NOTICE)}</p>"]
    if config.runs:
        parts += runs_html(find_runs(config.runs))
    if reports:
        parts += ["<h2>Evaluations</h2>", *(evaluation_html(name, report) for name, report in reports.items())]
    if samples:
        about = f"{count(len(samples), 'question')} drawn at random, seed {config.seed}."
        parts += ["<h2>Answers side by side</h2>", f"<p>{about}</p>", *samples_html(samples)]
    title = config.title or Path((*config.runs, *config.evaluations, *config.texts)[0].rpartition("=")[2]).name
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, pages.page(title, parts))
    print(f"{out}: {out.stat().st_size / 1e3:,.0f} kB\n{NOTICE}")


def read_report(name: str) -> dict[str, Any]:
    """A JSON report with tables. ValueError names --evaluations."""
    file = Path(name) / "report.json" if Path(name).is_dir() else Path(name)
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        tables_of(report)
    except (OSError, ValueError) as error:
        raise ValueError(f"--evaluations {name}: {error}") from None
    return report


def evaluation_html(name: str, report: Mapping[str, Any]) -> str:
    parts = []
    for table in tables_of(report):
        about = f'<p class="about">{escape(table.about)}</p>' if table.about else ""
        title = f"<p><b>{escape(table.title)}</b></p>" if table.title else ""
        parts.append(title + pages.table(table.head, table.rows) + about)
    return pages.section(name, str(report.get("notice", "")), *parts)


def samples_of(config: Config, reports: Mapping[str, Mapping[str, Any]]) -> list[Sample]:
    if config.texts:
        return choose(of_systems(read_systems(config.texts)), config.samples, config.seed)
    examination = next((report for report in reports.values() if "questions" in report), None)
    return choose(of_examination(examination), config.samples, config.seed) if examination else []


if __name__ == "__main__":
    run_command(main, Config)
