"""What is written into a store comes back, in the smallest type that holds it; a damaged file is told."""

from __future__ import annotations

import random

import numpy as np
import pytest

from zj.data.sequences import Encoded, Spanned, flags_of, spans_of
from zj.data.store import Block, Store, Writer, ids_type


def examples(seed: int, count: int, vocabulary: int) -> list[Encoded]:
    draw = random.Random(seed)
    sizes = [draw.choice([1, 2, 7, 200]) for _ in range(count)]
    ids = [[draw.randrange(vocabulary) for _ in range(size)] for size in sizes]
    counted = [[draw.random() < draw.choice([0.0, 0.5, 1.0]) for _ in range(size)] for size in sizes]
    return [Encoded(i, c, f"医/{n}.jsonl:{n}") for n, (i, c) in enumerate(zip(ids, counted, strict=True))]


def stored(folder, written, groups, sizes, vocabulary):
    """The examples, written in blocks of these sizes, mapped."""
    names: list[tuple[str, str]] = []
    with Writer(folder, names) as writer:
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            writer.append(Block.of([*map(Spanned.of, written[part])], groups[part], ids_type(vocabulary)))
            start += size
    return Store(folder, ids_type(vocabulary), names)


@pytest.mark.parametrize("vocabulary", [300, 2**16, 2**16 + 1, 152_000])
@pytest.mark.parametrize("sizes", [(40,), (1, 0, 39), (13, 27)])
def test_what_is_written_comes_back(tmp_path, vocabulary, sizes):
    written = examples(len(sizes), 40, vocabulary)
    written[7] = Encoded([vocabulary - 1, 0], [False, True], "")
    groups = [random.Random(n).choice([("a", "multi"), ("a", "single"), ("b", "")]) for n in range(40)]
    store = stored(tmp_path / "side", written, groups, sizes, vocabulary)
    assert list(store) == written and store.groups == groups and len(store) == 40
    assert type(store[7].ids[0]) is int and type(store[7].counted[0]) is bool
    tokens = sum(len(example.ids) for example in written)
    assert (tmp_path / "side" / "ids.bin").stat().st_size == tokens * (2 if vocabulary <= 2**16 else 4)
    for index in (40, -1):
        with pytest.raises(IndexError):
            store[index]


def test_an_empty_side(tmp_path):
    store = stored(tmp_path / "side", [], [], (0,), 300)
    assert (list(store), len(store), store.groups) == ([], 0, [])


def test_the_type_holds_every_id():
    assert [ids_type(n) for n in (1, 2**16, 2**16 + 1)] == ["uint16", "uint16", "int32"]
    for kind in ("uint16", "int32"):
        assert np.array([2**16 - 1], kind).tolist() == [2**16 - 1]
    with pytest.raises(OverflowError):  # control: it would not fit
        Block.of([Spanned([2**16], [0, 1], "")], [("", "")], "uint16")


@pytest.mark.parametrize(
    ("counted", "spans"),
    [([], []), ([0, 0], []), ([1], [0, 1]), ([0, 1, 1, 0, 1], [1, 3, 4, 5]), ([1, 1, 0], [0, 2])],
)
def test_spans(counted, spans):
    flags = [bool(flag) for flag in counted]
    assert spans_of(flags) == spans and flags_of(spans, len(flags)) == flags


@pytest.mark.parametrize("name", ["ids.bin", "ids.ends", "spans.bin", "where.ends", "groups.bin"])
@pytest.mark.parametrize("by", [1, 8])
def test_a_file_that_is_cut_off_is_told(tmp_path, name, by):
    written = examples(0, 5, 300)
    written[-1] = Encoded([5] * 9, [True, False] * 4 + [True], "somewhere:1")  # of each file more than 8 bytes
    stored(tmp_path / "encoded", written, [("", "")] * 5, (5,), 300)
    file = tmp_path / "encoded" / name
    file.write_bytes(file.read_bytes()[:-by])
    with pytest.raises(ValueError, match=f"{tmp_path}.*; remove .*, and the data are encoded again"):
        Store(tmp_path / "encoded", "uint16", [("", "")])
