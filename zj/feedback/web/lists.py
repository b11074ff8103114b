"""The list of items for experts and admins."""

from __future__ import annotations

import json
from typing import Any

from zj.feedback.project.progress import STATES, written
from zj.feedback.project.store import Store

LIMIT = 50  # rows of a page


def item_list(store: Store, state: str, query: str, offset: int) -> dict[str, Any]:
    """Items in a state ("": any) whose id, department or text holds the query, with what the page needs to go on."""
    wheres: list[str] = ["1"]
    values: list[str] = []
    if state in STATES:
        wheres, values = [*wheres, "state = ?"], [*values, state]
    if query:
        wheres, values = [*wheres, "instr(id || ' ' || department || ' ' || body, ?)"], [*values, query[:200]]
    where = " AND ".join(wheres)
    total = store.db.execute(f"SELECT count(*) FROM items WHERE {where}", values).fetchone()[0]
    chosen = f"SELECT * FROM items WHERE {where} ORDER BY updated DESC LIMIT {LIMIT} OFFSET ?"
    rows = [
        {
            "number": row["number"],
            "id": row["id"],
            "department": row["department"],
            "state": row["state"],
            "reason": row["reason"],
            "text": json.loads(row["body"])["prompt"][-1]["content"],
            "updated": _time_of(store, row["updated"]),
        }
        for row in store.db.execute(chosen, [*values, offset])
    ]
    state = state if state in STATES else ""
    return {"rows": rows, "state": state, "query": query[:200], "offset": offset, "total": total, "limit": LIMIT}


def _time_of(store: Store, event: int) -> str:
    return written(store.db.execute("SELECT time FROM events WHERE id = ?", (event,)).fetchone()[0])
