"""When to stop early: after a signal, or after the time limit of a queue."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

REPEAT_WINDOW = 10.0  # seconds within which signals are one request
START = time.monotonic()  # of this process, up to the import of this file


class Stop:
    """Checked after every step, so that a step is always finished."""

    def __init__(self, after: str = ""):
        """`after` is a length of time such as 3h50m, counted from the start of the process ("": no limit)."""
        self.deadline = START + seconds(after) if after else float("inf")
        self.signal_time = float("inf")  # of the first signal
        self.terminals: list[int] = []  # the standard streams that are one

    def listen(self) -> None:
        """From now on SIGTERM, Ctrl-C and the end of the terminal request a stop instead of ending the process.

        Queues and torchrun may send a signal twice; one after REPEAT_WINDOW ends the process.
        """
        self.terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it: such a run outlives its terminal
            signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == signal.SIGHUP:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for descriptor in self.terminals:  # it is gone, and a line printed there would end the run unsaved
                os.dup2(nowhere, descriptor)
        if time.monotonic() > self.signal_time + REPEAT_WINDOW:
            raise KeyboardInterrupt
        self.signal_time = min(self.signal_time, time.monotonic())

    def requested(self) -> bool:
        """Whether a stop is requested."""
        return self.signal_time < float("inf") or time.monotonic() > self.deadline


def seconds(text: str) -> int:
    """3h50m, 90m or 45s as seconds. ValueError if it is not such a length of time."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or match is None:
        raise ValueError(f"--stop-after {text}: expected a length of time such as 3h50m, 90m or 45s")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + rest
