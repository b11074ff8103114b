"""When to stop before the end: a signal asks for it, or the time that a queue has given is over."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

TWICE = 10.0  # seconds within which signals are one request
BEGAN = time.monotonic()  # of this process, up to the import of this file


class Stop:
    """Asked after every step; the step at hand is always finished."""

    def __init__(self, after: str = ""):
        """`after` is a length of time such as 3h50m, counted from the start of the process ("": no limit)."""
        self.deadline = BEGAN + seconds(after) if after else float("inf")
        self.signalled = float("inf")  # when

    def listen(self) -> None:
        """From here on SIGTERM and Ctrl-C ask for a stop instead of ending the process.

        Queues and torchrun may send the same request twice; one that comes later than that ends the process.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: Any) -> None:
        if time.monotonic() > self.signalled + TWICE:
            raise KeyboardInterrupt
        self.signalled = min(self.signalled, time.monotonic())

    def asked(self) -> bool:
        """Whether to stop now."""
        return self.signalled < float("inf") or time.monotonic() > self.deadline


def seconds(text: str) -> int:
    """3h50m, 90m or 45s as seconds. ValueError if it is not such a length of time."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or found is None:
        raise ValueError(f"--stop-after {text}: expected a length of time such as 3h50m, 90m or 45s")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + rest
