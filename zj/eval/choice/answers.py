"""A model's readings of questions: by the likelihood of letters and of texts, and by greedy replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from zj.data.records import Prompt
from zj.data.template import encode_prompt
from zj.eval.choice.grammar import parse_reply
from zj.eval.choice.likelihood import Request, Score, option_request, score
from zj.eval.choice.measure import Reading, best
from zj.eval.choice.prompt import Shots, answer, chat_prompt, raw_text
from zj.eval.choice.question import ChoiceQuestion, Order, Picked
from zj.inference import Sampling
from zj.llm import ChatRequest, Message
from zj.llm.answers import LoadedModel, answer_bar, sample
from zj.llm.client import ChatClient
from zj.llm.clinic import ClinicRole

BLOCK = 512  # prompts whose ids are in memory at a time
RAW_TOKENS = 32  # of a reply in raw text, of which the first line is read
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    text: str
    whole: bool  # not cut off before the end of what is read


@dataclass
class Examination:
    """How questions are shown: `shuffles` more orders of the options, examples before them, raw text or chat."""

    shots: Shots
    shuffles: int
    seed: int
    raw: bool
    counts: Counter[str] = field(default_factory=Counter)  # of prompts and replies, by what they are

    def by_likelihood(
        self, questions: Sequence[ChoiceQuestion], loaded: LoadedModel, tokens_per_pack: int, cloze: bool = False
    ) -> list[Reading]:
        """Of questions with one right option: the letters' log-probability, or (cloze) the texts', by character."""
        positions, name = loaded.model.config.max_position_embeddings, "text" if cloze else "letter"
        shown = self._shown(questions, 0 if cloze else self.shuffles)

        def request(question: ChoiceQuestion, shots: Sequence[ChoiceQuestion]) -> Request:
            return option_request(question, shots, loaded, self.raw, cloze)

        scores = list[list[Score] | None]()
        with answer_bar(len(shown)) as bar:
            for at in range(0, len(shown), BLOCK):
                block = shown[at : at + BLOCK]
                requests = [self._fitted(q.shown(o), request, lambda r: r.longest, positions, name) for q, o in block]
                there = iter(score(loaded, [r for r in requests if r], tokens_per_pack))
                scores += [next(there) if request else None for request in requests]
                bar.update(len(block))

        def reading(question: ChoiceQuestion, orders: list[Order], found: list[list[Score] | None]) -> Reading:
            if any(one is None for one in found):
                return Reading(question, orders, [None] * len(orders), too_long=True)
            by_order = [_as_published(question, o, one, cloze) for o, one in zip(orders, found, strict=True) if one]
            return Reading(question, orders, list(map(best, by_order)), by_order)

        return _grouped(shown, scores, reading)

    def by_replies(
        self, questions: Sequence[ChoiceQuestion], client: ChatClient, loaded: LoadedModel | None, longest: int
    ) -> list[Reading]:
        """Greedy replies of at most `longest` tokens, read by zj/eval/choice/grammar.py."""
        shown = self._shown(questions, self.shuffles)
        if self.raw and loaded:
            replies = self._raw_replies(shown, loaded, client.config.slots)
        else:
            replies = self._chat_replies(shown, client, loaded, longest)

        def reading(question: ChoiceQuestion, orders: list[Order], found: list[Reply | None]) -> Reading:
            picks = list[Picked | None]()
            for order, reply in zip(orders, found, strict=True):
                whole = reply is not None and reply.whole
                letters = parse_reply(reply.text, question.shown(order), self.raw) if reply and whole else None
                picks.append(None if letters is None else question.picked(letters, order))
            texts = [reply.text if reply else "" for reply in found]
            return Reading(question, orders, picks, texts=texts, too_long=None in found)

        return _grouped(shown, replies, reading)

    def _shown(self, questions: Sequence[ChoiceQuestion], shuffles: int) -> list[tuple[ChoiceQuestion, Order]]:
        return [(question, order) for question in questions for order in question.orders(shuffles, self.seed)]

    def _chat_replies(
        self,
        shown: Sequence[tuple[ChoiceQuestion, Order]],
        client: ChatClient,
        loaded: LoadedModel | None,
        longest: int,
    ) -> list[Reply | None]:
        requests = self._requests(shown, client, loaded, longest)
        replies = client.ask([request for request in requests if request])
        for reply in replies:
            self.counts[f"generation: replies that ended by {reply.finish_reason}"] += 1
        there = iter(Reply(reply.text, reply.finish_reason != "length") for reply in replies)
        return [next(there) if request else None for request in requests]

    def _requests(
        self,
        shown: Sequence[tuple[ChoiceQuestion, Order]],
        client: ChatClient,
        loaded: LoadedModel | None,
        longest: int,
    ) -> list[ChatRequest | None]:
        def length(prompt: Prompt) -> int:
            return len(encode_prompt(prompt, loaded.tokenizer, loaded.template)) if loaded else 0

        room = loaded.model.config.max_position_embeddings - longest if loaded else 0
        settings, requests = client.request(greedy=True), list[ChatRequest | None]()
        for question, order in shown:
            prompt = self._fitted(question.shown(order), chat_prompt, length, room, "generation")
            requests.append(replace(settings, messages=messages(prompt)) if prompt else None)
        return requests

    def _raw_replies(
        self, shown: Sequence[tuple[ChoiceQuestion, Order]], loaded: LoadedModel, slots: int
    ) -> list[Reply | None]:
        room = loaded.model.config.max_position_embeddings - RAW_TOKENS

        def ids(question: ChoiceQuestion, shots: Sequence[ChoiceQuestion]) -> list[int]:
            return [*loaded.tokenizer.beginning, *loaded.tokenizer.encode(raw_text(question, shots))]

        replies = list[Reply | None]()
        options = {"max_new_tokens": RAW_TOKENS, "seed": 0, "slots": slots}
        with answer_bar(len(shown)) as bar:
            for at in range(0, len(shown), BLOCK):
                prompts = [self._fitted(q.shown(o), ids, len, room, "generation") for q, o in shown[at : at + BLOCK]]
                answers = iter(sample(loaded, [prompt for prompt in prompts if prompt], Sampling(0.0), bar, **options))
                for prompt in prompts:
                    answer = next(answers) if prompt else None
                    text = loaded.tokenizer.decode(answer.ids).lstrip() if answer else ""
                    replies.append(Reply(text, answer.finished or "\n" in text) if answer else None)
        return replies

    def _fitted(
        self,
        question: ChoiceQuestion,
        make: Callable[[ChoiceQuestion, Sequence[ChoiceQuestion]], T],
        length: Callable[[T], int],
        room: int,
        method: str,
    ) -> T | None:
        """What `make` gives of the question with its examples, as many of the last ones as fit; None if none does."""
        shots = self.shots.of(question)
        for first in range(len(shots) + 1):
            made = make(question, shots[first:])
            if length(made) <= room:
                self.counts[f"{method}: prompts with fewer examples than --shots, to fit"] += first > 0
                return made
        self.counts[f"{method}: prompts that do not fit into the model's positions, counted as wrong"] += 1
        return None


def _as_published(question: ChoiceQuestion, order: Order, scores: Sequence[Score], cloze: bool) -> list[float]:
    texts, found = list(question.options.values()), [0.0] * len(order)
    for index, one in zip(order, scores, strict=True):
        found[index] = one.logprob / len(texts[index]) if cloze else one.logprob
    return found


def _grouped(
    shown: Sequence[tuple[ChoiceQuestion, Order]],
    found: Sequence[T],
    reading: Callable[[ChoiceQuestion, list[Order], list[T]], Reading],
) -> list[Reading]:
    """One reading of each question from what was found in its orders, which stand one after the other."""
    groups: dict[int, tuple[ChoiceQuestion, list[Order], list[T]]] = {}
    for (question, order), one in zip(shown, found, strict=True):
        _, orders, of_question = groups.setdefault(id(question), (question, [], []))
        orders.append(order)
        of_question.append(one)
    return [reading(*group) for group in groups.values()]


def messages(prompt: Prompt) -> tuple[Message, ...]:
    """The conversation of a prompt without system text."""
    turns = [message for user, reply in prompt.history for message in (("user", user), ("assistant", reply))]
    return (*turns, ("user", prompt.user))


class AnswerKey(ClinicRole):
    """Knows the right answers: what a model looks like whose accuracy is 1 - noise."""

    faults = (
        lambda request, text: "答案：" + {"A": "B"}.get(text[-1], "A"),
        lambda request, text: "这道题我不确定。",
    )

    def __init__(self, questions: Mapping[str, str]):
        """Text of the last message → reply."""
        self.replies = questions

    def __call__(self, request: ChatRequest) -> str:
        return self.replies.get(request.messages[-1][1], "")


def answer_key(questions: Sequence[ChoiceQuestion], shuffles: int, seed: int) -> AnswerKey:
    shown = [question.shown(order) for question in questions for order in question.orders(shuffles, seed)]
    return AnswerKey({chat_prompt(question).user: answer(question) for question in shown})
