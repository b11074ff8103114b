"""The language model that writes data: its flags and its requests. The same for every builder.

Cached > Metered > the clinic's stand-in | endpoint | model of this project
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from zj.building.filter import WORDS, read_words
from zj.building.report import beside
from zj.cli import check_range
from zj.feedback.llm import ChatModel, ChatReply, ChatRequest, ask
from zj.feedback.llm.budget import DryRun, Metered, Prices
from zj.feedback.llm.cache import Cached, ReplyCache
from zj.feedback.llm.chat import REFUSED
from zj.feedback.llm.endpoint import Endpoint
from zj.feedback.llm.local import LocalModel
from zj.feedback.llm.pace import Pace

Ask = Callable[[Sequence[ChatRequest]], list[ChatReply]]  # the replies in the order of the requests


@dataclass(frozen=True)
class WriterConfig:
    """The flags of a builder's language model; a builder's Config has them besides its own."""

    writer: str = "clinic"  # clinic (a stand-in that is no language model), endpoint, or the directory of a model
    writer_model: str = ""  # name of the endpoint's model
    noise: float = 0.0  # share of the clinic's replies that get a fault, to see whether the checks find it
    prompts: str = ""  # TOML file of the prompts (none: zj/building/prompts.toml)
    cache: str = ""  # file of all replies, which several runs may share one after the other (none: beside --out)
    temperature: float = 0.0  # of the writer; 0 is greedy
    max_tokens: int = 1024  # of the longest reply; one that is cut off there is not used
    seed: int = 0  # of all that is drawn, and of sampling by a model of this project
    dry_run: bool = False  # only print the requests that are not in the cache, their tokens and cost
    budget: float | None = None  # stop before this run's cost passes it (none: no limit)
    price_in: float = 0.0  # of a million prompt tokens, in any currency
    price_out: float = 0.0  # of a million tokens of replies
    concurrency: int = 8  # requests to an endpoint at a time; a killed run may pay for so many again
    requests_per_minute: int = 0  # an endpoint's limit (0: none)
    tokens_per_minute: int = 0  # an endpoint's limit, of prompts and longest replies (0: none)
    timeout: float = 600.0  # seconds until a request to an endpoint counts as lost; it may be paid for all the same
    base: str = ""  # directory of the base of an adapter (none: the one that it names)
    template: str = ""  # prompt format of a model of this project (none: the one stored with it)
    slots: int = 32  # replies of a model of this project at a time
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of its weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute

    def __post_init__(self) -> None:
        check_range(self, "noise", 0, 1)
        check_range(self, "temperature", 0, 10)
        for name in ("price_in", "price_out", "requests_per_minute", "tokens_per_minute", "seed"):
            check_range(self, name, 0)
        for name in ("max_tokens", "concurrency", "slots", "timeout"):
            check_range(self, name, 1)
        if (self.writer == "endpoint") != bool(self.writer_model):
            which = f"--writer {self.writer} --writer-model {self.writer_model}"
            raise ValueError(f"{which}: an endpoint, and it alone, has a name")
        if self.noise and self.writer != "clinic":
            raise ValueError(f"--noise {self.noise}: only --writer clinic makes mistakes on purpose")
        if self.budget is not None and not self.price_in + self.price_out:
            raise ValueError(f"--budget {self.budget}: needs --price-in and --price-out")


class Writer:
    """A language model that replies in rounds; all replies are kept beside the output.

    Two runs at the same time with one cache pay for a reply twice.
    """

    def __init__(self, config: WriterConfig, out: Path, clinic: ChatModel, dry_text: str = ""):
        """dry_text: stands for a reply that is not there yet, in a dry run."""
        self.config = config
        file = Path(config.cache) if config.cache else beside(out, "replies").with_suffix(".sqlite")
        cache, prices = ReplyCache(file), Prices(config.price_in, config.price_out)
        self.maker = _maker(config, clinic) if not config.dry_run or config.writer == "clinic" else None
        name = self.maker.name if self.maker else _name(config)
        self.dry_run = DryRun(name, cache, prices, dry_text) if config.dry_run else None
        self.meter = Metered(self.maker or clinic, prices, config.budget)
        self.others: list[Writer] = []  # who spend the same budget
        self.model: ChatModel = self.dry_run or Cached(self.meter, cache)

    def shares_budget_with(self, other: Writer) -> None:
        """One budget for both, which do not write at the same time."""
        self.others, other.others = [other], [self]

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        if self.config.budget is not None:
            self.meter.budget = self.config.budget - sum(other.meter.cost for other in self.others)
        return ask(self.model, requests, str if self.dry_run else self.meter.note)

    def request(self, greedy: bool = False) -> ChatRequest:
        """The settings of a request, without messages."""
        return ChatRequest((), 0.0 if greedy else self.config.temperature, self.config.max_tokens)

    def facts(self) -> dict[str, Any]:
        """Of a finished run, for its report."""
        known = self.model.known if isinstance(self.model, Cached) else 0
        failures = dict(self.maker.counts) if isinstance(self.maker, Endpoint) else {}
        return {
            "model": self.model.name,
            "replies": {"from_cache": known, "new": self.meter.requests, "failed_attempts": failures},
            "tokens": {"prompt": self.meter.prompt_tokens, "completion": self.meter.completion_tokens},
            "cost": self.meter.cost,
        }

    def __str__(self) -> str:
        facts = self.facts()
        return (
            f"{facts['model']}: {facts['replies']['new']:,} new replies, {facts['replies']['from_cache']:,} from the "
            f"cache; {self.meter.prompt_tokens:,} + {self.meter.completion_tokens:,} tokens, cost {self.meter.cost:.4g}"
        )


def trouble(reply: ChatReply) -> str:
    """Why a reply is not used, whatever it was for; "" if it may be."""
    if reply.finish_reason == REFUSED:
        return "no reply"
    if reply.finish_reason == "length":
        return "cut off"
    if not reply.text.strip():
        return "empty"
    return "refusal" if _refusal().search(reply.text) else ""


@cache
def _refusal() -> re.Pattern[str]:
    return read_words(WORDS)["refusal"]


def _maker(config: WriterConfig, clinic: ChatModel) -> ChatModel:
    if config.writer == "clinic":
        return clinic
    if config.writer == "endpoint":
        pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        return Endpoint(config.writer_model, concurrency=config.concurrency, pace=pace, timeout=config.timeout)
    from zj.eval.answers import load_chat_model
    from zj.train import DTYPES, start

    device = start(config.device, config.dtype).device
    loaded = load_chat_model(config.writer, "--writer", DTYPES[config.dtype], device, config.base, config.template)
    return LocalModel(loaded, _name(config), seed=config.seed, slots=config.slots)


def _name(config: WriterConfig) -> str:
    """The name in the cache of an endpoint's model, or of a directory's without loading its weights."""
    if config.writer == "endpoint":
        return config.writer_model
    from zj.stages.identity import model_digest
    from zj.weights import check_directory

    check_directory("--writer", config.writer)
    weights = model_digest(Path(config.writer), config.base)
    return f"{Path(config.writer).name} {weights} {config.template} {config.dtype} seed {config.seed}"
