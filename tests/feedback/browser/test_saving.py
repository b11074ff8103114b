"""What one does is saved by itself, once, and comes back after whatever happens to page, network or session."""

from __future__ import annotations

import pytest

from tests.feedback.browser.tool import until
from tests.feedback.project import project
from zj.feedback.project.events import read_events

pytestmark = pytest.mark.browser
DRAFTS = "**/api/draft"


def events(store, kind):
    return [event for event in read_events(store.db) if event.kind == kind]


def draft(store, person):
    seat = store.seat(person.data()["item"], "a")
    return seat and seat.draft


def hold_the_first_draft(person):
    """A list that gets the first draft's route, which waits for `continue_`; later ones go on."""
    held = []
    person.page.route(DRAFTS, lambda route: route.fallback() if held else held.append(route))
    return held


@pytest.fixture
def half(tmp_path, serve, desk):
    """A store, and an annotator at the first item."""
    store = project(tmp_path, 4)
    return store, desk(serve(store), "a")


def test_a_half_ranked_item_comes_back_as_it_was(half):
    store, person = half
    texts = person.texts()
    person.press(2, 1, 1, 2, 4)
    person.press("n")
    person.page.keyboard.type("第一个回答漏了剂量。")
    person.saved()
    before = person.ranks()
    assert before == {"safety": [2, 1, 1, 2], "professionalism": [4, None, None, None], "fluency": [None] * 4}
    person.page.reload()
    assert person.ranks() == before and person.texts() == texts
    assert person.page.input_value("#notes") == "第一个回答漏了剂量。"
    person.press(3)  # at the answer that was next
    assert person.ranks()["professionalism"] == [4, 3, None, None]


def test_a_page_that_is_left_at_once_has_saved(half):
    store, person = half
    person.press(1, 2, 3)
    person.page.reload()
    assert person.ranks()["safety"] == [1, 2, 3, None]
    until(lambda: draft(store, person))
    person.press(4)
    person.saved()


def test_a_request_whose_reply_is_lost_is_repeated_and_adds_nothing(half):
    store, person = half
    clients = []

    def lose_the_reply(route):
        clients.append(route.request.post_data_json["client"])
        route.fetch()
        route.abort() if len(clients) == 1 else route.fallback()

    person.page.route(DRAFTS, lose_the_reply)
    person.press(1)
    person.page.wait_for_selector("#saved[data-state=offline]")
    assert "已保存" not in person.page.text_content("#saved")
    person.saved()
    assert len(clients) == 2 and len(set(clients)) == 1 and len(events(store, "draft")) == 1
    person.errors.clear()  # the browser reports the lost reply


def test_without_a_network_the_device_keeps_the_work(half):
    store, person = half
    person.page.route(DRAFTS, lambda route: route.abort())
    person.press(3, 3, 1, 2)
    person.page.wait_for_selector("#saved[data-state=offline]")
    assert draft(store, person) is None
    person.page.unroute(DRAFTS)
    person.page.reload()
    assert person.ranks()["safety"] == [3, 3, 1, 2]
    person.saved()
    until(lambda: draft(store, person))
    person.page.reload()
    assert person.ranks()["safety"] == [3, 3, 1, 2]
    assert person.page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('zj/draft'))") == []
    person.errors.clear()


def test_enter_twice_submits_once(half):
    store, person = half
    person.press(*"1234" * 3)
    first = person.data()["item"]
    click = "document.getElementById('submit').click();"
    enter = "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));"
    with person.page.expect_navigation():
        person.page.evaluate(click + click + enter)  # in one go: the page may be gone before a second call
    assert person.data()["item"] != first
    assert [event.item for event in events(store, "judge")] == [first]


def test_a_draft_that_is_on_its_way_at_enter_is_the_last_one(half):
    """A draft after the judgement would take the item up again, and the doctor would be given it twice."""
    store, person = half
    first, held = person.data()["item"], hold_the_first_draft(person)
    with person.page.expect_request(DRAFTS):
        person.press(*"1234" * 2)
    person.press(*"4321")
    with person.page.expect_navigation():
        person.page.keyboard.press("Enter")
        assert events(store, "judge") == []  # it waits for its turn
        held[0].continue_()
    assert person.data()["item"] != first
    person.page.wait_for_timeout(300)  # for a request that should not come
    drafts, judged = events(store, "draft"), events(store, "judge")
    assert [event.item for event in judged] == [first] and len(drafts) == 1 and drafts[0].id < judged[0].id


def test_what_was_ranked_just_before_an_item_is_flagged_is_kept(half):
    store, person = half
    first, held = person.data()["item"], hold_the_first_draft(person)
    with person.page.expect_request(DRAFTS):
        person.press(1, 2)
    person.press(3, 4, "f")
    person.page.fill("#ask-reason", "不是皮肤科。")
    with person.page.expect_navigation():
        person.page.keyboard.press("Control+Enter")
        held[0].continue_()
    seat = store.seat(first, "a")
    assert seat.state == "flagged" and sorted(seat.draft["ranks"]["safety"]) == [1, 2, 3, 4]


def test_a_refused_action_leaves_its_judgement_on_the_server_as_a_draft(half):
    store, person = half
    person.page.route("**/api/judge", lambda route: route.fulfill(status=400, json={"error": "no"}))
    person.press(*"1234" * 3, "Enter")
    person.page.wait_for_selector("#messages .error")
    assert "no" in person.page.text_content("#messages")
    until(lambda: (saved := draft(store, person)) and None not in sum(saved["ranks"].values(), []))
    assert events(store, "judge") == []
    person.page.unroute("**/api/judge")
    person.submit()
    assert len(events(store, "judge")) == 1
    person.errors.clear()  # the browser reports the refusal


def test_enter_with_ranks_missing_goes_to_the_first_of_them(half):
    store, person = half
    person.press("ArrowDown", *"234", "Enter")  # one answer of safety has no rank
    assert person.page.locator(".answer.selected .letter").text_content() == "A"
    assert events(store, "judge") == []


def test_a_session_that_is_over_loses_nothing(half):
    store, person = half
    store.db.execute("DELETE FROM sessions")
    person.press(4, 1)
    person.page.wait_for_url("**/login")
    person.errors.clear()
    person.log_in("a")
    assert person.ranks()["safety"] == [4, 1, None, None]
    person.saved()


def test_a_window_that_another_one_has_overtaken_says_so_and_keeps_its_work(half):
    store, person = half
    other = person.page.context.new_page()
    other.goto(person.page.url)
    person.press(1, 2, 3, 4)
    person.saved()
    for key in "443":
        other.keyboard.press(key)
    other.wait_for_selector("#messages .error")
    other.keyboard.press("1")  # nothing is taken from a window that can no longer save
    assert other.locator("#messages .error button").count() == 1
    assert draft(store, person)["ranks"]["safety"].count(4) == 1, "the newer state is overwritten"
    other.click("#messages button")  # reload
    other.wait_for_selector("#messages .error button >> nth=1")
    pressed = (
        "[...document.querySelectorAll('.row:first-child [aria-pressed=true]')].map((b) => b.textContent).join('')"
    )
    assert other.evaluate(pressed) == "1234"
    other.click("#messages button >> nth=0")  # restore
    assert other.evaluate(pressed) == "443"
    other.wait_for_selector("#saved[data-state=saved]")
    other.keyboard.press("u")
    assert other.evaluate(pressed) == "1234"
    person.errors.clear()


def test_pauses_of_more_than_a_minute_are_no_working_time(half):
    store, person = half
    person.page.clock.install()
    person.page.reload()
    for seconds, digit in ((20, 1), (600, 2), (30, 3), (61, 4)):
        person.page.clock.fast_forward(seconds * 1000)
        person.press(digit)
    person.press(*"1234" * 2)
    person.submit()
    (event,) = events(store, "judge")
    assert event.body["seconds"] == pytest.approx(50, abs=2)
