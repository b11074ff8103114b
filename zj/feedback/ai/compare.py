"""Items → comparisons by a judge, each pair in both orders → ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zj.clinic import Question
from zj.data.records import Candidates, Prompt
from zj.feedback.ai.pairs import PLANS, Pair, Pairs, Plan, Ranked
from zj.feedback.ai.prompt import render
from zj.feedback.answers.sampling import REFERENCE
from zj.llm import ChatReply, ChatRequest
from zj.llm.chat import Ask
from zj.llm.judging import Language, Outcome, Ratings, clinic_question, outcome_of, parse_ratings


@dataclass(frozen=True)
class Item:
    """What is ranked: the answers to a prompt, beside the doctor's own answer."""

    id: str
    prompt: Prompt
    answers: tuple[str, ...]
    reference: str
    question: Question | None = None  # of the clinic, whose truth is known
    source: str = ""  # as of Candidates


@dataclass(frozen=True)
class Comparison:
    """Two answers of an item, in both orders: first the pair's first answer has seat A, then its second."""

    item: int
    pair: Pair
    requests: tuple[ChatRequest, ChatRequest]
    replies: tuple[ChatReply, ChatReply]

    @property
    def ratings(self) -> tuple[Ratings | None, Ratings | None]:
        """By seat, of each order."""
        first, second = map(ratings_of, self.replies)
        return first, second

    @property
    def outcome(self) -> Outcome:
        first, second = self.ratings
        return outcome_of(first.sign if first else None, -second.sign if second else None)


def ratings_of(reply: ChatReply) -> Ratings | None:
    return parse_ratings(reply.text, reply.finish_reason == "length")


def item_of(candidates: Candidates) -> Item | None:
    """The reference is the dialogue's own answer among the candidates, else the clinic's; None if there is neither, or
    if fewer than two answers are left beside it."""
    question = clinic_question(candidates.prompt)
    models = candidates.models or ("",) * len(candidates.answers)
    own = [text for text, model in zip(candidates.answers, models, strict=True) if model == REFERENCE]
    answers = tuple(text for text, model in zip(candidates.answers, models, strict=True) if model != REFERENCE)
    reference = own[0] if own else question.reference if question else ""
    if not reference or len(answers) < 2:
        return None
    return Item(candidates.id, candidates.prompt, answers, reference, question, candidates.source)


def compare(
    items: Sequence[Item], pairs: Pairs, language: Language, settings: ChatRequest, ask: Ask
) -> tuple[list[Ranked], list[Comparison]]:
    """The ranks of each item's answers, and all comparisons, in rounds. `settings`: a request without messages."""
    plans = [PLANS[pairs](len(item.answers)) for item in items]
    ranked, comparisons = [Ranked() for _ in items], list[Comparison]()
    rounds = {number: next(plan) for number, plan in enumerate(plans)}
    while rounds:
        made = _one_round(items, rounds, language, settings, ask)
        comparisons += made
        outcomes: dict[int, dict[Pair, Outcome]] = {number: {} for number in rounds}
        for comparison in made:
            outcomes[comparison.item][comparison.pair] = comparison.outcome
        rounds = {}
        for number, ended in outcomes.items():
            _go_on(plans[number], number, ended, rounds, ranked)
    return ranked, comparisons


def _go_on(
    plan: Plan, number: int, ended: dict[Pair, Outcome], rounds: dict[int, list[Pair]], ranked: list[Ranked]
) -> None:
    """An item's next round into `rounds`, or its ranks into `ranked`."""
    try:
        rounds[number] = plan.send(ended)
    except StopIteration as end:
        ranked[number] = end.value


def _one_round(
    items: Sequence[Item], rounds: dict[int, list[Pair]], language: Language, settings: ChatRequest, ask: Ask
) -> list[Comparison]:
    matches = [(number, pair) for number, pairs in rounds.items() for pair in pairs]
    requests = []
    for number, pair in matches:
        item, (first, second) = items[number], pair
        for a, b in ((first, second), (second, first)):
            text = render(language, item.prompt, item.reference, item.answers[a], item.answers[b])
            requests.append(replace(settings, messages=(("user", text),)))
    replies = ask(requests)
    return [
        Comparison(number, pair, (requests[2 * n], requests[2 * n + 1]), (replies[2 * n], replies[2 * n + 1]))
        for n, (number, pair) in enumerate(matches)
    ]
