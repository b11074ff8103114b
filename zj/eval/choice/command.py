"""`scripts/evaluate.py choice`: its flags, and what it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from zj import NOTICE
from zj.cli import already_there, check_range
from zj.data.batching import order
from zj.data.prompt_formats import DEFAULT, stored_template
from zj.data.readers import OnBadRow
from zj.eval.choice.answers import Examination, answer_key
from zj.eval.choice.measure import Reading
from zj.eval.choice.prompt import Shots
from zj.eval.choice.question import ChoiceQuestion
from zj.eval.choice.read import read_questions
from zj.eval.choice.report import as_report, tables
from zj.llm.client import ChatClient, ChatConfig
from zj.llm.local import LocalModel
from zj.train.files import to_json, write_text


@dataclass(frozen=True)
class ChoiceConfig(ChatConfig):
    ROLE: ClassVar[str] = "model"

    model: str = ""  # endpoint, clinic (it knows the right answers), or the directory of a model or adapter
    endpoint_model: str = ""  # name of the endpoint's model
    data: tuple[str, ...] = ()  # files of questions: CMB, CMExam, C-Eval, CMMLU, MedQA, or one's own
    answers: tuple[str, ...] = ()  # files of rows with id and answer, where --data has none (CMB's test set)
    by: Literal["likelihood", "generation", "both"] = "both"  # how a choice is read; an endpoint has generation alone
    format: Literal["chat", "raw"] = "chat"  # raw: plain text that the model continues, for a base model
    shots: int = 0  # examples before each question
    shots_from: tuple[str, ...] = ()  # files that the examples are drawn from, such as the suite's dev files
    shuffle: int = 0  # further orders in which the options of each question are shown
    limit: int = 0  # most questions, a fair sample of the data (0: all)
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    tokens_per_pack: int = 4096  # tokens in one forward pass; changes memory only
    out: str = ""  # report to write, JSON; an existing file is kept

    def __post_init__(self) -> None:
        for flag in ("model", "data", "out"):
            if not getattr(self, flag):
                raise ValueError(f"--{flag} is missing")
        if (self.model == "endpoint") != bool(self.endpoint_model):
            which = f"--model {self.model} --endpoint-model {self.endpoint_model}"
            raise ValueError(f"{which}: an endpoint, and it alone, has a name")
        super().__post_init__()
        for name in ("shots", "shuffle", "limit"):
            check_range(self, name, 0)
        check_range(self, "tokens_per_pack", 1)
        if self.temperature:
            raise ValueError(f"--temperature is {self.temperature}, expected 0: a choice is the greedy reply")
        if bool(self.shots) != bool(self.shots_from):
            raise ValueError(f"--shots {self.shots}: --shots and --shots-from go together")
        if self.model in ("endpoint", "clinic") and (self.by != "generation" or self.format != "chat"):
            raise ValueError(f"--model {self.model}: has replies alone, expected --by generation --format chat")
        if self.dry_run and (self.by != "generation" or self.format != "chat"):
            raise ValueError("--dry-run: counts requests, expected --by generation --format chat")


def choice(config: ChoiceConfig) -> None:
    """Ask, read, print the tables, write the report."""
    out = Path(config.out)
    if already_there(out, "evaluate"):
        return
    questions, shots, read = _questions(config)
    if config.maker not in ("endpoint", "clinic") and not (config.template or stored_template(config.model)):
        if config.format == "chat":
            found = f"--model {config.model}: stores no prompt format"
            raise ValueError(f"{found}; --format raw is for a base model, --template names the format of another")
        config = replace(config, template=DEFAULT)  # raw text has no format
    cache = out.with_name(f"{out.name.removesuffix('.json')}.replies.sqlite")
    out.parent.mkdir(parents=True, exist_ok=True)
    client = ChatClient(config, cache, answer_key(questions, config.shuffle, config.seed), dry_text="-")
    loaded = client.maker.chat_model if isinstance(client.maker, LocalModel) else None
    exam = Examination(shots, config.shuffle, config.seed, config.format == "raw")
    if config.by != "likelihood" and config.format == "chat" and loaded:
        positions = loaded.model.config.max_position_embeddings
        if config.max_tokens >= positions:
            found = f"--max-tokens is {config.max_tokens}"
            raise ValueError(f"{found}, expected less than {positions}, the model's positions")
    methods: dict[str, list[Reading]] = {}
    if loaded and config.by != "generation":
        one = [question for question in questions if not question.several]
        exam.counts["letter, text: questions with several right options, not scored"] += len(questions) - len(one)
        if one:
            methods["letter"] = exam.by_likelihood(one, loaded, config.tokens_per_pack)
            methods["text"] = exam.by_likelihood(one, loaded, config.tokens_per_pack, cloze=True)
    if config.by != "likelihood":
        methods["generation"] = exam.by_replies(questions, client, loaded, config.max_tokens)
    if client.dry_run:
        print(f"{client.dry_run.summary()}\n{NOTICE}")
        return
    if not methods:
        raise ValueError("--by likelihood: every question has several right options, expected --by generation")
    exam.counts["questions in one order, as an option refers to others"] += sum(q.fixed for q in questions)
    counts = {what: number for what, number in exam.counts.items() if number}
    title = f"{client.model.name}: {read}"
    settings = {"settings": asdict(config), "template": loaded.template if loaded else ""}
    facts = {"read": read, "counts": counts, "client": client.facts()}
    report = {"notice": NOTICE} | settings | facts | as_report(methods, config.seed, title)
    write_text(out, to_json(report, indent=1) + "\n")
    print(*tables(methods, config.seed, title), sep="\n\n")
    print("\n".join([*(f"{what}: {number:,}" for what, number in counts.items()), f"{out}: every pick", NOTICE]))


def _questions(config: ChoiceConfig) -> tuple[list[ChoiceQuestion], Shots, str]:
    """(questions that have an answer; examples; what was read)."""
    questions, report = read_questions(config.data, config.on_bad_row, config.answers)
    read = str(report)
    pool: list[ChoiceQuestion] = []
    if config.shots:
        pool, of_pool = read_questions(config.shots_from, config.on_bad_row, flag="--shots-from")
        read += f"; examples: {of_pool}"
    shots = Shots(pool, questions, config.shots, config.seed)  # none asks what --data asks, whatever --limit is
    questions = [question for question in questions if question.right]
    if config.limit:
        questions = [questions[index] for index in order(len(questions), 0, 0)[: config.limit]]
    if shots.overlap:
        read += f"; {shots.overlap:,} of --shots-from left out, --data asks them too"
    print(read, flush=True)
    return questions, shots, read
