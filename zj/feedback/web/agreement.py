"""Agreement as the progress page shows it, computed anew when there are new judgements."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import Any

from zj.feedback.project.store import Store
from zj.feedback.ranking.agreement import by_dimension

SECONDS = 10.0  # between two computations, however many look at the page


class AgreementCache:
    def __init__(self, store: Store):
        self.store = store
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._version, self._time = -1, float("-inf")

    def rows(self) -> list[dict[str, Any]]:
        """One row for each dimension and for the final order; none before two people have judged one item."""
        with self._lock:
            version = self.store.db.execute("SELECT coalesce(max(updated), 0) FROM items").fetchone()[0]
            if version != self._version and time.monotonic() > self._time + SECONDS:
                figures = by_dimension(list(self.store.judged()))
                self._rows = [{"dimension": key} | asdict(a) for key, a in figures.items() if a.items]
                self._version, self._time = version, time.monotonic()
            return self._rows
