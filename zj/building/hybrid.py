"""A hybrid set: named parts with their shares, each cleaned by its own steps, mixed and shuffled by the seed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from zj.building.check import Checker, check
from zj.building.dedup import dedup
from zj.building.deidentify import Surrogates, deidentify
from zj.building.filter import BY_DEFAULT, Limits, keep_good, read_words, rules
from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.data.records import Dialogue, Record, as_json

STEPS = ("deidentify", "filter", "dedup", "check")
LIMITS = Limits(min_answer=5, max_text=8000, language="zh", least_language=0.5, most_repeated=0.3)


@dataclass(frozen=True)
class Part:
    files: tuple[str, ...] = ()  # files or directories of dialogues, such as the output of another builder
    share: float = 1.0  # of the set, relative to the other parts' shares: numbers of dialogues will do
    steps: tuple[str, ...] = ("filter", "dedup")  # in their order: deidentify, filter, dedup, check
    turns: Literal["any", "single", "multi"] = "any"  # which dialogues: of one turn, of several, or all
    made_by: str = ""  # command that makes the files, shown where they are missing

    def __post_init__(self) -> None:
        if unknown := [step for step in self.steps if step not in STEPS]:
            raise ValueError(f"steps {unknown[0]}: no such step, expected some of {', '.join(STEPS)}")
        if not 0 < self.share < math.inf:
            raise ValueError(f"share is {self.share}, expected more than 0")

    def has(self, dialogue: Dialogue) -> bool:
        return self.turns == "any" or (len(dialogue.turns) == 1) == (self.turns == "single")


class Steps:
    """The steps by name. What they remove goes to `removed`, one line of JSON a record, as in their own scripts."""

    def __init__(
        self,
        removed: Spool,
        folder: Path,
        surrogates: Surrogates,
        checker: Checker | None,
        test: Sequence[Record],
        seed: int,
    ):
        """folder: of the temporary files. test: items whose near-repeats `dedup` removes. checker: of `check`."""
        self.removed, self.folder, self.surrogates, self.checker = removed, folder, surrogates, checker
        self.test, self.seed = test, seed
        self.rules = {name: rule for name, rule in rules(LIMITS, read_words()).items() if name in BY_DEFAULT}

    def run(self, steps: Sequence[str], dialogues: Sequence[Dialogue]) -> tuple[list[Dialogue], list[StepReport]]:
        """(what stays after all steps, the report of each)."""
        reports, rows = [], list(dialogues)
        for name in steps:
            report, bar = StepReport(name, {}), tqdm(rows, name, unit="record", mininterval=1, disable=None)
            rows = list(getattr(self, f"_{name}")(bar, report))
            report.written = len(rows)
            reports.append(report)
        return rows, reports

    def _deidentify(self, rows: Iterable[Dialogue], report: StepReport) -> Iterator[Record]:
        for number, record in enumerate(rows, 1):
            report.read += 1
            self.surrogates.begin(str(number))
            try:
                new, counts = deidentify(record, self.surrogates)
            except Exception as error:  # its text, and that of its causes, may hold identifiers
                raise RuntimeError(f"{record.where}: {type(error).__name__} in the rules") from None
            for kind, number_of in sorted(counts.items()):
                report.add(kind, record.where, number=number_of)
            report.changed += bool(counts)
            yield new

    def _filter(self, rows: Iterable[Dialogue], report: StepReport) -> Iterator[Record]:
        return keep_good(rows, report, self.rules, self.removed)

    def _dedup(self, rows: Iterable[Dialogue], report: StepReport) -> Iterator[Record]:
        by_line: dict[str, Dialogue] = {}

        def remembered() -> Iterator[Dialogue]:
            for row in rows:
                by_line.setdefault(json.dumps(as_json(row), ensure_ascii=False), row)
                yield row

        stay, gone = dedup(remembered(), report, self.folder, test=self.test, seed=self.seed)
        yield from (by_line[line.rstrip("\n")] for line in stay)
        for line in gone:
            self.removed.append(line)

    def _check(self, rows: Iterable[Dialogue], report: StepReport) -> Iterator[Record]:
        assert self.checker is not None
        return check(rows, report, self.checker, self.removed, remove=True)


def dedup_between(
    parts: Mapping[str, Sequence[Dialogue]], names: Sequence[str], steps: Steps
) -> tuple[dict[str, list[Dialogue]], StepReport]:
    """(the parts; those of `names` without what repeats a record of an earlier one of them, the report of it)."""
    rows = [replace(row, id=f"{name}/{row.id}") for name in names for row in parts[name]]
    kept, (report,) = steps.run(("dedup",), rows)
    left: dict[str, list[Dialogue]] = {name: [] if name in names else list(rows) for name, rows in parts.items()}
    for row in kept:
        name, _, id = row.id.partition("/")
        left[name].append(replace(row, id=id))
    return left, report


def counts_of(shares: Mapping[str, float], there: Mapping[str, int], total: int | None) -> dict[str, int]:
    """How many records each part gives: `total` by their shares, by largest remainders; None: the most that there are
    enough records for. ValueError names --total and the part that has too few."""
    whole = sum(shares.values())
    most = min(math.floor(there[name] * whole / share + 1e-9) for name, share in shares.items())
    size = most if total is None else total
    exact = {name: size * share / whole for name, share in shares.items()}
    counts = {name: math.floor(number + 1e-9) for name, number in exact.items()}
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: size - sum(counts.values())]:
        counts[name] += total is not None or counts[name] < there[name]
    if short := next((name for name in counts if counts[name] > there[name]), ""):
        raise ValueError(
            f"--total {size:,}: part {short} has {there[short]:,} records after its steps and has to give "
            f"{counts[short]:,}; there are enough for --total {most:,}"
        )
    return counts


def mix(parts: Mapping[str, Sequence[Dialogue]], counts: Mapping[str, int], seed: int) -> list[Dialogue]:
    """`counts` dialogues of each part, drawn and shuffled by the seed; the id begins with the name of the part."""
    drawn = [
        replace(dialogue, id=f"{name}/{dialogue.id}")
        for name, rows in parts.items()
        for dialogue in random.Random(f"{seed}/part/{name}").sample(rows, counts[name])
    ]
    random.Random(f"{seed}/order").shuffle(drawn)
    return drawn
