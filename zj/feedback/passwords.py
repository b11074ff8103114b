"""Passwords and sessions: scrypt, random tokens, a limit of attempts."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import defaultdict, deque

SHORTEST = 8  # characters of a password
COST = {"n": 2**14, "r": 8, "p": 1}  # scrypt: 16 MiB and about 50 ms a try


def hash_password(password: str) -> str:
    """ "scrypt:salt:hash". ValueError for a short password."""
    if len(password) < SHORTEST:
        raise ValueError(f"found a password of {len(password)} characters, expected at least {SHORTEST}")
    salt = secrets.token_bytes(16)
    return f"scrypt:{salt.hex()}:{_scrypt(password, salt).hex()}"


def verify_password(password: str, hashed: str) -> bool:
    """Whether it is the password; an empty hash (a user who cannot log in) takes as long and is False."""
    _, salt, digest = hashed.split(":") if hashed else ("", "00" * 16, "00")
    return secrets.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, dklen=32, **COST)


def token_hash(token: str) -> str:
    """What the file keeps of a session's token: who reads the file cannot use it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Throttle:
    """At most `limit` events of a name within `window` seconds; names that were quiet are forgotten."""

    def __init__(self, limit: int, window: float):
        self.limit, self.window = limit, window
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, name: str) -> bool:
        """Whether one more is allowed; it is counted by `count`."""
        self._forget(name)
        return len(self._times.get(name, ())) < self.limit

    def count(self, name: str) -> None:
        self._times[name].append(time.monotonic())
        if len(self._times) > 10_000:  # as many names as somebody likes to try
            for other in list(self._times):
                self._forget(other)

    def _forget(self, name: str) -> None:
        times = self._times.get(name)
        while times and times[0] < time.monotonic() - self.window:
            times.popleft()
        if times is not None and not times:
            del self._times[name]
