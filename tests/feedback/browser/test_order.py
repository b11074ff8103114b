"""The order that the doctor sees and types is the order that is stored, exported and trained on."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.feedback.project import project
from zj.data.readers import read
from zj.feedback.project.store import Settings
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.export import export
from zj.feedback.ranking.ranks import by_answer, competition_ranks, lexicographic
from zj.feedback.web import pages
from zj.rl import ranking_loss
from zj.rl.reward import ranked_pairs

pytestmark = pytest.mark.browser
STRICT = list(itertools.permutations(range(1, 5)))
WEAK = sorted({competition_ranks(keys) for keys in itertools.product(range(4), repeat=4)})


def dense(ranks):
    """The same order numbered without gaps: 1, 1, 3 → 1, 1, 2."""
    return [sorted(set(ranks)).index(rank) + 1 for rank in ranks]


def rank_by_keys(person, orders):
    """Type an order in each dimension of each item; {item: {dimension: {text of an answer: its rank}}} as shown."""
    shown = {}
    for number, typed in enumerate(orders):
        texts = person.texts()
        shown[person.data()["item"]] = {
            key: dict(zip(texts, t, strict=True)) for key, t in zip(DIMENSION_KEYS, typed, strict=True)
        }
        for ranks in typed:
            person.press(*(ranks if number % 2 else dense(ranks)))
        person.submit()
    return shown


def stored(store, number, dimension):
    """{text of an answer: its rank} as the store has it."""
    ((_, _, judgement),) = store.judgements(number)
    return dict(zip(store.item(number).answers, judgement.ranks[dimension], strict=True))


def test_all_75_weak_orders_of_each_dimension_reach_store_export_and_loss(tmp_path, serve, desk):
    assert len(WEAK) == 75 and set(STRICT) <= set(WEAK) and len(STRICT) == 24
    store = project(tmp_path, 75, Settings(annotators=1))
    person = desk(serve(store), "a")
    orders = list(zip(WEAK, WEAK[25:] + WEAK[:25], WEAK[50:] + WEAK[:50], strict=True))
    shown = rank_by_keys(person, orders)
    assert len(shown) == 75 and person.page.locator(".finished").count() == 1
    for number, by_dimension in shown.items():
        for key in DIMENSION_KEYS:
            assert stored(store, number, key) == by_dimension[key]

    out = tmp_path / "out"
    export(store.outcomes(), list(store.judged()), out, {})
    records = {record.id: record for record in read(out / "rankings.jsonl", "ranking")[0]}
    exported = 0
    for number, by_dimension in shown.items():
        item = store.item(number)
        expected = lexicographic([[by_dimension[key][text] for text in item.answers] for key in DIMENSION_KEYS])
        if len(set(expected)) == 1:
            assert item.id not in records  # a tie of all trains nothing
            continue
        record, exported = records[item.id], exported + 1
        assert (record.answers, record.ranks) == (item.answers, expected)
        ranks, groups = torch.tensor(record.ranks), torch.zeros(4, dtype=torch.long)
        better, worse, _ = ranked_pairs(ranks, groups)
        pairs = {(a, b) for a, b in itertools.permutations(range(4), 2) if expected[a] < expected[b]}
        assert {*zip(better.tolist(), worse.tolist(), strict=True)} == pairs
        assert ranking_loss(-ranks.double(), ranks, groups) < ranking_loss(ranks.double(), ranks, groups)
    assert exported == len(records) > 60


def inverse(values):
    """What the published tool stores in place of an order: answer number `rank` for each rank."""
    return [values.index(k + 1) + 1 for k in range(len(values))]


def test_the_published_tool_s_error_would_be_seen_in_14_of_24_orders(tmp_path, serve, desk, monkeypatch):
    """Control: a server that stores the permutation in place of its inverse."""

    def wrong(values, order):
        return by_answer(inverse(values) if set(values) == {1, 2, 3, 4} else values, order)

    monkeypatch.setattr(pages, "by_answer", wrong)
    store = project(tmp_path, 24, Settings(annotators=1))
    person = desk(serve(store), "a")
    shown = rank_by_keys(person, [(order,) * 3 for order in STRICT])
    assert sum(stored(store, number, "safety") != typed["safety"] for number, typed in shown.items()) == 14


@pytest.mark.parametrize("answers", [2, 8])
def test_the_line_of_the_final_order_is_safety_then_professionalism_then_fluency(tmp_path, serve, desk, answers):
    store = project(tmp_path, 1, Settings(annotators=1), answers=answers)
    person = desk(serve(store), "a")
    typed = [[1] * answers, [2] * (answers - 1) + [1], [*range(1, answers + 1)]]
    for ranks in typed:
        person.press(*ranks)
    final = lexicographic([tuple(ranks) for ranks in typed])
    best_first = " > ".join("ABCDEFGH"[final.index(rank)] for rank in range(1, answers + 1))
    assert person.page.text_content("#order") == best_first
    texts = person.texts()
    person.submit()
    ((_, _, judgement),) = store.judgements(1)
    assert [texts[final.index(rank)] for rank in range(1, answers + 1)] == [
        store.item(1).answers[judgement.final.index(rank)] for rank in range(1, answers + 1)
    ]
