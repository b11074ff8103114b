"""What the replies cost: counted as they come, estimated before, and stopped before a budget is passed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zj.llm.cache import ReplyCache
from zj.llm.chat import ChatModel, ChatReply, ChatRequest, estimate_tokens, most_tokens


@dataclass(frozen=True)
class Prices:
    """Of a million tokens, in any one currency."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class Metered:
    """A model with a meter, and with a budget if there is one.

    A request begins only if the budget covers it beside all that are at work, each at its longest: as many prompt
    tokens as its text has bytes, and max_tokens. So the budget is not passed as long as the service bills the tokens
    that it reports. ValueError when the next request does not fit, after all replies that were begun.
    """

    def __init__(self, model: ChatModel, prices: Prices, budget: float | None = None):
        self.model, self.prices, self.budget = model, prices, budget
        self.requests = self.prompt_tokens = self.completion_tokens = 0

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def cost(self) -> float:
        return self.prices.cost(self.prompt_tokens, self.completion_tokens)

    def note(self) -> str:
        """The cost so far, for a progress bar."""
        return f"cost {self.cost:.4g}" if self.prices != Prices() else ""

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        waiting = list(enumerate(requests))
        waiting.reverse()
        while waiting:
            begun: list[tuple[int, ChatRequest]] = []
            at_work: dict[int, float] = {}  # by place in `begun`: what the request costs at most
            for place, reply in self.model.replies(self._affordable(waiting, begun, at_work)):
                del at_work[place]
                self.requests += 1
                self.prompt_tokens += reply.prompt_tokens
                self.completion_tokens += reply.completion_tokens
                yield begun[place][0], reply
            if not begun:
                raise ValueError(
                    f"--budget {self.budget:g}: {self.cost:.4g} is spent, and one more reply may pass it; "
                    f"{len(waiting):,} requests are left; all replies are kept, a run with a new budget goes on"
                )

    def _affordable(
        self, waiting: list[tuple[int, ChatRequest]], begun: list[tuple[int, ChatRequest]], at_work: dict[int, float]
    ) -> Iterator[ChatRequest]:
        """Moves requests from `waiting`, last first, to `begun` as long as the budget covers them."""
        while waiting:
            request = waiting[-1][1]
            most = self.prices.cost(most_tokens(request.messages), request.max_tokens)
            if self.budget is not None and self.cost + sum(at_work.values()) + most > self.budget:
                return
            at_work[len(begun)] = most
            begun.append(waiting.pop())
            yield request


class DryRun:
    """Asks nobody: replies from the cache, `text` to what is not there; counts those requests and their tokens."""

    def __init__(self, name: str, cache: ReplyCache, prices: Prices, text: str = ""):
        self.name, self.cache, self.prices, self.text = name, cache, prices, text
        self.known = self.requests = self.prompt_tokens = self.completion_tokens = 0

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        counted = set[ChatRequest]()
        for number, request in enumerate(requests):
            reply = self.cache.get(self.name, request)
            if reply is not None:
                self.known += 1
            elif request not in counted:
                counted.add(request)
                self.requests += 1
                self.prompt_tokens += estimate_tokens(request.messages)
                self.completion_tokens += request.max_tokens
            yield number, reply or ChatReply(self.text, "dry run", 0, 0)

    def summary(self) -> str:
        cost = self.prices.cost(self.prompt_tokens, self.completion_tokens)
        return (
            f"{self.requests:,} requests to {self.name}, {self.known:,} more are in the cache; about "
            f"{self.prompt_tokens:,} prompt tokens (1 for a character beyond ASCII, 1 for 4 others, 4 for a message), "
            f"at most {self.completion_tokens:,} tokens of replies; cost at most about {cost:.4g}; nothing was sent"
        )
