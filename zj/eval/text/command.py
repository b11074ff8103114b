"""scripts/evaluate.py text: metrics of answers under named conventions, and models against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from zj import NOTICE
from zj.data.report import count
from zj.eval.answer_file import Systems, read_systems, summary
from zj.eval.tables import as_rows
from zj.eval.text.controls import CONSTANT, with_controls
from zj.eval.text.presets import PRESETS
from zj.eval.text.report import INTERVAL, TEST, answers_table, metric_as_json, tables
from zj.eval.text.scores import score_texts
from zj.eval.texts import read_texts
from zj.train.files import to_json, write_text

FEW = 200  # dialogues from which on the interval of a mean covers 95 ± 1 %


@dataclass(frozen=True)
class TextConfig:
    texts: tuple[str, ...] = ()  # files of answers (scripts/answer.py), as FILE or, of one model, NAME=FILE
    reference: str = ""  # file of other references, one {"id": …, "text": …} a line (none: those beside the answers)
    preset: tuple[str, ...] = ("official",)  # conventions: official, llamafactory, promptcblue, huatuo-guess, sacrebleu
    against: str = ""  # name of the model that the others are compared with, on the same questions (none: no test)
    controls: bool = False  # beside the models: references of other dialogues, and one reference to all questions
    out: str = ""  # file of results to write, JSON (none: only the tables on the terminal)

    def __post_init__(self) -> None:
        for name in self.preset:
            if name not in PRESETS:
                raise ValueError(f"--preset {name}: expected one of {', '.join(PRESETS)}")


def measure(config: TextConfig) -> None:
    out = Path(config.out)
    if config.out and out.exists():
        raise ValueError(f"--out {out}: is there already, nothing was done")
    systems = systems_of(config)
    scored = {name: score_texts(PRESETS[name], systems, config.against) for name in config.preset}
    shown = [answers_table(systems)]
    shown += [table for name, metrics in scored.items() for table in tables(name, metrics, config.against)]
    print("\n" + "\n\n".join(map(str, shown)))
    print(f"\n{INTERVAL}" + (f"\n{TEST}" if config.against else ""))
    if config.out:
        report = {
            "texts": config.texts,
            "reference": config.reference,
            "systems": {name: summary(rows) for name, rows in systems.items()},
            "against": config.against,
            "constant": systems[CONSTANT][0].answer if config.controls else "",
            "interval": INTERVAL,
            "test": TEST if config.against else "",
            "presets": {name: [metric_as_json(row) for row in metrics] for name, metrics in scored.items()},
            "tables": as_rows(shown),
            "notice": NOTICE,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, to_json(report, indent=1) + "\n")
    print(NOTICE)


def systems_of(config: TextConfig) -> Systems:
    """The models and their answers; prints what became of the questions, and what the figures cannot use."""
    if not config.texts:
        raise ValueError("--texts is missing: files of answers, as scripts/answer.py writes them")
    systems = read_systems(config.texts)
    first = next(iter(systems.values()))
    if config.reference:
        references = read_texts(config.reference, [row.id for row in first], questions="--texts")
        systems = {
            name: [replace(row, reference=one) for row, one in zip(rows, references, strict=True)]
            for name, rows in systems.items()
        }
        first = next(iter(systems.values()))
    if config.controls:
        systems = with_controls(systems)
        print(f"{CONSTANT}: {systems[CONSTANT][0].answer}")
    if config.against and (config.against not in systems or len(systems) < 2):
        raise ValueError(f"--against {config.against}: expected one of several models, found {', '.join(systems)}")
    if without := sum(not row.reference.strip() for row in first):
        print(f"{without:,} of {len(first):,} questions have no reference: they count in Distinct alone")
    if (dialogues := len({row.dialogue for row in first})) < FEW:
        print(f"{count(dialogues, 'dialogue')}: of fewer than {FEW}, 95 % intervals cover a little less")
    return systems
