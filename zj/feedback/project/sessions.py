"""Who is logged in, and until when."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from zj.feedback.project.events import transaction
from zj.feedback.project.passwords import token_hash, verify_password
from zj.feedback.project.store import Store, User

LONGEST = 12 * 3600.0  # seconds from login to the end
IDLE = 2 * 3600.0  # seconds without a request
SEEN_EVERY = 60.0  # seconds between writes of the last request


@dataclass(frozen=True)
class Session:
    user: User
    csrf: str  # token that each change has to carry


class Sessions:
    def __init__(self, store: Store):
        self.store = store

    def log_in(self, name: str, password: str) -> str | None:
        """A new session's token; None if name or password is wrong."""
        user = self.store.user(name)
        right = verify_password(password, user.password if user and user.active else "")
        if user is None or not right:
            return None
        token, now = secrets.token_urlsafe(32), time.time()
        with transaction(self.store.db):
            self.store.db.execute("DELETE FROM sessions WHERE begun < ? OR seen < ?", (now - LONGEST, now - IDLE))
            row = (token_hash(token), name, secrets.token_urlsafe(32), now, now)
            self.store.db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", row)
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token, unless it has ended or its user is no longer active."""
        digest, now = token_hash(token), time.time()
        row = self.store.db.execute("SELECT * FROM sessions WHERE token = ?", (digest,)).fetchone()
        if row is None or row["begun"] < now - LONGEST or row["seen"] < now - IDLE:
            return None
        user = self.store.user(row["user"])
        if user is None or not user.active:
            return None
        if row["seen"] < now - SEEN_EVERY:
            self.store.db.execute("UPDATE sessions SET seen = ? WHERE token = ?", (now, digest))
        return Session(user, row["csrf"])

    def log_out(self, token: str) -> None:
        self.store.db.execute("DELETE FROM sessions WHERE token = ?", (token_hash(token),))
