"""Out to the ranking tool without names, through its store, and back: who wins is who was ranked above."""

from __future__ import annotations

import json

import pytest

from tests.eval.judges.referee import answer, rows
from tests.feedback.project import HASHED, act, judgement, user
from zj.data.readers import read
from zj.eval.answer_file import lines_of
from zj.eval.judges.human import FINAL, NO_ANSWER, agreement, blind, pairs_of, read_judgements, read_key
from zj.eval.judges.human_command import HumanExportConfig, HumanImportConfig, human_export, human_import
from zj.feedback.project.scheduler import next_item
from zj.feedback.project.store import Settings, Store
from zj.feedback.ranking.export import export
from zj.train.files import write_text

NAMES = ("sft-model", "ppo-model", "dpo-model")


@pytest.fixture
def exported(tmp_path):
    """12 questions of three systems: the first is best of the first 8, worst of the others; two answer one the same."""
    texts = {name: [answer(n, 50 + 3 * n) for n in range(12)] for name in NAMES}
    texts["sft-model"] = [answer(40 + n, 60 + n) for n in range(12)]
    texts["ppo-model"][3] = ""
    texts["dpo-model"] = [*texts["ppo-model"][:2], *(answer(n + 20, 70) for n in range(2, 12))]
    for name, given in texts.items():
        write_text(tmp_path / f"{name}.jsonl", lines_of(rows(given, name)))
    files = tuple(str(tmp_path / f"{name}.jsonl") for name in NAMES)
    human_export(HumanExportConfig(files, str(tmp_path / "items.jsonl"), str(tmp_path / "key.jsonl"), seed=3))
    return tmp_path, texts


def ranked_by(folder, texts, order, dimension=""):
    """The items through the tool: each person ranks by `order(person, question, system)`, lower is better; in one
    `dimension` alone, or in all."""
    items, _ = read([folder / "items.jsonl"], "candidates")
    store = Store(folder / "ranking.db", create=Settings(min_tau=-1.0))
    for person, role in (("wang", "annotator"), ("li", "annotator"), ("expert", "expert")):
        store.set_user(person, role, password=HASHED)
    store.add_items(items)
    for person in ("wang", "li", "expert"):
        while (number := next_item(store, user(store, person))) is not None:
            item = items[number - 1]
            question = int(item.id[1:])
            owners = [next(n for n in NAMES if (texts[n][question] or NO_ANSWER) == text) for text in item.answers]
            keys = [order(person, question, name) for name in owners]
            ranks = [1 + sum(other < key for other in keys) for key in keys]
            alike = [1] * len(keys)
            given = judgement(*(alike if dimension else ranks), **({dimension: ranks} if dimension else {}))
            kind, body = ("decide", {"reason": "因为"}) if person == "expert" else ("judge", {"seconds": 9})
            act(store, person, kind, number, {"judgement": given} | body)
    return store


def by_quality(person, question, system):
    return {"sft-model": 0 if question < 8 else 9, "ppo-model": 5, "dpo-model": 5}[system]


def results(folder, store, comparisons=""):
    export(store.outcomes(), store.judged(), folder / "rankings", {})
    out = folder / "human.json"
    human_import(HumanImportConfig(str(folder / "rankings"), str(folder / "key.jsonl"), comparisons, str(out)))
    report = json.loads(out.read_text(encoding="utf-8"))
    return report, {(row["against"], row["dimension"]): row for row in report["results"]}


def test_items_hold_no_name_and_answers_are_shuffled(exported):
    folder, texts = exported
    lines = (folder / "items.jsonl").read_text(encoding="utf-8")
    assert not any(name in lines for name in NAMES) and NO_ANSWER in lines
    items, _ = read([folder / "items.jsonl"], "candidates")
    key = read_key(folder / "key.jsonl")
    assert len(items) == 12 and {len(item.answers) for item in items} == {2, 3}
    for item in items:
        question = int(item.id[1:])
        for text, names in zip(item.answers, key[item.id].systems, strict=True):
            assert all((texts[name][question] or NO_ANSWER) == text for name in names)
    assert len({key[item.id].systems for item in items if len(item.answers) == 3}) > 2
    assert pairs_of(key) == [("dpo-model", "ppo-model"), ("dpo-model", "sft-model"), ("ppo-model", "sft-model")]


def test_rankings_come_back_as_wins_of_who_was_above(exported, capsys):
    """Beside them a judge that says the same, but of the first question nothing; its controls do not count."""
    folder, texts = exported
    verdicts = [
        {"id": f"q{n}", "dimension": FINAL, "first": "sft-model", "second": "ppo-model", "control": control}
        | {"outcome": (1 if n < 8 else -1) if n and not control else None}
        for n in range(12)
        for control in ("", "same")
    ]
    write_text(folder / "c.jsonl", [json.dumps(row) + "\n" for row in verdicts])
    report, found = results(folder, ranked_by(folder, texts, by_quality), str(folder / "c.jsonl"))
    beside = found["ppo-model / sft-model", FINAL]["judge"]
    assert beside["with_ties"] == beside["without_ties"] == {"n": 11, "share": 1, "kappa": 1}
    assert found["ppo-model / sft-model", "safety"]["judge"] is None
    assert (report["items"], report["judged"], report["judgements"], report["identical"]) == (12, 12, 24, 0)
    for dimension in ("safety", "professionalism", "fluency", FINAL):
        row = found["ppo-model / sft-model", dimension]
        assert (row["n"], row["wins"], row["ties"], row["losses"]) == (12, 4, 0, 8)
        assert found["dpo-model / ppo-model", dimension]["ties"] == 12  # two of them with one text
    assert found["ppo-model / sft-model", FINAL]["score"]["mean"] == pytest.approx(1 / 3)
    assert found["ppo-model / sft-model", FINAL]["first_seat"] is None
    assert "ppo-model / sft-model: overall  11   1.00   1.00" in capsys.readouterr().out


def apart(person, question, system):
    """wang has ppo above dpo, li and the expert the other way; all have sft first."""
    return {"sft-model": 0, "ppo-model": 5, "dpo-model": 4 if person != "wang" else 6}[system]


def test_two_people_who_disagree_are_a_tie(exported):
    """Of professionalism the tool has no dispute here, so that nobody decides."""
    folder, texts = exported
    report, found = results(folder, ranked_by(folder, texts, apart, "professionalism"))
    assert report["judgements"] == 24
    assert found["dpo-model / ppo-model", "professionalism"]["ties"] == 12
    assert found["ppo-model / sft-model", "professionalism"]["losses"] == 12
    assert found["ppo-model / sft-model", "safety"]["ties"] == 12


def test_where_an_expert_decides_the_expert_counts_alone(exported):
    """Safety in opposite orders is a dispute: of the 10 items on which dpo and ppo have different answers."""
    folder, texts = exported
    report, found = results(folder, ranked_by(folder, texts, apart))
    row = found["dpo-model / ppo-model", "safety"]
    assert (row["wins"], row["ties"], row["losses"]) == (10, 2, 0) and report["judgements"] == 10 + 2 * 2


def test_agreement_by_hand():
    """3 of 4 agree; by chance 1/4·1/2 + 1/2·1/4 + 1/4·1/4 of them."""
    found = agreement([(1, 1), (0, 0), (0, 1), (-1, -1)])
    chance = (1 * 2 + 2 * 1 + 1 * 1) / 16
    assert found["with_ties"] == {"n": 4, "share": 0.75, "kappa": pytest.approx((0.75 - chance) / (1 - chance))}
    assert found["without_ties"] == {"n": 2, "share": 1, "kappa": 1} and agreement([]) is None


def test_other_answers_than_those_of_the_key_are_refused(exported):
    folder, texts = exported
    store = ranked_by(folder, texts, by_quality)
    export(store.outcomes(), store.judged(), folder / "rankings", {})
    key = (folder / "key.jsonl").read_text(encoding="utf-8").splitlines()
    rows_of_key = [json.loads(line) for line in key]
    rows_of_key[4]["sha256"] = rows_of_key[5]["sha256"]
    (folder / "key2.jsonl").write_text("\n".join(json.dumps(row) for row in rows_of_key))
    with pytest.raises(ValueError, match=r"judgements.jsonl:\d+: item q4: found other responses"):
        human_import(HumanImportConfig(str(folder / "rankings"), str(folder / "key2.jsonl")))
    (folder / "key3.jsonl").write_text(json.dumps(rows_of_key[0] | {"id": "elsewhere"}))
    with pytest.raises(ValueError, match="found no judgement of an item"):
        human_import(HumanImportConfig(str(folder / "rankings"), str(folder / "key3.jsonl")))
    (folder / "key4.jsonl").write_text('{"id": "q0"}')
    with pytest.raises(ValueError, match="key4.jsonl:1: expected a row of the key"):
        read_key(folder / "key4.jsonl")


def test_a_draw_of_questions_and_what_cannot_be_exported():
    systems = {name: rows([answer(n + k) for n in range(20)], name) for k, name in enumerate(NAMES)}
    items, key = blind(systems, seed=1, limit=5)
    assert len(items) == len(key) == 5 and blind(systems, seed=1, limit=5) == (items, key)
    assert blind(systems, seed=2, limit=5)[1] != key and len(blind(systems, 0)[0]) == 20
    with pytest.raises(ValueError, match="found 1 systems, expected 2 to 4"):
        blind({"a": systems["sft-model"]}, 0)
    alike = {name: rows(["好。"] * 3, name) for name in NAMES}
    assert blind(alike, 0)[0] == [] and len(blind(alike, 0)[1]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "found a judgement of wang on q0 again"),  # a file that was written twice gives nobody two votes
        ({"annotator": "li", "final": [1]}, "a whole number of each response"),
        ({"annotator": "li", "final": "12"}, "a whole number of each response"),
        ({"annotator": "li", "ranks": None}, "expected judgements.jsonl"),
    ],
)
def test_a_judgement_that_is_none_is_named(tmp_path, change, message):
    items, lines = blind({"a": rows(["好"], "a"), "b": rows(["坏"], "b")}, 0)
    write_text(tmp_path / "key.jsonl", lines)
    responses = json.loads(items[0])["responses"]
    row = {"id": "q0", "responses": responses, "annotator": "wang", "decided_by": None, "ranks": {}, "final": [1, 2]}
    write_text(tmp_path / "j.jsonl", [json.dumps(one) + "\n" for one in (row, row | change)])
    with pytest.raises(ValueError, match=f"j.jsonl:2: .*{message}"):
        read_judgements(tmp_path / "j.jsonl", read_key(tmp_path / "key.jsonl"))
