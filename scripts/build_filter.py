"""Remove records that are not worth training on, by rules that have names.

python scripts/build_filter.py --data FILE ... --out clean.jsonl
python scripts/build_filter.py --data FILE ... --out clean.jsonl --rules empty encoding refusal

Beside --out stand its report and the removed records, each with what was found: clean.report.json, clean.removed.jsonl.
The words of the rules are in zj/building/filter.toml.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj.building.filter import BY_DEFAULT, RULES, WORDS, Language, Limits, keep_good, read_words, rules
from zj.building.progress import rows_of, shown
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.cli import check_range, run_command
from zj.data.readers import Kind, stream
from zj.data.report import Report


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    kind: Kind = "dialogue"  # type of record to read rows as
    out: str = ""  # file to write, one record a line; an existing file is kept
    rules: tuple[str, ...] = BY_DEFAULT  # the rules that are on
    min_answer: int = 5  # rule short: least characters of a record's longest answer
    max_text: int = 8000  # rule long: most characters of a text
    language: Language = "zh"  # rule language: Chinese characters (zh) or Latin words (en)
    least_language: float = 0.5  # rule language: least share of these in a record's answers
    most_repeated: float = 0.3  # rule repetition: most of an answer that repeats it, by stretches of 10 characters
    words: str = ""  # TOML file of the rules' words (none: zj/building/filter.toml)
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read

    def __post_init__(self) -> None:
        for name in ("min_answer", "max_text"):
            check_range(self, name, 0)
        for name in ("least_language", "most_repeated"):
            check_range(self, name, 0, 1)
        if unknown := [name for name in self.rules if name not in RULES]:
            raise ValueError(f"--rules {unknown[0]}: no such rule, expected some of {', '.join(RULES)}")


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    limits = Limits(config.min_answer, config.max_text, config.language, config.least_language, config.most_repeated)
    all_rules = rules(limits, read_words(Path(config.words) if config.words else WORDS))
    chosen = {name: rule for name, rule in all_rules.items() if name in config.rules}
    reading, report, removed = Report(config.kind, "keep"), StepReport("filter", asdict(config)), Spool(out.parent)
    rows = stream(config.data, config.kind, reading, config.on_bad_row)
    records = shown(rows, "filter", total=rows_of(config.data))
    write_records(out, keep_good(records, report, chosen, removed), report, {"removed": removed})
    file = beside(out, "removed")
    print(f"{reading}\n{report}\n{out}: the removed records are in {file}.")


if __name__ == "__main__":
    run_command(main, Config)
