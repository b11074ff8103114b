"""The interface to every language model: requests in, replies out as they come.

    Cached > Metered > Endpoint | LocalModel | ClinicModel

Each of these is a `ChatModel`. The cache answers what it knows, the meter counts and stops, the maker replies.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

Message = tuple[str, str]  # (role, text); the roles are system, user, assistant
REFUSED = "refused"  # finish reason of a request to which no reply will come; its text is ""


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[Message, ...]
    temperature: float = 0.0  # of sampling; 0 is greedy
    max_tokens: int = 128  # of the longest reply
    sample: int = 0  # two samples of one prompt are two requests


@dataclass(frozen=True)
class ChatReply:
    text: str
    finish_reason: str  # "stop", "length" (cut off at max_tokens), REFUSED, or what the service calls it
    prompt_tokens: int
    completion_tokens: int


Ask = Callable[[Sequence[ChatRequest]], list[ChatReply]]  # the replies in the order of the requests


class ChatModel(Protocol):
    @property
    def name(self) -> str:
        """Models of one name give the same replies: it is a part of the cache's key."""

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        """(number of the request, its reply) of all requests, in any order, each as soon as it is there.

        A request is taken from the iterable when there is room to begin it. ValueError if no reply can be had; all
        that came before has then been given.
        """


def ask(model: ChatModel, requests: Sequence[ChatRequest], note: Callable[[], str] = str) -> list[ChatReply]:
    """The reply to each request, with a progress bar that shows the time left and the `note`."""
    replies: dict[int, ChatReply] = {}
    interval = 0.2 if sys.stderr.isatty() else 10.0  # seconds between updates
    with tqdm(total=len(requests), unit="reply", mininterval=interval, dynamic_ncols=True) as bar:
        for number, reply in model.replies(requests):
            replies[number] = reply
            bar.set_postfix_str(note(), refresh=False)
            bar.update()
    return [replies[number] for number in range(len(requests))]


def estimate_tokens(messages: Iterable[Message]) -> int:
    """Tokens of a prompt, estimated: 1 for a character beyond ASCII, 1 for 4 others, 4 for the frame of a message.

    Tokenizers of Chinese models need less for Chinese (0.6 to 0.8 a character), older English ones more (1.2).
    """
    total = 0.0
    for _, text in messages:
        ascii_only = sum(character.isascii() for character in text)
        total += 4 + len(text) - 0.75 * ascii_only
    return round(total)


def most_tokens(messages: Iterable[Message]) -> int:
    """A number of tokens that a prompt does not pass: one a byte of UTF-8, as in byte-level BPE, 16 for each frame."""
    return sum(16 + len(text.encode("utf-8", "replace")) for _, text in messages)
