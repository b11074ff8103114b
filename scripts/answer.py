"""Answer the questions of a test file, for every evaluation that follows.

python scripts/answer.py --model runs/sft --data test.json --out answers.jsonl
python scripts/answer.py --model runs/sft runs/ppo --data own.jsonl --held-out-of runs/sft --turn each --out own.answers
python scripts/answer.py --model endpoint --endpoint-model gpt-4o --data test.json --out answers.jsonl --dry-run

--data is any file of dialogues or prompts. OUT gets a row of each question and model, as zj/eval/answer_file.py says.
Every answer is kept as it comes, in replies.sqlite beside OUT: an interrupted run, started again, goes on where it was.
A prompt that leaves no room for an answer loses its oldest turns, and its row says how many; a last message that is too
long is not asked. OPENAI_API_KEY and OPENAI_BASE_URL of the endpoint are read from the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from zj import NOTICE
from zj.cli import already_there, check_range, run_command
from zj.data.batching import order
from zj.data.prompt_formats import choose_template
from zj.data.readers import OnBadRow
from zj.data.records import Prompt
from zj.data.report import SHOWN, count
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.data.turns import Turn, asks_nothing
from zj.eval.answer_file import REFUSED, TOO_LONG, AnswerRow, counts_in_words, lines_of
from zj.eval.questions import question_of_prompt
from zj.eval.test_set import TestQuestion, questions_of, read_test_set
from zj.llm import ChatReply
from zj.llm.answers import check_answer_length, check_chat_model, model_names
from zj.llm.client import ChatClient, ChatConfig
from zj.llm.clinic import ClinicDoctor
from zj.llm.local import messages_of
from zj.stages.held_out import about_training, held_out_by
from zj.train import write_text
from zj.weights import check_base_is_used, config_of
from zj.weights.adapter_config import is_adapter

OTHERS = ("clinic", "endpoint")  # what --model may be besides a directory


@dataclass(frozen=True)
class Config(ChatConfig):
    ROLE: ClassVar[str] = "model"

    model: tuple[str, ...] = ()  # each is endpoint, clinic (its doctor), or the directory of a model or adapter
    endpoint_model: str = ""  # name of the endpoint's model
    data: tuple[str, ...] = ()  # files of dialogues or prompts
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    held_out_of: str = ""  # directory of a run; only the records that it held out are asked (none: all)
    limit: int = 0  # most dialogues, a fair sample of the data (0: all)
    turn: Turn = "last"  # turns of a dialogue that are asked, with those before them as history
    closing_turns: Literal["keep", "leave-out"] = "keep"  # turns that ask nothing, such as a patient's thanks
    max_tokens: int = 512  # of the longest answer; one that is cut off there is kept, and its row says so
    out: str = ""  # file of answers to write; an existing file is kept

    def __post_init__(self) -> None:
        check_range(self, "limit", 0)
        if ("endpoint" in self.model) != bool(self.endpoint_model):
            named = f"--model {' '.join(self.model)} --endpoint-model {self.endpoint_model}"
            raise ValueError(f"{named}: an endpoint, and it alone, has a name")

    @property
    def maker(self) -> str:
        """Of a config of one model."""
        (one,) = self.model
        return one

    def of(self, model: str) -> Config:
        """Of one of the models, checked; what is about endpoints, the clinic or adapters is left to those."""
        alone: dict[str, Any] = {"model": (model,)}
        if model != "endpoint":
            alone |= {"endpoint_model": "", "budget": None, "price_in": 0.0, "price_out": 0.0}
        if model != "clinic":
            alone["noise"] = 0.0
        if not is_adapter(model):
            alone["base"] = ""
        config = replace(self, **alone)
        ChatConfig.__post_init__(config)
        return config


def main(config: Config) -> None:
    names = check(config)
    out = Path(config.out)
    if already_there(out, "answer"):
        return
    questions = questions_to_ask(config)
    out.parent.mkdir(parents=True, exist_ok=True)
    cache = out.with_name(f"{out.name.removesuffix('.jsonl')}.replies.sqlite")
    rows: list[AnswerRow] = []
    for model, name in zip(config.model, names, strict=True):
        rows += answers_of(config.of(model), name, questions, cache)
    if not config.dry_run:
        write_text(out, lines_of(rows))
        print(f"{out}: {count(len(rows), 'answer')} to {count(len(questions), 'question')}")
    print(NOTICE)


def check(config: Config) -> list[str]:
    """The names of the models. ValueError, naming a flag, for what would stop the run after its first answer."""
    for flag in ("model", "data", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    if Path(config.out).is_dir():
        raise ValueError(f"--out {config.out} is a directory, expected the name of a file")
    if len(set(config.model)) < len(config.model):
        raise ValueError(f"--model {' '.join(config.model)}: found a model twice, expected each once")
    folders = [model for model in config.model if model not in OTHERS]
    check_base_is_used(config.base, *folders)
    names = {
        model: config.endpoint_model if model == "endpoint" else model for model in config.model if model in OTHERS
    }
    names |= dict(zip(folders, model_names(folders, "--model", names.values()), strict=True))
    for model in config.model:
        alone = config.of(model)
        if model in folders:
            check_chat_model(model, "--model", 1, alone.base, config.template)
            check_answer_length(config.max_tokens, positions_of(alone), "--max-tokens")
    return [names[model] for model in config.model]


def questions_to_ask(config: Config) -> list[TestQuestion]:
    """The questions; prints what was read, left out, and what the models may know already."""
    prompts, references, report = read_test_set(config.data, config.on_bad_row)
    print(report)
    if config.held_out_of:
        prompts = held_out_by(config.held_out_of, prompts, config.data)
    else:
        for model in config.model:
            if model not in OTHERS and (warning := about_training(model, prompts, config.data)):
                print(warning)
    if config.limit:  # not in the order of a split, whose beginning is what runs hold out
        prompts = [prompts[index] for index in sorted(order(len(prompts), 0, 0)[: config.limit])]
    questions = questions_of(prompts, references, config.turn)
    asking = [one for one in questions if not asks_nothing(one.prompt)]
    idle, kept = len(questions) - len(asking), asking if config.closing_turns == "leave-out" else questions
    if not kept:
        raise ValueError("--data: no turn asks anything, expected at least one (--closing-turns keep)")
    answered = sum(bool(one.reference) for one in kept)
    where = "left out" if kept is asking else "among them (--closing-turns leave-out)"
    print(
        f"{count(len(kept), 'question')} of {count(len(prompts), 'dialogue')}, {answered:,} with a reference; {idle:,} "
        f"that ask nothing, such as thanks, {where}"
    )
    return kept


def answers_of(config: Config, name: str, questions: Sequence[TestQuestion], cache: Path) -> list[AnswerRow]:
    """The rows of one model; in a dry run none: what it would cost is printed."""
    print(f"{name}: {count(len(questions), 'question')}", flush=True)
    left_out = turns_to_leave_out(config, [one.prompt for one in questions])
    known = [question_of_prompt(one.prompt) for one in questions] if config.maker == "clinic" else []
    client = ChatClient(config, cache, ClinicDoctor(known))
    sent = [
        replace(one.prompt, history=one.prompt.history[turns:])
        for one, turns in zip(questions, left_out, strict=True)
        if turns is not None
    ]
    replies = iter(client.ask([replace(client.request(), messages=messages_of(prompt)) for prompt in sent]))
    if client.dry_run:
        print(client.dry_run.summary())
        return []
    rows = []
    for one, turns in zip(questions, left_out, strict=True):
        reply = ChatReply("", TOO_LONG, 0, 0) if turns is None else next(replies)
        rows.append(
            AnswerRow(one.prompt, one.dialogue, one.reference, name, reply.text, reply.finish_reason, turns or 0)
        )
    print(f"{client}\n{name}: {counts_in_words(rows)}")
    for what, ids in (
        ("shortened by their oldest turns", [row.id for row in rows if row.turns_left_out]),
        ("too long to be asked", [row.id for row in rows if row.finish_reason == TOO_LONG]),
        ("refused", [row.id for row in rows if row.finish_reason == REFUSED]),
    ):
        if ids:
            print(f"{name}: {len(ids):,} {what}: {', '.join(ids[:SHOWN])}{', …' if len(ids) > SHOWN else ''}")
    return rows


def turns_to_leave_out(config: Config, prompts: Sequence[Prompt]) -> list[int | None]:
    """Of each prompt, how many of its oldest turns leave room for the longest answer; None: its last message has none.

    An endpoint's room is not known: it refuses what is too long.
    """
    if config.maker in OTHERS:
        return [0] * len(prompts)
    tokenizer, template = Tokenizer.load(config.maker), choose_template(config.template, config.maker)
    room = positions_of(config) - config.max_tokens

    def fits(prompt: Prompt) -> bool:
        return len(encode_prompt(prompt, tokenizer, template)) <= room

    return [
        next(
            (turns for turns in range(len(p.history) + 1) if fits(replace(p, history=p.history[turns:]))),
            None,
        )
        for p in prompts
    ]


def positions_of(config: Config) -> int:
    """The tokens that the model has room for, prompt and answer together."""
    return config_of(config.maker, config.base, strict=False).max_position_embeddings


if __name__ == "__main__":
    run_command(main, Config)
