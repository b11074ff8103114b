"""A list of messages, in every spelling of speakers and texts, and turns that are marked inside one text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from zj.data.fields import Fields, Notes, check_unread, is_trained, preview

# Names of speakers → ours.
USERS = ("user", "human", "patient", "patients", "病人", "患者", "用户", "问", "患")
ASSISTANTS = ("assistant", "gpt", "bot", "doctor", "chatgpt", "model", "huatuogpt", "医生", "大夫", "助手", "答", "医")
ROLES = {**dict.fromkeys(USERS, "user"), **dict.fromkeys(ASSISTANTS, "assistant")}
ROLES |= {"system": "system", "developer": "system"}
ROLE_KEYS, CONTENT_KEYS = ("role", "from", "speaker"), ("content", "value", "text", "sentence")
# A turn in one object: {"human": "…", "assistant": "…"}
TURN_KEYS = (("human", "assistant"), ("user", "assistant"), ("question", "answer"), ("q", "a"), ("问", "答"))
SPEAKER = "|".join(sorted((name for name in ROLES), key=len, reverse=True))
PREFIX = re.compile(rf"\s*<?({SPEAKER})>?\s*[:：]\s*", re.IGNORECASE)
# <user>: anywhere in a text; a bare name only where a line begins
MARK = re.compile(rf"<({SPEAKER})>\s*[:：]|(?:^|\n)\s*({SPEAKER})\s*[:：]", re.IGNORECASE)


@dataclass(frozen=True)
class Message:
    role: str  # system, user, assistant
    content: Any  # its text, not validated yet
    trained: bool = True  # of an answer: whether it is trained on


def parse_messages(value: Any, name: str, kind: str, notes: Notes) -> list[Message]:
    """The messages under the key `name`. Raises ValueError for anything that is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"found {name} = {preview(value)}, expected a list of messages") from None
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
        found = [Message("user", fields.get(turn[0])), Message("assistant", fields.get(turn[1]), trained)]
    else:
        found = [_parse_message(fields, f"message {number}", kind)]
    check_unread(fields, "message", notes, "messages.")
    return found


def _parse_message(fields: Fields, name: str, kind: str) -> Message:
    role = fields.get(*ROLE_KEYS)
    if not isinstance(role, str) or role.strip().lower() not in ROLES:
        raise ValueError(f"found role {preview(role)} in {name}, expected one of user, assistant, system")
    role = ROLES[role.strip().lower()]
    content = plain_text(fields.get(*CONTENT_KEYS), name)
    if kind in ("prompt", "ranking"):  # their messages are context, whatever their weights
        fields.get("weight", "loss", "train", "training")
        return Message(role, content)
    given = any(key in fields for key in ("weight", "loss", "train", "training"))
    trained = is_trained(fields, f"in {name}")
    if given and trained and role != "assistant":
        raise ValueError(f"found {name} of the {role} with a weight, expected one on answers alone")
    return Message(role, content, trained)


def plain_text(content: Any, name: str) -> Any:
    """The text of [{"type": "text", "text": "…"}, …]; anything else as it is."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"found a part {preview(kind or part)} in {name}, expected parts of text alone")
        texts.append(part["text"])
    return "\n".join(texts)


def turns_in_text(text: Any, kind: str) -> list[Message] | None:
    """The turns of a text that begins with the mark of a user (`<user>: … <bot>: …`); None for any other text.

    Bare names (`Human: …`) are marks only where a line begins, and only if an answer is marked too: a lone 问： at the
    beginning may belong to the text.
    """
    match = MARK.match(text.lstrip()) if isinstance(text, str) else None
    if match is None or ROLES[(match[1] or match[2]).lower()] != "user":
        return None
    text = text.lstrip()
    marks = list(MARK.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    roles = [ROLES[(mark[1] or mark[2]).lower()] for mark in marks]
    texts = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    if "assistant" not in roles and not match[1]:
        return None
    if roles[-1] == "assistant" and not texts[-1]:  # a prompt that ends with the mark of its answer
        roles, texts = roles[:-1], texts[:-1]
    return [Message(role, text) for role, text in zip(roles, texts, strict=True)]
