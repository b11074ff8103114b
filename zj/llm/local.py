"""A model of this project as a chat model: any directory that scripts/chat.py takes, with continuous batching."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from zj.data.records import Prompt
from zj.data.template import encode_prompt
from zj.inference.engine import Sampling
from zj.llm.answers import LoadedModel, seed_of, stream_answers
from zj.llm.chat import REFUSED, ChatReply, ChatRequest, Message

BLOCK = 256  # requests that are taken at a time


class LocalModel:
    """`name` has to change with the weights: it is a part of the cache's key."""

    def __init__(self, chat_model: LoadedModel, name: str, *, seed: int = 0, slots: int = 32):
        self.chat_model, self.name, self.seed, self.slots = chat_model, name, seed, slots

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        """As `ChatModel.replies`. A reply depends on its request and the seed, not on the requests beside it.

        A request that is longer than the model's positions beside max_tokens is refused.
        """

        def settings(numbered: tuple[int, ChatRequest]) -> tuple[float, int]:
            return numbered[1].temperature, numbered[1].max_tokens

        source = enumerate(requests)
        while block := list(islice(source, BLOCK)):
            for (temperature, longest), group in groupby(sorted(block, key=settings), settings):
                yield from self._group(list(group), Sampling(temperature), longest)

    def _group(
        self, group: list[tuple[int, ChatRequest]], sampling: Sampling, longest: int
    ) -> Iterator[tuple[int, ChatReply]]:
        """Replies to different requests of the same settings."""
        model, tokenizer, template = self.chat_model.model, self.chat_model.tokenizer, self.chat_model.template
        numbers, prompts, seeds = [], [], []
        for number, request in group:
            ids = encode_prompt(prompt_of(request.messages), tokenizer, template)
            if len(ids) + longest > model.config.max_position_embeddings:
                yield number, ChatReply("", REFUSED, 0, 0)
            else:
                numbers.append(number)
                prompts.append(ids)
                seeds.append(seed_of(self.seed, 0, request.sample))
        for index, answer in stream_answers(
            self.chat_model, prompts, sampling, max_new_tokens=longest, seed=seeds, slots=self.slots
        ):
            reason = "stop" if answer.finished else "length"
            yield numbers[index], ChatReply(answer.text, reason, len(answer.prompt), len(answer.ids))


def messages_of(prompt: Prompt) -> tuple[Message, ...]:
    """A conversation as a request."""
    turns = (message for user, answer in prompt.history for message in (("user", user), ("assistant", answer)))
    return (*([("system", prompt.system)] if prompt.system else []), *turns, ("user", prompt.user))


def prompt_of(messages: tuple[Message, ...]) -> Prompt:
    """The conversation of a request. ValueError unless user and assistant take turns and the user is last."""
    has_system = messages[:1] and messages[0][0] == "system"
    system, turns = (messages[0][1], messages[1:]) if has_system else ("", messages)
    roles = [role for role, _ in turns]
    if len(turns) % 2 == 0 or roles != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        given = ", ".join(roles) or "nobody"
        raise ValueError(f"found messages of {given}, expected user and assistant in turn, the user last")
    texts = [text for _, text in turns]
    return Prompt("", texts[-1], tuple(zip(texts[:-1:2], texts[1::2], strict=True)), system)
