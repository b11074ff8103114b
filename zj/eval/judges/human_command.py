"""evaluate.py human export and human import: answers to the ranking tool without names, and its judgements back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zj import NOTICE
from zj.cli import check_range
from zj.eval.answer_file import counts_in_words, read_systems
from zj.eval.judges.decisions import Decision, by_group, figures
from zj.eval.judges.human import (
    agreement,
    blind,
    decisions,
    judge_verdicts,
    pairs_of,
    read_judgements,
    read_key,
)
from zj.eval.judges.report import correct_for_number, human_tables
from zj.eval.tables import as_rows
from zj.train.files import to_json, write_text


@dataclass(frozen=True)
class HumanExportConfig:
    answers: tuple[str, ...] = ()  # files of the answers of 2 to 4 systems, as FILE or, of one model, NAME=FILE
    out: str = ""  # file of items to write, for annotate.py import
    key: str = ""  # file to write that says whose the answers are; keep it from the annotators
    limit: int = 0  # questions, drawn at random (0: all)
    seed: int = 0  # of the draw and of the order of the answers

    def __post_init__(self) -> None:
        _need(self, ("answers", "out", "key"))
        check_range(self, "limit", 0)
        for flag in ("out", "key"):
            if Path(getattr(self, flag)).exists():
                raise ValueError(f"--{flag} {getattr(self, flag)}: is there already, nothing was done")
        if Path(self.out).resolve() == Path(self.key).resolve():
            raise ValueError(f"--key {self.key}: expected another file than --out")


def human_export(config: HumanExportConfig) -> None:
    systems = read_systems(config.answers, "--answers")
    for name, rows in systems.items():
        print(f"{name}: {counts_in_words(rows)}")
    items, key = blind(systems, config.seed, config.limit)
    if not items:
        raise ValueError("--answers: all systems answer all questions the same, there is nothing to rank")
    for file, lines in ((config.key, key), (config.out, items)):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(file), lines)
    print(
        f"{config.out}: {len(items):,} items for annotate.py import; {len(key) - len(items):,} with one answer of all"
    )
    print(f"{config.key}: whose the answers are; the annotators must not see it\n{NOTICE}")


@dataclass(frozen=True)
class HumanImportConfig:
    judgements: str = ""  # directory that annotate.py export wrote, or its judgements.jsonl
    key: str = ""  # file that human export wrote
    comparisons: str = ""  # comparisons.jsonl of evaluate.py pairwise, to measure its agreement with people
    out: str = ""  # file of results to write, JSON (none: only the tables on the terminal)
    seed: int = 0  # of the intervals

    def __post_init__(self) -> None:
        _need(self, ("judgements", "key"))
        if self.out and Path(self.out).exists():
            raise ValueError(f"--out {self.out}: is there already, nothing was done")


def human_import(config: HumanImportConfig) -> None:
    given, key = Path(config.judgements), read_key(config.key)
    ranked = read_judgements(given / "judgements.jsonl" if given.is_dir() else given, key)
    if not ranked:
        raise ValueError(f"--judgements {given}: found no judgement of an item of {config.key}")
    verdicts = judge_verdicts(config.comparisons) if config.comparisons else {}
    results: list[dict[str, Any]] = []
    for first, second in pairs_of(key):
        for dimension, found in decisions(key, ranked, first, second).items():
            row = {"against": f"{first} / {second}", "dimension": dimension, **figures(found, config.seed)}
            row["groups"] = by_group(found, config.seed)
            row["judge"] = _beside(verdicts, found, dimension, first, second)
            results.append(row)
    correct_for_number(results)
    shown = sum(len(row.systems) > 1 for row in key.values())
    report = {
        "rule": "an expert's ranks count alone; else the sign of the sum of what the annotators say of two systems",
        "items": shown,
        "judged": len(ranked),
        "judgements": sum(len(one.judgements) for one in ranked.values()),
        "identical": len(key) - shown,
        "results": results,
        "notice": NOTICE,
    }
    tables = human_tables(report)
    if config.out:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(config.out), to_json(report | {"tables": as_rows(tables)}, indent=1) + "\n")
    print(*tables, NOTICE, sep="\n\n")


def _beside(
    verdicts: dict[tuple[str, str, str, str], int | None],
    found: Sequence[Decision],
    dimension: str,
    first: str,
    second: str,
) -> dict[str, Any] | None:
    """How a judge's verdicts agree with these decisions; None where it has none."""
    pairs = []
    for one in found:
        verdict = verdicts.get((one.id, dimension, first, second))
        if verdict is not None and one.outcome is not None:
            pairs.append((verdict, one.outcome))
    return agreement(pairs)


def _need(config: HumanExportConfig | HumanImportConfig, flags: Sequence[str]) -> None:
    for flag in flags:
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
