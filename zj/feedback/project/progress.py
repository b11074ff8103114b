"""How far the work is: of one user, of each department, of each annotator."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from zj.feedback.project.store import Store, User

RECENT = 20  # judgements that an annotator's items an hour are the mean of


def progress_of(store: Store, user: User) -> dict[str, Any]:
    """done, today, left (items), per_hour (items; None without one)."""
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    mine = "SELECT count(*), coalesce(sum(time >= ?), 0) FROM seats WHERE user = ? AND state = 'judged'"
    done, today = store.db.execute(mine, (midnight, user.name)).fetchone()
    return {"done": done, "today": today, "left": _left(store, user), "per_hour": _per_hour(store, user.name)}


def _left(store: Store, user: User) -> int:
    """Items that the user may still be given, with the one that is open."""
    if user.role == "admin":
        return 0
    free = "state = 'disputed'" if user.role == "expert" else "state = 'open' AND seats_left > 0"
    departments = "".join(", ?" for _ in user.departments)[2:]
    inside = f" AND department IN ({departments})" if user.departments else ""
    values = list(user.departments)
    count = store.db.execute(f"SELECT count(*) FROM items WHERE {free}{inside}", values).fetchone()[0]
    seen = f"SELECT count(*) FROM seats CROSS JOIN items ON number = item WHERE user = ? AND items.{free}{inside}"
    taken = store.db.execute(seen.replace("seats_left", "items.seats_left"), [user.name, *values]).fetchone()[0]
    opened = "SELECT count(*) FROM seats WHERE user = ? AND state = 'open'"
    return count - taken + store.db.execute(opened, (user.name,)).fetchone()[0]


def _per_hour(store: Store, name: str) -> float | None:
    """From the seconds that the page was in use for each of the last judgements."""
    query = (
        "SELECT seconds FROM seats WHERE user = ? AND state = 'judged' AND seconds > 0 ORDER BY version DESC LIMIT ?"
    )
    seconds = [row[0] for row in store.db.execute(query, (name, RECENT))]
    return round(3600 * len(seconds) / sum(seconds), 1) if seconds else None


def stuck(store: Store) -> int:
    """Open items that nobody may finish: each active annotator of the department has judged, skipped or left them."""
    number = 0
    annotators = [user for user in store.users() if user.active and user.role == "annotator"]
    for row in store.db.execute("SELECT DISTINCT department FROM items WHERE state = 'open'").fetchall():
        names = [user.name for user in annotators if not user.departments or row[0] in user.departments]
        seats = f"SELECT count(*) FROM seats WHERE item = number AND user IN ({', '.join('?' * len(names))})"
        waiting = (
            f"SELECT count(*) FROM items WHERE state = 'open' AND department = ? AND seats_left > 0 AND ({seats}) = ?"
        )
        number += store.db.execute(waiting, (row[0], *names, len(names))).fetchone()[0]
    return number


STATES = ("open", "agreed", "disputed", "decided")


def by_department(store: Store) -> list[dict[str, Any]]:
    """Items in each state, a row for each department; the last row is the sum."""
    rows: dict[str, dict[str, Any]] = {}
    for row in store.db.execute("SELECT department, state, count(*) FROM items GROUP BY department, state"):
        rows.setdefault(row[0], {"name": row[0], **dict.fromkeys(STATES, 0)})[row[1]] = row[2]
    listed = [rows[name] for name in sorted(rows)]
    return [*listed, {"name": None, **{state: sum(row[state] for row in listed) for state in STATES}}]


def by_annotator(store: Store) -> list[dict[str, Any]]:
    """Judgements of each annotator and expert, their rate and their open items."""
    query = "SELECT user, sum(state = 'judged') AS done, sum(state = 'open') AS open FROM seats GROUP BY user"
    seats = {row["user"]: row for row in store.db.execute(query)}
    return [
        {
            "pseudonym": user.pseudonym,
            "name": user.name,
            "role": user.role,
            "active": user.active,
            "done": seats[user.name]["done"] if user.name in seats else 0,
            "open": seats[user.name]["open"] if user.name in seats else 0,
            "per_hour": _per_hour(store, user.name),
        }
        for user in store.users()
        if user.role != "admin"
    ]


def written(moment: float) -> str:
    """Seconds since 1970 as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
