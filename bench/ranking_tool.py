"""How fast the ranking tool answers: many items, several annotators at once, and what a kill costs.

    python -m bench.ranking_tool                20,000 items, 10 annotators, 60 s
    python -m bench.ranking_tool --think 0      without pauses: as much as the machine can do
    python -m bench.ranking_tool --kills 100    the server dies by SIGKILL during saves; nothing may be lost or doubled

Server and annotators share the machine. An annotator opens a page, saves four drafts and a judgement, with pauses of
--think seconds in the mean between requests. Milliseconds are those of the whole request, as a browser waits for it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zj.cli import run_command
from zj.data.records import Candidates, Prompt
from zj.feedback.project import events
from zj.feedback.project.derived import apply
from zj.feedback.project.events import transaction
from zj.feedback.project.passwords import hash_password
from zj.feedback.project.store import Settings, Store
from zj.feedback.ranking.agreement import by_dimension
from zj.feedback.ranking.criteria import DIMENSION_KEYS

SERVE = """
import sys, uvicorn
from zj.feedback.project.store import Store
from zj.feedback.web.app import make_app
uvicorn.run(make_app(Store(sys.argv[1])), port=int(sys.argv[2]), log_level="error")
"""


@dataclass(frozen=True)
class Config:
    items: int = 20_000  # of four answers of 120 characters, five departments
    judged: float = 0.5  # share of them that two annotators have judged before
    annotators: int = 10  # at once
    seconds: float = 60.0  # of work
    think: float = 0.2  # seconds between two requests of an annotator, in the mean
    kills: int = 0  # of the server; --seconds is not used then
    seed: int = 0  # of texts, ranks and pauses


def main(config: Config) -> None:
    with TemporaryDirectory() as folder:
        store = make_project(Path(folder) / "ranking.db", config)
        if config.kills:
            return print_kills(store, config)
        print_agreement(store)
        print_load(store, config)


def make_project(path: Path, config: Config) -> Store:
    """A project whose first items are judged already, as if the work had gone on for months."""
    started, rng = time.monotonic(), random.Random(config.seed)
    store = Store(path, create=Settings())
    password = hash_password("password")
    for n in range(config.annotators):
        store.set_user(f"annotator-{n}", "annotator", password=password)
    store.add_items([item(rng, n) for n in range(config.items)])
    with transaction(store.db):
        for number in range(1, int(config.items * config.judged) + 1):
            for name in rng.sample(range(config.annotators), 2):
                user = f"annotator-{name}"
                apply(store.db, events.append(store.db, user, "open", number, {"role": "annotator"}))
                body = {"judgement": judgement(rng), "seconds": 60.0}
                apply(store.db, events.append(store.db, user, "judge", number, body))
    megabytes = path.stat().st_size / 1e6
    print(f"{config.items:,} items, {megabytes:.0f} MB, made in {time.monotonic() - started:.1f} s")
    return store


def item(rng: random.Random, number: int) -> Candidates:
    answers = tuple("".join(rng.choices("头痛咳嗽发热建议休息喝水检查，。", k=120)) + str(k) for k in range(4))
    prompt = Prompt(str(number), f"第{number}题？", (("你好", "您好。"),) * 3, department=f"科室{number % 5}")
    return Candidates(str(number), prompt, answers)


def judgement(rng: random.Random) -> dict[str, Any]:
    """Mostly the order 1, 2, 3, 4."""
    ranks = {key: rng.choice(([1, 2, 3, 4], [1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 3])) for key in DIMENSION_KEYS}
    return {"ranks": ranks, "faults": [[], [], [], []], "rewrites": {}, "notes": ""}


def print_agreement(store: Store) -> None:
    started = time.monotonic()
    figures = by_dimension(list(store.judged()))
    print(f"agreement of {figures['final'].items:,} items: {time.monotonic() - started:.2f} s")


# ---- load


@dataclass
class Annotator:
    """One browser: a connection, a session, the times of its requests."""

    name: str
    port: int
    times: dict[str, list[float]] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    connection: http.client.HTTPConnection | None = None

    def request(self, kind: str, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
        """(status, text); the time is kept under the name of its kind."""
        started = time.monotonic()
        if self.connection is None:
            self.connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            self.connection.request(method, path, body.encode(), headers)
            reply = self.connection.getresponse()
            text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            self.connection = None
            raise
        self.cookies.update(dict(re.findall(r"^(\w+)=([^;]*)", c)[0] for c in reply.headers.get_all("set-cookie", [])))
        self.times.setdefault(kind, []).append(time.monotonic() - started)
        return reply.status, text

    def log_in(self) -> None:
        csrf = csrf_in(self.request("login", "GET", "/login")[1])
        form = f"name={self.name}&password=password&csrf={csrf}"
        status, _ = self.request("login", "POST", "/login", form)
        assert status == 303, f"{self.name}: status {status} at the door"

    def page(self) -> tuple[dict[str, Any], str]:
        """(data, CSRF token) of the next item."""
        status, text = self.request("page", "GET", "/")
        assert status == 200, f"{self.name}: status {status} of a page"
        data = re.findall(r'id="page">(.*?)</script>', text, re.DOTALL)
        return json.loads(data[0]) if data else {}, csrf_in(text)

    def post(self, kind: str, csrf: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, text = self.request("save", "POST", f"/api/{kind}", json.dumps(body), **{"x-csrf-token": csrf})
        return status, json.loads(text)


def csrf_in(page: str) -> str:
    return re.findall(r'<meta name="csrf" content="([^"]*)">', page)[0]


def print_load(store: Store, config: Config) -> None:
    port = free_port()
    server = start_server(store.path, port)
    annotators = [Annotator(f"annotator-{n}", port) for n in range(config.annotators)]
    end = time.monotonic() + config.seconds
    threads = [threading.Thread(target=work, args=(a, end, config)) for a in annotators]
    for thread in threads:
        thread.start()
    progress = [timed_progress(annotators[0].name, port, end)]
    for thread in threads:
        thread.join()
    server.kill()
    server.wait()
    for kind in ("page", "save"):
        times = 1000 * np.array([t for a in annotators for t in a.times.get(kind, [])])
        median, high, most = np.percentile(times, [50, 95, 100])
        print(f"{kind}: {len(times):,} requests, median {median:.0f} ms, 95 % under {high:.0f} ms, most {most:.0f} ms")
    print(f"progress page with agreement, first time: {progress[0]:.2f} s")


def work(annotator: Annotator, end: float, config: Config) -> None:
    rng = random.Random(f"{config.seed}/{annotator.name}")
    annotator.log_in()
    while time.monotonic() < end:
        page, csrf = annotator.page()
        version = page["version"]
        for kind in ("draft", "draft", "draft", "draft", "judge"):
            time.sleep(rng.uniform(0, 2 * config.think))
            body = {"item": page["item"], "version": version, "client": uuid.uuid4().hex, "judgement": judgement(rng)}
            status, reply = annotator.post(kind, csrf, body | {"seconds": 30})
            assert status == 200, f"{annotator.name}: status {status}, {reply}"
            version = reply["version"]


def timed_progress(name: str, port: int, end: float) -> float:
    """Seconds of the progress page in the middle of the work."""
    time.sleep(max(0.0, (end - time.monotonic()) / 2))
    annotator = Annotator(name, port)
    annotator.log_in()
    annotator.request("progress", "GET", "/progress")
    return annotator.times["progress"][0]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("localhost", 0))
        return door.getsockname()[1]


def start_server(path: Path, port: int) -> subprocess.Popen:
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(path), str(port)])
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
            return server
        except OSError:
            assert server.poll() is None, "the server has not started"
            time.sleep(0.02)


# ---- kills


def print_kills(store: Store, config: Config) -> None:
    """Two annotators work while the server is killed again and again; what was answered 200 is there, once."""
    port, rng, answered = free_port(), random.Random(config.seed), set[str]()
    server = start_server(store.path, port)
    stop = threading.Event()
    workers = [Annotator(f"annotator-{n}", port) for n in range(2)]
    threads = [threading.Thread(target=work_on, args=(a, stop, answered, config)) for a in workers]
    for thread in threads:
        thread.start()
    for _ in range(config.kills):
        time.sleep(rng.uniform(0.05, 0.4))
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server = start_server(store.path, port)
    stop.set()
    for thread in threads:
        thread.join()
    server.kill()
    server.wait()
    kept = [row[0] for row in store.db.execute("SELECT client FROM events WHERE client IS NOT NULL")]
    sound = store.db.execute("PRAGMA integrity_check").fetchone()[0]
    lost, doubled = answered - set(kept), len(kept) - len(set(kept))
    twice = store.db.execute("SELECT count(*) FROM events WHERE kind = 'judge' GROUP BY user, item").fetchall()
    print(
        f"{config.kills} kills: {len(answered):,} requests answered, {len(lost)} lost, {doubled} stored twice, "
        f"{sum(row[0] > 1 for row in twice)} items judged twice by one person; the file is {sound}"
    )
    assert not lost and not doubled and sound == "ok"


def work_on(annotator: Annotator, stop: threading.Event, answered: set[str], config: Config) -> None:
    """Work as a browser does: what got no answer is sent again with the same id."""
    rng = random.Random(f"{config.seed}/{annotator.name}")
    until_answered(annotator.log_in)
    while not stop.is_set():
        page, csrf = until_answered(annotator.page)
        version = page["version"]
        for kind in ("draft", "judge"):
            body = {"item": page["item"], "version": version, "client": uuid.uuid4().hex, "judgement": judgement(rng)}
            status, reply = until_answered(lambda kind=kind, csrf=csrf, body=body: annotator.post(kind, csrf, body))
            assert status == 200, f"{annotator.name}: status {status}, {reply}"
            answered.add(body["client"])
            version = reply["version"]


def until_answered(call: Any) -> Any:
    for _ in range(1000):
        try:
            return call()
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    raise AssertionError("no answer for a thousand tries")


if __name__ == "__main__":
    run_command(main, Config)
