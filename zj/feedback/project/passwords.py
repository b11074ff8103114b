"""Passwords and sessions: scrypt, random tokens, a limit of attempts."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import defaultdict, deque

SHORTEST = 8  # characters of a password
COST = (2**14, 8, 1)  # scrypt's n, r, p of new passwords: 16 MiB and about 50 ms a try


def hash_password(password: str) -> str:
    """ "scrypt:n:r:p:salt:hash". ValueError for a short password."""
    if len(password) < SHORTEST:
        raise ValueError(f"found a password of {len(password)} characters, expected at least {SHORTEST}")
    salt = secrets.token_bytes(16)
    return ":".join(["scrypt", *map(str, COST), salt.hex(), _scrypt(password, salt, *COST).hex()])


NOBODY = ":".join(["scrypt", *map(str, COST), "00" * 16, "00"])  # no password has a hash of one byte


def verify_password(password: str, hashed: str) -> bool:
    """Whether it is the password; "" (a user who cannot log in) is False and takes as long."""
    _, n, r, p, salt, digest = (hashed or NOBODY).split(":")
    tried = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return secrets.compare_digest(tried, bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=salt, n=n, r=r, p=p, dklen=32)


def token_hash(token: str) -> str:
    """What the file keeps of a session's token: who reads the file cannot use it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Throttle:
    """At most `limit` events of a name within `window` seconds; names that were quiet are forgotten."""

    def __init__(self, limit: int, window: float):
        self.limit, self.window = limit, window
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def take(self, name: str) -> bool:
        """Count one more, if it is allowed. It counts before it is known to be wrong: many may come at once."""
        with self._lock:
            self._forget(name)
            if len(self._times.get(name, ())) >= self.limit:
                return False
            self._times[name].append(time.monotonic())
            if len(self._times) > 10_000:  # as many names as somebody likes to try
                for other in list(self._times):
                    self._forget(other)
            return True

    def give_back(self, name: str) -> None:
        """One that was taken does not count."""
        with self._lock:
            if self._times.get(name):
                self._times[name].pop()

    def _forget(self, name: str) -> None:
        times = self._times.get(name)
        while times and times[0] < time.monotonic() - self.window:
            times.popleft()
        if times is not None and not times:
            del self._times[name]
