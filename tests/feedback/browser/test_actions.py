"""Keys, buttons and dialogs of the ranking page, and the two forms of experts and admins."""

from __future__ import annotations

import pytest

from tests.feedback.browser.tool import until
from tests.feedback.project import items, judge, project, user
from zj.feedback.project.events import read_events
from zj.feedback.project.scheduler import next_item

pytestmark = pytest.mark.browser


@pytest.fixture
def half(tmp_path, serve, desk):
    store = project(tmp_path, 4)
    return store, desk(serve(store), "a")


def test_ties_copies_and_undo_by_keys(half):
    store, person = half
    person.press("=", *"2113", "c")
    ranks = {"safety": [1] * 4, "professionalism": [2, 1, 1, 3], "fluency": [2, 1, 1, 3]}
    assert person.ranks() == ranks
    assert person.page.text_content("#order") == "B = C > A > D"
    person.press("u")
    assert person.ranks() == ranks | {"fluency": [None] * 4}
    person.press("u", "u")
    assert person.ranks() == ranks | {"professionalism": [2, 1, None, None], "fluency": [None] * 4}
    person.press("ArrowLeft", "ArrowUp", 4)  # corrects the second answer's safety
    assert person.ranks()["safety"] == [1, 4, 1, 1]
    person.press("ArrowLeft", "ArrowLeft", "c")
    assert "没有" in person.page.text_content("#messages")


def test_undo_on_a_fresh_item_goes_back_to_correct_the_last_one(half):
    store, person = half
    first = person.data()["item"]
    person.press(*"1234" * 3)
    person.submit()
    assert person.data()["item"] != first
    with person.page.expect_navigation():
        person.press("u")
    data = person.data()
    assert data["item"] == first and data["submitted"] and person.ranks()["safety"] == [1, 2, 3, 4]
    person.press(4, 3, 2, 1)
    texts = person.texts()
    person.submit()
    ((_, _, judgement),) = store.judgements(first)
    assert dict(zip(store.item(first).answers, judgement.ranks["safety"], strict=True)) == dict(
        zip(texts, (4, 3, 2, 1), strict=True)
    )


@pytest.mark.parametrize(("key", "kind"), [("s", "skip"), ("f", "flag")])
def test_skip_and_flag_need_a_reason(half, key, kind):
    store, person = half
    number = person.data()["item"]
    person.press(key)
    person.page.keyboard.press("Control+Enter")  # empty: nothing is sent
    person.page.keyboard.type("  ")
    person.page.keyboard.press("Control+Enter")
    assert person.page.locator("#ask[open]").count() == 1
    person.page.keyboard.type("不属于我的专业 s1")
    with person.page.expect_navigation():
        person.page.keyboard.press("Control+Enter")
    (event,) = [event for event in read_events(store.db) if event.kind in ("skip", "flag")]
    assert (event.kind, event.item, event.body["reason"]) == (kind, number, "不属于我的专业 s1")
    assert person.data()["item"] != number


def test_faults_rewrite_and_notes_reach_the_answer_that_they_are_about(half):
    store, person = half
    number, texts = person.data()["item"], person.texts()
    person.press("ArrowDown", "x", "Space", "e")  # accuracy of B; its rewrite
    person.page.keyboard.type("1u")  # letters of a text, no keys
    person.press("Escape", "ArrowDown", "e")
    person.page.click(".answer.selected .admission")
    person.press("n")
    person.page.keyboard.type("备注 1")
    person.press("Escape", "ArrowUp", "ArrowUp")
    person.press(*"1234" * 3)
    person.submit()
    ((_, _, judgement),) = store.judgements(number)
    answers = store.item(number).answers
    place = {answers.index(text): place for place, text in enumerate(texts)}
    assert {place[k]: faults for k, faults in enumerate(judgement.faults) if faults} == {1: ("accuracy",)}
    assert {place[k]: text for k, text in judgement.rewrites.items()} == {1: "1u", 2: "抱歉，我不知道……"}
    assert judgement.notes == "备注 1" and sorted(judgement.final) == [1, 2, 3, 4]


def test_explanations_and_help_open_by_keys(half):
    _, person = half
    person.press("x")
    assert not person.page.locator(".answer.selected .explanation").first.is_visible()
    person.press("Shift+Tab", "Space")
    assert person.page.locator(".answer.selected .explanation").count() == 9
    assert person.page.locator(".answer.selected .explanation").first.is_visible()
    person.press("?")
    assert person.page.locator("#keys[open]").count() == 1
    person.press("1", "Escape")
    assert person.ranks()["safety"] == [None] * 4


def test_touch_alone_is_enough(tmp_path, serve, desk):
    store = project(tmp_path, 2)
    person = desk(serve(store), "a", 390, 844, has_touch=True, is_mobile=True)
    number, texts = person.data()["item"], person.texts()
    for dimension in range(3):
        person.page.locator("#dimensions button").nth(dimension).tap()
        for place, rank in enumerate((2, 1, 1, 4)):
            person.page.locator(".answer").nth(place).locator(".row.current button").nth(rank - 1).tap()
    with person.page.expect_navigation():
        person.page.locator("#submit").tap()
    ((_, _, judgement),) = store.judgements(number)
    ranks = dict(zip(store.item(number).answers, judgement.final, strict=True))
    assert [ranks[text] for text in texts] == [3, 1, 1, 4]


def test_after_a_click_the_keys_go_on(half):
    _, person = half
    person.press("n")
    person.page.keyboard.type("x")
    person.page.locator(".answer").nth(2).locator(".row").nth(1).locator("button").nth(3).click()
    person.press(1)  # the next answer without a rank in that dimension, not the notes
    assert person.ranks()["professionalism"] == [None, None, 4, 1]
    assert person.page.input_value("#notes") == "x"


def test_an_expert_reopens_and_an_admin_frees_items(tmp_path, serve, desk):
    store = project(tmp_path, 1)
    for name in "ab":
        judge(store, name, next_item(store, user(store, name)), 1, 2, 3, 4)
    served = serve(store)
    expert = desk(served, "x")
    expert.page.goto(f"{served.address}/trail/1")
    expert.page.fill("textarea[name=reason]", "请再看一次")
    with expert.page.expect_navigation():
        expert.page.click("form.reopen button")
    assert store.item_row(1)["state"] == "disputed"
    expert.page.goto(served.address)
    assert expert.data()["mode"] == "decide" and "请再看一次" in expert.page.text_content("#reasons")

    store.add_items(items(2)[1:])
    assert next_item(store, user(store, "c")) == 2
    admin = desk(served, "admin")
    with admin.page.expect_navigation():
        admin.page.locator("form[data-post] button").first.click()
    until(lambda: any(event.kind == "release" for event in read_events(store.db)))
