"""One row of a data file → one record. The row's keys determine the format.

A conversation is any of
    {"messages": [{"role": "user", "content": "…"}, …]}                    zj's own, OpenAI, trl
    {"conversations": [{"from": "human", "value": "…"}, …]}                ShareGPT
    {"instruction": "…", "input": "", "output": "…", "history": [["…", "…"], …]}    alpaca, CMtMedQA
    {"instruct": "…", "output": "…"}, {"query": "…", "response": "…"}, {"question": "…", "answer": "…"}
    {"instruction": ["…"], "output": ["…"]}                                Huatuo-26M, Ziya: lists are turns
    {"data": ["问：…", "答：…"]}                                            HuatuoGPT
A prompt is a conversation (its last answer, if there is one, is ignored), or {"prompt": "…"}.
A ranking is a prompt with `responses` and `ranks`, or `rank1`, `rank2`, … (the label tool's table, best first), or
`chosen`/`rejected`, `response_chosen`/`response_rejected`, `preferred_output`/`non_preferred_output`.
A document is {"text": "…"}, {"prompt": "…"} (Zhongjing's pre-training rows), {"entity": "…", "relations": {"…": ["…"]}}
(a knowledge graph such as CMeKG), or a conversation, its turns joined.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from itertools import accumulate, count, takewhile
from typing import Any

from zj.data.conversation import Conversation, Row, answer_text, parse_conversation, preview, string_of, text_of
from zj.data.records import Dialogue, Document, Prompt, Ranking, Record, Turn

DEPARTMENT_KEYS = ("department", "cate1", "Department")
# CMtMedQA writes a missing department as the string "nan" and one of its fourteen in two ways.
DEPARTMENT_ALIASES = {"nan": "", "传染科": "传染病科"}
PAIR_KEYS = (
    ("chosen", "rejected"),
    ("response_chosen", "response_rejected"),
    ("preferred_output", "non_preferred_output"),
)
RANKING_KEYS = {"responses", "response_0", "rank1", *(better for better, _ in PAIR_KEYS)}
EXAMPLES = {
    "document": '{"text": "…"}',
    "dialogue": '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    "prompt": '{"prompt": "…"}',
    "ranking": '{"prompt": "…", "responses": ["…", "…"], "ranks": [1, 2]}',
}


def to_record(row: Any, kind: str, where: str = "") -> Record:
    """Read one row as `kind`. Raises ValueError("found …, expected …"); the caller adds file and line."""
    if not isinstance(row, dict):
        raise ValueError(f"found {preview(row)}, expected an object such as {EXAMPLES[kind]}")
    return MAKERS[kind](row, where)


def _document(row: Row, where: str) -> Document:
    if "text" in row:
        text = text_of(row["text"], "text")
        return Document(_id(row, text), text, where)
    if "entity" in row and "relations" in row:
        text = _entity_text(text_of(row["entity"], "entity"), row["relations"])
        return Document(_id(row, text), text, where)
    conversation = _conversation(row, "document")
    if conversation.awaits_answer and "prompt" in row and len(conversation.users) == 1 and RANKING_KEYS.isdisjoint(row):
        text = text_of(conversation.users[0], "prompt")
    else:
        text = "\n".join(part for turn in _answered(conversation, "document") for part in turn)
    return Document(_id(row, text), text, where)


def _entity_text(entity: str, relations: Any) -> str:
    """A knowledge graph's entity as text: 高血压。常见症状：乏力、头晕。"""
    if not isinstance(relations, dict) or not all(isinstance(values, list) and values for values in relations.values()):
        raise ValueError(f"found relations = {preview(relations)}, expected an object of lists")
    facts = (f"{name}：{'、'.join(text_of(value, name) for value in values)}。" for name, values in relations.items())
    return f"{entity}。\n" + "\n".join(facts)


def _dialogue(row: Row, where: str) -> Dialogue:
    conversation = _conversation(row, "dialogue")
    system, turns = string_of(conversation.system, "system"), _answered(conversation, "dialogue")
    return Dialogue(_id(row, system, *(user for user, _ in turns)), turns, system, _department(row), where)


def _prompt(row: Row, where: str) -> Prompt:
    return _last_turn(row, _conversation(row, "prompt"), where)


def _ranking(row: Row, where: str) -> Ranking:
    answers, ranks = _answers_and_ranks(row)
    _check_equal_answers_tie(answers, ranks)
    conversation = _conversation(row, "ranking")
    if not conversation.awaits_answer:
        raise ValueError("found an answer before the ranked ones, expected a last turn of the user")
    prompt = _last_turn(row, conversation, where)
    return Ranking(prompt.id, prompt, answers, ranks, where)


MAKERS: dict[str, Callable[[Row, str], Record]] = {
    "document": _document,
    "dialogue": _dialogue,
    "prompt": _prompt,
    "ranking": _ranking,
}


# ---- rankings


def _answers_and_ranks(row: Row) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if "responses" in row and "ranks" in row:
        return _from_responses(row["responses"], row["ranks"])
    if "rank1" in row:
        texts = [row[key] for key in takewhile(row.__contains__, (f"rank{n}" for n in count(1)))]
        if len(texts) < 2:
            raise ValueError("found only rank1, expected rank2 as well")
        answers = tuple(text_of(text, f"rank{n}") for n, text in enumerate(texts, 1))
        # Equal neighbours tie: the table has no ties, and the label tool also shows identical answers.
        tied = [n > 0 and answers[n] == answers[n - 1] for n in range(len(answers))]
        return answers, tuple(accumulate((0 if tie else n for n, tie in enumerate(tied, 1)), max))
    for better, worse in PAIR_KEYS:
        if better in row and worse in row:
            pair = (answer_text(row[better], better), answer_text(row[worse], worse))
            if pair[0] == pair[1]:
                raise ValueError(f"found {better} and {worse} alike, expected two different answers")
            return pair, (1, 2)
    if "responses" in row or "response_0" in row:
        raise ValueError("found answers without ranks (they can be read as prompts), expected ranks beside them")
    raise _unknown(row, "ranking")


def _from_responses(responses: Any, ranks: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not isinstance(responses, list) or len(responses) < 2:
        raise ValueError(f"found responses = {preview(responses)}, expected a list of at least two")
    valid = isinstance(ranks, list) and all(type(rank) is int and 1 <= rank < 2**31 for rank in ranks)
    if not valid or len(ranks) != len(responses):
        raise ValueError(f"found ranks = {preview(ranks)}, expected {len(responses)} whole numbers from 1 (best) on")
    return tuple(text_of(text, f"response {n}") for n, text in enumerate(responses, 1)), tuple(ranks)


def _check_equal_answers_tie(answers: tuple[str, ...], ranks: tuple[int, ...]) -> None:
    rank_of: dict[str, int] = {}
    for text, rank in zip(answers, ranks, strict=True):
        if rank_of.setdefault(text, rank) != rank:
            raise ValueError(f"found one answer at ranks {rank_of[text]} and {rank}, expected equal answers to tie")


# ---- parts of a record


def _conversation(row: Row, kind: str) -> Conversation:
    conversation = parse_conversation(row)
    if conversation is None:
        raise _unknown(row, kind)
    return conversation


def _unknown(row: Row, kind: str) -> ValueError:
    keys = ", ".join(preview(key).strip('"') for key in list(row)[:8]) or "none"
    return ValueError(f"found keys {keys}, expected a {kind} such as {EXAMPLES[kind]}")


def _answered(conversation: Conversation, kind: str) -> tuple[Turn, ...]:
    if conversation.awaits_answer:
        raise ValueError(f"found no answer to the last user turn, expected a {kind} such as {EXAMPLES[kind]}")
    return _turns(conversation.users, conversation.answers)


def _last_turn(row: Row, conversation: Conversation, where: str) -> Prompt:
    """The last user turn with the turns before it; its own answer is ignored."""
    system = string_of(conversation.system, "system")
    past = len(conversation.users) - 1
    history = _turns(conversation.users[:past], conversation.answers[:past])
    user = text_of(conversation.users[past], f"user text in turn {past + 1}")
    return Prompt(_id(row, system, *(question for question, _ in history), user), user, history, system, where)


def _turns(users: list[Any], answers: list[Any]) -> tuple[Turn, ...]:
    turns = enumerate(zip(users, answers, strict=True), 1)
    return tuple((text_of(u, f"user text in turn {n}"), text_of(a, f"answer in turn {n}")) for n, (u, a) in turns)


def _department(row: Row) -> str:
    name = string_of(next((row[key] for key in DEPARTMENT_KEYS if row.get(key)), ""), "department")
    return DEPARTMENT_ALIASES.get(name, name)


def _id(row: Row, *texts: str) -> str:
    """The row's own id, else a hash of the question. For people only: no split uses it (zj.data.held_out)."""
    row_id = row.get("id")
    if isinstance(row_id, int | float) and not isinstance(row_id, bool):
        return str(row_id)
    if isinstance(row_id, str) and row_id.strip():
        return string_of(row_id, "id")
    return blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()
