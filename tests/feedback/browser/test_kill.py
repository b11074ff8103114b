"""Two doctors work in two browsers while the server dies by SIGKILL a hundred times, during saves. Nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.feedback.project import items, project, user
from zj.feedback.project.events import read_events
from zj.feedback.project.store import Settings
from zj.feedback.ranking.criteria import DIMENSION_KEYS

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[3]
KILLS = 100
# Forks a server for each line that it reads, so that it is there again in milliseconds, and tells its process id.
SERVERS = """
import os, sys
import uvicorn
from zj.feedback.project.store import Store
from zj.feedback.web.app import make_app
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        uvicorn.run(make_app(Store(sys.argv[1])), port=int(sys.argv[2]), log_level="critical", lifespan="off")
    print(child, flush=True)
"""
# The pages wait a second and more before they try again. Here their clock runs faster.
FASTER = "const wait = setTimeout; window.setTimeout = (call, ms, ...rest) => wait(call, Math.min(ms, 60), ...rest);"


class Mortal:
    """A server of a store that is killed and comes back on the same port."""

    def __init__(self, path: Path):
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            self.port = door.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-c", SERVERS, str(path), str(self.port)]
        self._servers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.start()

    def start(self) -> None:
        assert self._servers.stdin and self._servers.stdout
        self._servers.stdin.write("one\n")
        self._servers.stdin.flush()
        self._child = int(self._servers.stdout.readline())
        self._wait(listening=True)

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)
        self._wait(listening=False)  # else the next one finds the port taken

    def _wait(self, listening: bool) -> None:
        for _ in range(1000):
            with socket.socket() as client:
                if (client.connect_ex(("127.0.0.1", self.port)) == 0) == listening:
                    return
            time.sleep(0.01)
        raise AssertionError(f"the server is {'not ' * listening}there")

    def end(self) -> None:
        self.kill()
        self._servers.kill()
        self._servers.communicate()


def test_a_hundred_kills_lose_nothing_and_double_nothing(tmp_path, desk):
    rng, store = random.Random(3), project(tmp_path, 0, Settings(annotators=2))
    store.add_items(items(2 * KILLS + 20))
    server, submitted = Mortal(store.path), []
    try:
        people = {name: desk(server, name) for name in "ab"}
        for person in people.values():
            person.page.context.add_init_script(FASTER)
        for _ in range(KILLS):
            for name, person in people.items():
                open_work(person)
                submitted.append((name, rank(person, rng)))
            for name in rng.sample("ab", 2):
                people[name].press("Enter")
            time.sleep(rng.uniform(0, 0.03))
            server.kill()
            server.start()
            for name, (number, _) in submitted[-2:]:
                wait_for_next(people[name], number)
        for person in people.values():
            person.page.goto("about:blank")  # nothing is on its way any more
    finally:
        server.end()
    assert sum(len(person.errors) for person in people.values()) > KILLS / 4  # requests were on their way then
    for person in people.values():
        assert not [error for error in person.errors if "Failed to" not in error and "ERR_" not in error]
        person.errors.clear()
    judged = {(event.user, event.item): event for event in read_events(store.db) if event.kind == "judge"}
    kinds = Counter(event.kind for event in read_events(store.db))
    assert kinds["judge"] == len(judged) == len(submitted) == 2 * KILLS
    for name, (number, rank_of) in submitted:
        ranks = judged[name, number].body["judgement"]["ranks"]
        answers = store.item(number).answers
        assert {key: dict(zip(answers, ranks[key], strict=True)) for key in DIMENSION_KEYS} == rank_of
    assert all(len(store.judgements(number)) <= 2 for number in range(1, 2 * KILLS + 21))
    assert store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert user(store, "a").active


def open_work(person) -> None:
    """Go on after a page that could not be loaded."""
    from playwright.sync_api import Error  # of the extra [browser]; this file is collected without it

    for _ in range(200):
        if person.page.url.startswith("http") and person.page.locator("#answers .answer").count():
            return
        try:
            person.page.goto(f"{person.address}/")
        except Error:  # the server is not there yet
            time.sleep(0.02)
    raise AssertionError("the page has not come back")


def rank(person, rng: random.Random) -> tuple[int, dict[str, dict[str, int]]]:
    """(number of the item, what the screen says: dimension → answer → rank), typed with ties."""
    data = person.data()
    by_place = {key: sorted(rng.choices((1, 2, 3, 4), k=4)) for key in DIMENSION_KEYS}
    for ranks in by_place.values():
        rng.shuffle(ranks)
        person.press(*ranks)
    texts = person.texts()
    return data["item"], {
        key: {text: 1 + sum(other < rank for other in ranks) for text, rank in zip(texts, ranks, strict=True)}
        for key, ranks in by_place.items()
    }


ITEM = "JSON.parse(document.getElementById('page')?.textContent ?? '{}').item ?? null"


def wait_for_next(person, number: int) -> None:
    """Until the page has heard that this item is stored, and has left it, be it for the browser's error page."""
    from playwright.sync_api import Error

    for _ in range(1000):
        try:
            if person.page.evaluate(ITEM) != number:
                return
        except Error:  # it is leaving at this moment
            continue
        time.sleep(0.01)
    raise AssertionError(f"item {number} was not submitted")
