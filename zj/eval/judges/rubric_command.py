"""evaluate.py rubric: each criterion of each answer before a judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zj import NOTICE
from zj.cli import already_there, check_range
from zj.eval.answer_file import Systems, counts_in_words, read_systems
from zj.eval.judges.clinic_rubric import CRITERIA, GoldGrader
from zj.eval.judges.pairwise import check_out, clinic_questions, self_judged
from zj.eval.judges.prompt import sha256
from zj.eval.judges.report import rubric_tables
from zj.eval.judges.rubric import PROMPT, Rubrics, difference, figures, grade, read_rubrics, reply_in_form, transcripts
from zj.eval.tables import as_rows
from zj.llm.client import ChatClient, ChatConfig
from zj.train.files import to_json, write_text
from zj.train.run_directory import lock

CLINIC = "clinic"


@dataclass(frozen=True)
class RubricConfig(ChatConfig):
    ROLE: ClassVar[str] = "judge"

    answers: tuple[str, ...] = ()  # files of answers (scripts/answer.py), as FILE or, of one model, NAME=FILE
    rubric: str = CLINIC  # file of criteria, as zj/eval/judges/rubric.py says; clinic: its own, for its own judge
    out: str = ""  # directory of the results; one that has report.json is kept
    judge: str = "clinic"  # clinic (its gold judge), endpoint, or the directory of a model or adapter
    judge_model: str = ""  # name of the endpoint's model
    limit: int = 0  # most questions, from the first (0: all)

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag in ("answers", "out"):
            if not getattr(self, flag):
                raise ValueError(f"--{flag} is missing")
        check_range(self, "limit", 0)
        if (self.rubric == CLINIC) != (self.judge == CLINIC):
            raise ValueError(f"--rubric {self.rubric}: the clinic's criteria, and they alone, are for --judge clinic")
        check_out(self.out)


def rubric(config: RubricConfig) -> None:
    out = Path(config.out)
    if already_there(out / "report.json", "judge"):
        return
    systems = {name: rows[: config.limit or None] for name, rows in read_systems(config.answers, "--answers").items()}
    for name, rows in systems.items():
        print(f"{name}: {counts_in_words(rows)}")
    rows = next(iter(systems.values()))
    rubrics = rubrics_of(config, systems)
    questions = clinic_questions(config, rows)
    out.mkdir(parents=True, exist_ok=True)
    lock(out)
    judge = ChatClient(config, out / "replies.sqlite", GoldGrader(questions), reply_in_form(False))
    grades = grade(systems, rubrics, judge.request(), judge.ask)
    if judge.dry_run:
        print(f"{judge.dry_run.summary()}\n{NOTICE}")
        return
    of_system = {name: [one for one in grades if one.row.model == name] for name in systems}
    first = next(iter(systems))
    report: dict[str, Any] = judge.facts() | {
        "counts": {"questions": len(rows), "dialogues": len({row.dialogue for row in rows})},
        "rubric": config.rubric,
        "rubric_sha256": sha256(config.rubric) if config.rubric != CLINIC else "",
        "prompt_sha256": PROMPT.sha256,
        "settings": {"temperature": config.temperature, "max_tokens": config.max_tokens, "seed": config.seed},
        "systems": {name: figures(found, config.seed) for name, found in of_system.items()},
        "differences": {
            name: difference(found, of_system[first], config.seed) for name, found in of_system.items() if name != first
        },
        "self_judged": self_judged(config, systems),
        "notice": NOTICE,
    }
    write_text(out / "grades.jsonl", transcripts(grades))
    tables = rubric_tables(report)
    write_text(out / "report.json", to_json(report | {"tables": as_rows(tables)}, indent=1) + "\n")
    print(judge, *tables, f"{out}: report.json, grades.jsonl\n{NOTICE}", sep="\n\n")


def rubrics_of(config: RubricConfig, systems: Systems) -> Rubrics:
    """The criteria of each question. ValueError names a question that has none."""
    ids = [row.id for row in next(iter(systems.values()))]
    if config.rubric == CLINIC:
        return dict.fromkeys(ids, CRITERIA)
    rubrics = read_rubrics(config.rubric)
    if missing := [id for id in ids if id not in rubrics]:
        raise ValueError(f"--rubric {config.rubric}: {len(missing)} questions have no criteria, such as {missing[0]}")
    return rubrics
