"""Write instructions from seeds by a language model, and answers to them: self-instruct with roles (HuatuoGPT A.1).

python scripts/build_self_instruct.py --count 100 --out instructions.jsonl
python scripts/build_self_instruct.py --seeds seeds.jsonl --writer endpoint --writer-model gpt-4o --out new.jsonl

A row of --seeds is {"role": …, "instruction": …, "input": …}; without it the project's own seeds are used. Beside --out
stand its report, the triples, what was not used and all replies: instructions.report.json, instructions.triples.jsonl,
instructions.failed.jsonl, instructions.replies.sqlite. The endpoint speaks OpenAI's protocol; OPENAI_API_KEY and
OPENAI_BASE_URL are read from the environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from zj import NOTICE
from zj.building.prompts import read_prompts
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.self_instruct import Of, read_seeds, write_answers, write_triples
from zj.building.spool import Spool
from zj.building.stand_in_instructions import Instructions
from zj.building.writer import WriterConfig, replies_file
from zj.cli import check_range, run_command
from zj.llm.client import ChatClient
from zj.train.files import to_json


@dataclass(frozen=True)
class Config(WriterConfig):
    seeds: tuple[str, ...] = ()  # files of seeds (none: zj/building/self_instruct.toml)
    out: str = ""  # file to write, one dialogue a line; an existing file is kept
    count: int = 100  # most instructions to write
    number: int = 20  # instructions that one request wants
    examples: int = 3  # seeds that a request shows
    rounds: int = 10  # most rounds of requests until --count is reached
    of: Of = "instruction"  # text that is compared for near-repeats: the instruction, or the question with its input
    temperature: float = 1.0  # of the instructions; answers are greedy
    max_tokens: int = 4096  # of the longest reply; a triple that is cut off there is not used

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("count", "number", "examples", "rounds"):
            check_range(self, name, 1)


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out, prompts, seeds = Path(config.out), read_prompts(config.prompts), read_seeds(config.seeds)
    triples_prompt, answer_prompt = prompts["self_instruct.triples"], prompts["self_instruct.answer"]
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = ChatClient(config, replies_file(out), Instructions(triples_prompt, answer_prompt))
    settings = asdict(config) | {"prompts_sha256": prompts.sha256}
    report, failed = StepReport("self_instruct", settings), Spool(out.parent)
    triples = write_triples(
        seeds,
        triples_prompt,
        writer.request(),
        writer.ask,
        report,
        failed,
        count=config.count,
        number=config.number,
        examples=config.examples,
        most_rounds=1 if config.dry_run else config.rounds,
        of=config.of,
        seed=config.seed,
    )
    if writer.dry_run:
        print(f"{writer.dry_run.summary()}\nOne more request an instruction, for its answer, is not counted.\n{NOTICE}")
        return
    dialogues = list(write_answers(triples, answer_prompt, writer.request(greedy=True), writer.ask, report, failed))
    settings |= writer.facts() | {"instructions": len(triples)}
    further = {"failed": failed, "triples": [to_json(vars(triple)) + "\n" for triple in triples]}
    write_records(out, dialogues, report, further)
    print(report, writer, f"{out}: what was not used: {beside(out, 'failed')}", NOTICE, sep="\n")


if __name__ == "__main__":
    run_command(main, Config)
