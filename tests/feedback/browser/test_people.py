"""Several people at once: blind to each other until an expert decides."""

from __future__ import annotations

import pytest

from tests.feedback.project import act, judgement, project, user
from zj.feedback.project.events import read_events
from zj.feedback.project.scheduler import next_item
from zj.feedback.project.store import Settings

pytestmark = pytest.mark.browser


def stored(store, number):
    """{pseudonym: {text of an answer: final rank}}"""
    answers = store.item(number).answers
    return {name: dict(zip(answers, j.final, strict=True)) for name, _, j in store.judgements(number)}


def test_two_annotators_rank_one_item_at_once_and_see_nothing_of_each_other(tmp_path, serve, desk):
    store = project(tmp_path, 1, Settings(seed=1))
    served = serve(store)
    one, other = desk(served, "a"), desk(served, "b")
    assert one.data()["item"] == other.data()["item"] == 1
    assert one.texts() != other.texts(), "each has an order of answers of their own"
    shown = {"a": one.texts(), "b": other.texts()}
    for digits in ("1234", "1123", "4321"):  # by turns, so that their drafts are on their way together
        for digit in digits:
            one.press(digit)
            other.press(5 - int(digit))
    one.press("n")
    one.page.keyboard.type("只有我知道")
    one.press("Escape")
    one.submit()
    assert other.data()["others"] == [] and "只有我知道" not in other.page.content()
    other.page.reload()
    assert other.data()["others"] == [] and "只有我知道" not in other.page.content()
    other.submit()
    found = stored(store, 1)
    assert found[user(store, "a").pseudonym] == dict(zip(shown["a"], (1, 2, 3, 4), strict=True))
    assert found[user(store, "b").pseudonym] == dict(zip(shown["b"], (4, 3, 2, 1), strict=True))


@pytest.fixture
def disputed(tmp_path, serve, desk):
    """A store, what both annotators have judged, and an expert at the item."""
    store = project(tmp_path, 1)
    given = {
        "a": judgement(
            1, 2, 3, 4, faults=[[], ["accuracy"], [], []], rewrites={"1": "请到皮肤科就诊。"}, notes="剂量有误"
        ),
        "b": judgement(4, 3, 2, 1),
    }
    for name, value in given.items():
        act(store, name, "judge", next_item(store, user(store, name)), {"judgement": value, "seconds": 9})
    assert store.item_row(1)["state"] == "disputed"
    return store, desk(serve(store), "x")


@pytest.mark.parametrize("key", ["a", "b"])
def test_an_expert_takes_over_one_order_changes_it_and_gives_a_reason(disputed, key):
    store, expert = disputed
    data, answers = expert.data(), store.item(1).answers
    assert data["mode"] == "decide" and {other["name"] for other in data["others"]} == {"A", "B"}
    theirs = next(other["judgement"] for other in data["others"] if other["name"] == key.upper())
    expert.press(key)
    assert expert.ranks() == theirs["ranks"]
    expert.press("ArrowDown", *"11")  # the second and third answer tie in safety
    expected = expert.ranks()
    expert.press("Enter")  # no reason yet
    assert expert.page.evaluate("document.activeElement.id") == "decision"
    assert store.item_row(1)["state"] == "disputed"
    expert.page.keyboard.type("a 和 b 都忽略了剂量")
    texts = expert.texts()
    with expert.page.expect_navigation():
        expert.press("Control+Enter")
    (event,) = [event for event in read_events(store.db) if event.kind == "decide"]
    assert event.body["reason"] == "a 和 b 都忽略了剂量"
    (outcome,) = store.outcomes()
    ranks = dict(zip(answers, outcome.ranks["safety"], strict=True))
    order = sorted(expected["safety"])
    assert [ranks[text] for text in texts] == [order.index(rank) + 1 for rank in expected["safety"]]


def test_an_expert_sees_ranks_faults_rewrites_and_notes_beside_the_answers(disputed):
    store, expert = disputed
    answers, texts = store.item(1).answers, expert.texts()
    labels = {other["name"]: label for other, label in zip(expert.data()["others"], "甲乙", strict=True)}
    for place, text in enumerate(texts):
        card, answer = expert.page.locator(".answer").nth(place), answers.index(text)
        ranks = card.locator(".their-ranks").first.text_content()
        assert {ranks.replace(" ", "")} <= {
            f"{labels['A']}{one}{labels['B']}{other}"
            for one, other in [(answer + 1, 4 - answer), (4 - answer, answer + 1)]
        }
        assert ("准确" in card.locator(".theirs").text_content()) == (answer == 1)
        assert ("请到皮肤科就诊。" in card.locator(".theirs").text_content()) == (answer == 1)
    assert "剂量有误" in expert.page.text_content("#others") and "先后相反" in expert.page.text_content("#reasons")
    expert.page.click(".theirs button")
    expert.saved()
    draft = store.seat(1, "x").draft
    assert draft["rewrites"] == {"1": "请到皮肤科就诊。"}


def test_who_only_looks_cannot_change_anything(tmp_path, serve, desk):
    store = project(tmp_path, 1)
    served = serve(store)
    expert = desk(served, "x")
    expert.page.goto(f"{served.address}/item/1")
    assert expert.data()["mode"] == "view"
    expert.press(1, 2, 3, 4, "=", "c", "a", "b", "u", "s", "f", "Enter")
    assert expert.ranks()["safety"] == [None] * 4 and expert.page.locator("dialog[open]").count() == 0
    assert not [event for event in read_events(store.db) if event.user == "x"]
