"""Rank answers by a language model that sees the doctor's answer (HuatuoGPT, section 3.2 and appendix A.4).

python scripts/ai_feedback.py --data items.jsonl --judge clinic --out feedback
python scripts/ai_feedback.py --data items.jsonl --judge runs/sft --out feedback
python scripts/ai_feedback.py --data items.jsonl --judge endpoint --judge-model gpt-4o --out feedback --dry-run

--data is what scripts/sample_answers.py --reference writes. Two answers at a time are rated, 1 to 10, in both orders:
one is better if it is in both, all else is a tie. OUT gets rankings.jsonl (for train_reward.py and train_dpo.py),
report.json, comparisons.jsonl and replies.sqlite: every reply, so a run that is started again pays for none twice.
The endpoint speaks OpenAI's protocol; OPENAI_API_KEY and OPENAI_BASE_URL are read from the environment.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from zj import NOTICE
from zj.cli import check_range, run_command
from zj.data.batching import question
from zj.data.readers import OnBadRow, read
from zj.data.records import Ranking, as_json
from zj.data.report import count
from zj.eval.answers import load_chat_model
from zj.feedback.ai.compare import Comparison, Item, compare, item_of
from zj.feedback.ai.pairs import Pairs, Ranked
from zj.feedback.ai.prompt import Language, digest, ratings_in_form
from zj.feedback.ai.report import figures, table, unparsed_samples
from zj.feedback.llm import ChatModel, ChatReply, ChatRequest, ask
from zj.feedback.llm.budget import DryRun, Metered, Prices
from zj.feedback.llm.cache import Cached, ReplyCache
from zj.feedback.llm.clinic import ClinicModel
from zj.feedback.llm.endpoint import Endpoint
from zj.feedback.llm.local import LocalModel
from zj.feedback.llm.pace import Pace
from zj.feedback.ranking.export import reads_back
from zj.stages.identity import model_digest
from zj.train import DTYPES, start, to_json, write_text
from zj.train.run_directory import lock
from zj.weights import check_base_is_used, check_directory

RULE = "an answer is better if its rating is higher in both orders; else the two tie; without ratings in both, no pair"


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files of answers without an order, the doctor's own among them (or the clinic's)
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    out: str = ""  # directory of the results; one that has rankings.jsonl is kept
    cache: str = ""  # file of all replies, which several runs may share one after the other (none: OUT/replies.sqlite)
    judge: str = "clinic"  # clinic (its gold judge), endpoint, or the directory of a model or adapter
    judge_model: str = ""  # name of the endpoint's model
    language: Language = "en"  # of the judge's prompt; the paper's is English, the Chinese one a translation of it
    pairs: Pairs = "all"  # which answers are compared: all K(K-1)/2 pairs, or K-1 in a tournament, which finds the best
    temperature: float = 0.0  # of the judge; 0 is greedy
    max_tokens: int = 128  # of the judge's longest reply
    repeat: float = 0.1  # share of the requests that are made twice, to measure the judge's agreement with itself
    seed: int = 0  # of what is repeated, of sampling by a local judge, and of the noise
    noise: float = 0.0  # share of the clinic's replies whose ratings are exchanged, to test what follows
    limit: int | None = None  # number of items, from the first (none: all)
    dry_run: bool = False  # only print the requests that are not in the cache, their tokens and cost
    budget: float | None = None  # stop before this run's cost passes it (none: no limit)
    price_in: float = 0.0  # of a million prompt tokens, in any currency
    price_out: float = 0.0  # of a million tokens of replies
    concurrency: int = 8  # requests to an endpoint at a time; a killed run may pay for so many again
    requests_per_minute: int = 0  # an endpoint's limit (0: none)
    tokens_per_minute: int = 0  # an endpoint's limit, of prompts and longest replies (0: none)
    timeout: float = 600.0  # seconds until a request to an endpoint counts as lost; it may be paid for all the same
    base: str = ""  # directory of the base of a local judge's adapter (none: the one that it names)
    template: str = ""  # prompt format of a local judge (none: the one stored with it)
    slots: int = 32  # replies of a local judge at a time
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of a local judge's weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    check(config)
    out = Path(config.out)
    if (out / "rankings.jsonl").exists():
        print(f"{out / 'rankings.jsonl'} is there already, nothing was done; remove it to rank again")
        return
    items = items_of(config)
    out.mkdir(parents=True, exist_ok=True)
    lock(out)
    cache = ReplyCache(Path(config.cache) if config.cache else out / "replies.sqlite")
    prices = Prices(config.price_in, config.price_out)
    settings = ChatRequest((), config.temperature, config.max_tokens)
    if config.dry_run:
        tie = ratings_in_form(config.language, {"A": 5, "B": 5})  # after which a tournament goes on
        dry_run = DryRun(name_of(config, items), cache, prices, tie)
        run(config, items, settings, dry_run, str)
        print(f"{dry_run.summary()}\n{NOTICE}")
        return
    maker = judge_of(config, items)
    meter = Metered(maker, prices, config.budget)
    cached = Cached(meter, cache)
    ranked, comparisons, repeated = run(config, items, settings, cached, meter.note)
    failures = dict(maker.counts) if isinstance(maker, Endpoint) else {}
    facts = {
        "judge": maker.name,
        "rule": RULE,
        "pairs": config.pairs,
        "language": config.language,
        "prompt_sha256": digest(config.language),
        "settings": {"temperature": config.temperature, "max_tokens": config.max_tokens, "seed": config.seed},
        "replies": {"from_cache": cached.known, "new": meter.requests, "failed_attempts": failures},
        "tokens": {"prompt": meter.prompt_tokens, "completion": meter.completion_tokens},
        "cost": meter.cost,
    }
    write_results(out, items, ranked, comparisons, repeated, facts)


def check(config: Config) -> None:
    """ValueError names a flag."""
    for flag in ("data", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    for flag, low, high in (("repeat", 0, 1), ("noise", 0, 1), ("temperature", 0, 10), ("price_in", 0, 1e9)):
        check_range(config, flag, low, high)
    for flag in ("price_out", "requests_per_minute", "tokens_per_minute"):
        check_range(config, flag, 0)
    for flag in ("max_tokens", "concurrency", "slots", "timeout"):
        check_range(config, flag, 1)
    if config.limit is not None:
        check_range(config, "limit", 1)
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise ValueError(f"--out {config.out} is a file, expected a directory")
    if (config.judge == "endpoint") != bool(config.judge_model):
        raise ValueError(
            f"--judge {config.judge} --judge-model {config.judge_model}: an endpoint, and it alone, has a name"
        )
    if config.noise and config.judge != "clinic":
        raise ValueError(f"--noise {config.noise}: only --judge clinic makes mistakes on purpose")
    if config.budget is not None and not config.price_in + config.price_out:
        raise ValueError(f"--budget {config.budget}: needs --price-in and --price-out")
    if config.judge not in ("clinic", "endpoint"):
        check_directory("--judge", config.judge)
        check_base_is_used(config.base, config.judge)


def items_of(config: Config) -> list[Item]:
    """What is ranked; prints what was read and left out."""
    candidates, report = read(config.data, "candidates", config.on_bad_row)
    print(report)
    items = [item for one in candidates[: config.limit] if (item := item_of(one)) is not None]
    left_out = len(candidates[: config.limit]) - len(items)
    print(f"{count(len(items), 'item')} to rank; {left_out:,} left out, without a reference or two answers beside it")
    if not items:
        raise ValueError("--data: found no item with a doctor's answer (scripts/sample_answers.py --reference adds it)")
    if config.judge == "clinic" and (foreign := next((item for item in items if item.question is None), None)):
        raise ValueError(f"--judge clinic: item {foreign.id} is no question of this clinic, so its truth is unknown")
    return items


def judge_of(config: Config, items: Sequence[Item]) -> ChatModel:
    if config.judge == "clinic":
        return ClinicModel((item.question for item in items if item.question), config.noise, config.seed)
    if config.judge == "endpoint":
        pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        return Endpoint(config.judge_model, concurrency=config.concurrency, pace=pace, timeout=config.timeout)
    device = start(config.device, config.dtype).device
    loaded = load_chat_model(config.judge, "--judge", DTYPES[config.dtype], device, config.base, config.template)
    return LocalModel(loaded, name_of(config, items), seed=config.seed, slots=config.slots)


def name_of(config: Config, items: Sequence[Item]) -> str:
    """The judge's name in the cache, without loading its weights."""
    if config.judge == "endpoint":
        return config.judge_model
    if config.judge == "clinic":
        return judge_of(config, items).name
    weights = model_digest(Path(config.judge), config.base)
    return f"{Path(config.judge).name} {weights} {config.template} {config.dtype} seed {config.seed}"


def run(
    config: Config, items: Sequence[Item], settings: ChatRequest, model: ChatModel, note: Callable[[], str]
) -> tuple[list[Ranked], list[Comparison], list[tuple[Comparison, int, ChatReply]]]:
    """(ranks of each item, comparisons, second samples of a part: (comparison, order, reply))."""

    def reply_to(requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return ask(model, requests, note)

    ranked, comparisons = compare(items, config.pairs, config.language, settings, reply_to)
    both = [(comparison, order) for comparison in comparisons for order in (0, 1)]
    chosen = random.Random(f"{config.seed}/repeat").sample(both, round(config.repeat * len(both)))
    again = reply_to([replace(c.requests[order], sample=1) for c, order in chosen])
    return ranked, comparisons, [(c, order, reply) for (c, order), reply in zip(chosen, again, strict=True)]


def write_results(
    out: Path,
    items: Sequence[Item],
    ranked: Sequence[Ranked],
    comparisons: Sequence[Comparison],
    repeated: Sequence[tuple[Comparison, int, ChatReply]],
    facts: dict[str, Any],
) -> None:
    """Write and print the results; rankings.jsonl comes last. ValueError if there is no ranking."""
    rankings = [row for item, ranks in zip(items, ranked, strict=True) if (row := ranking_of(item, ranks))]
    shares = figures(items, ranked, comparisons, repeated)
    counts = {
        "items": len(items),
        "rankings": len(rankings),
        "answers_left_out": sum(len(item.answers) - len(ranks) for item, ranks in zip(items, ranked, strict=True)),
    }
    report = facts | counts | {"figures": shares, "unparsed": unparsed_samples(comparisons), "notice": NOTICE}
    write_text(out / "report.json", to_json(report, indent=2) + "\n")
    write_text(out / "comparisons.jsonl", (row_of(items[c.item], c) for c in comparisons))
    print(table(shares))
    print(
        f"{facts['replies']['new']:,} new replies, {facts['replies']['from_cache']:,} from the cache; "
        f"{facts['tokens']['prompt']:,} + {facts['tokens']['completion']:,} tokens, cost {facts['cost']:.4g}"
    )
    if not rankings:
        raise ValueError(f"--judge: found no verdict that puts one answer above another; see {out / 'report.json'}")
    write_text(out / "rankings.jsonl", (json.dumps(row, ensure_ascii=False) + "\n" for row in rankings))
    print(
        f"{out / 'rankings.jsonl'}: {count(len(rankings), 'ranking')} of {count(len(items), 'item')}; "
        f"{counts['answers_left_out']:,} answers without a place left out\n{NOTICE}"
    )


def ranking_of(item: Item, ranks: Ranked) -> dict[str, Any] | None:
    """An item's row of rankings.jsonl; None if no answer is above another one, or if a reader would refuse it."""
    if len(set(ranks.values())) < 2:
        return None
    prompt = replace(item.prompt, id=item.id, split_by=question(item.prompt))
    ranking = Ranking(item.id, prompt, tuple(item.answers[answer] for answer in ranks), tuple(ranks.values()))
    return as_json(ranking) | ({"source": item.source} if item.source else {}) if reads_back(ranking) else None


def row_of(item: Item, comparison: Comparison) -> str:
    """One comparison as a line of JSON: its replies and ratings in both orders."""
    row = {
        "id": item.id,
        "pair": comparison.pair,
        "outcome": comparison.outcome,
        "ratings": [ratings and list(ratings) for ratings in comparison.ratings],
        "replies": [asdict(reply) for reply in comparison.replies],
    }
    return to_json(row) + "\n"


if __name__ == "__main__":
    run_command(main, Config)
