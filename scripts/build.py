"""Build a hybrid set of dialogues from a recipe: named parts, their shares, and the steps that clean each.

python scripts/build.py --config recipes/huatuogpt/data.toml
python scripts/build.py --config recipes/zhongjing/data.toml --total 8000 --out small.jsonl

A part is the table [parts.NAME] of the recipe, its flags are --parts.NAME.files and so on. One seed gives one set; with
the step deidentify, one seed and one key (ZJ_DEIDENTIFY_KEY). Beside --out stand the report of all parts and steps, and
the records that steps removed: sft.report.json, sft.removed.jsonl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from zj import NOTICE
from zj.building.check import Checker
from zj.building.deidentify import KEY, Surrogates, key_is_given, key_of_run
from zj.building.graph import open_graph
from zj.building.hybrid import Part, Steps, counts_of, dedup_between, mix
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.cli import check_range, run_command
from zj.data.files import files_of
from zj.data.readers import OnBadRow, read, read_any
from zj.data.records import Dialogue


@dataclass(frozen=True)
class Config:
    parts: dict[str, Part] = field(default_factory=dict)  # by name
    out: str = ""  # file to write, one dialogue a line; an existing file is kept
    total: int | None = None  # dialogues of the set (none: the most that the shares permit)
    against: tuple[str, ...] = ()  # files of test sets; dedup removes what asks nearly the same first question
    graph: str = "clinic"  # of step check: JSON lines of entities as CMeKG's, or the clinic's own facts
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    seed: int = 0  # of what is drawn, of its order, and of dedup

    def __post_init__(self) -> None:
        check_range(self, "seed", 0)
        if self.total is not None:
            check_range(self, "total", 1)
        if not self.parts:
            raise ValueError("--config: a recipe with tables [parts.NAME] is missing")


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out = Path(config.out)
    for name, part in config.parts.items():
        check_files(name, part)
    out.parent.mkdir(parents=True, exist_ok=True)
    removed = Spool(out.parent)
    steps = steps_of(config, removed, out.parent)
    report = StepReport("build", asdict(config))
    parts: dict[str, list[Dialogue]] = {}
    about: dict[str, dict[str, object]] = {}
    for name, part in config.parts.items():
        rows, reading = read(part.files, "dialogue", config.on_bad_row)
        chosen = [row for row in rows if part.has(row)]
        parts[name], reports = steps.run(part.steps, chosen)
        about[name] = {"read": len(rows), "of these turns": len(chosen)}
        about[name]["steps"] = [vars(one) for one in reports]
        add(report, name, len(rows), len(rows) - len(chosen), reports)
        print(f"{name}: {reading}")
    with_dedup = [name for name, part in config.parts.items() if "dedup" in part.steps]
    if len(with_dedup) > 1:
        parts, between = dedup_between(parts, with_dedup, steps)
        add(report, "between parts", 0, 0, [between])
    for name, rows in parts.items():
        about[name]["after steps"] = len(rows)
    counts = counts_of({name: part.share for name, part in config.parts.items()}, sizes(parts), config.total)
    for name, number in counts.items():
        about[name]["written"] = number
        if left := len(parts[name]) - number:
            report.add(f"{name}: not drawn", name, number=left)
            report.removed += left
    report.settings = asdict(config) | {"parts": {n: asdict(p) | about[n] for n, p in config.parts.items()}}
    write_records(out, mix(parts, counts, config.seed), report, {"removed": removed})
    rows_of_table = [f"  {name:<30} {number:>9,} {number / report.written:>7.1%}" for name, number in counts.items()]
    print(report, *rows_of_table, f"{out}: removed by a step: {beside(out, 'removed')}", NOTICE, sep="\n")


def check_files(name: str, part: Part) -> None:
    """ValueError names the part's files that are missing and the command that makes them."""
    if not part.files:
        raise ValueError(f"--parts.{name}.files is missing")
    if missing := next((file for file in part.files if not Path(file).exists()), ""):
        hint = f"; make it: {part.made_by}" if part.made_by else ""
        raise ValueError(f"--parts.{name}.files: {missing} is not there{hint}")


def steps_of(config: Config, removed: Spool, folder: Path) -> Steps:
    used = {step for part in config.parts.values() for step in part.steps}
    if "deidentify" in used and not key_is_given():
        print(f"{KEY} is not set: the surrogates of another run will be other ones")
    surrogates = Surrogates(key_of_run())
    checker = Checker(open_graph(config.graph, folder / "graph.sqlite")) if "check" in used else None
    test = [item for file in files_of(config.against) for item in read_any(file)[0]] if config.against else []
    return Steps(removed, folder, surrogates, checker, test, config.seed)


def add(report: StepReport, name: str, read_rows: int, other_turns: int, steps: Sequence[StepReport]) -> None:
    """Add what happened to a part."""
    report.read += read_rows
    report.removed += other_turns
    if other_turns:
        report.add(f"{name}: of other turns", name, number=other_turns)
    for step in steps:
        report.removed += step.removed
        report.changed += step.changed
        for reason, number in step.reasons.items():
            report.add(f"{name}: {step.step}: {reason}", step.samples[reason][0], number=number)


def sizes(parts: dict[str, list[Dialogue]]) -> dict[str, int]:
    return {name: len(rows) for name, rows in parts.items()}


if __name__ == "__main__":
    run_command(main, Config)
