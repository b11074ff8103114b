"""Limits of requests and tokens a minute: evenly spaced starts, and a pause that holds for all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Pace:
    """When the next request may begin. Limits are a minute's; 0 is no limit. Threads may share one."""

    def __init__(self, requests: int = 0, tokens: int = 0, clock: Callable[[], float] = time.monotonic):
        self.request_seconds = 60 / requests if requests else 0.0
        self.token_seconds = 60 / tokens if tokens else 0.0
        self.clock, self.lock = clock, threading.Lock()
        self.next_request = self.next_token = self.paused_until = -math.inf

    def reserve(self, tokens: int) -> float:
        """The time at which a request with so many tokens may begin; the following ones come after it."""
        with self.lock:
            start = max(self.clock(), self.next_request, self.next_token, self.paused_until)
            self.next_request = start + self.request_seconds
            self.next_token = start + self.token_seconds * tokens
            return start

    def pause(self, seconds: float) -> None:
        """No request begins for so long: the service wants that."""
        with self.lock:
            self.paused_until = max(self.paused_until, self.clock() + seconds)

    def seconds_until(self, start: float) -> float:
        """What is left to wait until `start`, or until the end of a pause."""
        return max(start, self.paused_until) - self.clock()
