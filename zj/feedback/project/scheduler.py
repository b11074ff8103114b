"""Which item a user gets next: the one that they left open, else one of their departments, where most waits."""

from __future__ import annotations

from zj.feedback.project import events
from zj.feedback.project.derived import apply
from zj.feedback.project.events import transaction
from zj.feedback.project.store import Store, User


def next_item(store: Store, user: User) -> int | None:
    """The number of the user's next item, which is theirs from now on; None if nothing is left for them."""
    item = _opened(store, user)
    if item is not None or user.role == "admin":
        return item
    with transaction(store.db):
        item = _opened(store, user)  # perhaps by another window, meanwhile
        if item is None:
            item = _disputed(store, user) if user.role == "expert" else _unfinished(store, user)
            if item is not None:
                apply(store.db, events.append(store.db, user.name, "open", item, {"role": user.role}))
    return item


def _opened(store: Store, user: User) -> int | None:
    """The item that the user has begun or begun to correct, and that nobody has settled meanwhile."""
    query = "SELECT item FROM seats JOIN items ON number = item WHERE user = ? AND role = ?"
    query += " AND (seats.state = 'open' OR seats.state = 'judged' AND draft IS NOT NULL)"
    settled = "items.state = 'disputed'" if user.role == "expert" else "items.state != 'decided'"
    row = store.db.execute(f"{query} AND {settled} ORDER BY version LIMIT 1", (user.name, user.role)).fetchone()
    return row["item"] if row else None


def last_judged(store: Store, user: User) -> int | None:
    """The item that the user has judged, skipped or flagged last."""
    last = "SELECT item FROM seats WHERE user = ? AND state != 'open' ORDER BY version DESC LIMIT 1"
    row = store.db.execute(last, (user.name,)).fetchone()
    return row["item"] if row else None


FREE = " AND NOT EXISTS (SELECT 1 FROM seats WHERE seats.item = items.number AND {})"


def _unfinished(store: Store, user: User) -> int | None:
    """A free seat: first of items that another has begun; of departments the one with most seats for each annotator."""
    query = "SELECT number FROM items WHERE state = 'open' AND department = ? AND seats_left BETWEEN 1 AND ?"
    query += FREE.format("seats.user = ?") + " ORDER BY place LIMIT 1"
    departments, seats = _departments_by_load(store, user), store.settings.annotators
    for most in (seats - 1, seats):
        for department in departments:
            row = store.db.execute(query, (department, most, user.name)).fetchone()
            if row is not None:
                return row["number"]
    return None


def _departments_by_load(store: Store, user: User) -> list[str]:
    waiting = "SELECT department, sum(seats_left) AS seats FROM items WHERE state = 'open' GROUP BY department"
    seats = {row["department"]: row["seats"] for row in store.db.execute(waiting)}
    annotators = [other for other in store.users() if other.active and other.role == "annotator"]
    load = {
        department: number / max(1, sum(_covers(other, department) for other in annotators))
        for department, number in seats.items()
        if number and _covers(user, department)
    }
    return sorted(load, key=lambda department: (-load[department], department))


def _disputed(store: Store, user: User) -> int | None:
    """A disputed item that no other expert has open, and that the user has not judged as an annotator."""
    query = "SELECT number, department FROM items WHERE state = 'disputed'"
    query += FREE.format("(seats.user = ? OR (seats.role = 'expert' AND seats.state = 'open'))") + " ORDER BY place"
    for row in store.db.execute(query, (user.name,)):
        if _covers(user, row["department"]):
            return row["number"]
    return None


def _covers(user: User, department: str) -> bool:
    return not user.departments or department in user.departments
