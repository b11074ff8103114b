"""A list of messages, in every spelling of speakers and texts, and turns that are marked inside one text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from zj.data.fields import (
    SYSTEM_KEYS,
    TRAINED,
    WEIGHTS,
    Fields,
    Notes,
    check_unread,
    is_empty,
    is_messages_text,
    is_trained,
    literal,
    preview,
)

# Names of speakers → ours.
USERS = ("user", "human", "patient", "patients", "病人", "患者", "用户", "问", "患")
ASSISTANTS = ("assistant", "gpt", "bot", "doctor", "chatgpt", "model", "huatuogpt", "医生", "大夫", "助手", "答", "医")
ROLES = {**dict.fromkeys(USERS, "user"), **dict.fromkeys(ASSISTANTS, "assistant")}
ROLES |= {"system": "system", "developer": "system"}
ROLE_KEYS, CONTENT_KEYS = ("role", "from", "speaker"), ("content", "value", "text", "sentence")
# A turn in one object: {"human": "…", "assistant": "…"}
TURN_KEYS = (("human", "assistant"), ("user", "assistant"), ("question", "answer"), ("q", "a"), ("问", "答"))
SPEAKER = "|".join(sorted(ROLES, key=len, reverse=True))
PREFIX = re.compile(rf"\s*<?({SPEAKER})>?\s*[:：]\s*", re.IGNORECASE)
# <user>: anywhere in a text; a bare name only where a line begins
MARK = re.compile(rf"<({SPEAKER})>\s*[:：]|(?:^|\n)\s*({SPEAKER})\s*[:：]", re.IGNORECASE)
SHORT = {
    "问": "答",
    "患": "医",
}  # a dialogue marks its speakers in one way: Human and Assistant, 患者 and 医生, 问 and 答


@dataclass(frozen=True)
class Message:
    role: str  # system, user, assistant
    content: Any  # its text, not validated yet
    trained: bool = True  # of an answer: whether it is trained on


def unpacked(value: Any) -> Any:
    """The messages of a text that holds them in JSON or as Python prints them; anything else as it is."""
    if is_messages_text(value) and isinstance(found := literal(value), list | dict):
        return found
    return value


def parse_messages(value: Any, name: str, kind: str, notes: Notes) -> list[Message]:
    """The messages under the key `name`. Raises ValueError for anything that is none.

    Messages of a `prompt` and a `ranking` are context, whatever their weights. An "answer" must be trained on.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = value if (found := literal(value)) is None else found
    if not isinstance(value, list):
        what = 'such as ["问：…", "答：…"]' if name == "data" else "with roles and contents"
        raise ValueError(f"found {name} = {preview(value)}, expected a list {what}")
    messages: list[Message] = []
    for number, item in enumerate(value, 1):
        messages += _parse_item(item, number, name, kind, notes)
    return messages


def _parse_item(item: Any, number: int, name: str, kind: str, notes: Notes) -> list[Message]:
    if isinstance(item, str):
        match = PREFIX.match(item)
        if match:
            return [Message(ROLES[match[1].lower()], item[match.end() :])]
        if name == "data":
            raise ValueError(f"found {preview(item)} as line {number} of data, expected 问：… or 答：…")
    if isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(text, str) for text in item):
        return [Message("user", item[0]), Message("assistant", item[1])]
    if not isinstance(item, dict):
        raise ValueError(f"found message {number} = {preview(item)}, expected an object with role and content")
    fields = Fields(item)
    turn = next((keys for keys in TURN_KEYS if keys[0] in fields and keys[1] in fields), None)
    if turn:
        trained = kind in ("prompt", "ranking") or is_trained(fields, f"in turn {number}")
        system = fields.get(*SYSTEM_KEYS)
        found = [] if is_empty(system) else [Message("system", system)]
        found += [Message("user", fields.get(turn[0])), Message("assistant", fields.get(turn[1]), trained)]
    else:
        found = [_parse_message(fields, f"message {number}", kind)]
    check_unread(fields, "message", notes, "messages.")
    return found


def _parse_message(fields: Fields, name: str, kind: str) -> Message:
    role = _role(fields, name)
    content = plain_text(fields.get(*CONTENT_KEYS), name)
    if kind in ("prompt", "ranking"):
        fields.read(WEIGHTS)
        return Message(role, content)
    trained = is_trained(fields, f"in {name}")
    if trained and role != "assistant" and not fields.values.keys().isdisjoint(TRAINED):
        raise ValueError(f"found {name} of the {role} with a weight, expected one on answers alone")
    if kind == "answer" and not trained:
        raise ValueError(f"found {name} with weight 0, expected an answer that counts")
    return Message(role, content, trained)


def _role(fields: Fields, name: str) -> str:
    fields.read(ROLE_KEYS)
    found = [fields.values[key] for key in ROLE_KEYS if key in fields.values] or [None]
    roles = [ROLES.get(role.strip().lower()) if isinstance(role, str) else None for role in found]
    for role, value in zip(roles, found, strict=True):
        if role is None:
            raise ValueError(f"found role {preview(value)} in {name}, expected one of user, assistant, system")
        if role != roles[0]:
            raise ValueError(f"found roles {preview(found[0])} and {preview(value)} in {name}, expected one")
    return str(roles[0])


def plain_text(content: Any, name: str) -> Any:
    """The text of [{"type": "text", "text": "…"}, …]; anything else as it is."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"found a part {preview(kind or part)} in {name}, expected parts of text alone")
        if not part.keys().isdisjoint(WEIGHTS):
            raise ValueError(f"found a weight on a part of {name}, expected one on whole answers alone")
        texts.append(part["text"])
    return "\n".join(texts)


def turns_in_text(text: Any) -> list[Message] | None:
    """The turns of a text that consists of marked turns (`<user>: … <bot>: …`); None for any other text.

    Bare names (`Human: …`) are marks only where a line begins, and only if an answer is marked too: a lone 问： at the
    beginning may belong to the text. The names of the first two speakers are marks, others belong to the text. A mark
    of an answer at the very end is left out: it says that an answer is wanted.
    """
    match = MARK.match(text.lstrip()) if isinstance(text, str) else None
    if match is None or ROLES[_name(match)] != "user":
        return None
    text = text.lstrip()
    marks = [mark for mark in MARK.finditer(text) if bool(mark[1]) is bool(match[1])]
    user = _name(match)
    names = [_name(mark) for mark in marks if ROLES[_name(mark)] == "assistant"]
    answerer = next((name for name in names if match[1] or _answers(name, user)), "")
    marks = [mark for mark in marks if _name(mark) in (user, answerer)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    roles = [ROLES[_name(mark)] for mark in marks]
    texts = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    if not answerer and not match[1]:
        return None
    if roles[-1] == "assistant" and not texts[-1]:
        roles, texts = roles[:-1], texts[:-1]
    elif roles[-1] == "user" and not match[1] and "\n" in texts[-1]:
        return None  # what follows below a dialogue may be said of it
    return [Message(role, text) for role, text in zip(roles, texts, strict=True)]


def is_marked(text: Any) -> bool:
    """Whether the speakers of a text are marked as by programs (`Human:`, `<bot>:`), as no text in Chinese has them."""
    match = MARK.match(text.lstrip()) if isinstance(text, str) else None
    return match is not None and (bool(match[1]) or _name(match).isascii())


def _name(mark: re.Match[str]) -> str:
    return (mark[1] or mark[2]).lower()


def _answers(name: str, user: str) -> bool:
    """Whether one of this name answers this user, in the same way of marking."""
    if name.isascii() is not user.isascii():
        return name == "huatuogpt"
    return SHORT.get(user, name) == name and (user in SHORT or name not in SHORT.values())
