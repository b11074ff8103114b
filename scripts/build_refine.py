"""Rewrite doctors' replies for style by a language model; the patient's words stay (HuatuoGPT A.2, Zhongjing).

python scripts/build_refine.py --data real.jsonl --out refined.jsonl
python scripts/build_refine.py --data real.jsonl --out refined.jsonl --writer endpoint --writer-model gpt-4o --dry-run

A rewritten reply that adds or loses a drug, an illness, a dose or a number is not used. Beside --out stand its report,
the replies that were not used and all replies: refined.report.json, refined.failed.jsonl, refined.replies.sqlite.
The endpoint speaks OpenAI's protocol; OPENAI_API_KEY and OPENAI_BASE_URL are read from the environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.building.mentions import Mentions, read_names
from zj.building.prompts import read_prompts
from zj.building.refine import refine
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.building.stand_in import Rewriter
from zj.building.writer import WriterConfig, replies_file
from zj.cli import run_command
from zj.data.readers import OnBadRow, read
from zj.llm.client import ChatClient


@dataclass(frozen=True)
class Config(WriterConfig):
    data: tuple[str, ...] = ()  # files or directories of dialogues
    out: str = ""  # file to write, one dialogue a line; an existing file is kept
    prompt: Literal["zhongjing", "huatuogpt"] = "zhongjing"  # zhongjing: style alone; huatuogpt: also more detail
    names: str = ""  # TOML lists of drug and illness, or a graph as build_check.py's (none: the clinic's)
    on_fail: Literal["keep", "drop"] = "keep"  # of a reply that fails: keep the doctor's own, or drop the dialogue
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    limit: int | None = None  # number of dialogues, from the first (none: all)


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out, prompts = Path(config.out), read_prompts(config.prompts)
    names = read_names(config.names, out.parent)
    template = prompts[f"refine.{config.prompt}"]
    dialogues, reading = read(config.data, "dialogue", config.on_bad_row)
    out.parent.mkdir(parents=True, exist_ok=True)
    drugs = [name for name, kind in names.items() if kind == "drug"]
    writer = ChatClient(config, replies_file(out), Rewriter(template, drugs))
    settings = asdict(config) | {"prompts_sha256": prompts.sha256}
    report, failed = StepReport("refine", settings), Spool(out.parent)
    drop = config.on_fail == "drop"
    refined = refine(
        dialogues[: config.limit], template, writer.request(), writer.ask, Mentions(names), report, failed, drop
    )
    if writer.dry_run:
        list(refined)
        print(f"{writer.dry_run.summary()}\n{NOTICE}")
        return
    rows = list(refined)
    settings |= writer.facts()
    write_records(out, rows, report, {"failed": failed})
    print(f"{reading}\n{report}\n{writer}\n{out}: replies that were not used: {beside(out, 'failed')}\n{NOTICE}")


if __name__ == "__main__":
    run_command(main, Config)
