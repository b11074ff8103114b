"""Write what is read of data files in the project's own JSON lines: the way to see, to check and to share a clean set.

python scripts/convert.py --kind dialogue --data FILE ... --out clean.jsonl
python scripts/convert.py --kind ranking --data ranked.tsv --ranking-tool-input input.json --out -      (on the screen)

Reading the output gives the same records again. The report of what was read goes to the screen; with --out - to stderr.
"""

from __future__ import annotations

import codecs
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj.cli import run_command, visible
from zj.data.readers import Kind, read
from zj.data.records import as_json
from zj.data.report import count
from zj.train.checkpoint import write_text


@dataclass(frozen=True)
class Config:
    kind: Kind = "dialogue"  # type of record to read rows as
    data: tuple[str, ...] = ()  # files or directories
    out: str = ""  # file to write, one record a line; an existing file is kept (-: standard output)
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read
    repeats: Literal["once", "keep"] = "once"  # records with the same content: the first of them, or all
    ranking_tool_input: str = ""  # input file of the published ranking tool, which restores the order of its table


def main(config: Config) -> None:
    if not config.out:
        raise ValueError("--out is missing: the file to write, or - for standard output")
    out = Path(config.out)
    if config.out != "-" and out.exists():
        raise ValueError(f"--out {out}: is there already, expected the name of a new file")
    records, report = read(config.data, config.kind, config.on_bad_row, config.repeats, config.ranking_tool_input)
    unicode = config.out != "-" or codecs.lookup(sys.stdout.encoding).name == "utf-8"  # other consoles lack characters
    lines = "".join(json.dumps(as_json(record), ensure_ascii=not unicode) + "\n" for record in records)
    if config.out == "-":
        sys.stdout.write(visible(lines, as_json=True))
        print(report, file=sys.stderr)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, lines)
    print(f"{report}\n{out}: {count(len(records), 'row')}")


if __name__ == "__main__":
    run_command(main, Config)
