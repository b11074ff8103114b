"""Replies on disk: what came once is never paid for again, whatever happens to the program or to its code.

SQLite in WAL mode; each reply is committed as it comes, so a killed process loses none. After a power loss the last
ones may be missing (synchronous = NORMAL), and are requested again. The request stands beside its reply, readable.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from zj.llm.chat import REFUSED, ChatModel, ChatReply, ChatRequest

TABLE = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"""


class ReplyCache:
    """One file of replies, of one or several models. ValueError if it is another kind of file."""

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = sqlite3.connect(file, timeout=60, isolation_level=None)  # each statement commits
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"--cache {file}: {error}, expected a file of replies or none") from None

    def get(self, model: str, request: ChatRequest) -> ChatReply | None:
        columns = "text, finish_reason, prompt_tokens, completion_tokens"
        cursor = self.connection.execute(f"SELECT {columns} FROM replies WHERE key = ?", [key_of(model, request)])
        row = cursor.fetchone()
        return None if row is None else ChatReply(*row)

    def put(self, model: str, request: ChatRequest, reply: ChatReply) -> None:
        row = (key_of(model, request), model, _as_json(request), *vars(reply).values())
        columns = "key, model, request, text, finish_reason, prompt_tokens, completion_tokens"
        self.connection.execute(f"INSERT OR IGNORE INTO replies ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def __len__(self) -> int:
        return self.connection.execute("SELECT count(*) FROM replies").fetchone()[0]


def key_of(model: str, request: ChatRequest) -> str:
    """SHA-256 of the model's name, the messages and the parameters, the sample number among them."""
    return hashlib.sha256(f"{json.dumps(model)} {_as_json(request)}".encode()).hexdigest()


def _as_json(request: ChatRequest) -> str:
    fields = vars(request) | {"temperature": float(request.temperature)}
    return json.dumps(fields, sort_keys=True)


class Cached:
    """A model whose replies are kept; `known` counts those that were there already.

    Equal requests are passed on once. A refusal is not kept: it costs nothing, and may be lifted.
    """

    def __init__(self, model: ChatModel, cache: ReplyCache):
        self.model, self.cache, self.known = model, cache, 0

    @property
    def name(self) -> str:
        return self.model.name

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, ChatReply]]:
        missing: dict[ChatRequest, list[int]] = {}
        for number, request in enumerate(requests):
            reply = None if request in missing else self.cache.get(self.name, request)
            if reply is None:
                missing.setdefault(request, []).append(number)
            else:
                self.known += 1
                yield number, reply
        missing_requests = list(missing.items())
        for index, reply in self.model.replies(missing):
            request, same = missing_requests[index]
            if reply.finish_reason != REFUSED:
                self.cache.put(self.name, request, reply)
            yield from ((number, reply) for number in same)
