"""The ranking tool as a person meets it: a served project and a browser's page."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from tests.feedback.project import PASSWORD
from zj.feedback.project.store import Store
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.web.app import make_app

if TYPE_CHECKING:
    from playwright.sync_api import Page  # of the extra [browser]; tests without a browser are collected without it


class Served:
    """A store behind its pages, on a free port of this machine. Use it with `with`."""

    def __init__(self, store: Store):
        self.store = store
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(make_app(store), log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)


@dataclass
class Desk:
    """One person at one browser. What the browser complains about is in `errors`."""

    page: Page
    address: str
    errors: list[str]

    def log_in(self, name: str) -> None:
        self.page.goto(f"{self.address}/login")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        with self.page.expect_navigation():
            self.page.click("form.login button")
        assert not self.page.url.endswith("/login"), "not logged in"

    def data(self) -> dict[str, Any]:
        return self.page.evaluate("JSON.parse(document.getElementById('page').textContent)")

    def texts(self) -> list[str]:
        """The answers as they stand on the screen, by place."""
        return self.page.locator("#answers .answer .text").all_text_contents()

    def press(self, *keys: str | int) -> None:
        for key in keys:
            self.page.keyboard.press(str(key))

    def ranks(self) -> dict[str, list[int | None]]:
        """The pressed buttons: ranks by place of each dimension."""
        cards = self.page.evaluate(
            "[...document.querySelectorAll('#answers .answer')].map((card) => [...card.querySelectorAll('.row')].map("
            "(row) => Number(row.querySelector('[aria-pressed=true]')?.textContent) || null))"
        )
        return dict(zip(DIMENSION_KEYS, map(list, zip(*cards, strict=True)), strict=True))

    def saved(self) -> None:
        self.page.wait_for_selector("#saved[data-state=saved]")

    def submit(self) -> None:
        """Enter, and the page that comes after it."""
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def screenshot(self, folder: str | None, name: str, **given: Any) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", **given)


def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
