"""One row of a data file → its records. The row's keys determine the format.

A conversation is any of
    {"messages": [{"role": "user", "content": "…"}, …]}                    zj's own, OpenAI, trl; a bare list too
    {"conversations": [{"from": "human", "value": "…"}, …]}                ShareGPT; also conversation, dialogue
    {"instruction": "…", "input": "", "output": "…", "history": [["…", "…"], …]}    alpaca, CMtMedQA
    {"instruct": "…", "output": "…"}, {"query": "…", "response": "…"}, {"question": "…", "answer": "…"}
    {"input": "…", "target": "…"}, {"title": "…", "ask": "…", "answer": "…"}, {"问": "…", "答": "…"}
    {"question": "…", "option": {"A": "…", …}, "answer": "A"}              multiple choice (zj.data.choice); columns too
    {"instruction": ["…"], "output": ["…"]}                                Huatuo-26M test set, Ziya: lists are turns
    {"questions": [["…", "…"]], "answers": ["…"]}                          Huatuo-26M: wordings of one question
    {"instruction": " <user>: … <bot>: … <user>: …", "output": "…"}        BenTsao: turns in one text
    {"data": ["问：…", "答：…"]}                                            HuatuoGPT
A message with `weight` 0 (or `loss`, `train` false) is context and not trained on.
A prompt is a conversation (its last answer, if there is one, is ignored), or {"prompt": "…"}.
A ranking is a prompt with `responses` and `ranks` or `scores`, with `rank1`, `rank2`, … (best first), with a list in
`output` (Zhongjing, best first), with `completions` (UltraFeedback), or with a pair: `chosen`/`rejected`,
`response_chosen`/`response_rejected`, `preferred_output`/`non_preferred_output`.
Candidates are a prompt with 2 to 8 answers that nobody has ranked: `responses`, or `response_0`, `response_1`, … (the
input of the published ranking tool, an object of rows by id); `models` and `source` may stand beside them.
A document is {"text": "…"}, {"prompt": "…"} (Zhongjing's pre-training rows), {"entity": "…", "relations": {"…": ["…"]}}
(a knowledge graph such as CMeKG), or a conversation, its turns joined.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from json.encoder import encode_basestring_ascii
from typing import Any

from zj.data.candidates import parse_candidates
from zj.data.conversation import UNANSWERED, Conversation, parse_conversation
from zj.data.fields import (
    Fields,
    Notes,
    Row,
    check_unread,
    is_empty,
    is_trained,
    message_text,
    preview,
    string_of,
    text_of,
)
from zj.data.rankings import RANKING_KEYS, parse_ranking, shared_beginning
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, Record, Turn

DEPARTMENT_KEYS = ("department", "cate1", "科室")
# CMtMedQA writes a missing department as the string "nan" and one of its fourteen in two ways.
DEPARTMENT_ALIASES = {"nan": "", "传染科": "传染病科"}
WORDING = "further wordings of a question, each a record of its own"
EXAMPLES = {
    "document": '{"text": "…"}',
    "dialogue": '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
    "prompt": '{"prompt": "…"}',
    "ranking": '{"prompt": "…", "responses": ["…", "…"], "ranks": [1, 2]}',
    "candidates": '{"prompt": "…", "responses": ["…", "…"]}',
}


def to_records(row: Any, kind: str, where: str, notes: Notes) -> list[Record]:
    """Read one row as `kind`: one record, or one for each wording of its question.

    What was changed and ignored goes into `notes`. Raises ValueError("found …, expected …"); the caller adds file and
    line.
    """
    if isinstance(row, list):
        row = {"messages": row}
    if isinstance(row, str) and kind in ("document", "prompt"):
        row = {"text" if kind == "document" else "prompt": row}
    if not isinstance(row, dict):
        raise ValueError(f"found {preview(row)}, expected an object such as {EXAMPLES[kind]}")
    records: list[Record] = []
    for number, (part, first) in enumerate(_wordings(row), 1):
        fields = Fields(part)
        own = fields.get("split_by")
        split_by = first or ("" if own is None else text_of(own, "split_by"))
        place = f"{where} (wording {number})" if number > 1 else where
        if number > 1:
            notes.changes[WORDING] += 1
        cut = fields.get("truncated_cells") or ()
        records.append(MAKERS[kind](fields, place, split_by, notes))
        if cut and not {str(name).lower() for name in cut} <= {name for name, _ in fields.unread()}:
            raise ValueError(f"found truncated_cells = {preview(cut)}, expected whole texts")
        check_unread(fields, _kind_of_fields(fields, kind), notes)
    return records


def _wordings(row: Row) -> list[tuple[Row, str]]:
    """(row, the question that decides the split): one for each wording of Huatuo-26M's questions."""
    questions, answers = row.get("questions"), row.get("answers")
    if questions is None or answers is None:
        return [(row, "")]
    lists = isinstance(questions, list) and isinstance(answers, list)
    texts = [t for q in questions for t in (q if isinstance(q, list) else [q])] if lists else []
    if not texts or len(answers) != 1:
        raise ValueError(
            f"found questions = {preview(questions)} and answers = {preview(answers)}, "
            'expected wordings of one question and its answer: [["…", "…"]] and ["…"]'
        )
    rest = {key: value for key, value in row.items() if key not in ("questions", "answers")}
    beside = [key for key in rest if key.strip().lower() in ("question", "answer") and not is_empty(rest[key])]
    if beside:
        raise ValueError(f"found {beside[0]} = {preview(rest[beside[0]])} beside questions, expected one of them")
    first = text_of(texts[0], "wording 1")
    wordings = [text_of(text, f"wording {number}") for number, text in enumerate(texts, 1)]
    return [({**rest, "question": text, "answer": answers[0]}, "" if text == first else first) for text in wordings]


def _kind_of_fields(fields: Fields, kind: str) -> str:
    """Of a document that is made of a dialogue, the fields of a dialogue matter."""
    return "dialogue" if kind == "document" and not {"text", "entity"} & set(fields.values) else kind


# ---- the kinds


def _document(fields: Fields, where: str, split_by: str, notes: Notes) -> Document:
    if "text" in fields:
        text = text_of(fields.get("text"), "text")
        return Document(_id(fields, text), text, where)
    if "entity" in fields and "relations" in fields:
        text = text_of(_entity_text(text_of(fields.get("entity"), "entity"), fields.get("relations")), "relations")
        return Document(_id(fields, text), text, where)
    conversation = _conversation(fields, "document", notes)
    unranked = RANKING_KEYS.isdisjoint(fields.values)
    if conversation.awaits_answer and "prompt" in fields and len(conversation.users) == 1 and unranked:
        text = text_of(conversation.users[0], "prompt")
    else:
        turns, trained = _answered(conversation, fields, "document", notes)
        if trained:
            raise ValueError("found an answer with weight 0, expected a document to train on as a whole")
        system = string_of(conversation.system, "system")
        text = "\n".join([*([system] if system else []), *(part for turn in turns for part in turn)])
    return Document(_id(fields, text), text, where)


def _entity_text(entity: str, relations: Any) -> str:
    """A knowledge graph's entity as text: 高血压。常见症状：乏力、头晕。"""
    if not isinstance(relations, dict) or not all(isinstance(values, list) and values for values in relations.values()):
        raise ValueError(f"found relations = {preview(relations)}, expected an object of lists")
    facts = (f"{name}：{'、'.join(text_of(value, name) for value in values)}。" for name, values in relations.items())
    return f"{entity}。\n" + "\n".join(facts)


def _dialogue(fields: Fields, where: str, split_by: str, notes: Notes) -> Dialogue:
    conversation = _conversation(fields, "dialogue", notes)
    system = string_of(conversation.system, "system")
    turns, trained = _answered(conversation, fields, "dialogue", notes)
    id = _id(fields, system, *(user for user, _ in turns))
    return Dialogue(id, turns, system, _department(fields), where, trained, split_by)


def _prompt(fields: Fields, where: str, split_by: str, notes: Notes) -> Prompt:
    conversation = shared_beginning(fields, notes) or _conversation(fields, "prompt", notes)
    return _last_turn(fields, conversation, where, split_by)


def _ranking(fields: Fields, where: str, split_by: str, notes: Notes) -> Ranking:
    parsed = parse_ranking(fields, notes)
    if parsed is None:
        raise _unknown(fields, "ranking")
    answers, ranks, conversation = parsed
    prompt = _last_turn(fields, _awaiting(conversation), where, split_by)
    return Ranking(prompt.id, prompt, answers, ranks, where)


def _candidates(fields: Fields, where: str, split_by: str, notes: Notes) -> Candidates:
    parsed = parse_candidates(fields, notes)
    if parsed is None:
        raise _unknown(fields, "candidates")
    answers, models, source, conversation = parsed
    prompt = _last_turn(fields, _awaiting(conversation), where, split_by)
    return Candidates(prompt.id, prompt, answers, models, source, where)


def _awaiting(conversation: Conversation) -> Conversation:
    """The conversation, whose last turn is the user's. ValueError for any other: its answer is not among the given."""
    if not conversation.awaits_answer:
        raise ValueError("found an answer before those to rank, expected a last turn of the user")
    return conversation


MAKERS: dict[str, Callable[[Fields, str, str, Notes], Record]] = {
    "document": _document,
    "dialogue": _dialogue,
    "prompt": _prompt,
    "ranking": _ranking,
    "candidates": _candidates,
}


# ---- parts of a record


def _conversation(fields: Fields, kind: str, notes: Notes) -> Conversation:
    conversation = parse_conversation(fields, kind, notes)
    if conversation is None:
        raise _unknown(fields, kind)
    return conversation


def _unknown(fields: Fields, kind: str) -> ValueError:
    keys = ", ".join(preview(key).strip('"') for key in list(fields.names)[:8]) or "none"
    return ValueError(
        f"found keys {keys}, expected {kind if kind == 'candidates' else f'a {kind}'} such as {EXAMPLES[kind]}"
    )


def _answered(
    conversation: Conversation, fields: Fields, kind: str, notes: Notes
) -> tuple[tuple[Turn, ...], tuple[bool, ...]]:
    """(turns, which of their answers are trained on; (): all). A last question without an answer is left out."""
    users, answers, trained = conversation.users, conversation.answers, conversation.trained
    if not answers:
        raise ValueError(f"found no answer to the last user turn, expected a {kind} such as {EXAMPLES[kind]}")
    if conversation.awaits_answer:
        users = users[:-1]
        notes.changes[UNANSWERED] += 1
    if not any(trained) or not is_trained(fields, "of the row"):
        raise ValueError("found no answer that is trained on (weight 0), expected at least one")
    return _turns(users, answers), () if all(trained) else tuple(trained)


def _last_turn(fields: Fields, conversation: Conversation, where: str, split_by: str) -> Prompt:
    """The last user turn with the turns before it; its own answer is ignored."""
    system = string_of(conversation.system, "system")
    past = len(conversation.users) - 1
    history = _turns(conversation.users[:past], conversation.answers[:past])
    user = message_text(conversation.users[past], f"user text in turn {past + 1}")
    id = _id(fields, system, *(question for question, _ in history), user)
    return Prompt(id, user, history, system, where, split_by, _department(fields))


def _turns(users: list[Any], answers: list[Any]) -> tuple[Turn, ...]:
    return tuple(
        (message_text(user, f"user text in turn {n}"), message_text(answer, f"answer in turn {n}"))
        for n, (user, answer) in enumerate(zip(users, answers, strict=True), 1)
    )


def _department(fields: Fields) -> str:
    fields.read(DEPARTMENT_KEYS)
    found = fields.present(DEPARTMENT_KEYS)
    name = string_of(fields.values[found[0]], "department") if found else ""
    return DEPARTMENT_ALIASES.get(name, name)


def _id(fields: Fields, *texts: str) -> str:
    """The row's own id, else a hash of the question. For people only: no split uses it (zj.data.held_out)."""
    row_id = fields.get("id")
    if isinstance(row_id, int | float) and not isinstance(row_id, bool):
        return str(row_id)
    if isinstance(row_id, str) and not is_empty(row_id):
        return string_of(row_id, "id")
    dumped = "[" + ", ".join(map(encode_basestring_ascii, texts)) + "]"  # json.dumps(texts), in a third of its time
    return blake2b(dumped.encode(), digest_size=8).hexdigest()
