"""What a step sees is a pure function of (seed, epoch, step), and every sequence of it stands in exactly one pack."""

from __future__ import annotations

import random
import time
from collections import Counter
from fractions import Fraction

import pytest

from zj.data.batching import batch, epochs, group_of, mix, mix_counts, order, pack_plan, parse_mix, steps_per_epoch
from zj.data.records import Dialogue, Document, Prompt, Ranking
from zj.data.sequences import Encoded
from zj.stages.setup import collate


def dialogue(id, turns: int = 1, where: str = "x.json:1") -> Dialogue:
    return Dialogue(str(id), (("问", "答"),) * turns, where=where)


# ---- order and steps


def test_order_is_a_permutation_of_seed_and_epoch():
    orders = [tuple(order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(sorted(o) == list(range(50)) for o in orders) and len(set(orders)) == 6
    state = random.getstate()
    assert order(50, 1, 2) == list(orders[-1]) and random.getstate() == state


@pytest.mark.parametrize("count, size", [(10, 3), (9, 3), (5, 8), (1, 1)])
def test_batches_of_an_epoch_are_all_of_it(count, size):
    records = [dialogue(n) for n in range(count)]
    indices, per_epoch = epochs(records, 7), steps_per_epoch(count, size)
    for epoch in range(3):
        found = [batch(epoch * per_epoch + step, size, indices) for step in range(per_epoch)]
        assert {e for e, _ in found} == {epoch}
        assert [len(chosen) for _, chosen in found[:-1]] == [size] * (per_epoch - 1)
        assert [i for _, chosen in found for i in chosen] == order(count, 7, epoch)


def test_a_step_can_be_asked_for_alone():
    """Resuming is a number: any step gives the same whether or not the ones before it were asked for."""
    records = groups_of([dialogue(n, turns=1 + n % 3) for n in range(40)])
    for weights in (None, parse_mix("multi=2,single=1")):
        straight = epochs(records, 3, weights)
        expected = [batch(step, 6, straight) for step in range(25)]
        for step in (24, 0, 13):
            assert batch(step, 6, epochs(records, 3, weights)) == expected[step]
        assert batch(13, 6, epochs(records, 4, weights)) != expected[13]


def test_no_batches_of_nothing():
    for count, size in [(0, 4), (4, 0)]:
        with pytest.raises(ValueError, match=f"--batch-size {size} of {count} records"):
            steps_per_epoch(count, size)


# ---- mix


def test_parse_mix():
    assert parse_mix("multi=7, single=1") == {"multi": 7, "single": 1}
    assert parse_mix("a=0.1,b=1/3") == {"a": Fraction(1, 10), "b": Fraction(1, 3)}
    assert parse_mix("") == {}


@pytest.mark.parametrize("text", ["multi", "multi=", "=3", "multi=x", "multi=0", "multi=-1", "a=1,a=2", "a=1/0"])
def test_bad_mixes(text):
    with pytest.raises(ValueError, match=f"--mix {text}: found .* expected different names as in multi=7,single=1"):
        parse_mix(text)


def groups_of(records):
    return [group_of(record) for record in records]


def in_groups(sizes: dict[str, int]) -> list[Dialogue]:
    """Records of the files <group>.jsonl, in an order that has nothing to do with the groups."""
    records = [
        dialogue(f"{name}{n}", where=f"data/{name}.jsonl:{n + 1}") for name, size in sizes.items() for n in range(size)
    ]
    return random.Random("mix").sample(records, len(records))


@pytest.mark.parametrize(
    "sizes, text",
    [
        ({"a": 700, "b": 300}, "a=7,b=1"),
        ({"a": 300, "b": 700}, "a=7,b=1"),
        ({"a": 70, "b": 10}, "a=0.7,b=0.1"),
        ({"a": 100, "b": 100, "c": 11}, "a=3,b=2,c=1"),
        ({"a": 5, "b": 1000}, "a=1/3,b=2/3"),
    ],
)
def test_an_epoch_is_the_largest_set_in_the_ratio(sizes, text):
    records, weights = in_groups(sizes), parse_mix(text)
    told, groups = mix_counts(groups_of(records), weights), groups_of(records)
    assert {name: there for name, (_, there) in told.items()} == sizes
    counts = {name: number for name, (number, _) in told.items()}
    for epoch in range(3):
        chosen = mix(groups, weights, 0, epoch)
        assert len(set(chosen)) == len(chosen)
        assert Counter(records[i].id[0] for i in chosen) == counts
    scale = min(Fraction(sizes[name]) / weights[name] for name in sizes)  # no larger one has records enough
    assert all(0 <= scale * weights[name] - counts[name] < 1 for name in sizes)
    assert any(counts[name] == sizes[name] for name in sizes)


def test_each_epoch_takes_another_part_until_all_had_their_turn():
    records = in_groups({"multi": 70, "single": 40})
    groups, weights = groups_of(records), parse_mix("multi=7,single=1")
    parts = [{records[i].id for i in mix(groups, weights, 0, epoch)} for epoch in range(4)]
    singles = [{id for id in part if id.startswith("single")} for part in parts]
    assert all(len(part) == 80 and len(single) == 10 for part, single in zip(parts, singles, strict=True))
    assert len(set.union(*singles)) == 40  # four epochs of ten different ones
    assert mix(groups, weights, 0, 1) == mix(groups, weights, 0, 1) != mix(groups, weights, 1, 1)
    assert set(mix(groups, weights, 0, 1)) != set(mix(groups, weights, 1, 1))  # another seed, other records
    whole = [mix(groups, parse_mix("multi=7,single=4"), 0, epoch) for epoch in range(2)]
    assert sorted(whole[0]) == sorted(whole[1]) and whole[0] != whole[1]  # the same records in another order


def test_the_mix_of_runs_that_have_begun_stays_theirs():
    """Recorded: a run that goes on must draw the records that it would have drawn."""
    files = ["b" if number % 5 == 0 else "a" for number in range(20)]
    groups = groups_of([dialogue(n, 1 + n % 3, f"data/{file}.jsonl:{n}") for n, file in enumerate(files)])
    first, second = (mix(groups, parse_mix("b=2,multi=3,single=1"), 7, epoch) for epoch in (0, 1))
    assert first == [0, 17, 10, 6, 2, 12, 15, 13, 4, 7, 14, 5]
    assert second == [8, 1, 19, 15, 11, 9, 10, 5, 0, 17, 16, 3]


def test_groups_by_number_of_turns_unless_the_file_is_named():
    records = [
        dialogue(0, 3, "data/own.jsonl:1"),
        dialogue(1, 1, "data/own.jsonl:2"),
        dialogue(2, 3, "data/other.json.gz:1"),
        Prompt("3", "问", (("甲", "乙"),), where="p.json:1"),
        Ranking("4", Prompt("4", "问"), ("甲", "乙"), (1, 2), "r.json:1 (row 2)"),
    ]
    assert mix_counts(groups_of(records), parse_mix("multi=3,single=2")) == {"multi": (3, 3), "single": (2, 2)}
    assert mix_counts(groups_of(records), parse_mix("own=2,multi=2,single=1")) == {
        "own": (2, 2),
        "multi": (2, 2),
        "single": (1, 1),
    }
    assert mix_counts(groups_of(records[2:3]), parse_mix("other=1")) == {"other": (1, 1)}
    with pytest.raises(ValueError, match="--mix multi,own: found a record of group 'r' or 'single', expected"):
        mix(groups_of(records), parse_mix("multi=1,own=1"), 0, 0)
    with pytest.raises(ValueError, match="found a record of group 'corpus', expected one of --mix"):
        mix(groups_of([Document("d", "x", "corpus.txt:1")]), parse_mix("multi=1"), 0, 0)
    with pytest.raises(ValueError, match="found no record of group 'general'; --mix"):
        mix(groups_of(records[:1]), parse_mix("multi=1,general=1"), 0, 0)


# ---- packs


def check_plan(plan: list, lengths: list[int], limit: int, world_size: int) -> None:
    """All that a plan promises; AssertionError where it breaks its word."""
    packs = [pack for rank in plan for pack in rank]
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))
    assert len(plan) == world_size and len({len(rank) for rank in plan}) == 1 and plan[0]
    for pack in packs:
        assert len(pack) <= 1 or sum(lengths[i] for i in pack) <= limit
    if len(lengths) >= len(packs):
        assert all(packs)  # a pack is empty only where there are not enough sequences


def test_plans_keep_their_word_in_random_trials():
    rng = random.Random("plans")
    for _ in range(2000):
        world_size = rng.randint(1, 8)
        limit = rng.randint(1, 60)
        lengths = [rng.randint(1, rng.choice([5, 30, 90])) for _ in range(rng.randint(world_size, 40))]
        plan = pack_plan(lengths, limit, world_size)
        check_plan(plan, lengths, limit, world_size)
        assert pack_plan(lengths, limit, world_size) == plan
        # First fit decreasing leaves at most one pack half empty, so that it needs at most this many.
        alone = pack_plan(lengths, limit)[0]
        assert len(alone) <= 2 * sum(lengths) / limit + 1
        assert len(plan[0]) == -(-len(alone) // world_size)  # more ranks never mean more packs than dividing needs


def test_the_check_would_notice():
    good = [[[0], [1, 2]]]
    check_plan(good, [9, 4, 5], 9, 1)
    for bad in ([[[0], [1]]], [[[0, 1], [2]]], [[[0], [1, 2], [1]]], [[[0], [1, 2], []]], [[[0]], [[1], [2]]]):
        with pytest.raises(AssertionError):
            check_plan(bad, [9, 4, 5], 9, len(bad))


def test_plans_by_hand():
    assert pack_plan([3, 7, 5, 5], 10) == [[[0, 1], [2, 3]]]
    assert pack_plan([100, 4, 5], 10) == [[[0], [1, 2]]]  # one longer than the limit has a pack of its own
    assert pack_plan([4, 4, 4, 4], 16, 2) == [[[0, 2]], [[1, 3]]]  # one pack would do, but there are two ranks
    assert pack_plan([9, 9, 9], 10, 2) == [[[0], [2]], [[1], []]]  # nothing can be halved


def test_ranks_carry_about_the_same():
    """Dialogues of a few hundred tokens in packs of 4,096 on eight ranks: within a tenth of the mean."""
    rng = random.Random("balance")
    for _ in range(20):
        lengths = [min(2048, int(rng.lognormvariate(6, 0.6))) for _ in range(256)]
        loads = [sum(lengths[i] for pack in rank for i in pack) for rank in pack_plan(lengths, 4096, 8)]
        assert max(loads) < 1.1 * sum(loads) / 8


def test_too_few_sequences():
    assert pack_plan([5, 5], 10, 3) == [[[0]], [[1]], [[]]]  # the rank without one takes part with an empty pack
    with pytest.raises(AssertionError, match="nothing to pack"):
        pack_plan([], 10)
    with pytest.raises(ValueError, match="--tokens-per-pack 0"):
        pack_plan([1], 0)


def test_plans_are_fast():
    rng = random.Random("speed")
    lengths = [rng.randint(10, 2000) for _ in range(10_000)]
    start = time.process_time()
    pack_plan(lengths, 4096, 8)
    assert time.process_time() - start < 1  # a tenth of that on the machine it was written on
    start = time.process_time()
    for _ in range(100):
        pack_plan(lengths[:64], 4096, 4)
    assert time.process_time() - start < 0.2  # 2 ms each at most; 0.1 ms seen


# ---- collate


def test_collate_lays_sequences_end_to_end_with_their_counts():
    encoded = [
        Encoded([1, 5, 6], [False, True, True], "a"),
        Encoded([1, 7], [False, False], "b"),
        Encoded([9], [True], "c"),
    ]
    packed, counted = collate(encoded, [2, 0])
    assert packed.tokens.tolist() == [9, 1, 5, 6] and packed.lengths == (1, 3)
    assert packed.positions.tolist() == [0, 0, 1, 2]
    assert counted.tolist() == [True, False, True, True]


def test_an_empty_pack_is_one_token_that_does_not_count():
    packed, counted = collate([], [])
    assert len(packed.tokens) == 1 and counted.tolist() == [False]
