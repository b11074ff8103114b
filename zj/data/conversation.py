"""The conversation in one row of a data file: system text, user turns, answers. `zj.data.formats` lists the formats."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zj.data.choice import ask_with_options, take_options
from zj.data.fields import (
    HISTORY_KEYS,
    INPUT_KEYS,
    SYSTEM_KEYS,
    Fields,
    Notes,
    check_unread,
    is_empty,
    literal,
    preview,
    string_of,
)
from zj.data.messages import Message, parse_messages, turns_in_text, unpacked

MESSAGE_KEYS = ("messages", "conversations", "conversation", "dialogue", "dialog", "json_dialogue")
QUESTION_KEYS = (
    "instruction",
    "instruct",
    "query",
    "question",
    "prompt",
    "medical_case",
    "ask",
    "problem",
    "问",
    "问题",
)
ANSWER_KEYS = (
    "output",
    "response",
    "answer",
    "completion",
    "doctor_diagnosis",
    "target",
    "答",
    "答案",
    "回答",
    "reply",
)
TITLE_KEYS = ("title", "标题")
ASKED_AND_SAID = (*QUESTION_KEYS, *ANSWER_KEYS)

# What may be changed in a conversation, as it is told.
JOINED = "messages joined to the one before them by the same speaker"
GREETING = "greetings before the first question, left out"
UNANSWERED = "last questions without an answer, left out"
FROM_TEXT = "texts with marked turns, taken apart into turns"


@dataclass(frozen=True)
class Conversation:
    """A conversation whose speakers alternate; its texts are not validated yet."""

    system: Any
    users: list[Any]  # at least one
    answers: list[Any]  # as many, or one fewer if the last user turn has no answer
    trained: list[bool]  # of each answer: whether it is trained on

    @property
    def awaits_answer(self) -> bool:
        """Whether the last user turn has no answer."""
        return len(self.answers) < len(self.users)


def parse_conversation(fields: Fields, kind: str, notes: Notes) -> Conversation | None:
    """The conversation in a row; None if its keys match no format. Raises ValueError if it is malformed.

    In a `prompt` the last answer does not matter, so nothing is said of it.
    """
    system = one_system(fields.get(*SYSTEM_KEYS), "")
    for key in () if fields.values.keys().isdisjoint(MESSAGE_KEYS) else MESSAGE_KEYS:
        if key in fields:
            messages = parse_messages(fields.get(key), key, kind, notes)
            _check_beside(messages, fields, key, kind)
            return arrange(messages, system, notes)
    if isinstance(fields.values.get("input"), dict):  # OpenAI's preference format
        inner = Fields(fields.get("input"))
        messages = parse_messages(inner.get("messages"), "messages", kind, notes)
        system = one_system(system, inner.get(*SYSTEM_KEYS))
        check_unread(inner, kind, notes, "input.")
        _check_beside(messages, fields, "input", kind)
        return arrange(messages, system, notes)
    questions = fields.present(QUESTION_KEYS)
    if questions:
        return _from_fields(fields, questions, system, kind, notes)
    if fields.present(INPUT_KEYS) and fields.present(ANSWER_KEYS):
        return _from_fields(fields, [], system, kind, notes)
    if "data" in fields:
        return arrange(parse_messages(fields.get("data"), "data", kind, notes), system, notes)
    return None


def _check_beside(messages: list[Message], fields: Fields, key: str, kind: str) -> None:
    """ValueError for a question or an answer beside the messages that does not repeat one of them."""
    whole = "\n".join(message.content for message in messages if isinstance(message.content, str))
    for name in (*QUESTION_KEYS, *(() if kind == "prompt" else ANSWER_KEYS)):
        value = fields.values.get(name)
        if not is_empty(value) and not (isinstance(value, str) and value.strip() in whole):
            raise ValueError(f"found {name} = {preview(value)} beside {key}, expected one of them")
        fields.get(name)


def arrange(messages: list[Message], system: Any, notes: Notes) -> Conversation:
    """Messages → turns, as in real consultations.

    Messages of one speaker in a row are joined by a line end; a greeting of the doctor before the first question is
    left out. Both are noted.
    """
    users: list[Any] = []
    answers: list[Any] = []
    trained: list[bool] = []
    before = ""
    for number, message in enumerate(messages, 1):
        if message.role == "system":
            if before:
                raise ValueError(f"found system as message {number}, expected it as the first one")
            system = one_system(system, message.content)
            continue
        if message.role == before:
            if before == "assistant" and trained and trained[-1] != message.trained:
                raise ValueError(f"found answers in a row with different weights at message {number}, expected one")
            texts = users if before == "user" else answers
            if texts:
                texts[-1] = "\n".join(string_of(text, f"message {number}") for text in (texts[-1], message.content))
            notes.changes[JOINED if texts else GREETING] += 1
        elif message.role == "user":
            users.append(message.content)
        elif users:
            answers.append(message.content)
            trained.append(message.trained)
        else:
            notes.changes[GREETING] += 1
        before = message.role
    if not users:
        raise ValueError("found no message of the user, expected at least one")
    return Conversation(system, users, answers, trained)


def one_system(one: Any, other: Any) -> Any:
    """The system text of two places. ValueError if they differ."""
    if not one and not other:
        return ""
    one, other = ("" if is_empty(text) else text.strip() if isinstance(text, str) else text for text in (one, other))
    if one and other and one != other:
        raise ValueError(f"found two system texts, {preview(one)} and {preview(other)}, expected one")
    return one or other


# ---- question and answer in separate fields


def _from_fields(fields: Fields, questions: list[str], system: Any, kind: str, notes: Notes) -> Conversation:
    """Question and answer in separate fields; a list is one entry per turn; earlier turns are in `history`."""
    question = unpacked(_one_of(fields, questions, "question")) if questions else ""
    answer = unpacked(_one_of(fields, fields.present(ANSWER_KEYS), "answer", lenient=kind == "prompt"))
    fields.read(ASKED_AND_SAID)
    _check_no_list_in_text(answer, "answer")
    past = _history(fields.get(*HISTORY_KEYS), kind, notes)
    question = [question] if isinstance(question, dict) else question
    if isinstance(question, list) and any(isinstance(part, dict) for part in question):  # messages
        messages = parse_messages(question, questions[0], kind, notes)
        replies = parse_messages(_as_answer(answer), "answer", kind, notes) if answer and kind != "prompt" else []
        return arrange([*past, *messages, *replies], system, notes)

    users = question if isinstance(question, list) else [question]
    users = [*users[:-1], _join_parts(fields, users[-1] if users else "", len(users) == 1)]
    if kind != "prompt" and isinstance(answer, list | dict) and answer and _are_messages(answer):
        replies = parse_messages(_as_answer(answer), "answer", kind, notes)
        return arrange([*past, *(Message("user", user) for user in users), *replies], system, notes)
    answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
    options = take_options(fields)
    if options:
        users, answers = ask_with_options(fields, users, answers, options, kind)
    if kind == "prompt" and len(users) == 1:
        answers = []
    if question == [] and users == [""]:
        users = []
    if not users or len(users) - len(answers) not in (0, 1):
        raise ValueError(f"found {len(users)} questions and {len(answers)} answers, expected one for each")
    marked = _marked_turns(users, answers)
    if marked:
        notes.changes[FROM_TEXT] += 1
        return arrange([*past, *marked, *(Message("assistant", text) for text in answers)], system, notes)
    while past and past[0].role == "system":
        system = one_system(system, past.pop(0).content)
    if not past:
        return Conversation(system, users, answers, [True] * len(answers))
    before = arrange(past, system, notes)
    if before.awaits_answer:
        raise ValueError("found a history that ends with a question, expected an answer to it")
    trained = [*before.trained, *(True for _ in answers)]
    return Conversation(before.system, before.users + users, before.answers + answers, trained)


def _check_no_list_in_text(value: Any, name: str) -> None:
    """ValueError for ["…", "…"] as one text: several answers, as a table of another program holds them."""
    parts = literal(value) if isinstance(value, str) and value.lstrip()[:1] == "[" else None
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        raise ValueError(f"found {name} = {preview(value)}, a list that was written as text, expected one text")


def _are_messages(answer: Any) -> bool:
    return isinstance(answer, dict) or all(isinstance(part, dict) for part in answer)


def _marked_turns(users: list[Any], answers: list[Any]) -> list[Message] | None:
    """The turns of a question that is a text of marked turns, the last of them the user's if an answer follows."""
    marked = turns_in_text(users[0]) if len(users) == 1 else None
    if not marked or marked[-1].role == "user":
        return marked
    if users[0].lstrip().startswith("<"):
        if answers:
            raise ValueError("found an answer both in the marked text and in a field, expected one")
        return marked
    return None  # what is asked may be about this dialogue


def _one_of(fields: Fields, names: list[str], what: str, lenient: bool = False) -> Any:
    """The value of the only field of these that says something. ValueError if two of them say different things."""
    values = [fields.values[name] for name in names]
    if len(values) > 1 and not lenient and any(a != b for a, b in pairwise(values)):
        raise ValueError(f"found {' and '.join(names)}, expected one {what}")
    return values[0] if values else None


def _as_answer(answer: Any) -> Any:
    if isinstance(answer, str):
        return [{"role": "assistant", "content": answer}]
    return [answer] if isinstance(answer, dict) else answer


def _join_parts(fields: Fields, question: Any, alone: bool) -> Any:
    """The question below its title and above its input (alpaca; tables of hospitals: title, ask, answer)."""
    title = fields.get(*TITLE_KEYS) if alone and not is_empty(question) else None
    added = fields.get(*INPUT_KEYS)
    if is_empty(title) and is_empty(added):
        return question
    parts = [string_of(question, "question")]
    if not is_empty(title) and string_of(title, "title") != parts[0]:
        parts.insert(0, string_of(title, "title"))
    if not is_empty(added):
        parts.append(string_of(added, "input"))
    return "\n".join(part for part in parts if part)


def _history(value: Any, kind: str, notes: Notes) -> list[Message]:
    """[[user, answer], …], also as a Python literal (the label tool's table), or a list of messages."""
    if isinstance(value, str) and not is_empty(value):
        found = literal(value)
        if found is None:
            raise ValueError(f"found history {preview(value)}, expected a list of [user, answer]")
        value = found
    if is_empty(value):
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return parse_messages(value, "history", kind, notes)
    if not isinstance(value, list) or not all(isinstance(t, list | tuple) and len(t) == 2 for t in value):
        raise ValueError(f"found history = {preview(value)}, expected a list of [user, answer]")
    return [Message(role, text) for turn in value for role, text in zip(("user", "assistant"), turn, strict=True)]
