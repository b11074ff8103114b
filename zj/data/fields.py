"""The fields of a row: which were read, which mean something and were not, and what is told of them.

A field that changes what is trained is obeyed, or its row refused by name. Other fields are ignored and counted.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from zj.data.verdicts import LABELS, NAMES, flat, is_verdict

Row = dict[str, Any]

# Of a message or a row, 0 or false: an answer that is context, not trained on. The others say so by 1 or true.
TRAINED: tuple[str, ...] = (
    "weight",
    "loss",
    "train",
    "training",
    "trainable",
    "is_train",
    "is_trained",
    "compute_loss",
)
TRAINED = (*TRAINED, "loss_weight", "sample_weight", "example_weight", "instance_weight")
UNTRAINED = ("ignore", "ignored", "ignore_loss", "no_loss", "skip", "no_train", "exclude")
MASKS = {"loss_scale", "loss_mask", "mask", "masks", "masked", "train_detail", "weights", "margin"}
TOOLS = {"tools", "functions", "tool_calls", "function_call", "tool_call_id"}
MEDIA = {"images", "image", "videos", "video", "audio", "audios", "media", "input_audio"}
REASONING = {"reasoning_content", "reasoning", "thinking", "think", "thought", "thoughts", "chain_of_thought"}
REASONING |= {"cot", "complex_cot"}
KTO = {"kto_tag", "desirable"}
RANKED = {"chosen", "rejected", "response_chosen", "response_rejected", "preferred_output", "non_preferred_output"}
RANKED |= {"responses", "ranks", "response_0", "rank1", "rank2", "scores", "completions", "chosen_response"}
RANKED |= {"rejected_response", "rejected_answer", "negative", "answers"}
RANKED |= {f"rank{n}" for n in range(3, 10)} | {f"response_{n}" for n in range(1, 10)}
# Texts that a question is asked about, and its options.
CONTEXTS = {"context", "contexts", "passage", "passages", "paragraph", "article", "background", "evidence", "knowledge"}
CONTEXTS |= {"documents", "document", "docs", "description", "desc", "content", "上下文", "背景", "描述", "病情描述"}
CONTEXTS |= {"知识", "资料", "文档", "材料", "病历"}
SYSTEM_KEYS = ("system", "system_prompt", "system_message", "meta_instruction", "系统", "系统提示")
INPUT_KEYS, HISTORY_KEYS = ("input", "输入"), ("history", "历史", "历史对话", "对话历史")
OPTIONS = ("option", "options", "choices", "选项")
QUESTION_PARTS = {
    *CONTEXTS,
    *SYSTEM_KEYS,
    *INPUT_KEYS,
    *HISTORY_KEYS,
    *OPTIONS,
    "asked",
    "questions",
    "opa",
    "opb",
    "option_a",
}
QUESTION_PARTS |= {
    f"{word}{end}" for word in ("option", "option_", "choice", "choice_", "选项") for end in "123456789abcdefghij"
}
TALKS = {"messages", "conversations", "conversation"}

# By kind of record: fields that would change it. They are refused where no format has read them.
ANSWERED = {*TRAINED, *UNTRAINED, *MASKS, *TOOLS, *MEDIA, *REASONING, *KTO, *QUESTION_PARTS}
MEANINGFUL = {
    "document": {*TRAINED, *UNTRAINED, *MASKS, *MEDIA},
    "prompt": {*TOOLS, *MEDIA, *QUESTION_PARTS, *TALKS},
    "dialogue": {*ANSWERED, *TALKS, *RANKED},
    "ranking": {*ANSWERED, *TALKS, *RANKED - {"scores", "answers"}, "rank"},
    "candidates": {*ANSWERED, *TALKS, *RANKED},
    "message": {*ANSWERED, *RANKED, "refusal", "human", "user", "assistant", "bot", "role", "from", "value", "content"},
}
MEANINGFUL = {kind: set(map(flat, names)) for kind, names in MEANINGFUL.items()}
UNNAMED = re.compile(r"(?:unnamed: ?\d+)?")  # a column without a name, as it is or as pandas writes it
# What stands for nothing where a whole cell or field says it: written by pandas, by Python, by a spreadsheet.
NULLS = {"", "[]", "{}", "null", "none", "nan", "<na>", "n/a", "#n/a", "#name?", "#ref!", "#value!", "#div/0!", "#num!"}
NULLS |= {"#null!"}


@dataclass
class Notes:
    """What is told about rows: what was changed in them, and which fields were ignored."""

    changes: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.changes or self.ignored)

    def update(self, other: Notes) -> None:
        self.changes.update(other.changes)
        self.ignored.update(other.ignored)


class Fields:
    """The fields of a row or of a message, by lower-case name. A null is an absent field."""

    def __init__(self, row: Row):
        self.names = row.keys()  # as they are written
        self.values: dict[str, Any] = {}
        self._read: set[str] = set()
        for key, value in row.items():
            if value is None or value != value:  # NaN is pandas' null
                continue
            name = _name(key)
            if self.values.get(name, value) != value:
                raise ValueError(f"found {name} twice, in two spellings, expected it once")
            self.values[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, *names: str) -> Any:
        """The value of the fields of these names, which mean one thing; None if there is none. All are read.

        ValueError if two of them say different things.
        """
        if len(names) == 1:
            self._read.add(names[0])
            return self.values.get(names[0])
        if self.values.keys().isdisjoint(names):
            return None
        self._read.update(names)
        found = self.present(names)
        for other in found[1:]:
            if not _same(self.values[found[0]], self.values[other]):
                raise ValueError(f"found {found[0]} and {other} that differ, expected one of them")
        return self.values[found[0]] if found else None

    def pop(self, name: str) -> Any:
        """A field's value; the field is there no longer."""
        return self.values.pop(name, None)

    def read(self, names: Iterable[str]) -> None:
        self._read.update(names)

    def present(self, names: tuple[str, ...]) -> list[str]:
        """Those of the names that are there; only those that hold something, if one does."""
        here = list(self.values.keys() & names)
        if len(here) < 2:
            return here
        here = [name for name in names if name in self.values]
        return [name for name in here if not is_empty(self.values[name])] or here[:1]

    def unread(self) -> list[tuple[str, Any]]:
        values = self.values
        return [(name, values[name]) for name in values if name not in self._read and not is_empty(values[name])]


@lru_cache(maxsize=10_000)
def _name(key: str) -> str:
    """A field's name as it is looked for and told: on one line. ValueError for one that no file can hold."""
    name = string_of(str(key), "a field's name").lower()
    return name if name.isprintable() else preview(name).strip('"')


def _same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, str) and isinstance(other, str) and one.strip() == other.strip())


def check_unread(fields: Fields, kind: str, notes: Notes, prefix: str = "") -> None:
    """ValueError if a field that was not read changes what is trained; the others are noted as ignored."""
    for name, value in fields.unread():
        if UNNAMED.fullmatch(name):
            if not str(value).strip().isdecimal():
                raise ValueError(f"found {preview(value)} in a column without a name, expected a name for each column")
            name = name or "a column without a name"
        if _changes_training(name, value, kind):
            found = f"found {prefix}{name} = {preview(value)}"
            raise ValueError(f"{found}, which would change what is trained; expected rows without it")
        notes.ignored[prefix + name] += 1


def _changes_training(name: str, value: Any, kind: str) -> bool:
    if kind != "prompt" and (flat(name) in NAMES or (name in LABELS and kind != "document")):
        return is_verdict(flat(name), value)
    word = str(value).strip().lower()
    changes_nothing = (name in TRAINED and word in ON) or (name in UNTRAINED and word in OFF)
    return means_something(name, kind) and not changes_nothing


def means_something(name: str, kind: str) -> bool:
    """Whether a field of this name would change a record of this kind."""
    return flat(name) in MEANINGFUL[kind]


WEIGHTS = (*TRAINED, *UNTRAINED)
ANY_WEIGHT = frozenset(WEIGHTS)
ON, OFF = ("1", "1.0", "true"), ("0", "0.0", "false")


def is_trained(fields: Fields, name: str) -> bool:
    """Whether `weight`, `loss`, `ignore`, … let a message be trained on. ValueError for anything but 0 and 1."""
    if ANY_WEIGHT.isdisjoint(fields.values):
        return True
    found: dict[str, bool] = {}
    for key in WEIGHTS:
        value = fields.get(key)
        if is_empty(value):
            continue
        word = str(value).strip().lower()
        if word not in (*ON, *OFF):
            raise ValueError(f"found {key} = {preview(value)} {name}, expected 0 or 1: there are no weights between")
        found[key] = (word in ON) is (key in TRAINED)
    if len(set(found.values())) > 1:
        raise ValueError(f"found {' and '.join(found)} {name} that disagree, expected one of them")
    return all(found.values())


def is_empty(value: Any) -> bool:
    """Whether a field says nothing: null, blank, an empty list, or a null that was written as text."""
    if isinstance(value, str):
        return not value or (len(value) < 12 and value.strip().lower() in NULLS) or value.isspace()
    if isinstance(value, list | tuple):
        return all(map(is_empty, value))
    return value is None or value == {}


# ---- texts


SURROGATE = re.compile("[\ud800-\udfff]")


def text_of(value: Any, name: str) -> str:
    text = string_of(value, name)
    if not text:
        raise ValueError(f"found an empty {name}, expected text")
    return text


def string_of(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"found {name} = {preview(value)}, expected text")
    # Half of a surrogate pair, which JSON can write (\\ud83d), has no UTF-8 encoding and no token.
    if not value.isprintable() and SURROGATE.search(value):
        raise ValueError(f"found {name} = {preview(value)} with half a character, expected valid Unicode")
    return value.strip()


def message_text(value: Any, name: str) -> str:
    """The text of a question or of an answer. ValueError for a null or messages in its place."""
    text = string_of(value, name)
    if len(text) < 12 and is_empty(text_of(text, name)):
        raise ValueError(f"found {name} = {preview(text)}, a null that was written as text, expected text")
    if text[0] in "[{(" and is_messages_text(text):
        raise ValueError(f"found {name} = {preview(text)}, messages that were written as text, expected a list")
    return text


def is_messages_text(value: Any) -> bool:
    """Whether a text is messages in JSON, or as Python or numpy print them."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{", "("):
        return False
    return bool(ROLE_IN_TEXT.search(value) and CONTENT_IN_TEXT.search(value))


ROLE_IN_TEXT = re.compile(r"""['"](?:role|from|speaker)['"]\s*:\s*['"]""")
CONTENT_IN_TEXT = re.compile(r"""['"](?:content|value|text)['"]\s*:""")


def literal(text: str) -> Any:
    """The value that a text is in JSON or in Python; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def preview(value: Any) -> str:
    """A value for error messages: one line, at most 40 characters, valid UTF-8."""
    text = json.dumps(value, ensure_ascii=False, default=str).encode(errors="backslashreplace").decode()
    return text if len(text) <= 40 else text[:39] + "…"
