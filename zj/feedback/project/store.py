"""A ranking project in one SQLite file: what may be done to it, each as one transaction.

Actions check the rules, add an event (events.py) and change the tables by it (derived.py). Any number of threads and
processes may use the file at once.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zj.data.records import Candidates, as_json
from zj.feedback.project import events
from zj.feedback.project.derived import apply, derive
from zj.feedback.project.events import connect, transaction
from zj.feedback.project.items import candidates_from_json, content_hash
from zj.feedback.ranking.disagreement import MIN_TAU, joint_ranks
from zj.feedback.ranking.judgement import Judgement, Outcome, judgement_from_json
from zj.feedback.ranking.ranks import display_order

Role = Literal["annotator", "expert", "admin"]
MOST_ANSWERS = 8  # one digit ranks an answer
LONGEST_NAME = 64  # characters of a user's name


class Refused(ValueError):
    """The user may not do this: HTTP 403."""


class Conflict(ValueError):
    """Somebody, or the same user in another window, was faster: HTTP 409."""


@dataclass(frozen=True)
class Settings:
    """Fixed when the project begins: what was judged before would mean another thing under others."""

    annotators: int = 2  # people who judge an item, blind to each other
    min_tau: float = MIN_TAU  # of Kendall's tau-b of two final orders; below it they disagree
    seed: int = 0  # of the orders on the screens


@dataclass(frozen=True)
class User:
    name: str
    pseudonym: str
    role: Role
    departments: tuple[str, ...] = ()  # whose items the annotator or expert is given; (): all
    password: str = ""  # a hash; "": cannot log in
    active: bool = True


@dataclass(frozen=True)
class Seat:
    """A user's place at an item."""

    role: Role  # in which the user took it; in another one they only look at the item
    state: str  # open, judged, skipped, flagged
    version: int  # number of the last event of this seat
    draft: dict[str, Any] | None = None  # JSON of a judgement, ranks may be None
    judgement: dict[str, Any] | None = None
    reason: str = ""


class Store:
    """A file of `annotate.py import`. Raises ValueError, naming --db, for a file that is none."""

    def __init__(self, path: str | Path, create: Settings | None = None):
        self.path = Path(path)
        self._local = threading.local()
        if create:
            connect(self.path, create=True).close()
        derive(self.db)
        if create:
            with transaction(self.db):
                if not self.last_event():  # also of a first import that broke off
                    apply(self.db, events.append(self.db, "", "settings", None, create.__dict__))

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self._local, "db"):
            self._local.db = connect(self.path)
        return self._local.db

    @property
    def settings(self) -> Settings:
        return Settings(*self.db.execute("SELECT annotators, min_tau, seed FROM settings").fetchone())

    # ---- users

    def set_user(
        self, name: str, role: Role, departments: Sequence[str] = (), password: str = "", active: bool = True
    ) -> None:
        """Add a user, or change one, whose sessions end. `password`: a hash."""
        if not name or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueError(f"--name {name!r}: expected 1 to {LONGEST_NAME} printable characters, no blank at an end")
        body = {"name": name, "role": role, "departments": [*departments], "password": password, "active": active}
        with transaction(self.db):
            apply(self.db, events.append(self.db, "", "user", None, body))
            self.db.execute("DELETE FROM sessions WHERE user = ?", (name,))  # who changed a password wants that

    def users(self) -> list[User]:
        return [_user(row) for row in self.db.execute("SELECT * FROM users ORDER BY pseudonym")]

    def user(self, name: str) -> User | None:
        row = self.db.execute("SELECT * FROM users WHERE name = ?", (name,)).fetchone()
        return _user(row) if row else None

    # ---- items

    def add_items(self, items: Iterable[Candidates], judged_by: str = "", ranks: Sequence[Any] = ()) -> tuple[int, int]:
        """(items added, items that are there already). With `judged_by` the items' overall `ranks` are that user's.

        Raises ValueError with file:line for an id that another item has, and for more answers than can be ranked.
        """
        added = known = 0
        with transaction(self.db):
            number = self.db.execute("SELECT coalesce(max(number), 0) FROM items").fetchone()[0]
            for index, item in enumerate(items):
                if len(item.answers) > MOST_ANSWERS:
                    raise ValueError(f"{item.where}: found {len(item.answers)} answers, expected 2 to {MOST_ANSWERS}")
                place = self._place_of(item)
                known += place is not None
                if place is None:
                    number, added = number + 1, added + 1
                    place = number
                    apply(self.db, events.append(self.db, "", "item", number, as_json(item)))
                if judged_by:
                    self._import_judgement(place, item, judged_by, ranks[index])
        return added, known

    def _place_of(self, item: Candidates) -> int | None:
        """The number of the same item. ValueError if its id is another item's."""
        body = as_json(item)
        row = self.db.execute("SELECT number, content FROM items WHERE id = ?", (item.id,)).fetchone()
        if row is None:
            row = self.db.execute("SELECT number FROM items WHERE content = ?", (content_hash(body),)).fetchone()
            return row["number"] if row else None
        if row["content"] != content_hash(body):
            raise ValueError(f"{item.where}: found id {item.id!r}, which another item has, expected ids of their own")
        return row["number"]

    def _import_judgement(self, number: int, item: Candidates, user: str, ranks: Sequence[int]) -> None:
        if self.seat(number, user):
            raise ValueError(f"{item.where}: found item {item.id!r} ranked by {user} already, expected it once")
        if self.item_row(number)["seats_left"] < 1:
            raise ValueError(f"{item.where}: found item {item.id!r} ranked by enough people already, expected fewer")
        judgement = Judgement({"overall": tuple(ranks)}, tuple(() for _ in item.answers))
        apply(self.db, events.append(self.db, user, "open", number, {"role": "annotator"}))
        body = {"judgement": judgement.as_json(), "imported": True}
        apply(self.db, events.append(self.db, user, "judge", number, body))

    def item_row(self, number: int) -> sqlite3.Row:
        """A row of the table of items. `Refused` if there is none."""
        row = self.db.execute("SELECT * FROM items WHERE number = ?", (min(number, 2**62),)).fetchone()
        if row is None:
            raise Refused(f"found item {number}, expected one of this project")
        return row

    def item(self, number: int) -> Candidates:
        return candidates_from_json(json.loads(self.item_row(number)["body"]))

    def seat(self, item: int, user: str) -> Seat | None:
        row = self.db.execute("SELECT * FROM seats WHERE item = ? AND user = ?", (item, user)).fetchone()
        return row and Seat(
            row["role"], row["state"], row["version"], _json(row["draft"]), _json(row["judgement"]), row["reason"] or ""
        )

    def order(self, user: str, item: Candidates) -> tuple[int, ...]:
        """Which answer stands at each place of this user's screen."""
        return display_order(self.settings.seed, user, item.id, len(item.answers))

    def version(self, number: int, user: User) -> int:
        """What the user's page has seen of the item: an annotator the own seat, others everything."""
        seat = self.seat(number, user.name)
        own = seat.version if seat else 0
        return max(own, self.item_row(number)["updated"]) if user.role != "annotator" else own

    # ---- actions of the page

    def act(self, user: User, kind: events.Kind, number: int, version: int, client: str, body: dict[str, Any]) -> int:
        """Add one event of the user about an item; its number, the item's new version.

        A repeated `client` adds nothing. `Refused`: not the user's. `Conflict`: not of `version`, or decided by now.
        """
        with transaction(self.db):
            before = events.repeated(self.db, user.name, client)
            if before is not None:
                if (before["kind"], before["item"]) != (kind, number):
                    raise Conflict("found a request id of another action, expected a new one")
                return before["id"]
            self._check(user, kind, number, version)
            event = events.append(self.db, user.name, kind, number, body, client)
            apply(self.db, event)
        return event.id

    def _check(self, user: User, kind: events.Kind, number: int, version: int) -> None:
        row, seat = self.item_row(number), self.seat(number, user.name)
        if kind == "reopen":
            if user.role == "annotator" or row["state"] not in ("agreed", "decided"):
                raise Refused("found an item or a role that cannot be reopened, expected an expert and a settled item")
            if version < row["updated"]:
                raise Conflict("found a newer state of this item, expected the one that this page shows")
            return
        decides = user.role == "expert" and kind not in ("draft", "flag", "skip")
        if seat is None or seat.role != user.role or (kind == "decide") != decides:
            raise Refused("found an item that is not with this user, expected one that was given to them")
        if row["state"] == "decided":
            raise Conflict("found an item that the expert has decided, expected an open one")
        if kind == "decide" and row["state"] != "disputed":
            raise Conflict("found an item that is no longer disputed, expected a disputed one")
        if user.role == "annotator" and seat.state == "skipped" and row["seats_left"] < 1:
            raise Conflict("found an item that others have taken, expected a free one")
        if version != self.version(number, user):
            raise Conflict("found a newer state of this item, expected the one that this page shows")

    def release(self, user: User, name: str, client: str) -> None:
        """Give the open items of a user to others (admin)."""
        if user.role != "admin":
            raise Refused("found a role that cannot release items, expected an admin")
        with transaction(self.db):
            if events.repeated(self.db, user.name, client) is None:
                apply(self.db, events.append(self.db, user.name, "release", None, {"user": name}, client))

    # ---- results

    def last_event(self) -> int:
        """The number of the last event: what a backup, an export or a page was made after."""
        return self.db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]

    def judgements(self, number: int) -> list[tuple[str, str, Judgement]]:
        """(pseudonym, role, judgement) of each person who has judged the item."""
        rows = self.db.execute(JUDGED + " WHERE seats.item = ?", (number,))
        return [(row["pseudonym"], row["role"], _judgement(row)) for row in rows]

    def judged(self) -> Iterator[tuple[str, list[tuple[str, Judgement]]]]:
        """(first question of the dialogue, [(pseudonym, judgement)]) of each item that two annotators have judged."""
        for rows in self._judged():
            yield rows[0]["dialogue"], [(row["pseudonym"], _judgement(row)) for row in rows]

    def departments_of_judged(self) -> list[str]:
        """The department of each item of `judged`."""
        return [rows[0]["department"] for rows in self._judged()]

    def _judged(self) -> Iterator[list[sqlite3.Row]]:
        rows = self.db.execute(JUDGED + " WHERE seats.role = 'annotator' ORDER BY seats.item, pseudonym")
        return (group for group in _items_of(rows) if len(group) > 1)

    def outcomes(self) -> Iterator[Outcome]:
        """Each item on which annotators agree or an expert has decided, in the order of import."""
        rows = self.db.execute(JUDGED + " WHERE items.state IN ('agreed', 'decided') ORDER BY seats.item, pseudonym")
        for group in _items_of(rows):
            people = [(row["pseudonym"], row["role"], _judgement(row)) for row in group]
            decisions = [(name, judgement) for name, role, judgement in people if role == "expert"]
            ranks = decisions[0][1].ranks if decisions else joint_ranks([judgement for _, _, judgement in people])
            given = tuple((name, judgement) for name, _, judgement in people)
            yield Outcome(self.item(group[0]["item"]), ranks, decisions[0][0] if decisions else "", given)

    def backup(self, target: Path) -> None:
        """A copy as of one moment, while others go on. Raises ValueError if the target is there."""
        if target.exists():
            raise ValueError(f"--out {target}: is there already, expected the name of a new file")
        if not target.parent.is_dir():
            raise ValueError(f"--out {target}: {target.parent} is not there, expected a name in a directory that is")
        target.touch(mode=0o600)  # as `connect` does
        self.db.execute("VACUUM INTO ?", (str(target),))


JUDGED = """SELECT seats.item AS item, seats.role AS role, seats.judgement AS judgement,
    users.pseudonym AS pseudonym, items.dialogue AS dialogue, items.department AS department
    FROM seats JOIN items ON items.number = seats.item AND seats.state = 'judged'
    JOIN users ON users.name = seats.user"""


def _items_of(rows: Iterable[sqlite3.Row]) -> Iterator[list[sqlite3.Row]]:
    """Neighbouring rows of one item."""
    return (list(group) for _, group in itertools.groupby(rows, key=lambda row: row["item"]))


def _judgement(row: sqlite3.Row) -> Judgement:
    return judgement_from_json(json.loads(row["judgement"]))


def _user(row: sqlite3.Row) -> User:
    departments = tuple(json.loads(row["departments"]))
    return User(row["name"], row["pseudonym"], row["role"], departments, row["password"], bool(row["active"]))


def _json(text: str | None) -> dict[str, Any] | None:
    return json.loads(text) if text else None
