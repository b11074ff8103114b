"""The conversation in one row of a data file: system text, user turns, answers. `zj.data.formats` lists the formats."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zj.data.fields import OPTIONS, Fields, Notes, is_empty, preview, string_of
from zj.data.messages import Message, parse_messages, turns_in_text

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
LETTERS = "ABCDEFGHIJ"

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
    system = fields.get("system", "system_prompt") or ""
    for key in MESSAGE_KEYS:
        if key in fields:
            messages = parse_messages(fields.get(key), key, kind, notes)
            _check_beside(messages, fields, key, kind)
            return arrange(messages, system, notes)
    if isinstance(fields.values.get("input"), dict):  # OpenAI's preference format
        inner = Fields(fields.get("input"))
        if "tools" in inner and not is_empty(inner.get("tools")):
            raise ValueError("found input.tools, which would change what is trained; expected rows without it")
        return arrange(parse_messages(inner.get("messages"), "messages", kind, notes), system, notes)
    questions = fields.present(QUESTION_KEYS)
    if questions:
        return _from_fields(fields, questions, system, kind, notes)
    if "input" in fields and fields.present(ANSWER_KEYS):
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
            if number > 1:
                raise ValueError(f"found system as message {number}, expected it as the first one")
            if system and message.content and system != message.content:
                raise ValueError("found two system texts, in a message and in a field, expected one")
            system = message.content or system
        elif message.role == before:
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


# ---- question and answer in separate fields


def _from_fields(fields: Fields, questions: list[str], system: Any, kind: str, notes: Notes) -> Conversation:
    """Question and answer in separate fields; a list is one entry per turn; earlier turns are in `history`."""
    question = _one_of(fields, questions, "question") if questions else ""
    answer = _one_of(fields, fields.present(ANSWER_KEYS), "answer", lenient=kind == "prompt")
    fields.get(*QUESTION_KEYS, *ANSWER_KEYS)  # all are read now
    past = _history(fields.get("history"), kind, notes)
    if isinstance(question, list) and any(isinstance(part, dict) for part in question):  # messages
        messages = parse_messages(question, questions[0], kind, notes)
        replies = parse_messages(_as_answer(answer), "answer", kind, notes) if answer and kind != "prompt" else []
        return arrange([*past, *messages, *replies], system, notes)

    users = question if isinstance(question, list) else [question]
    users = [*users[:-1], _join_parts(fields, users[-1] if users else "")]
    if kind != "prompt" and isinstance(answer, list) and answer and all(isinstance(part, dict) for part in answer):
        replies = parse_messages(answer, "answer", kind, notes)
        return arrange([*past, *(Message("user", user) for user in users), *replies], system, notes)
    answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
    options = fields.get(*OPTIONS) or _options_in_columns(fields)
    if not is_empty(options):
        if len(users) != 1:
            raise ValueError(f"found options of {len(users)} questions, expected one question")
        users, answers = _choice(users[0], answers, options, kind)
    if kind == "prompt" and len(users) == 1:
        answers = []
    if question == [] and users == [""]:
        users = []
    if not users or len(users) - len(answers) not in (0, 1):
        raise ValueError(f"found {len(users)} questions and {len(answers)} answers, expected one for each")
    marked = turns_in_text(users[0], kind) if len(users) == 1 else None
    if marked:
        notes.changes[FROM_TEXT] += 1
        if answers and marked[-1].role == "assistant":
            raise ValueError("found an answer both in the marked text and in a field, expected one")
        return arrange([*past, *marked, *(Message("assistant", text) for text in answers)], system, notes)
    before = arrange(past, "", notes) if past else Conversation("", [], [], [])
    if before.awaits_answer:
        raise ValueError("found a history that ends with a question, expected an answer to it")
    trained = [*before.trained, *(True for _ in answers)]
    return Conversation(system, before.users + users, before.answers + answers, trained)


def _one_of(fields: Fields, names: list[str], what: str, lenient: bool = False) -> Any:
    """The value of the only field of these that says something. ValueError if two of them say different things."""
    values = [fields.values[name] for name in names]
    if not lenient and any(a != b for a, b in pairwise(values)):
        raise ValueError(f"found {' and '.join(names)}, expected one {what}")
    return values[0] if values else None


def _as_answer(answer: Any) -> Any:
    if isinstance(answer, str):
        return [{"role": "assistant", "content": answer}]
    return [answer] if isinstance(answer, dict) else answer


def _join_parts(fields: Fields, question: Any) -> Any:
    """The question below its title and above its input (alpaca; tables of hospitals: title, ask, answer)."""
    title = fields.get("title") if "ask" in fields or "question" in fields else None
    added = fields.get("input")
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
    if isinstance(value, str) and value.strip():
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"found history {preview(value)}, expected a list of [user, answer]") from None
    if not value:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return parse_messages(value, "history", kind, notes)
    if not isinstance(value, list) or not all(isinstance(t, list | tuple) and len(t) == 2 for t in value):
        raise ValueError(f"found history = {preview(value)}, expected a list of [user, answer]")
    return [Message(role, text) for turn in value for role, text in zip(("user", "assistant"), turn, strict=True)]


# ---- multiple choice


def _options_in_columns(fields: Fields) -> list[Any]:
    """MedMCQA's opa, opb, opc, opd."""
    return [fields.get(name) for name in ("opa", "opb", "opc", "opd") if name in fields]


def _choice(question: Any, answers: list[Any], options: Any, kind: str) -> tuple[list[Any], list[Any]]:
    """The options in the user's text, the letters with their texts as the answer."""
    by_letter = _by_letter(options)
    asked = "\n".join([string_of(question, "question"), *(f"{k}. {text}" for k, text in by_letter.items())])
    if kind == "prompt" or not answers:
        return [asked], []
    (answer,) = answers if len(answers) == 1 else ("".join(map(str, answers)),)
    letters = [c for c in str(answer).strip().upper() if c not in " ,，、;；"]
    if not all(letter in by_letter for letter in letters) or not letters:
        letters = [letter for letter, text in by_letter.items() if text == str(answer).strip()]
    if not letters:
        raise ValueError(f"found answer {preview(answer)}, expected letters of the options {', '.join(by_letter)}")
    return [asked], ["\n".join(f"{letter}. {by_letter[letter]}" for letter in letters)]


def _by_letter(options: Any) -> dict[str, str]:
    if isinstance(options, str) and options.strip()[:1] in ("{", "["):
        try:
            options = json.loads(options)
        except ValueError:
            raise ValueError(f"found options {preview(options)}, expected an object of letters and texts") from None
    if isinstance(options, list) and all(isinstance(o, dict) and {"key", "value"} <= set(o) for o in options):
        options = {o["key"]: o["value"] for o in options}
    if isinstance(options, list) and len(options) <= len(LETTERS):
        options = dict(zip(LETTERS, options, strict=False))
    if not isinstance(options, dict) or not options or not all(isinstance(k, str) for k in options):
        raise ValueError(f"found options = {preview(options)}, expected an object of letters and texts")
    texts = {k.strip().upper(): string_of(v, f"option {k}") for k, v in options.items() if not is_empty(v)}
    if len(texts) < 2:
        raise ValueError(f"found options = {preview(options)}, expected at least two")
    return texts
