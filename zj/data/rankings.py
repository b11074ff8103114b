"""The ranked answers in one row, and the published ranking tool's table, whose order is restored from its input."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import accumulate, count, takewhile
from pathlib import Path
from typing import Any

from zj.data.conversation import Conversation, arrange, parse_conversation
from zj.data.fields import Fields, Notes, preview, string_of, text_of
from zj.data.messages import parse_messages, turns_in_text

PAIR_KEYS = (
    ("chosen", "rejected"),
    ("response_chosen", "response_rejected"),
    ("preferred_output", "non_preferred_output"),
)
RANKING_KEYS = {"responses", "response_0", "rank1", "completions", *(better for better, _ in PAIR_KEYS)}
SCORE_KEYS = ("scores", "score", "overall_score", "rating")
Ranked = tuple[tuple[str, ...], tuple[int, ...]]  # answers, and the rank of each; 1 is best


def parse_ranking(fields: Fields, notes: Notes) -> tuple[Ranked, Conversation] | None:
    """(ranked answers, conversation before them); None if the keys match no format.

    Raises ValueError for answers or ranks that cannot be, and for a pair of two different questions.
    """
    conversation = shared_beginning(fields, notes)
    keys = _pair_keys(fields)
    if "responses" in fields and ("ranks" in fields or "scores" in fields):
        ranked = _from_lists(fields.pop("responses"), fields.pop("ranks"), fields.get("scores"))
    elif "completions" in fields:
        ranked = _from_scored(fields.pop("completions"))
    elif "rank1" in fields:
        names = list(takewhile(fields.__contains__, (f"rank{n}" for n in count(1))))
        ranked = best_to_worst([fields.pop(name) for name in names], names)
    elif isinstance(fields.values.get("output"), list) and not isinstance(fields.values.get("instruction"), list):
        texts = fields.pop("output")
        ranked = best_to_worst(texts, [f"output {n}" for n in range(1, len(texts) + 1)])
    elif keys:
        ranked = _from_pair(fields, keys)
    elif "responses" in fields or "response_0" in fields:
        raise ValueError("found answers without ranks (they can be read as prompts), expected ranks beside them")
    else:
        return None
    _check_equal_answers_tie(*ranked)
    conversation = conversation or parse_conversation(fields, "ranking", notes)
    return None if conversation is None else (ranked, conversation)


def _from_lists(responses: Any, ranks: Any, scores: Any) -> Ranked:
    if not isinstance(responses, list) or len(responses) < 2:
        raise ValueError(f"found responses = {preview(responses)}, expected a list of at least two")
    answers = tuple(text_of(_answer(text), f"response {n}") for n, text in enumerate(responses, 1))
    if ranks is None:
        return answers, _ranks_by_score(scores, len(answers))
    valid = isinstance(ranks, list) and all(type(rank) is int and 1 <= rank < 2**31 for rank in ranks)
    if not valid or len(ranks) != len(responses):
        raise ValueError(f"found ranks = {preview(ranks)}, expected {len(responses)} whole numbers from 1 (best) on")
    return answers, tuple(ranks)


def _from_scored(completions: Any) -> Ranked:
    """UltraFeedback: [{"response": "…", "overall_score": 8.5}, …]"""
    if not isinstance(completions, list) or not all(isinstance(item, dict) for item in completions):
        raise ValueError(f"found completions = {preview(completions)}, expected a list of objects with a score")
    parts = [Fields(item) for item in completions]
    return _from_lists(
        [part.get("response", "text", "content", "completion") for part in parts],
        None,
        [part.get(*SCORE_KEYS) for part in parts],
    )


def _ranks_by_score(scores: Any, number: int) -> tuple[int, ...]:
    """The highest score has rank 1; equal scores tie."""
    valid = isinstance(scores, list) and all(type(score) in (int, float) and math.isfinite(score) for score in scores)
    if not valid or len(scores) != number:
        raise ValueError(f"found scores = {preview(scores)}, expected {number} numbers, the highest of the best answer")
    return tuple(1 + sum(other > score for other in scores) for score in scores)


def best_to_worst(texts: Sequence[Any], names: Sequence[str]) -> Ranked:
    """Ranks 1, 2, …; equal neighbours tie: such a table has no ties, and the tools show identical answers too."""
    if len(texts) < 2:
        raise ValueError(f"found only {' '.join(names) or 'no answer'}, expected two answers or more (rank1, rank2, …)")
    answers = tuple(text_of(_answer(text), name) for name, text in zip(names, texts, strict=True))
    tied = [n > 0 and answers[n] == answers[n - 1] for n in range(len(answers))]
    return answers, tuple(accumulate((0 if tie else n for n, tie in enumerate(tied, 1)), max))


def _check_equal_answers_tie(answers: tuple[str, ...], ranks: tuple[int, ...]) -> None:
    rank_of: dict[str, int] = {}
    for text, rank in zip(answers, ranks, strict=True):
        if rank_of.setdefault(text, rank) != rank:
            raise ValueError(f"found one answer at ranks {rank_of[text]} and {rank}, expected equal answers to tie")


# ---- pairs


def _pair_keys(fields: Fields) -> tuple[str, str] | None:
    return next((keys for keys in PAIR_KEYS if all(key in fields for key in keys)), None)


def _from_pair(fields: Fields, keys: tuple[str, str]) -> Ranked:
    """A better and a worse answer: texts, messages, or whole conversations."""
    pair = tuple(answer_text(_whole(fields.pop(key)), key) for key in keys)
    if pair[0] == pair[1]:
        raise ValueError(f"found {keys[0]} and {keys[1]} alike, expected two different answers")
    return pair, (1, 2)


def shared_beginning(fields: Fields, notes: Notes) -> Conversation | None:
    """What a pair of whole conversations shares, all but the last messages; None if the row has no such pair.

    ValueError if they begin differently, or if the row's own prompt is another question.
    """
    keys = _pair_keys(fields)
    if keys is None:
        return None
    pair = [_whole(fields.values[key]) for key in keys]
    if not all(isinstance(side, list) and len(side) > 1 for side in pair):
        return None
    for key in ("messages", "conversations"):  # "binarized" sets repeat the better conversation
        if fields.values.get(key) == fields.values[keys[0]]:
            fields.pop(key)
    sides = [parse_messages(side, key, "ranking", notes) for side, key in zip(pair, keys, strict=True)]
    if sides[0][:-1] != sides[1][:-1]:
        raise ValueError("found chosen and rejected with different beginnings, expected one prompt for both")
    return _check_same_question(arrange(sides[0][:-1], "", notes), fields, notes)


def _whole(side: Any) -> Any:
    """A conversation in one text ("Human: … Assistant: …") as messages; anything else as it is."""
    messages = turns_in_text(side, "ranking")
    return [{"role": m.role, "content": m.content} for m in messages] if messages else side


def _check_same_question(context: Conversation, fields: Fields, notes: Notes) -> Conversation:
    """The conversation that both sides begin with. ValueError if the row's own prompt is another one."""
    other = parse_conversation(fields, "ranking", notes)
    if other is None:
        system = fields.get("system", "system_prompt") or ""
        return Conversation(context.system or system, context.users, context.answers, context.trained)
    users = [string_of(user, "user text") for user in context.users]
    asked = [string_of(user, "user text") for user in other.users]
    same = asked == users and len(other.answers) in (0, len(context.answers))
    if not same and not (len(asked) == 1 and not other.answers and asked[0] in (users[0], users[-1])):
        raise ValueError(f"found prompt {preview(asked[-1])} and chosen that asks {preview(users[-1])}, expected one")
    if context.system and other.system and context.system != other.system:
        raise ValueError("found two system texts, expected one")
    return Conversation(context.system or other.system, context.users, context.answers, context.trained)


def answer_text(value: Any, key: str) -> str:
    """The text of a string, of a message, or of the last message of a list."""
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, dict):
        (message,) = parse_messages([value], key, "ranking", Notes())
        if message.role != "assistant":
            raise ValueError(f"found a message of {message.role} in {key}, expected one of the assistant")
        value = message.content
    return text_of(value, key)


def _answer(value: Any) -> Any:
    """The text of an answer that is a message."""
    return answer_text(value, "responses") if isinstance(value, dict | list) else value


# ---- the published ranking tool


def is_ranking_tool(columns: Sequence[str]) -> bool:
    """Whether a table has the columns that the tool writes: id query history rank1 rank2 …"""
    ranks = [f"rank{n}" for n in range(1, len(columns) - 2)]
    return len(ranks) > 1 and list(columns) == ["id", "query", "history", *ranks]


class RankingToolInput:
    """The tool's input file, which restores what its table lost.

    The tool is given the rank of each answer, and stores answer number `rank` in the place of each: the permutation
    instead of its inverse. Of the 24 orders of four answers 14 come out wrong.
    """

    def __init__(self, file: str | Path):
        self.file = file
        try:
            self._items = json.loads(Path(file).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ValueError(f"--ranking-tool-input {file}: cannot be read ({error.strerror})") from None
        except ValueError:
            self._items = None
        if not isinstance(self._items, dict) or not all(isinstance(item, dict) for item in self._items.values()):
            raise ValueError(
                f"--ranking-tool-input {file}: expected one JSON object of questions by id, as the tool reads"
            )

    def restore(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the tool's table in its true order. ValueError if the input does not hold its answers."""
        item = self._items.get(str(row.get("id")).strip())
        if item is None or str(item.get("query")).strip() != str(row.get("query")).strip():
            raise ValueError(f"found id {preview(row.get('id'))}, expected one of --ranking-tool-input {self.file}")
        responses = [
            str(item[name]).strip() for name in takewhile(item.__contains__, (f"response_{n}" for n in count()))
        ]
        names = list(takewhile(row.__contains__, (f"rank{n}" for n in count(1))))
        stored = [str(row[name]).strip() for name in names]
        if sorted(stored) != sorted(responses):
            raise ValueError(f"found answers that are not those of --ranking-tool-input {self.file}, expected the same")
        if len(set(responses)) < len(responses):
            raise ValueError("found answers with equal texts, whose order cannot be restored")
        # stored[i] = responses[rank of answer i - 1], so the place of stored[i] among the responses is that rank
        best_first = sorted(range(len(stored)), key=lambda i: responses.index(stored[i]))
        return row | {name: responses[index] for name, index in zip(names, best_first, strict=True)}
