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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from zj import NOTICE
from zj.cli import already_there, check_range, run_command
from zj.data.batching import question
from zj.data.readers import OnBadRow, read
from zj.data.records import Ranking, as_json
from zj.data.report import count
from zj.eval.tables import as_rows
from zj.feedback.ai.clinic import GoldJudge
from zj.feedback.ai.compare import Comparison, Item, compare, item_of
from zj.feedback.ai.pairs import Pairs, Ranked
from zj.feedback.ai.prompt import TEMPLATES
from zj.feedback.ai.report import figures, table, unparsed_samples
from zj.feedback.ranking.export import reads_back
from zj.llm import ChatReply
from zj.llm.client import ChatClient, ChatConfig
from zj.llm.judging import Language, ratings_in_form
from zj.train import to_json, write_text
from zj.train.run_directory import lock

RULE = "an answer is better if its rating is higher in both orders; else the two tie; without ratings in both, no pair"


@dataclass(frozen=True)
class Config(ChatConfig):
    ROLE: ClassVar[str] = "judge"

    data: tuple[str, ...] = ()  # files of answers without an order, the doctor's own among them (or the clinic's)
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    out: str = ""  # directory of the results; one that has rankings.jsonl is kept
    judge: str = "clinic"  # clinic (its gold judge), endpoint, or the directory of a model or adapter
    judge_model: str = ""  # name of the endpoint's model
    language: Language = "en"  # of the judge's prompt; the paper's is English, the Chinese one a translation of it
    pairs: Pairs = "all"  # which answers are compared: all K(K-1)/2 pairs, or K-1 in a tournament, which finds the best
    max_tokens: int = 128  # of the judge's longest reply
    repeat: float = 0.1  # share of the requests that are made twice, to measure the judge's agreement with itself
    limit: int | None = None  # number of items, from the first (none: all)

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag in ("data", "out"):
            if not getattr(self, flag):
                raise ValueError(f"--{flag} is missing")
        check_range(self, "repeat", 0, 1)
        if self.limit is not None:
            check_range(self, "limit", 1)
        if Path(self.out).exists() and not Path(self.out).is_dir():
            raise ValueError(f"--out {self.out} is a file, expected a directory")


def main(config: Config) -> None:
    out = Path(config.out)
    if already_there(out / "rankings.jsonl", "rank"):
        return
    items = items_of(config)
    out.mkdir(parents=True, exist_ok=True)
    lock(out)
    clinic = GoldJudge(item.question for item in items if item.question)
    tie = ratings_in_form(config.language, {"A": 5, "B": 5})  # after which a tournament goes on
    judge = ChatClient(config, out / "replies.sqlite", clinic, dry_text=tie)
    ranked, comparisons, repeated = run(config, items, judge)
    if judge.dry_run:
        print(f"{judge.dry_run.summary()}\n{NOTICE}")
        return
    facts = judge.facts() | {
        "rule": RULE,
        "pairs": config.pairs,
        "language": config.language,
        "prompt_sha256": TEMPLATES[config.language].sha256,
        "settings": {"temperature": config.temperature, "max_tokens": config.max_tokens, "seed": config.seed},
    }
    print(judge)
    write_results(out, items, ranked, comparisons, repeated, facts)


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


def run(
    config: Config, items: Sequence[Item], judge: ChatClient
) -> tuple[list[Ranked], list[Comparison], list[tuple[Comparison, int, ChatReply]]]:
    """(ranks of each item, comparisons, second samples of a part: (comparison, order, reply))."""
    ranked, comparisons = compare(items, config.pairs, config.language, judge.request(), judge.ask)
    both = [(comparison, order) for comparison in comparisons for order in (0, 1)]
    chosen = random.Random(f"{config.seed}/repeat").sample(both, round(config.repeat * len(both)))
    again = judge.ask([replace(c.requests[order], sample=1) for c, order in chosen])
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
    shown = table(shares, facts["model"])
    texts = {"unparsed": unparsed_samples(comparisons), "notice": NOTICE}
    report = facts | counts | {"tables": as_rows([shown]), "figures": shares} | texts
    write_text(out / "report.json", to_json(report, indent=2) + "\n")
    write_text(out / "comparisons.jsonl", (row_of(items[c.item], c) for c in comparisons))
    print(shown)
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
