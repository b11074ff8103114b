"""What a judge's verdicts are like: its biases, its agreement with itself and, on the clinic, with the truth.

Every share stands with its count and a 95 % interval, resampled by item: the comparisons of an item are not
independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from zj.clinic import judge
from zj.eval.statistics import bootstrap_interval, opened
from zj.eval.tables import Table
from zj.feedback.ai.compare import Comparison, Item, ratings_of
from zj.feedback.ai.pairs import Ranked
from zj.llm import ChatReply
from zj.llm.chat import REFUSED

ABOUT = (
    "intervals: bootstrap over items, exact where all agree\n"
    "equal ratings, ties: a good judge has as many as there are answers of one quality"
)
HEAD = ("", "share [95 % interval]", "of")
Figures = dict[str, dict[str, Any]]
Case = tuple[str, bool]  # (id of the item, whether it holds)


def figures(
    items: Sequence[Item],
    ranked: Sequence[Ranked],
    comparisons: Sequence[Comparison],
    repeated: Sequence[tuple[Comparison, int, ChatReply]],
) -> Figures:
    """{name: {share, n, low, high}}; no share without cases. repeated: (comparison, order, its second sample)."""
    cases = _of_replies(items, comparisons) | _of_pairs(items, comparisons)
    cases["agrees with itself"] = [
        (items[c.item].id, first.sign == second.sign)
        for c, order, again in repeated
        if (first := c.ratings[order]) and (second := ratings_of(again))
    ]
    return {name: _share(values) for name, values in (cases | _of_gold(items, ranked, comparisons)).items()}


def _share(cases: Sequence[Case]) -> dict[str, Any]:
    if not cases:
        return {"share": None, "n": 0, "low": None, "high": None}
    names, values = zip(*cases, strict=True)
    interval = opened(bootstrap_interval([float(value) for value in values], clusters=names), len(set(names)))
    return {"share": interval.mean, "n": len(cases), "low": interval.low, "high": interval.high}


def _of_replies(items: Sequence[Item], comparisons: Iterable[Comparison]) -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {"unparsed": [], "refused": [], "equal ratings": [], "first seat wins": []}
    for comparison in comparisons:
        id = items[comparison.item].id
        for reply, ratings in zip(comparison.replies, comparison.ratings, strict=True):
            cases["unparsed"].append((id, ratings is None))
            cases["refused"].append((id, reply.finish_reason == REFUSED))
            if ratings:
                cases["equal ratings"].append((id, ratings.sign == 0))
            if ratings and ratings.sign:
                cases["first seat wins"].append((id, ratings.sign > 0))
    return cases


def _of_pairs(items: Sequence[Item], comparisons: Iterable[Comparison]) -> dict[str, list[Case]]:
    names = ("without a verdict", "flips with the order", "ties", "longer answer wins")
    cases: dict[str, list[Case]] = {name: [] for name in names}
    for comparison in comparisons:
        item, outcome, (first, second) = items[comparison.item], comparison.outcome, comparison.ratings
        cases["without a verdict"].append((item.id, outcome is None))
        if first is None or second is None:
            continue
        cases["flips with the order"].append((item.id, first.sign != -second.sign))
        cases["ties"].append((item.id, outcome == 0))
        longer = _longer(item, comparison)
        if outcome and longer:
            cases["longer answer wins"].append((item.id, outcome == longer))
    return cases


def _of_gold(
    items: Sequence[Item], ranked: Sequence[Ranked], comparisons: Iterable[Comparison]
) -> dict[str, list[Case]]:
    """Agreement with the clinic's gold judge; nothing for other items."""
    names = ("same verdict", "decided pairs right", "pairs of the rankings right", "pairs of the rankings reversed")
    cases: dict[str, list[Case]] = {f"gold: {name}": [] for name in (*names, "longer answer is better")}
    scores = {n: [judge(i.question, text).score for text in i.answers] for n, i in enumerate(items) if i.question}
    for comparison in comparisons:
        if comparison.item not in scores or comparison.outcome is None:
            continue
        item, truth = items[comparison.item], _sign(*(scores[comparison.item][answer] for answer in comparison.pair))
        cases["gold: same verdict"].append((item.id, comparison.outcome == truth))
        if comparison.outcome:
            cases["gold: decided pairs right"].append((item.id, comparison.outcome == truth))
        longer = _longer(item, comparison)
        if truth and longer:
            cases["gold: longer answer is better"].append((item.id, truth == longer))
    for number, gold in scores.items():
        for (one, rank), (other, below) in combinations(ranked[number].items(), 2):
            if rank != below:
                claim, truth = _sign(below, rank), _sign(gold[one], gold[other])
                cases["gold: pairs of the rankings right"].append((items[number].id, claim == truth))
                cases["gold: pairs of the rankings reversed"].append((items[number].id, claim == -truth))
    return cases if scores else {}


def _longer(item: Item, comparison: Comparison) -> int:
    return _sign(*(len(item.answers[answer]) for answer in comparison.pair))


def _sign(one: float, other: float) -> int:
    return (one > other) - (one < other)


def unparsed_samples(comparisons: Iterable[Comparison], most: int = 5) -> list[dict[str, Any]]:
    """The commonest texts without ratings, with their counts."""
    texts = Counter(
        reply.text
        for comparison in comparisons
        for reply, ratings in zip(comparison.replies, comparison.ratings, strict=True)
        if ratings is None
    )
    return [{"text": text, "count": count} for text, count in texts.most_common(most)]


def table(rows: Figures, judge: str) -> Table:
    """The figures of a judge, for the terminal and the report."""
    return Table(f"AI feedback, judge: {judge}", HEAD, tuple(_cells(name, row) for name, row in rows.items()), ABOUT)


def _cells(name: str, row: dict[str, Any]) -> tuple[str, str, str]:
    share = "-" if row["share"] is None else f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
    return name, share, f"{row['n']:,}"
