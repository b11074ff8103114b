"""The conversation in one row of a data file: system text, user turns, answers. `zj.data.formats` lists the formats."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

QUESTION_KEYS = ("instruction", "instruct", "query", "question", "prompt", "medical_case")
ANSWER_KEYS = ("output", "response", "answer", "completion", "doctor_diagnosis")
# Role names of the formats → ours.
SPEAKERS = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "bot": "assistant"}
ROLES = {**SPEAKERS, "system": "system"}
PREFIXES = {"问：": "user", "问:": "user", "答：": "assistant", "答:": "assistant"}


@dataclass(frozen=True)
class Conversation:
    """A conversation whose speakers alternate; its texts are not validated yet."""

    system: Any
    users: list[Any]  # at least one
    answers: list[Any]  # as many, or one fewer if the last user turn has no answer

    @property
    def awaits_answer(self) -> bool:
        """Whether the last user turn has no answer."""
        return len(self.answers) < len(self.users)


def parse_conversation(row: Row) -> Conversation | None:
    """The conversation in a row; None if its keys match no format. Raises ValueError if it is malformed."""
    system = row.get("system") or row.get("system_prompt") or ""
    for key in ("messages", "conversations"):
        if key in row:
            return _from_messages(row[key], system)
    if isinstance(row.get("input"), dict):  # OpenAI's preference format
        return _from_messages(row["input"].get("messages"), system)
    question = next((key for key in QUESTION_KEYS if key in row), None)
    if question is not None:
        if isinstance(row[question], list) and any(isinstance(part, dict) for part in row[question]):
            return _from_messages(row[question], system)
        return _from_fields(row, question, system)
    if "data" in row:
        return _from_prefixed_lines(row["data"], system)
    pair = (row.get("chosen"), row.get("rejected"))
    if all(isinstance(messages, list) and len(messages) > 1 for messages in pair):  # trl's pairs without a prompt field
        return _from_messages(_common_prefix(*pair), system)
    return None


def _from_messages(messages: Any, system: Any) -> Conversation:
    if not isinstance(messages, list):
        raise ValueError(f"found messages = {preview(messages)}, expected a list with roles and contents")
    users: list[Any] = []
    answers: list[Any] = []
    for number, message in enumerate(messages, 1):
        role, content = _role_and_content(message, f"message {number}")
        if role == "system" and number == 1:
            system = content or system
        elif role == "user" and len(users) == len(answers):
            users.append(content)
        elif role == "assistant" and len(users) == len(answers) + 1:
            answers.append(content)
        else:
            expected = "user" if len(users) == len(answers) else "assistant"
            raise ValueError(f"found {role} as message {number}, expected {expected}: turns alternate")
    if not users:
        raise ValueError("found no message of the user, expected at least one")
    return Conversation(system, users, answers)


def _role_and_content(message: Any, name: str) -> tuple[str, Any]:
    if not isinstance(message, dict):
        raise ValueError(f"found {name} = {preview(message)}, expected an object with role and content")
    role = message.get("role", message.get("from"))
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"found role {preview(role)} in {name}, expected one of {', '.join(ROLES)}")
    return ROLES[role.lower()], message.get("content", message.get("value"))


def _from_prefixed_lines(lines: Any, system: Any) -> Conversation:
    """["问：…", "答：…"]: a prefix names the speaker."""
    if not isinstance(lines, list):
        raise ValueError(f'found data = {preview(lines)}, expected a list such as ["问：…", "答：…"]')
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str) or line[:2] not in PREFIXES:
            raise ValueError(f"found {preview(line)} as line {number} of data, expected 问：… or 答：…")
    return _from_messages([{"role": PREFIXES[line[:2]], "content": line[2:]} for line in lines], system)


def _from_fields(row: Row, question: str, system: Any) -> Conversation:
    """Question and answer in separate fields; a list is one entry per turn; earlier turns are in `history`."""
    past = _history(row.get("history"))
    users = row[question] if isinstance(row[question], list) else [row[question]]
    if row.get("input"):
        users = [*users[:-1], _join_input(users[-1] if users else "", row["input"])]
    answer = next((row[key] for key in ANSWER_KEYS if key in row), None)
    answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
    if not users or len(users) - len(answers) not in (0, 1):
        raise ValueError(f"found {len(users)} questions and {len(answers)} answers, expected one for each")
    return Conversation(system, [u for u, _ in past] + users, [a for _, a in past] + answers)


def _join_input(instruction: Any, input: Any) -> str:
    parts = (string_of(instruction, "instruction"), string_of(input, "input"))
    return "\n".join(part for part in parts if part)


def _history(value: Any) -> list[Any]:
    """[[user, answer], …], or the same as a Python literal (the label tool's table)."""
    if isinstance(value, str) and value.strip():
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"found history {preview(value)}, expected a list of [user, answer]") from None
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(t, list | tuple) and len(t) == 2 for t in value):
        raise ValueError(f"found history = {preview(value)}, expected a list of [user, answer]")
    return value


def _common_prefix(chosen: Any, rejected: Any) -> Any:
    if chosen[:-1] != rejected[:-1]:
        raise ValueError("found chosen and rejected with different beginnings, expected one prompt for both")
    return chosen[:-1]


def answer_text(value: Any, key: str) -> str:
    """The text of a string, of a message, or of the last message of a list."""
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, dict):
        role, value = _role_and_content(value, key)
        if role != "assistant":
            raise ValueError(f"found a message of {role} in {key}, expected one of the assistant")
    return text_of(value, key)


def text_of(value: Any, name: str) -> str:
    text = string_of(value, name)
    if not text:
        raise ValueError(f"found an empty {name}, expected text")
    return text


def string_of(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"found {name} = {preview(value)}, expected text")
    # Half of a surrogate pair, which JSON can write (\\ud83d), has no UTF-8 encoding and no token.
    if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"found {name} = {preview(value)} with half a character, expected valid Unicode")
    return value.strip()


def preview(value: Any) -> str:
    """A value for error messages: one line, at most 40 characters, valid UTF-8."""
    text = json.dumps(value, ensure_ascii=False, default=str).encode(errors="backslashreplace").decode()
    return text if len(text) <= 40 else text[:39] + "…"
