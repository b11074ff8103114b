"""What the events say: tables of items, seats and users, changed by one event at a time and never in another way.

A seat is one person's place at an item. An item has as many seats for annotators as `settings` says, and one for an
expert if it is disputed.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable

from zj.data.batching import question
from zj.feedback.project.events import Event, read_events, transaction
from zj.feedback.project.items import candidates_from_json, content_hash
from zj.feedback.ranking.disagreement import disagreement
from zj.feedback.ranking.judgement import judgement_from_json
from zj.feedback.ranking.ranks import item_place

VERSION = 2  # of the tables; a file with other ones is derived anew
SCHEMA = """
CREATE TABLE settings (annotators INTEGER, min_tau REAL, seed INTEGER);
CREATE TABLE users (
    name TEXT PRIMARY KEY, pseudonym TEXT, role TEXT, departments TEXT, password TEXT, active INTEGER);
CREATE TABLE items (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, content TEXT UNIQUE, department TEXT, source TEXT, dialogue TEXT,
    body TEXT, place REAL, state TEXT, reason TEXT, seats_left INTEGER, reopened INTEGER, updated INTEGER);
CREATE INDEX items_to_share_out ON items (state, department, seats_left, place);
CREATE TABLE seats (
    item INTEGER, user TEXT, role TEXT, state TEXT, draft TEXT, judgement TEXT, reason TEXT, seconds REAL,
    time REAL, version INTEGER, PRIMARY KEY (item, user)) WITHOUT ROWID;
CREATE INDEX seats_of_user ON seats (user, state, version);
"""
TABLES = ("settings", "users", "items", "seats")


def derive(db: sqlite3.Connection) -> None:
    """Make the tables from the events, if they are not there or of another version."""
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    with transaction(db):
        for table in TABLES:
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA.split(";\n"):
            db.execute(statement)
        for event in read_events(db):
            apply(db, event)
        db.execute(f"PRAGMA user_version = {VERSION}")


def apply(db: sqlite3.Connection, event: Event) -> None:
    """Change the tables by one event, inside the transaction that adds it."""
    APPLY[event.kind](db, event)


def _settings(db: sqlite3.Connection, event: Event) -> None:
    db.execute("INSERT INTO settings VALUES (:annotators, :min_tau, :seed)", event.body)


def _user(db: sqlite3.Connection, event: Event) -> None:
    """A new user, or another password, role or list of departments of one."""
    body = event.body | {"departments": json.dumps(event.body["departments"], ensure_ascii=False)}
    known = db.execute("SELECT pseudonym, role FROM users WHERE name = :name", body).fetchone()
    number = db.execute("SELECT count(*) FROM users").fetchone()[0] + 1
    body["pseudonym"] = known["pseudonym"] if known else f"P{number:02}"
    db.execute("INSERT OR REPLACE INTO users VALUES (:name, :pseudonym, :role, :departments, :password, :active)", body)
    if not body["active"] or (known and known["role"] != body["role"]):  # a seat is of the role in which it was taken
        _free_seats(db, body["name"])


def _item(db: sqlite3.Connection, event: Event) -> None:
    item, (annotators, seed) = (
        candidates_from_json(event.body),
        db.execute("SELECT annotators, seed FROM settings").fetchone(),
    )
    row = (event.item, item.id, content_hash(event.body), item.prompt.department, item.source, question(item))
    rest = (json.dumps(event.body, ensure_ascii=False), item_place(seed, item.id), "open", "", annotators, 0, event.id)
    db.execute(f"INSERT INTO items VALUES ({', '.join('?' * 13)})", row + rest)


def _open(db: sqlite3.Connection, event: Event) -> None:
    row = (event.item, event.user, event.body["role"], event.time, event.id)
    db.execute("INSERT INTO seats (item, user, role, state, time, version) VALUES (?, ?, ?, 'open', ?, ?)", row)
    _refresh(db, event)


def _draft(db: sqlite3.Connection, event: Event) -> None:
    row = (json.dumps(event.body["judgement"]), event.id, event.item, event.user)
    db.execute("UPDATE seats SET draft = ?, version = ? WHERE item = ? AND user = ?", row)


def _judge(db: sqlite3.Connection, event: Event) -> None:
    row = (json.dumps(event.body["judgement"]), event.body.get("reason", ""), event.body.get("seconds"))
    db.execute(
        "UPDATE seats SET state = 'judged', draft = NULL, judgement = ?, reason = ?, seconds = ?, time = ?, version = ?"
        " WHERE item = ? AND user = ?",
        (*row, event.time, event.id, event.item, event.user),
    )
    _refresh(db, event)


def _leave(db: sqlite3.Connection, event: Event) -> None:
    """skip: another annotator takes the seat. flag: the item goes to the expert."""
    state = {"skip": "skipped", "flag": "flagged"}[event.kind]
    row = (state, event.body["reason"], event.time, event.id, event.item, event.user)
    db.execute("UPDATE seats SET state = ?, reason = ?, time = ?, version = ? WHERE item = ? AND user = ?", row)
    _refresh(db, event)


def _reopen(db: sqlite3.Connection, event: Event) -> None:
    """The expert's seat becomes free; the decision stays among the events."""
    db.execute("UPDATE items SET reopened = 1 WHERE number = ?", (event.item,))
    db.execute("DELETE FROM seats WHERE item = ? AND role = 'expert'", (event.item,))
    _refresh(db, event)


def _release(db: sqlite3.Connection, event: Event) -> None:
    _free_seats(db, event.body["user"])


def _free_seats(db: sqlite3.Connection, user: str) -> None:
    """Give a user's open items to others. The drafts stay among the events."""
    items = [row[0] for row in db.execute("SELECT item FROM seats WHERE user = ? AND state = 'open'", (user,))]
    db.execute("DELETE FROM seats WHERE user = ? AND state = 'open'", (user,))
    for item in items:
        _set_state(db, item)


APPLY: dict[str, Callable[[sqlite3.Connection, Event], None]] = {
    "settings": _settings,
    "user": _user,
    "item": _item,
    "open": _open,
    "draft": _draft,
    "judge": _judge,
    "skip": _leave,
    "flag": _leave,
    "decide": _judge,
    "reopen": _reopen,
    "release": _release,
}


# ---- the state of an item


def _refresh(db: sqlite3.Connection, event: Event) -> None:
    assert event.item is not None, f"event {event.id} of kind {event.kind}: expected an item"
    _set_state(db, event.item)
    if event.kind != "open":
        db.execute("UPDATE items SET updated = ? WHERE number = ?", (event.id, event.item))


def _set_state(db: sqlite3.Connection, item: int) -> None:
    annotators, min_tau = db.execute("SELECT annotators, min_tau FROM settings").fetchone()
    reopened = db.execute("SELECT reopened FROM items WHERE number = ?", (item,)).fetchone()[0]
    seats = db.execute("SELECT role, state, judgement FROM seats WHERE item = ?", (item,)).fetchall()
    states = [seat["state"] for seat in seats if seat["role"] == "annotator"]
    taken = states.count("open") + states.count("judged")
    state, reason = "open", ""
    if any(seat["role"] == "expert" and seat["state"] == "judged" for seat in seats):
        state = "decided"
    elif reopened:
        state, reason = "disputed", "reopen"
    elif "flagged" in states:
        state, reason = "disputed", "flag"
    elif states.count("skipped") >= annotators:
        state, reason = "disputed", "skip"
    elif states.count("judged") >= annotators:
        judged = [seat for seat in seats if seat["role"] == "annotator" and seat["state"] == "judged"]
        judgements = [judgement_from_json(json.loads(seat["judgement"])) for seat in judged]
        reasons = [disagreement(one, other, min_tau) for one, other in itertools.combinations(judgements, 2)]
        reason = next(filter(None, reasons), "")
        state = "disputed" if reason else "agreed"
    row = (state, reason, max(0, annotators - taken), item)
    db.execute("UPDATE items SET state = ?, reason = ?, seats_left = ? WHERE number = ?", row)
