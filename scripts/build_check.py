"""Check the drugs that answers recommend against a knowledge graph. Records are flagged; none is removed unless asked.

python scripts/build_check.py --data FILE ... --graph cmekg.jsonl.gz --out checked.jsonl
python scripts/build_check.py --data clinic/single.jsonl --graph clinic --out checked.jsonl

A record is flagged if it recommends a drug for an illness that the graph does not know it for (unknown use), or to a
patient who must not take it (contraindicated). What a graph does not know may be right: read what is flagged. Beside
--out stand its report and the flagged records with their findings: checked.report.json, checked.flagged.jsonl.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj.building.check import Checker, check
from zj.building.graph import open_graph
from zj.building.progress import rows_of, shown
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.cli import run_command
from zj.data.readers import Kind, stream
from zj.data.report import Report


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    kind: Kind = "dialogue"  # type of record to read rows as
    out: str = ""  # file to write, one record a line; an existing file is kept
    graph: str = ""  # JSON lines of entities with their relations, as CMeKG's; clinic: the clinic's own facts
    database: str = ""  # SQLite file of the graph, made of --graph if it is not there (none: graph.sqlite beside --out)
    remove: bool = False  # leave flagged records out
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read

    def __post_init__(self) -> None:
        if not self.graph:
            raise ValueError("--graph is missing: a file of triples, or clinic")


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    graph = open_graph(config.graph, Path(config.database) if config.database else out.parent / "graph.sqlite")
    reading, report, flagged = Report(config.kind, "keep"), StepReport("check", asdict(config)), Spool(out.parent)
    records = stream(config.data, config.kind, reading, config.on_bad_row)
    records = shown(records, "check", total=rows_of(config.data))
    write_records(out, check(records, report, Checker(graph), flagged, config.remove), report, {"flagged": flagged})
    file = beside(out, "flagged")
    print(f"{reading}\n{report}\n{out}: {len(flagged):,} records are flagged, with their findings in {file}.")


if __name__ == "__main__":
    run_command(main, Config)
