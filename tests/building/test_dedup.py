"""Repeats: exact similarity of all pairs is the yardstick, datasketch another hand."""

from __future__ import annotations

import json
import random
import re
import sys

import numpy as np
import pytest

from scripts import build_dedup
from scripts.build_dedup import Config, main
from zj.building.dedup import repeats
from zj.building.sketch import SLOTS, Texts, bands_of, grams, jaccard, shared_bands, sketch
from zj.building.spool import Spool
from zj.data import readers
from zj.data.readers import read, stream
from zj.data.records import Dialogue, as_json
from zj.data.report import Report

pytest.importorskip("rensa", reason="extra [data]")
LETTERS = [chr(0x4E00 + n) for n in range(400)]


def edited(rng: random.Random, text: str, edits: int) -> str:
    letters = list(text)
    for _ in range(edits):
        letters[rng.randrange(len(letters))] = rng.choice(LETTERS)
    return "".join(letters)


def some_texts(seed: int, number: int = 600) -> list[str]:
    """Texts of 5 to 80 characters; four in ten are an earlier one with 0 to 8 characters changed."""
    rng = random.Random(seed)
    texts: list[str] = []
    for _ in range(number):
        if texts and rng.random() < 0.4:
            texts.append(edited(rng, rng.choice(texts), rng.randint(0, 8)))
        else:
            texts.append("".join(rng.choices(LETTERS, k=rng.randint(5, 80))))
    return texts


def by_all_pairs(texts: list[str], threshold: float, order: list[int]) -> set[int]:
    """What goes if each text is compared with every one that stays."""
    sets, stay, go = [grams(text, 3) for text in texts], [], set()
    for number in order:
        near = any(jaccard(sets[number], sets[other]) >= threshold for other in stay)
        go.add(number) if near else stay.append(number)
    return go


@pytest.mark.parametrize(("threshold", "longest"), [(0.8, False), (0.8, True), (0.5, False)])
def test_what_goes_is_what_all_pairs_say(threshold, longest):
    texts = some_texts(1)
    found = repeats(Texts(texts, 3), threshold, longest)
    order = sorted(range(len(texts)), key=lambda n: -len(texts[n])) if longest else list(range(len(texts)))
    expected = by_all_pairs(texts, threshold, order)
    assert len(expected) > 60
    assert len(found.keys() & expected) >= 0.99 * len(expected)  # recall
    for number, repeat in found.items():  # precision is 1: the similarity is exact, and the other one stays
        assert repeat.of not in found
        assert jaccard(grams(texts[number], 3), grams(texts[repeat.of], 3)) == repeat.jaccard >= threshold


def test_candidates_are_those_of_datasketch_by_other_hands():
    datasketch = pytest.importorskip("datasketch")
    texts = some_texts(2, 300)
    index, go = datasketch.MinHashLSH(threshold=0.8, num_perm=SLOTS, params=bands_of(0.8)), set()
    for number, text in enumerate(texts):
        own = datasketch.MinHash(num_perm=SLOTS)
        own.update_batch([gram.encode() for gram in grams(text, 3)])
        if any(jaccard(grams(text, 3), grams(texts[other], 3)) >= 0.8 for other in index.query(own)):
            go.add(number)
        else:
            index.insert(number, own)
    assert go == by_all_pairs(texts, 0.8, list(range(len(texts)))) == set(repeats(Texts(texts, 3), 0.8))


def test_a_sketch_estimates_the_similarity_and_bands_keep_their_promise():
    rng = random.Random(0)
    text = "".join(rng.choices(LETTERS, k=300))
    other = edited(rng, text, 20)
    a, b = sketch([text, other], 3)
    exact = jaccard(grams(text, 3), grams(other, 3))
    assert abs((a == b).mean() - exact) < 4 * (exact * (1 - exact) / SLOTS) ** 0.5
    assert (sketch([text], 3, seed=1) != a).mean() > 0.9  # control: another seed
    for threshold in (0.1, 0.5, 0.8, 0.95, 1):
        bands, rows = bands_of(threshold)
        assert bands * rows <= SLOTS and 1 - (1 - threshold**rows) ** bands >= 0.99
    with pytest.raises(ValueError, match="--threshold is 0.05"):
        bands_of(0.05)


def test_only_test_items_count_against_a_test_set():
    item = "".join(LETTERS[:60])
    texts = [item, *(item[n:] + "".join(LETTERS[100 : 100 + n]) for n in (8, 9, 8, 1))]
    assert list(repeats(Texts(texts, 3), 0.8, test=1)) == [4]
    assert sorted(repeats(Texts(texts, 3), 0.8)) == [2, 3, 4]  # control


def test_a_group_is_of_one_band():
    texts = some_texts(3, 200)
    sketches = sketch(texts, 3)
    seen: set[int] = set()
    for members, groups in shared_bands(sketches, 0.8):
        assert not seen & set(groups.tolist()) and min(np.bincount(groups)[np.unique(groups)], default=2) >= 2
        assert len(members) == len(set(members.tolist()))
        seen |= set(groups.tolist())
    assert seen == set(range(len(seen))) and len(seen) > 100


def test_a_chain_does_not_pull_in_its_far_end():
    a = "".join(LETTERS[:60])
    b, c = a[4:] + "".join(LETTERS[100:104]), a[8:] + "".join(LETTERS[100:108])
    assert jaccard(grams(a, 3), grams(b, 3)) > 0.8 > jaccard(grams(a, 3), grams(c, 3))
    assert jaccard(grams(b, 3), grams(c, 3)) > 0.8
    assert list(repeats(Texts([a, b, c], 3), 0.8)) == [1]  # c is near to b alone, which goes
    assert list(repeats(Texts([b, a, c], 3), 0.8)) == [1, 2]


Q = "孩子发烧三天，夜里咳嗽得睡不着觉，吃了退烧药也没有用，应该怎么办才好？"
A = "建议先到儿科就诊，查一下血常规，再决定是否需要用药。平时多喝温水，注意休息。"


def written(file, rows):
    records = [Dialogue(f"r{n}", tuple(turns)) for n, turns in enumerate(rows)]
    file.write_text("".join(json.dumps(as_json(record), ensure_ascii=False) + "\n" for record in records))
    return str(file)


def ids(file) -> list[str]:
    return [record.id for record in read(file, "dialogue")[0]]


def test_repeats_and_test_items_go_and_are_listed(tmp_path, capsys):
    paraphrase = "小儿高热不退，整晚咳，服药无效，如何处理？"
    rows = [
        [(Q, A)],
        [(Q.replace("，", " , "), A)],
        [(Q, A + "祝好")],
        [(Q, "多喝水。")],
        [(paraphrase, A)],
        [("头疼怎么办", A)],
    ]
    data, exam = written(tmp_path / "data.jsonl", rows), tmp_path / "exam.jsonl"
    exam.write_text(json.dumps({"prompt": "头疼，怎么办？"}, ensure_ascii=False) + "\n")
    out = tmp_path / "clean.jsonl"
    main(Config((data,), out=str(out), against=(str(exam),)))
    assert ids(out) == ["r0", "r3", "r4"]  # another answer, and a paraphrase, are no repeats
    removed = [json.loads(line)["removed"] for line in (tmp_path / "clean.removed.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in removed] == ["exact", "near", "test item"]
    assert removed[0] == {"reason": "exact", "where": f"{data}:2", "of": f"{data}:1 r0", "jaccard": 1.0}
    assert removed[2]["of"] == f"{exam}:1" and ids(tmp_path / "clean.removed.jsonl") == ["r1", "r2", "r5"]
    report = json.loads((tmp_path / "clean.report.json").read_text())
    assert (report["read"], report["written"], report["removed"]) == (6, 3, 3)
    assert "paraphrases are not found" in report["settings"]["method"]
    assert "Paraphrases are not found" in capsys.readouterr().out
    main(Config((data,), out=str(tmp_path / "longest.jsonl"), keep="longest"))
    assert ids(tmp_path / "longest.jsonl") == ["r2", "r3", "r4", "r5"]
    main(Config((data,), out=str(tmp_path / "asked.jsonl"), of="question"))
    assert ids(tmp_path / "asked.jsonl") == ["r0", "r4", "r5"]
    with pytest.raises(ValueError, match="--against absent: no such file"):
        main(Config((data,), out=str(tmp_path / "x.jsonl"), against=("absent",)))
    before = out.read_bytes()
    main(Config((data,), out=str(out), threshold=0.1))
    assert out.read_bytes() == before and "nothing was done" in capsys.readouterr().out


def test_the_pair_of_the_help_is_not_found():
    one, other = re.findall('"(.*?？)"', build_dedup.__doc__ or "")
    assert not repeats(Texts([one, other], 3), 0.1)
    assert jaccard(grams(one, 1), grams(other, 1)) < 0.3  # not even by single characters


def test_large_files_are_read_line_by_line_to_the_same_records(tmp_path, monkeypatch):
    file = tmp_path / "data.jsonl"
    written(file, [[(Q, A)], [(A, Q)]])
    file.write_text(file.read_text().replace("\n", "\r\n") + '\n{"broken\n')
    for streamed in (1 << 20, 1):
        monkeypatch.setattr(readers, "STREAMED", streamed)
        report = Report("dialogue", "keep")
        records = list(stream(file, "dialogue", report, "skip"))
        assert records == read(file, "dialogue", "skip")[0] and [r.where for r in records] == [f"{file}:1", f"{file}:2"]
        assert report.skipped == read(file, "dialogue", "skip")[1].skipped and f"{file}:4" in report.skipped[0]
        with pytest.raises(ValueError, match=f"{file}:4: found broken JSON"):
            list(stream(file, "dialogue", Report("dialogue", "keep")))
    file.write_bytes(file.read_bytes() + '{"query": "问"}\n'.encode("gb18030"))
    with pytest.raises(ValueError, match=f"{file}:5: byte 11: expected UTF-8"):
        list(stream(file, "dialogue", Report("dialogue", "keep"), "skip"))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(ValueError, match=r"near repeats need rensa: pip install 'zj\[data\]'"):
        Texts(["一二三四"], 3)


def test_a_spool_is_a_list_of_texts():
    spool = Spool()
    for text in ("", "一\n", "\ud800"):
        spool.append(text)
    assert list(spool) == ["", "一\n", "\ud800"] and len(spool) == 3
    assert np.array_equal(spool.ends, [0, 0, 4, 7])
