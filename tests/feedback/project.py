"""A small ranking project: items with answers that name themselves, users of each role, judgements."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from zj.data.records import Candidates, Prompt
from zj.feedback.project import passwords
from zj.feedback.project.store import Settings, Store, User
from zj.feedback.ranking.criteria import DIMENSION_KEYS

passwords.COST = (16, 8, 1)  # a password is tried a hundred times here
PASSWORD = "correct horse"
HASHED = passwords.hash_password(PASSWORD)
_clients = itertools.count(10_000_000)


def items(number: int, departments: tuple[str, ...] = ("皮肤科",), answers: int = 4) -> list[Candidates]:
    return [
        Candidates(
            f"i{n}",
            Prompt(
                f"i{n}",
                f"第{n}题？",
                (("你好", "您好。"),) * (n % 2),
                department=departments[n % len(departments)],
                split_by=f"第{n}题",
            ),
            tuple(f"第{n}题的回答{k}。" for k in range(answers)),
            tuple(f"model-{k}" for k in range(answers)),
            ("training", "outside")[n % 2],
        )
        for n in range(number)
    ]


def project(folder: Path, number: int = 4, settings: Settings | None = None, **given: Any) -> Store:
    """A store of items and of the users a, b, c (annotators), x, y (experts), admin."""
    store = Store(folder / "ranking.db", create=settings or Settings())
    store.add_items(items(number, **given))
    for name, role in (*(("a", "annotator"), ("b", "annotator"), ("c", "annotator")), ("x", "expert"), ("y", "expert")):
        store.set_user(name, role, password=HASHED)  # type: ignore[arg-type]
    store.set_user("admin", "admin", password=HASHED)
    return store


def user(store: Store, name: str) -> User:
    found = store.user(name)
    assert found is not None
    return found


def judgement(*ranks: int, **given: Any) -> dict[str, Any]:
    """JSON by answer: the same ranks in all dimensions, or other ones by name (safety=(1, 2, …))."""
    by_dimension = {key: list(given.pop(key, ranks)) for key in DIMENSION_KEYS}
    return {"ranks": by_dimension, "faults": [[] for _ in by_dimension["safety"]], "rewrites": {}, "notes": ""} | given


def act(store: Store, name: str, kind: Any, number: int, body: dict[str, Any], version: int | None = None) -> int:
    """One action with a new client id, by default of the version that the page would show now."""
    person = user(store, name)
    shown = store.version(number, person) if version is None else version
    return store.act(person, kind, number, shown, f"client-{next(_clients)}", body)


def judge(store: Store, name: str, number: int, *ranks: int, **given: Any) -> int:
    return act(store, name, "judge", number, {"judgement": judgement(*ranks, **given), "seconds": 30})


def table(store: Store, name: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.db.execute(f"SELECT * FROM {name} ORDER BY 1, 2")]
