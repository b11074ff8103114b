"""The fields of a row: which were read, which mean something and were not, and what is told of them.

A field that changes what is trained is obeyed, or its row refused by name. Other fields are ignored and counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

TRAINED = ("weight", "loss", "train", "training")  # 0 or false: an answer that is context, not trained on
MASKS = {"loss_scale", "loss_mask", "mask", "masks", "masked", "train_detail", "weights", "margin"}
TOOLS = {"tools", "functions", "tool_calls", "function_call", "tool_call_id"}
MEDIA = {"images", "image", "videos", "video", "audio", "audios", "media", "input_audio"}
REASONING = {"reasoning_content", "reasoning", "thinking", "think", "thought", "thoughts", "chain_of_thought"}
REASONING |= {"cot", "complex_cot"}
OPTIONS = ("option", "options", "choices")
VERDICTS = {"label", "labels", "kto_tag", "desirable"}  # tell good answers from bad ones
# A verdict in words; any other text under `label` is a topic.
VERDICT_WORDS = {"0", "1", "-1", "true", "false", "good", "bad", "chosen", "rejected", "positive", "negative"}
VERDICT_WORDS |= {"desirable", "undesirable", "accepted", "yes", "no", "好", "坏", "对", "错", "是", "否"}
RANKED = {"chosen", "rejected", "response_chosen", "response_rejected", "preferred_output", "non_preferred_output"}
RANKED |= {"responses", "ranks", "response_0", "rank1", "rank2", "scores", "completions"}
ASKED = {"history", "input", "context", "contexts", "system", "system_prompt", "asked", *OPTIONS}
ASKED |= {"messages", "conversations", "conversation", "opa", "opb"}

# By kind of record: fields that would change it. They are refused where no format has read them.
MEANINGFUL = {
    "document": {*TRAINED, *MASKS, *MEDIA},
    "prompt": {*TOOLS, *MEDIA, *ASKED},
    "dialogue": {*TRAINED, *MASKS, *TOOLS, *MEDIA, *REASONING, *VERDICTS, *RANKED, *ASKED},
    "ranking": {*TRAINED, *MASKS, *TOOLS, *MEDIA, *REASONING, *VERDICTS, *RANKED - {"scores"}, *ASKED},
    "message": {*MASKS, *TOOLS, *MEDIA, *REASONING, *VERDICTS},
}


@dataclass
class Notes:
    """What is told about rows: what was changed in them, and which fields were ignored."""

    changes: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def update(self, other: Notes) -> None:
        if other.changes or other.ignored:
            self.changes.update(other.changes)
            self.ignored.update(other.ignored)


class Fields:
    """The fields of a row or of a message, by lower-case name. A null is an absent field."""

    def __init__(self, row: Row):
        self.names = list(row)  # as they are written
        self.values: dict[str, Any] = {}
        for key, value in row.items():
            name = str(key).strip().lower()
            if value is None or value != value or not name:  # NaN is pandas' null
                continue
            if self.values.get(name, value) != value:
                raise ValueError(f"found {name} twice, in two spellings, expected it once")
            self.values[name] = value
        self._unread = dict(self.values)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, *names: str) -> Any:
        """The first of these fields that holds something, else the first that is there, else None. All are read."""
        found = [name for name in names if name in self.values]
        for name in found:
            self._unread.pop(name, None)
        if len(found) < 2:
            return self.values[found[0]] if found else None
        return next((self.values[name] for name in found if not is_empty(self.values[name])), self.values[found[0]])

    def pop(self, name: str) -> Any:
        """A field's value; the field is there no longer."""
        self._unread.pop(name, None)
        return self.values.pop(name, None)

    def present(self, names: tuple[str, ...]) -> list[str]:
        """Those of the names that are there; only those that hold something, if one does."""
        here = [name for name in names if name in self.values]
        return here if len(here) < 2 else [name for name in here if not is_empty(self.values[name])] or here[:1]

    def unread(self) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in self._unread.items() if not is_empty(value))


def check_unread(fields: Fields, kind: str, notes: Notes, prefix: str = "") -> None:
    """ValueError if a field that was not read changes what is trained; the others are noted as ignored."""
    for name, value in fields.unread():
        if name in MEANINGFUL[kind] and not _is_topic(name, value) and not _changes_nothing(name, value):
            raise ValueError(
                f"found {prefix}{name} = {preview(value)}, which would change what is trained; expected rows without it"
            )
        notes.ignored[prefix + name] += 1


def is_trained(fields: Fields, name: str) -> bool:
    """Whether `weight`, `loss` or `train` let a message be trained on. ValueError for anything but 0 and 1."""
    if fields.values.keys().isdisjoint(TRAINED):
        return True
    found: dict[str, bool] = {}
    for key in TRAINED:
        value = fields.get(key)
        if is_empty(value):
            continue
        word = str(value).strip().lower()
        if word not in ("0", "0.0", "1", "1.0", "true", "false"):
            raise ValueError(f"found {key} = {preview(value)} {name}, expected 0 or 1: there are no weights between")
        found[key] = word in ("1", "1.0", "true")
    if len(set(found.values())) > 1:
        raise ValueError(f"found {' and '.join(found)} {name} that disagree, expected one of them")
    return all(found.values())


def _is_topic(name: str, value: Any) -> bool:
    words = value if isinstance(value, list) else [value]
    return name in ("label", "labels") and all(
        isinstance(word, str) and word.strip().lower() not in VERDICT_WORDS for word in words
    )


def _changes_nothing(name: str, value: Any) -> bool:
    return name in TRAINED and str(value).strip().lower() in ("1", "1.0", "true")


def is_empty(value: Any) -> bool:
    """Whether a field says nothing: null, blank, an empty list."""
    if value is None:
        return True
    if isinstance(value, list | tuple):
        return all(map(is_empty, value))
    if isinstance(value, str):
        word = value.strip()
        return len(word) < 5 and word.lower() in ("", "[]", "{}", "null", "none")
    return value == {}


# ---- texts


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
