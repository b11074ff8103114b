"""The language model that a command asks: its flags and its requests, the same for every command.

Cached > Metered > clinic | endpoint | model of this project
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from zj.cli import check_range
from zj.llm.answers import LoadedModel, load_chat_model
from zj.llm.budget import DryRun, Metered, Prices
from zj.llm.cache import Cached, ReplyCache
from zj.llm.chat import ChatModel, ChatReply, ChatRequest, ask
from zj.llm.clinic import ClinicModel, ClinicRole
from zj.llm.endpoint import Endpoint
from zj.llm.local import LocalModel
from zj.llm.pace import Pace
from zj.stages.identity import model_digest
from zj.weights import check_base_is_used, check_directory


@dataclass(frozen=True)
class ChatConfig:
    """The flags of a language model. A command's Config inherits them and adds two of its own, named after ROLE:

    `judge: str = "clinic"`, which is clinic, endpoint, or the directory of a model or adapter, and `judge_model: str
    = ""`, the name of the endpoint's model.
    """

    ROLE: ClassVar[str]

    temperature: float = 0.0  # of the language model; 0 is greedy
    max_tokens: int = 1024  # of the longest reply
    seed: int = 0  # of all that is drawn, and of sampling by a model of this project
    noise: float = 0.0  # share of the clinic's replies that get a fault, to see what follows from it
    cache: str = ""  # file of all replies, which several runs may share one after the other (none: beside --out)
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
        flag = f"--{self.ROLE}"
        if (self.maker == "endpoint") != bool(self.endpoint_model):
            which = f"{flag} {self.maker} {flag}-model {self.endpoint_model}"
            raise ValueError(f"{which}: an endpoint, and it alone, has a name")
        if self.noise and self.maker != "clinic":
            raise ValueError(f"--noise {self.noise}: only {flag} clinic makes mistakes on purpose")
        if self.budget is not None and not self.price_in + self.price_out:
            raise ValueError(f"--budget {self.budget}: needs --price-in and --price-out")
        if self.maker not in ("clinic", "endpoint"):
            check_directory(flag, self.maker)
            check_base_is_used(self.base, self.maker)

    @property
    def maker(self) -> str:
        """clinic, endpoint, or a directory."""
        return getattr(self, self.ROLE)

    @property
    def endpoint_model(self) -> str:
        return getattr(self, f"{self.ROLE}_model")


class ChatClient:
    """A language model that replies in rounds; all replies are kept in one file.

    Two runs at the same time with one cache pay for a reply twice.
    """

    def __init__(self, config: ChatConfig, cache: Path, role: ClinicRole, dry_text: str = ""):
        """cache: the file of replies, if --cache names none. role: what the clinic does, if it is the one that replies.

        dry_text: stands for a missing reply in a dry run.
        """
        self.config = config
        replies = ReplyCache(Path(config.cache) if config.cache else cache)
        prices = Prices(config.price_in, config.price_out)
        clinic = ClinicModel(role, config.noise, config.seed)
        name = clinic.name if config.maker == "clinic" else _name(config)
        self.maker = None if config.dry_run else _maker(config, name, clinic)
        self.dry_run = DryRun(name, replies, prices, dry_text) if config.dry_run else None
        self.meter = Metered(self.maker or clinic, prices, config.budget)
        self.others: list[ChatClient] = []  # who spend the same budget
        self.model: ChatModel = self.dry_run or Cached(self.meter, replies)

    def shares_budget_with(self, other: ChatClient) -> None:
        """One budget for both, which do not ask at the same time."""
        self.others, other.others = [other], [self]

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """The replies in the order of the requests."""
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


def _maker(config: ChatConfig, name: str, clinic: ChatModel) -> ChatModel:
    if config.maker == "clinic":
        return clinic
    if config.maker == "endpoint":
        pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        return Endpoint(name, concurrency=config.concurrency, pace=pace, timeout=config.timeout)
    flag = f"--{config.ROLE}"
    loaded = open_model(config.maker, flag, config.dtype, config.device, config.base, config.template)
    return LocalModel(loaded, name, seed=config.seed, slots=config.slots)


def open_model(
    path: str, flag: str, dtype: str = "fp32", device: str = "auto", base: str = "", template: str = ""
) -> LoadedModel:
    """As `load_chat_model`; dtype and device by their names on the command line."""
    from zj.train import DTYPES, start

    return load_chat_model(path, flag, DTYPES[dtype], start(device, dtype).device, base, template)


def _name(config: ChatConfig) -> str:
    """The name in the cache of an endpoint's model, or of a directory's without loading its weights."""
    if config.maker == "endpoint":
        return config.endpoint_model
    weights = model_digest(Path(config.maker), config.base)
    return f"{Path(config.maker).name} {weights} {config.template} {config.dtype} seed {config.seed}"
