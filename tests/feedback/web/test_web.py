"""What the ranking tool's server shows to whom, and what it refuses."""

from __future__ import annotations

import itertools
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra [annotate]")
from starlette.testclient import TestClient

from tests.feedback.project import PASSWORD, act, items, judge, judgement, project, table, user
from zj.data.records import Candidates, Prompt
from zj.feedback.project import sessions
from zj.feedback.project.derived import TABLES
from zj.feedback.project.scheduler import next_item
from zj.feedback.project.sessions import IDLE, LONGEST
from zj.feedback.project.store import Store
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.ranks import at_places
from zj.feedback.web.app import make_app
from zj.feedback.web.guard import LARGEST_BODY
from zj.feedback.web.pages import rank_page

EVIL = '"><script>window.__xss=1</script><img src=x onerror="window.__xss=1">\'{{7777*7}}'
_clients = itertools.count(20_000_000)


class Browser:
    """A client that keeps cookies and sends what our own pages would."""

    def __init__(self, store: Store, name: str = "", app: Any = None):
        self.client = TestClient(app or make_app(store, ("testserver",)), follow_redirects=False)
        if name:
            assert self.log_in(name).status_code == 303

    def log_in(self, name: str, password: str = PASSWORD, **given: Any):
        csrf = self.csrf("/login")
        form = {"name": name, "password": password, "csrf": csrf} | given
        return self.client.post("/login", data=form)

    def csrf(self, path: str = "/progress") -> str:
        return re.findall(r'<meta name="csrf" content="([^"]*)">', self.get(path).text)[0]

    def get(self, path: str, **given: Any):
        return self.client.get(path, **given)

    def page(self, path: str = "/") -> dict[str, Any]:
        """The data of a page on which one ranks."""
        text = self.get(path).text
        return json.loads(re.findall(r'<script type="application/json" id="page">(.*?)</script>', text, re.DOTALL)[0])

    def post(self, kind: str, body: dict[str, Any], **headers: str | bytes):
        headers = {"x-csrf-token": self.csrf()} | headers
        return self.client.post(f"/api/{kind}", json={"client": f"client-{next(_clients)}"} | body, headers=headers)

    def judge(self, *ranks: int, path: str = "/", kind: str = "judge", **given: Any):
        """Rank the answers by place on this screen."""
        page = self.page(path)
        body = {"item": page["item"], "version": page["version"], "judgement": judgement(*ranks), "seconds": 20}
        return self.post(kind, body | given)


@pytest.fixture
def store(tmp_path) -> Store:
    return project(tmp_path, 6, departments=("皮肤科", "内科"))


def unchanged(store: Store, before: int) -> bool:
    return store.last_event() == before


# ---- what is shown


def test_ranks_by_place_are_stored_by_answer(store):
    """For each order of four answers; without the conversion (the control) 23 of 24 screens store another one."""
    browser, wrong = Browser(store, "a"), 0
    for ranks in itertools.permutations((1, 2, 3, 4)):
        page = browser.page("/item/1") if store.seat(1, "a") else browser.page()
        path = f"/item/{page['item']}"
        assert browser.judge(*ranks, path=path).status_code == 200
        rank_of = dict(zip(page["answers"], ranks, strict=True))
        stored = store.seat(page["item"], "a").judgement["ranks"]["safety"]
        answers = store.item(page["item"]).answers
        assert [rank_of[answer] for answer in answers] == stored
        assert browser.page(path)["saved"]["ranks"]["safety"] == list(ranks)  # and comes back by place
        wrong += list(ranks) != stored
    assert wrong > 12


def test_screens_differ_and_makers_are_hidden(store):
    shown = {name: Browser(store, name).page(f"/item/{open_item(store, name)}") for name in "ab"}
    assert shown["a"]["item"] == shown["b"]["item"]
    orders = set()
    for item in items(40):
        orders |= {tuple(at_places(item.answers, store.order(name, item))).index(item.answers[0]) for name in "ab"}
    assert orders == {0, 1, 2, 3}
    for name in "ab":
        browser = Browser(store, name)
        assert "model-" not in browser.get("/").text and browser.page()["source"] == ""


def open_item(store: Store, name: str) -> int:
    return Browser(store, name).page()["item"]


def test_annotators_are_blind_to_each_other_and_the_expert_sees_both(store):
    a, b, x = (Browser(store, name) for name in "abx")
    a.judge(1, 2, 3, 4, judgement=judgement(1, 2, 3, 4, notes="甲的看法"))
    page = b.page()
    assert page["others"] == page["reasons"] == [] and "甲的看法" not in b.get("/").text
    b.judge(4, 3, 2, 1, path=f"/item/{page['item']}", judgement=judgement(1, 1, 1, 1, notes="乙的看法"))
    number = page["item"]
    judge(store, "a", number, 1, 2, 3, 4, notes="甲的看法")
    judge(store, "b", number, 4, 3, 2, 1, notes="乙的看法")
    seen = x.page()
    assert seen["item"] == number and seen["mode"] == "decide"
    assert {other["judgement"]["notes"] for other in seen["others"]} == {"甲的看法", "乙的看法"}
    rank_of = {
        other["judgement"]["notes"]: dict(zip(seen["answers"], other["judgement"]["ranks"]["fluency"], strict=True))
        for other in seen["others"]
    }
    assert rank_of["甲的看法"] == dict(zip(store.item(number).answers, (1, 2, 3, 4), strict=True))
    text = x.get("/").text
    assert not re.search(r'"name": ?"(a|b|P01|P02)"', text)
    assert x.judge(1, 2, 2, 4, kind="decide", reason="折中").status_code == 200
    assert store.item_row(number)["state"] == "decided"
    assert b.page(f"/item/{number}")["mode"] == "view"
    trail = x.get(f"/trail/{number}").text
    assert "折中" in trail and "甲的看法" in trail


def test_nobody_is_a_or_b_by_name(tmp_path):
    store = project(tmp_path, 12)
    for name in "ab":
        for number in iter(lambda name=name: next_item(store, user(store, name)), None):
            judge(store, name, number, *((1, 2, 3, 4) if name == "a" else (4, 3, 2, 1)))
    seen = [
        rank_page(store, user(store, "x"), number, "zh")["others"][0]["judgement"]["ranks"] for number in range(1, 13)
    ]
    first = {ranks["safety"].index(1) == by_place(store, n).index(0) for n, ranks in enumerate(seen, 1)}
    assert first == {True, False}  # A is a here, and b there


def by_place(store: Store, number: int) -> tuple[int, ...]:
    return store.order("x", store.item(number))


def test_a_draft_comes_back_and_is_no_judgement(store):
    a = Browser(store, "a")
    half = {"ranks": {"safety": [1, None, 2, None]}, "faults": [["accuracy"], [], [], []], "rewrites": {"3": "抱歉"}}
    page = a.page()
    reply = a.judge(kind="draft", judgement=half | {"notes": "想想"})
    assert reply.status_code == 200 and reply.json()["version"] > page["version"]
    again = Browser(store, "a").page()
    assert again["answers"] == page["answers"] and again["saved"] == half | {"notes": "想想"}
    assert not again["submitted"] and store.seat(page["item"], "a").judgement is None
    assert a.judge(1, 2, 3, 4, version=page["version"]).status_code == 409  # another window has the older state
    assert a.judge(1, 2, 3, 4).status_code == 200
    assert a.get("/back").headers["location"] == f"/item/{page['item']}"
    assert a.page(f"/item/{page['item']}")["submitted"]


@pytest.mark.parametrize("path", ["/", "/item", "/progress", "/items", "/trail/1"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_is_there_in_both_languages_without_a_script_of_its_own(store, path, language):
    name = "x" if path in ("/items", "/trail/1") else "a"
    browser = Browser(store, name)
    browser.client.cookies.set("zj_language", language)
    reply = browser.get(f"/item/{browser.page()['item']}" if path == "/item" else path)
    assert reply.status_code == 200
    assert f'lang="{language}' in reply.text
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json))|<style|\son\w+=|\sstyle=", reply.text)
    assert not inline  # the policy would forbid it
    policy = reply.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy and "default-src 'none'" in policy
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "no-store"


# ---- what is refused


def test_texts_of_others_are_shown_as_text(tmp_path):
    store = project(tmp_path, 0)
    prompt = Prompt(EVIL, EVIL, ((EVIL, EVIL),), EVIL, department=EVIL)
    store.add_items([Candidates(EVIL, prompt, (EVIL, EVIL + "2", "好"), source=EVIL)])
    store.set_user("<b>", "annotator", password=user(store, "a").password)
    store.set_user("c", "annotator", active=False)
    a, b, x = (Browser(store, name) for name in ("a", "<b>", "x"))
    evil = {"notes": EVIL, "rewrites": {"0": EVIL}}
    assert a.judge(judgement=judgement(1, 2, 3, **evil)).status_code == 200
    assert b.judge(judgement=judgement(1, 2, 3) | evil).status_code == 200
    judge(store, "a", 1, 1, 2, 3, **{"notes": EVIL})
    judge(store, "<b>", 1, 3, 2, 1, **{"notes": EVIL})
    for browser, path in [(x, "/"), (x, "/items"), (x, "/items?query=" + EVIL.replace("&", "")), (x, "/trail/1")]:
        text = browser.get(path).text
        assert "<script>window" not in text and "<img src=x" not in text and "54439" not in text
        assert x.page("/")["user"] == EVIL  # control: it is there, as data
    assert x.judge(1, 2, 3, kind="decide", reason=EVIL).status_code == 200
    for browser, path in [(x, "/trail/1"), (x, "/progress"), (a, "/item/1"), (b, "/progress")]:
        assert "<script>window" not in browser.get(path).text and "<b></" not in browser.get(path).text


@pytest.mark.parametrize("kind", ["draft", "judge", "skip", "flag", "decide", "reopen", "release"])
def test_a_forged_request_changes_nothing(store, kind):
    a = Browser(store, "a")
    page = a.page()
    body = {"item": page["item"], "version": page["version"], "judgement": judgement(1, 2, 3, 4), "reason": "x"}
    before = store.last_event()
    assert a.post(kind, body, **{"x-csrf-token": "forged"}).status_code == 403
    assert a.post(kind, body, **{"x-csrf-token": ""}).status_code == 403
    assert a.post(kind, body, **{"x-csrf-token": "é".encode()}).status_code == 403
    assert a.post(kind, body, **{"x-csrf-token": Browser(store, "b").csrf()}).status_code == 403
    assert a.post(kind, body, origin="https://evil.example").status_code == 403
    assert a.post(kind, body, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert a.post(kind, body, host="evil.example").status_code == 400  # DNS rebinding
    assert unchanged(store, before)
    if kind in ("draft", "judge", "skip", "flag"):  # control: the honest request does change something
        assert a.post(kind, body, origin="http://testserver").status_code == 200
        assert not unchanged(store, before)


@pytest.mark.parametrize("path", ["/", "/back", "/progress", "/items", "/item/1", "/trail/1"])
def test_without_a_session_one_gets_the_door(store, path):
    reply = Browser(store).get(path)
    assert (reply.status_code, reply.headers["location"]) == (303, "/login")


def test_another_persons_item_is_refused(store):
    a, b, admin = Browser(store, "a"), Browser(store, "c"), Browser(store, "admin")
    number = a.page()["item"]
    before = store.last_event()
    assert b.get(f"/item/{number}").status_code == 403
    body = {"item": number, "version": 0, "judgement": judgement(1, 2, 3, 4), "reason": "x"}
    for kind in ("draft", "judge", "skip", "flag", "decide", "reopen"):
        assert b.post(kind, body).status_code == 403
        assert admin.post(kind, body).status_code == 403
    assert b.post("release", {"user": "a"}).status_code == 403
    assert b.get("/items").status_code == b.get(f"/trail/{number}").status_code == 403
    assert b.get("/item/999").status_code == 403 and admin.get("/trail/999").status_code == 403
    assert "P01" not in b.get("/progress").text and "P01" in admin.get("/progress").text
    assert unchanged(store, before)


def test_sessions_end(store, monkeypatch):
    a = Browser(store, "a")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + IDLE + 1)
    assert a.get("/progress").status_code == 303
    monkeypatch.setattr(time, "time", lambda: now + IDLE - 1)
    assert a.get("/progress").status_code == 200  # control; it counts as a request
    monkeypatch.setattr(time, "time", lambda: now + 2 * IDLE - 2)
    assert a.get("/progress").status_code == 200
    c = Browser(store, "c")
    begun = now + 2 * IDLE - 2
    for later in (*range(0, int(LONGEST), int(IDLE) - 60), LONGEST - 1, LONGEST + 1):  # never idle
        monkeypatch.setattr(time, "time", lambda later=later: begun + later)
        assert c.get("/progress").status_code == (200 if later < LONGEST else 303)
    monkeypatch.setattr(time, "time", lambda: now + 2 * IDLE - 2)
    csrf = a.csrf()
    token = a.client.cookies["zj_session"]
    assert a.client.post("/logout", data={"csrf": "forged"}).status_code == 403
    assert a.client.post("/logout", data={"csrf": csrf}).status_code == 303
    a.client.cookies.set("zj_session", token)
    assert a.get("/progress").status_code == 303  # the token is worth nothing any more
    b = Browser(store, "b")
    store.set_user("b", "annotator", password=user(store, "b").password)
    assert b.get("/progress").status_code == 303  # a new password, role or department ends a session


def test_the_file_holds_no_token_and_no_password(store):
    a = Browser(store, "a")
    content = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
    assert a.client.cookies["zj_session"].encode() not in content and PASSWORD.encode() not in content


def test_the_door_closes_after_wrong_passwords(store):
    app = make_app(store, ("testserver",))
    browser = Browser(store, app=app)
    for name in ("a", "nobody", "a' OR 1=1 --"):
        reply = browser.log_in(name, "wrong password")
        assert reply.status_code == 401 and "zj_session" not in reply.headers.get("set-cookie", "")
    assert [browser.log_in("a", "wrong password").status_code for _ in range(5)] == [401] * 4 + [429]
    assert browser.log_in("a").status_code == 429  # also with the right one
    assert browser.log_in("b").status_code == 303  # others are let in
    assert Browser(store, app=app).log_in("b", csrf="forged").status_code == 403
    assert [Browser(store, app=app).log_in(f"n{n}", "x").status_code for n in range(20)][-1] == 429  # one address


def test_many_at_once_try_no_more_passwords_than_one_after_the_other(store, monkeypatch):
    tried = []
    monkeypatch.setattr(sessions, "verify_password", lambda *given: tried.append(given) or time.sleep(0.3))
    app = make_app(store, ("testserver",))
    browsers = [Browser(store, app=app) for _ in range(12)]
    forms = [{"name": "a", "password": "wrong", "csrf": browser.csrf("/login")} for browser in browsers]
    with ThreadPoolExecutor(12) as pool:
        replies = [*pool.map(lambda one, form: one.client.post("/login", data=form), browsers, forms)]
    assert len(tried) == 5 and sorted(reply.status_code for reply in replies) == [401] * 5 + [429] * 7


def test_the_right_password_counts_as_no_attempt(store):
    app = make_app(store, ("testserver",))
    assert [Browser(store, app=app).log_in("a").status_code for _ in range(25)] == [303] * 25


def test_what_cannot_be_computed_is_a_dash(store):
    """All answers tie, so alpha has nothing to compare."""
    for name in ("a", "b"):
        judge(store, name, next_item(store, user(store, name)) or 0, 1, 1, 1, 1)
    text = Browser(store, "x").get("/progress").text
    assert "[–, –]" in text and "nan" not in text


def test_numbers_without_measure_are_no_error_of_the_server(store):
    browser, many = Browser(store, "x"), "9" * 5000
    assert (
        browser.get(f"/items?offset={many}").status_code == browser.get(f"/items?offset={many[:30]}").status_code == 200
    )
    assert browser.get(f"/item/{many}").status_code == 414


def test_a_user_without_a_password_or_who_left_cannot_log_in(store):
    store.set_user("tool", "annotator", active=True)
    store.set_user("c", "annotator", password=user(store, "c").password, active=False)
    for name, password in (("tool", ""), ("tool", "x"), ("c", PASSWORD)):
        assert Browser(store).log_in(name, password).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fstore.py",
        "/static//etc/passwd",
        "/item/../events",
    ]
    + ["/item/1%00", "/trail/-1", "/item/1;drop", "/static/%00", "/item/99999999999999999999"],
)
def test_paths_lead_nowhere_else(store, path):
    reply = Browser(store, "admin").get(path)
    assert reply.status_code in (400, 403, 404, 422)
    assert "import" not in reply.text and "root:" not in reply.text


def test_the_language_form_leads_to_no_other_site(store):
    a = Browser(store, "a")
    for target in ("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "javascript:1"):
        reply = a.client.post("/language", data={"csrf": a.csrf(), "language": "en", "next": target})
        assert reply.headers["location"] == "/"
    assert (
        a.client.post("/language", data={"csrf": a.csrf(), "language": "en", "next": "/items?a=b"}).headers["location"]
        == "/items?a=b"
    )
    assert a.client.post("/language", data={"csrf": "", "language": "en"}).status_code == 403


BAD = {
    "no object": [],
    "no item": {"item": None},
    "item of another type": {"item": "1"},
    "huge item": {"item": 2**70},
    "negative version": {"version": -1},
    "no client": {"client": None},
    "rank 0": {"judgement": judgement(0, 1, 2, 3)},
    "rank 5": {"judgement": judgement(1, 2, 3, 5)},
    "three ranks": {"judgement": judgement(1, 2, 3)},
    "true": {"judgement": judgement(True, 2, 3, 4)},
    "a fraction": {"judgement": judgement(1.5, 2, 3, 4)},
    "a missing rank": {"judgement": judgement(1, None, 3, 4)},
    "a missing dimension": {"judgement": {"ranks": {"safety": [1, 2, 3, 4]}}},
    "another dimension": {"judgement": {"ranks": {key: [1, 2, 3, 4] for key in (*DIMENSION_KEYS, "beauty")}}},
    "an overall order": {"judgement": {"ranks": {"overall": [1, 2, 3, 4]}}},
    "an unknown ability": {"judgement": judgement(1, 2, 3, 4, faults=[["x"], [], [], []])},
    "faults of three": {"judgement": judgement(1, 2, 3, 4, faults=[[], [], []])},
    "a rewrite of no answer": {"judgement": judgement(1, 2, 3, 4, rewrites={"4": "x"})},
    "long notes": {"judgement": judgement(1, 2, 3, 4, notes="长" * 20_001)},
    "notes that are no text": {"judgement": judgement(1, 2, 3, 4, notes=["x"])},
    "another key": {"judgement": judgement(1, 2, 3, 4, pseudonym="P02")},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_request_is_a_line_and_changes_nothing(store, bad):
    a = Browser(store, "a")
    page = a.page()
    before = store.last_event()
    body = bad if isinstance(bad, list) else {"item": page["item"], "version": page["version"]} | bad
    if isinstance(body, dict):
        body = {"judgement": judgement(1, 2, 3, 4), "client": "client-of-bad"} | body
    reply = a.client.post("/api/judge", json=body, headers={"x-csrf-token": a.csrf()})
    assert reply.status_code == 422 and "\n" not in reply.json()["error"]
    assert unchanged(store, before)


def test_odd_bodies_are_refused(store):
    a = Browser(store, "a")
    headers = {"x-csrf-token": a.csrf()}
    for body in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"item": 1e999}'):
        assert a.client.post("/api/judge", content=body, headers=headers).status_code == 422
    assert a.client.post("/api/judge", content=b"x" * (LARGEST_BODY + 1), headers=headers).status_code == 413
    assert a.client.post("/api/events", json={}, headers=headers).status_code == 404
    assert a.post("skip", {"item": 1, "version": 1, "reason": " "}).status_code == 422


def test_reading_changes_no_table_but_the_seat_that_is_opened(store):
    x = Browser(store, "x")
    number = open_item(store, "a")
    before = {name: table(store, name) for name in TABLES}
    for path in ("/", "/progress", "/items", f"/trail/{number}", f"/item/{number}", "/back"):
        x.get(path)
    assert {name: table(store, name) for name in TABLES} == before


def test_lone_surrogates_and_zero_bytes_do_not_reach_the_file(store):
    a = Browser(store, "a")
    page = a.page()
    body = {"item": page["item"], "version": page["version"], "client": "client-of-notes"}
    content = json.dumps(body | {"judgement": judgement(1, 2, 3, 4, notes="a\x00b\ud800")})  # as \u0000, \ud800
    headers = {"x-csrf-token": a.csrf()}
    assert a.client.post("/api/judge", content=content, headers=headers).status_code == 200
    assert store.seat(a.page(a.get("/back").headers["location"])["item"], "a").judgement["notes"] == "ab?"


def test_the_tool_is_used_without_an_address_of_its_own(tmp_path):
    """act and table of the helpers are what the other tests rely on: they see a change."""
    store = project(tmp_path, 1)
    Browser(store, "a").page()
    before = table(store, "seats")
    act(store, "a", "skip", 1, {"reason": "x"})
    assert table(store, "seats") != before and Path(store.path).exists()
