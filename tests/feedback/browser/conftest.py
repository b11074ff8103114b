"""A Chromium for all tests of the pages. They are marked `browser`: pytest -m browser."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack

import pytest

PATH = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra [browser])")
    if not PATH:
        pytest.skip("needs Chromium: apt install chromium, or CHROMIUM=/path/to/it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def serve(tmp_path):
    """Serve a store until the test ends."""
    from tests.feedback.browser.tool import Served

    with ExitStack() as stack:
        yield lambda store: stack.enter_context(Served(store))


@pytest.fixture
def desk(chromium):
    """A browser of its own (cookies, storage) for each call; `name` logs in. In the end none may have complained."""
    from tests.feedback.browser.tool import Desk

    desks: list[Desk] = []

    def sit(served, name="", width=1280, height=800, **options) -> Desk:
        options = {"reduced_motion": "reduce", "locale": "zh-CN"} | options
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(10_000)
        person = Desk(context.new_page(), served.address, [])
        desks.append(person)
        person.page.on("pageerror", lambda error: person.errors.append(str(error)))
        person.page.on("console", lambda m: person.errors.append(m.text) if m.type in ("error", "warning") else None)
        if name:
            person.log_in(name)
        return person

    yield sit
    for person in desks:
        person.page.context.close()
    assert [error for person in desks for error in person.errors] == []
