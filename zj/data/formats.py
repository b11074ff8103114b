"""One row of a data file → one record. Its keys tell the format; there is no flag for it.

A conversation is any of
    {"messages": [{"role": "user", "content": "…"}, …]}                    zj's own, OpenAI, trl
    {"conversations": [{"from": "human", "value": "…"}, …]}                ShareGPT
    {"instruction": "…", "input": "", "output": "…", "history": [["…", "…"], …]}    alpaca, CMtMedQA
    {"instruct": "…", "output": "…"}, {"query": "…", "response": "…"}, {"question": "…", "answer": "…"}
    {"instruction": ["…"], "output": ["…"]}                                Huatuo-26M, Ziya: lists are turns
    {"data": ["问：…", "答：…"]}                                            HuatuoGPT
A prompt is a conversation whose last answer is missing or ignored, or {"prompt": "…"}.
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

from zj.data.conversation import Conversation, Row, answer_text, conversation, shown, string_of, text_of
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
    """Read one row as `kind`. Raises ValueError("found …, expected …"); the caller knows the file and the line."""
    if not isinstance(row, dict):
        raise ValueError(f"found {shown(row)}, expected an object such as {EXAMPLES[kind]}")
    return MAKERS[kind](row, where)


def _document(row: Row, where: str) -> Document:
    if "text" in row:
        text = text_of(row["text"], "text")
        return Document(_id(row, text), text, where)
    if "entity" in row and "relations" in row:
        text = _entry(text_of(row["entity"], "entity"), row["relations"])
        return Document(_id(row, text), text, where)
    talk = _conversation(row, "document")
    if talk.waits and "prompt" in row and len(talk.users) == 1 and RANKING_KEYS.isdisjoint(row):
        text = text_of(talk.users[0], "prompt")
    else:
        text = "\n".join(part for turn in _answered(talk, "document") for part in turn)
    return Document(_id(row, text), text, where)


def _entry(entity: str, relations: Any) -> str:
    """A knowledge graph's entity as the running text of an encyclopaedia: 高血压。常见症状：乏力、头晕。"""
    if not isinstance(relations, dict) or not all(isinstance(values, list) and values for values in relations.values()):
        raise ValueError(f"found relations = {shown(relations)}, expected an object of lists")
    facts = (f"{name}：{'、'.join(text_of(value, name) for value in values)}。" for name, values in relations.items())
    return f"{entity}。\n" + "\n".join(facts)


def _dialogue(row: Row, where: str) -> Dialogue:
    talk = _conversation(row, "dialogue")
    system, turns = string_of(talk.system, "system"), _answered(talk, "dialogue")
    return Dialogue(_id(row, system, *(user for user, _ in turns)), turns, system, _department(row), where)


def _prompt(row: Row, where: str) -> Prompt:
    return _last_turn(row, _conversation(row, "prompt"), where)


def _ranking(row: Row, where: str) -> Ranking:
    answers, ranks = _answers_and_ranks(row)
    _refuse_contradiction(answers, ranks)
    talk = _conversation(row, "ranking")
    if not talk.waits:
        raise ValueError("found an answer before the ranked ones, expected a last turn of the user")
    prompt = _last_turn(row, talk, where)
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
        return _explicit(row["responses"], row["ranks"])
    if "rank1" in row:
        found = [row[key] for key in takewhile(row.__contains__, (f"rank{n}" for n in count(1)))]
        if len(found) < 2:
            raise ValueError("found only rank1, expected rank2 as well")
        answers = tuple(text_of(text, f"rank{n}") for n, text in enumerate(found, 1))
        # Neighbours of one text are a tie: the table cannot say so, and the tool shows identical answers to be ranked.
        same = [n > 0 and answers[n] == answers[n - 1] for n in range(len(answers))]
        return answers, tuple(accumulate((0 if tie else n for n, tie in enumerate(same, 1)), max))
    for better, worse in PAIR_KEYS:
        if better in row and worse in row:
            pair = (answer_text(row[better], better), answer_text(row[worse], worse))
            if pair[0] == pair[1]:
                raise ValueError(f"found {better} and {worse} alike, expected two different answers")
            return pair, (1, 2)
    if "responses" in row or "response_0" in row:
        raise ValueError("found answers without ranks (they can be read as prompts), expected ranks beside them")
    raise _unknown(row, "ranking")


def _explicit(responses: Any, ranks: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not isinstance(responses, list) or len(responses) < 2:
        raise ValueError(f"found responses = {shown(responses)}, expected a list of at least two")
    whole = isinstance(ranks, list) and all(type(rank) is int and 1 <= rank < 2**31 for rank in ranks)
    if not whole or len(ranks) != len(responses):
        raise ValueError(f"found ranks = {shown(ranks)}, expected {len(responses)} whole numbers from 1 (best) on")
    return tuple(text_of(text, f"response {n}") for n, text in enumerate(responses, 1)), tuple(ranks)


def _refuse_contradiction(answers: tuple[str, ...], ranks: tuple[int, ...]) -> None:
    found: dict[str, int] = {}
    for text, rank in zip(answers, ranks, strict=True):
        if found.setdefault(text, rank) != rank:
            raise ValueError(f"found one answer at ranks {found[text]} and {rank}, expected equal answers to tie")


# ---- parts of a record


def _conversation(row: Row, kind: str) -> Conversation:
    talk = conversation(row)
    if talk is None:
        raise _unknown(row, kind)
    return talk


def _unknown(row: Row, kind: str) -> ValueError:
    keys = ", ".join(shown(key).strip('"') for key in list(row)[:8]) or "none"
    return ValueError(f"found keys {keys}, expected a {kind} such as {EXAMPLES[kind]}")


def _answered(talk: Conversation, kind: str) -> tuple[Turn, ...]:
    if talk.waits:
        raise ValueError(f"found no answer to the last user turn, expected a {kind} such as {EXAMPLES[kind]}")
    return _turns(talk.users, talk.answers)


def _last_turn(row: Row, talk: Conversation, where: str) -> Prompt:
    """The last user turn with what was said before it; an answer to it is not even looked at."""
    system = string_of(talk.system, "system")
    past = len(talk.users) - 1
    history = _turns(talk.users[:past], talk.answers[:past])
    user = text_of(talk.users[past], f"user text in turn {past + 1}")
    return Prompt(_id(row, system, *(asked for asked, _ in history), user), user, history, system, where)


def _turns(users: list[Any], answers: list[Any]) -> tuple[Turn, ...]:
    turns = enumerate(zip(users, answers, strict=True), 1)
    return tuple((text_of(u, f"user text in turn {n}"), text_of(a, f"answer in turn {n}")) for n, (u, a) in turns)


def _department(row: Row) -> str:
    name = string_of(next((row[key] for key in DEPARTMENT_KEYS if row.get(key)), ""), "department")
    return DEPARTMENT_ALIASES.get(name, name)


def _id(row: Row, *asked: str) -> str:
    """A name for people: the row's own id, else a hash of what is asked. No split looks at it (zj.data.held_out)."""
    given = row.get("id")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    if isinstance(given, str) and given.strip():
        return string_of(given, "id")
    return blake2b(json.dumps(asked).encode(), digest_size=8).hexdigest()
