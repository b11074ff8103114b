"""Remove repeats of records, exact and near, and what is near an item of a test set.

python scripts/build_dedup.py --data FILE ... --out clean.jsonl
python scripts/build_dedup.py --data train.jsonl --against exam.jsonl --out clean.jsonl

It is lexical: texts are near if they share their letters. A paraphrase is not found: "感冒了吃什么药好？" and
"着凉以后该用哪些药物？" are different here. Beside --out stand its report and the removed records, each with the
record that it repeats: clean.report.json, clean.removed.jsonl.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj.building.dedup import Of, dedup
from zj.building.progress import rows_of, shown
from zj.building.report import StepReport, beside, is_there, write_lines
from zj.cli import check_range, run_command
from zj.data.files import files_of
from zj.data.readers import Kind, read_any, stream
from zj.data.records import Record
from zj.data.report import Report

METHOD = "lexical: texts are near if they share their characters; paraphrases are not found"


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files or directories
    kind: Kind = "dialogue"  # type of record to read rows as
    out: str = ""  # file to write, one record a line; an existing file is kept
    against: tuple[str, ...] = ()  # files of a test set; a record whose first question is near one of theirs is removed
    of: Of = "all"  # text that is compared: all texts of a record, or the first question
    threshold: float = 0.8  # Jaccard similarity of two texts' sets of n-grams from which they are near, 0.1 to 1
    ngram: int = 3  # characters of an n-gram
    keep: Literal["first", "longest"] = "first"  # which of several near records stays
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read
    seed: int = 0  # of the hashes

    def __post_init__(self) -> None:
        check_range(self, "threshold", 0.1, 1)
        check_range(self, "ngram", 1)
        check_range(self, "seed", 0)


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    test = read_test(config.against)
    reading = Report(config.kind, "keep")
    report = StepReport("dedup", asdict(config) | {"method": METHOD})
    rows = stream(config.data, config.kind, reading, config.on_bad_row)
    stay, removed = dedup(
        shown(rows, "read", total=rows_of(config.data)),
        report,
        out.parent,
        threshold=config.threshold,
        ngram=config.ngram,
        of=config.of,
        longest=config.keep == "longest",
        test=test,
        seed=config.seed,
    )
    write_lines(out, stay, report, {"removed": removed})
    print(
        f"{reading}\n{report}\n{out}: the removed records are in {beside(out, 'removed')}. Paraphrases are not found."
    )


def read_test(paths: tuple[str, ...]) -> list[Record]:
    """The items of the test sets, of any kind. ValueError names --against."""
    try:
        return [item for file in files_of(paths) for item in read_any(file)[0]] if paths else []
    except ValueError as error:
        raise ValueError(str(error).replace("--data", "--against", 1)) from None


if __name__ == "__main__":
    run_command(main, Config)
