"""Make instruction, query and answer of medical records, six tasks (IIMedGPT 3.1).

python scripts/build_tasks.py --count 100 --out tasks.jsonl
python scripts/build_tasks.py --data records.jsonl --writer endpoint --writer-model gpt-4o --out tasks.jsonl

A row of --data has the fields that zj/building/tasks.toml names; without --data the clinic writes records. An answer is
a field of the record if it has it, else a language model's. Beside --out stand its report, what was not used and all
replies: tasks.report.json, tasks.failed.jsonl, tasks.replies.sqlite. The endpoint speaks OpenAI's protocol;
OPENAI_API_KEY and OPENAI_BASE_URL are read from the environment. De-identify first: records name patients.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from zj import NOTICE
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.building.stand_in_tasks import TaskAnswers
from zj.building.tasks import answer_items, clinic_records, items_of, read_records, read_tasks
from zj.building.writer import WriterConfig, replies_file
from zj.cli import check_range, run_command
from zj.llm.client import ChatClient


@dataclass(frozen=True)
class Config(WriterConfig):
    data: tuple[str, ...] = ()  # files of records (none: the clinic writes them)
    count: int = 100  # number of records that the clinic writes
    out: str = ""  # file to write, one dialogue a line; an existing file is kept
    tasks: str = ""  # TOML file of the tasks (none: zj/building/tasks.toml)
    only_record: bool = False  # leave out what the record does not answer, so no model is needed

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "count", 1)
        if self.writer == "clinic" and self.data and not self.only_record:
            raise ValueError("--data: --writer clinic answers its own records alone; leave --data out or --only-record")


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out, tasks = Path(config.out), read_tasks(config.tasks)
    records = read_records(config.data, tasks.names) if config.data else clinic_records(config.seed, config.count)
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = asdict(config) | {"tasks_sha256": tasks.sha256}
    report, failed = StepReport("tasks", settings), Spool(out.parent)
    items = items_of(records, tasks.tasks, report, config.seed)
    if config.only_record:
        items = [item for item in items if item.answer]
    writer = ChatClient(config, replies_file(out), TaskAnswers())
    dialogues = list(answer_items(items, writer.request(), writer.ask, report, failed))
    if writer.dry_run:
        print(f"{writer.dry_run.summary()}\n{NOTICE}")
        return
    settings |= writer.facts()
    write_records(out, dialogues, report, {"failed": failed})
    print(report, writer, f"{out}: what was not used: {beside(out, 'failed')}", NOTICE, sep="\n")


if __name__ == "__main__":
    run_command(main, Config)
