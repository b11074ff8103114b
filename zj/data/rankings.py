"""The ranked answers in one row, and the published ranking tool's table, whose order is restored from its input."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, count, takewhile
from pathlib import Path
from typing import Any

from zj.data.conversation import QUESTION_KEYS, Conversation, arrange, one_system, parse_conversation
from zj.data.fields import SYSTEM_KEYS, Fields, Notes, check_unread, is_empty, message_text, preview, string_of
from zj.data.messages import is_marked, parse_messages, turns_in_text, unpacked

PAIR_KEYS = (
    ("chosen", "rejected"),
    ("response_chosen", "response_rejected"),
    ("preferred_output", "non_preferred_output"),
)
RANKING_KEYS = {"responses", "response_0", "rank1", "completions", *(better for better, _ in PAIR_KEYS)}
SCORE_KEYS = ("scores", "score", "overall_score", "rating")
RANKED = {"responses", "rank1", *(better for better, _ in PAIR_KEYS)}  # of these, prompts are read as well


@dataclass(frozen=True)
class Ranked:
    """Answers as a row holds them: texts, messages, lists of messages, whole conversations."""

    answers: list[Any]
    names: list[str]  # of each answer, for messages
    ranks: tuple[int, ...]  # of each answer; 1 is best. (): best to worst, equal neighbours tie


def parse_ranking(fields: Fields, notes: Notes) -> tuple[tuple[str, ...], tuple[int, ...], Conversation] | None:
    """(answers, ranks, conversation before them); None if the keys match no format.

    Raises ValueError for answers or ranks that cannot be, and for answers to two different questions.
    """
    ranked = _ranked(fields)
    if ranked is None:
        if "responses" in fields or "response_0" in fields:
            raise ValueError(
                "found answers without ranks (they can be read as candidates or prompts), expected ranks beside them"
            )
        return None
    before, answers = last_answers(ranked, fields, notes)
    texts = tuple(answer_text(answer, name) for answer, name in zip(answers, ranked.names, strict=True))
    ranks = ranked.ranks or _best_to_worst(texts)
    if len(texts) == 2 and texts[0] == texts[1] and "chosen" in ranked.names[0]:
        raise ValueError(f"found {' and '.join(ranked.names)} alike, expected two different answers")
    _check_equal_answers_tie(texts, ranks)
    conversation = before or parse_conversation(fields, "ranking", notes)
    return None if conversation is None else (texts, ranks, conversation)


def shared_beginning(fields: Fields, notes: Notes) -> Conversation | None:
    """What the whole conversations in a row of ranked answers share; None for any other row.

    ValueError if they begin differently, or if the row's own prompt is another question.
    """
    if RANKED.isdisjoint(fields.values):
        return None
    names = set(fields.values)
    ranked = _ranked(fields, ranks_matter=False)
    before = last_answers(ranked, fields, notes)[0] if ranked else None
    if before is None:
        notes.ignored.update(sorted(names - fields.values.keys()))
    return before


def _ranked(fields: Fields, ranks_matter: bool = True) -> Ranked | None:
    """The answers of a row, which are then no longer among its fields."""
    keys = next((keys for keys in PAIR_KEYS if all(key in fields for key in keys)), None)
    if "responses" in fields and (not ranks_matter or "ranks" in fields or "scores" in fields):
        given, ranks, scores = fields.pop("responses"), fields.pop("ranks"), fields.get("scores")
        if not ranks_matter:
            return _named("response", given) if isinstance(given, list) and given else None
        return _from_lists(given, ranks, scores)
    if "completions" in fields:
        return _from_scored(fields.pop("completions")) if ranks_matter else None
    if "rank1" in fields:
        names = list(takewhile(fields.__contains__, (f"rank{n}" for n in count(1))))
        _check_no_scores(fields, "rank1")
        if ranks_matter and len(names) < 2:
            raise ValueError(f"found only {names[0]}, expected two answers or more (rank1, rank2, …)")
        return Ranked([fields.pop(name) for name in names], names, ())
    output = fields.values.get("output")
    if isinstance(output, list) and not isinstance(fields.values.get("instruction"), list) and ranks_matter:
        _check_no_scores(fields, "a list in output")
        if len(output) < 2:
            raise ValueError(f"found only output {len(output)}, expected two answers or more")
        return _named("output", fields.pop("output"))
    if keys:
        return Ranked([fields.pop(key) for key in keys], list(keys), _ranks_of_pair(fields) if ranks_matter else ())
    return None


def _check_no_scores(fields: Fields, beside: str) -> None:
    if not is_empty(fields.values.get("scores")):
        raise ValueError(f"found scores beside {beside}, which says what is best: expected one order")


def _named(name: str, answers: list[Any], ranks: tuple[int, ...] = ()) -> Ranked:
    return Ranked(answers, [f"{name} {n}" for n in range(1, len(answers) + 1)], ranks)


def _from_lists(responses: Any, ranks: Any, scores: Any) -> Ranked:
    if not isinstance(responses, list) or len(responses) < 2:
        raise ValueError(f"found responses = {preview(responses)}, expected a list of at least two")
    if ranks is None:
        return _named("response", responses, _ranks_by_score(scores, len(responses)))
    valid = isinstance(ranks, list) and all(type(rank) is int and 1 <= rank < 2**31 for rank in ranks)
    if not valid or len(ranks) != len(responses):
        raise ValueError(f"found ranks = {preview(ranks)}, expected {len(responses)} whole numbers from 1 (best) on")
    return _named("response", responses, tuple(ranks))


def _from_scored(completions: Any) -> Ranked:
    """UltraFeedback: [{"response": "…", "overall_score": 8.5}, …]"""
    if not isinstance(completions, list) or not all(isinstance(item, dict) for item in completions):
        raise ValueError(f"found completions = {preview(completions)}, expected a list of objects with a score")
    parts = [Fields(item) for item in completions]
    by = {name for part in parts for name in part.present(SCORE_KEYS)}
    if len(by) > 1 and not all(by <= part.values.keys() for part in parts):
        raise ValueError(f"found completions with {' and '.join(sorted(by))}, expected one score of all")
    answers = [part.get("response", "text", "content", "completion") for part in parts]
    scores = [part.get(*SCORE_KEYS) for part in parts]
    for part in parts:
        check_unread(part, "ranking", Notes(), "completions.")
    return _from_lists(answers, None, scores)


def _ranks_of_pair(fields: Fields) -> tuple[int, ...]:
    better, worse = (fields.values.get(key) for key in ("score_chosen", "score_rejected"))
    if isinstance(better, int | float) and isinstance(worse, int | float) and better < worse:
        raise ValueError(f"found score_chosen = {better} below score_rejected = {worse}, expected the better one")
    return 1, 2


def _ranks_by_score(scores: Any, number: int) -> tuple[int, ...]:
    """The highest score has rank 1; equal scores tie."""
    valid = isinstance(scores, list) and all(type(score) in (int, float) and math.isfinite(score) for score in scores)
    if not valid or len(scores) != number:
        raise ValueError(f"found scores = {preview(scores)}, expected {number} numbers, the highest of the best answer")
    return tuple(1 + sum(other > score for other in scores) for score in scores)


def _best_to_worst(answers: Sequence[str]) -> tuple[int, ...]:
    """Ranks 1, 2, …; equal neighbours tie: such a table has no ties, and the tools show identical answers too."""
    tied = [n > 0 and answers[n] == answers[n - 1] for n in range(len(answers))]
    return tuple(accumulate((0 if tie else n for n, tie in enumerate(tied, 1)), max))


def _check_equal_answers_tie(answers: tuple[str, ...], ranks: tuple[int, ...]) -> None:
    rank_of: dict[str, int] = {}
    for text, rank in zip(answers, ranks, strict=True):
        if rank_of.setdefault(text, rank) != rank:
            raise ValueError(f"found one answer at ranks {rank_of[text]} and {rank}, expected equal answers to tie")


# ---- answers that are whole conversations


def last_answers(ranked: Ranked, fields: Fields, notes: Notes) -> tuple[Conversation | None, list[Any]]:
    """(what the answers share if they are whole conversations, else None; the answer at the end of each).

    Whole conversations have to share all but the last message, and to agree with the row's own prompt.
    """
    answers = [unpacked(answer) for answer in ranked.answers]
    for key in ("messages", "conversations"):  # "binarized" sets repeat the better conversation
        if key in fields and isinstance(answers[0], list) and fields.values[key] == answers[0]:
            fields.pop(key)
    answers = _marked_answers(answers, ranked, fields)
    whole = [isinstance(answer, list) and len(answer) > 1 for answer in answers]
    if not any(whole):
        return None, answers
    names = ranked.names
    if not all(whole):
        alone = names[whole.index(False)]
        raise ValueError(
            f"found {names[whole.index(True)]} as a conversation and {alone} as an answer, expected one form"
        )
    sides = [parse_messages(side, name, "ranking", notes) for side, name in zip(answers, names, strict=True)]
    for side, name in zip(sides, names, strict=True):
        if side[:-1] != sides[0][:-1]:
            raise ValueError(f"found {names[0]} and {name} with different beginnings, expected one prompt for all")
    return _check_same_question(arrange(sides[0][:-1], "", notes), fields, notes), [side[-1:] for side in answers]


def _marked_answers(answers: list[Any], ranked: Ranked, fields: Fields) -> list[Any]:
    """Whole conversations in texts ("Human: … Assistant: …") as messages; any other answers as they are.

    A text of marked turns may also be an answer that tells a dialogue. It is taken for a conversation if all answers
    are and if programs mark like this, or if the prompt is one too or not there.
    """
    turns = [turns_in_text(answer) for answer in answers]
    if not any(turns):
        return answers
    prompt = fields.present(QUESTION_KEYS)
    in_form = not prompt or turns_in_text(fields.values[prompt[0]]) is not None
    if all(turns) and (in_form or all(map(is_marked, answers))):
        return [[{"role": m.role, "content": m.content} for m in side or []] for side in turns]
    if in_form or any(map(is_marked, answers)):
        raise ValueError(
            f"found turns in the text of {' or '.join(ranked.names[:2])} alone, expected them in all answers"
        )
    return answers


def _check_same_question(context: Conversation, fields: Fields, notes: Notes) -> Conversation:
    """The conversation that all answers begin with. ValueError if the row's own prompt is another one."""
    other = parse_conversation(fields, "ranking", notes)
    system = one_system(context.system, other.system if other else fields.get(*SYSTEM_KEYS))
    if other:
        users = [string_of(user, "user text") for user in context.users]
        questions = [string_of(user, "user text") for user in other.users]
        same = questions == users and _texts(other.answers) == _texts(context.answers)
        if not same and not (len(questions) == 1 and not other.answers and questions[0] in (users[0], users[-1])):
            raise ValueError(f"found prompt {preview(questions[-1])} and answers to {preview(users[-1])}, expected one")
    return Conversation(system, context.users, context.answers, context.trained)


def _texts(answers: Sequence[Any]) -> list[str]:
    return [string_of(answer, "answer") for answer in answers]


def answer_text(value: Any, name: str) -> str:
    """The text of a string, of a message, or of a list with one message, which must count."""
    if isinstance(value, dict | list):
        messages = parse_messages([value] if isinstance(value, dict) else value, name, "answer", Notes())
        if [message.role for message in messages] != ["assistant"]:
            found = f"a message of {messages[0].role}" if len(messages) == 1 else f"{len(messages)} messages"
            raise ValueError(f"found {found} in {name}, expected one of the assistant")
        value = messages[0].content
    return message_text(value, name)


# ---- the published ranking tool


TOOL_COLUMNS = {"id", "query", "history", "rank1", "rank2"}


def is_from_ranking_tool(row: Any) -> bool:
    """Whether a row has the fields that the tool writes: id query history rank1 rank2 …"""
    return isinstance(row, dict) and row.keys() >= TOOL_COLUMNS


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
