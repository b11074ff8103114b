"""The items that the ranking tool shows without data."""

from __future__ import annotations

from collections import Counter

from zj.clinic import judge, question_of
from zj.data.turns import asks_nothing
from zj.feedback.answers.demo import OWN, WORSE, demo_items, demo_prompts


def test_each_item_has_the_clinics_own_answer_and_worse_ones():
    items = demo_items(25, 3)
    assert Counter(item.source for item in items) == {"training": 13, "outside": 12}
    assert all(item.prompt.department for item in items) and len({item.id for item in items}) == 25
    better = 0
    for item in items:
        asked = question_of(item.id)
        assert len(set(item.answers)) == 4 and sorted(item.models) == [OWN, WORSE, WORSE, WORSE]
        assert item.answers[item.models.index(OWN)] == asked.reference and not asks_nothing(item.prompt)
        scores = [judge(asked, answer).score for answer in item.answers]
        better += scores[item.models.index(OWN)] > min(scores)
        assert scores[item.models.index(OWN)] == max(scores)
    assert better > 20  # control: a fault is seen
    assert {items[n].models.index(OWN) for n in range(25)} == {0, 1, 2, 3}


def test_items_depend_on_the_seed_and_more_of_them_begin_alike():
    assert demo_items(4, 0) == demo_items(6, 0)[:4] != demo_items(4, 1)
    assert [(one.prompt, one.source) for one in demo_prompts(6, 0)] == [(i.prompt, i.source) for i in demo_items(6, 0)]
    assert [one.reference for one in demo_prompts(2, 0)] == [i.answers[i.models.index(OWN)] for i in demo_items(2, 0)]
