"""Two answers to a question before a judge, in both orders.

The rule: an answer wins if it wins in both orders; it is a tie if the orders disagree, or if both say so. Without a
verdict in both there is none: a reply that cannot be parsed is no loss and no tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from zj.eval.answer_file import AnswerRow
from zj.eval.judges.decisions import Decision, turns_of
from zj.eval.judges.prompt import JudgePrompt, render
from zj.llm.chat import Ask, ChatReply, ChatRequest
from zj.llm.judging import Outcome, Ratings, outcome_of
from zj.llm.prompts import Template
from zj.train.files import to_json

RULE = "an answer wins if it wins in both orders, else the two tie; without a verdict in both orders there is none"


@dataclass(frozen=True)
class Match:
    """Two answers to one question, compared in one dimension."""

    first: AnswerRow
    second: AnswerRow
    dimension: str
    control: str = ""  # what the second answer is, where the first is compared with one made of itself


@dataclass(frozen=True)
class Comparison:
    """A match, its requests and replies in both orders: first the first answer stands first, then the second one."""

    match: Match
    requests: tuple[ChatRequest, ChatRequest]
    replies: tuple[ChatReply, ChatReply]
    signs: tuple[int | None, int | None]  # of the answer that stands first, in each order
    ratings: tuple[Ratings | None, Ratings | None]

    @property
    def outcome(self) -> Outcome:
        first, second = self.signs
        return outcome_of(first, None if second is None else -second)

    @property
    def decision(self) -> Decision:
        return decision_of(self.match.first, self.match.second, self.outcome, self.signs)


def decision_of(
    first: AnswerRow, second: AnswerRow, outcome: Outcome, signs: tuple[int | None, int | None] | None = None
) -> Decision:
    lengths = (len(first.answer), len(second.answer))
    return Decision(first.id, first.dialogue, first.prompt.department, turns_of(first.prompt), lengths, outcome, signs)


def compare(matches: Sequence[Match], prompt: JudgePrompt, settings: ChatRequest, ask: Ask) -> list[Comparison]:
    """The comparisons in the order of the matches. `settings`: a request without messages."""
    templates = {match.dimension: prompt.template(match.dimension) for match in matches}
    requests = [_requests(match, templates[match.dimension], settings) for match in matches]
    replies = ask([request for both in requests for request in both])
    made = []
    for number, (match, both) in enumerate(zip(matches, requests, strict=True)):
        first, second = replies[2 * number : 2 * number + 2]
        signs = (prompt.sign(first), prompt.sign(second))
        rated = (prompt.ratings(first), prompt.ratings(second)) if prompt.reply == "ratings" else (None, None)
        made.append(Comparison(match, both, (first, second), signs, rated))
    return made


def _requests(match: Match, template: Template, settings: ChatRequest) -> tuple[ChatRequest, ChatRequest]:
    """Equal answers give one text in both orders: the second request is then a second sample."""
    question, (a, b) = match.first.prompt, (match.first.answer, match.second.answer)
    one, other = (
        replace(settings, messages=(("user", render(template, question, *answers)),)) for answers in ((a, b), (b, a))
    )
    return one, replace(other, sample=1) if one == other else other


def transcripts(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Each comparison as a line of JSON: what was said to the judge, its replies, and what was read in them."""
    for comparison in comparisons:
        match = comparison.match
        row = {
            "id": match.first.id,
            "first": match.first.model,
            "second": match.second.model,
            "dimension": match.dimension,
            "control": match.control,
            "outcome": comparison.outcome,
            "signs": comparison.signs,
            "ratings": [ratings and list(ratings) for ratings in comparison.ratings],
            "prompts": [request.messages[-1][1] for request in comparison.requests],
            "replies": [asdict(reply) for reply in comparison.replies],
        }
        yield to_json(row) + "\n"
