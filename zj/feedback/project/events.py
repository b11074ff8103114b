"""The events of a ranking project: an append-only table in an SQLite file. All else is derived from it (derived.py)."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["settings", "user", "item", "open", "draft", "judge", "skip", "flag", "decide", "reopen", "release"]
SCHEMA = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, item INTEGER,
    body TEXT NOT NULL, client TEXT, UNIQUE (user, client));
CREATE INDEX events_of_item ON events (item, id);
CREATE TRIGGER events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
"""
# Who is logged in is no event: it is no part of the work, and it ends.
SCHEMA += "CREATE TABLE sessions (token TEXT PRIMARY KEY, user TEXT, csrf TEXT, begun REAL, seen REAL);"
APPLICATION_ID = 0x7A6A7231  # marks an SQLite file as ours, "zjr1"


@dataclass(frozen=True)
class Event:
    id: int
    time: float  # seconds since 1970
    user: str  # "": the command line
    kind: Kind
    item: int | None
    body: dict[str, Any]


def connect(path: Path, create: bool = False) -> sqlite3.Connection:
    """The file's connection for one thread. ValueError, naming --db, if it is no ranking project."""
    if not path.is_file() and (path.exists() or not create):
        raise ValueError(f"--db {path}: is not there, expected a file that annotate.py import wrote")
    if create:
        path.touch(mode=0o600)  # hashes of passwords and what doctors wrote are nobody else's
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        if create and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            db.executescript(f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {SCHEMA} COMMIT;")
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ValueError(f"--db {path}: is a database of another program, expected a file of annotate.py import")
        if os.access(path, os.W_OK):  # a backup's copy has another mode, in which readers stop writers
            db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        raise ValueError(f"--db {path}: {error}, expected a file that annotate.py import wrote") from None
    db.execute("PRAGMA synchronous = FULL")  # what was answered "saved" survives a power loss
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it is written, or nothing. One writer at a time; readers see the state before."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """What is read inside is as of one moment, while others go on writing."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def append(
    db: sqlite3.Connection, user: str, kind: Kind, item: int | None, body: dict[str, Any], client: str | None = None
) -> Event:
    """Add an event inside a transaction. `client`: an id that the browser made, by which `repeated` knows it."""
    now = time.time()
    row = (now, user, kind, item, json.dumps(body, ensure_ascii=False), client)
    number = db.execute("INSERT INTO events (time, user, kind, item, body, client) VALUES (?, ?, ?, ?, ?, ?)", row)
    return Event(number.lastrowid or 0, now, user, kind, item, body)


def read_events(db: sqlite3.Connection, item: int | None = None) -> Iterator[Event]:
    """All events in order, or those of one item."""
    where, values = ("", ()) if item is None else (" WHERE item = ?", (item,))
    for row in db.execute(f"SELECT * FROM events{where} ORDER BY id", values):
        yield Event(row["id"], row["time"], row["user"], row["kind"], row["item"], json.loads(row["body"]))


def repeated(db: sqlite3.Connection, user: str, client: str) -> sqlite3.Row | None:
    """The event that an earlier request with this id has added."""
    return db.execute("SELECT id, kind, item FROM events WHERE user = ? AND client = ?", (user, client)).fetchone()
