from __future__ import annotations

import hashlib
import itertools
import json

import pytest
import torch

from zj import NOTICE
from zj.data.batching import is_validation, question, split
from zj.data.readers import read
from zj.data.records import Candidates, Prompt
from zj.feedback.ranking.criteria import ABILITY_KEYS, DIMENSION_KEYS
from zj.feedback.ranking.disagreement import joint_ranks
from zj.feedback.ranking.export import VALID_FRACTION, export
from zj.feedback.ranking.judgement import Judgement, Outcome, parse_judgement
from zj.feedback.ranking.ranks import at_places, by_answer, competition_ranks, display_order
from zj.rl import ranking_loss
from zj.rl.reward import ranked_pairs


def candidates(name: str, answers: int = 4, **more) -> Candidates:
    prompt = Prompt(f"p/{name}", f"{name}：我头痛。", **more)
    return Candidates(name, prompt, tuple(f"{name}答{k}" for k in range(answers)), source="outside")


def judgement(ranks, **more) -> Judgement:
    ranks = list(ranks)
    return parse_judgement({"ranks": dict.fromkeys(DIMENSION_KEYS, ranks)} | more, len(ranks))


def agreed(item: Candidates, *judgements: Judgement) -> Outcome:
    people = tuple(zip(("P1", "P2"), judgements, strict=True))
    return Outcome(item, joint_ranks(list(judgements)), "", people)


def rows(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def weak_orders(answers: int):
    return sorted({competition_ranks(keys) for keys in itertools.product(range(answers), repeat=answers)})


def written(tmp_path, outcomes, judged=()):
    export(outcomes, judged, tmp_path / "out", {})
    return tmp_path / "out"


# ---- the order


@pytest.mark.parametrize(("answers", "number"), [(2, 3), (3, 13), (4, 75), (5, 541)])
def test_every_order_reaches_the_loss_unchanged(tmp_path, answers, number):
    """By the places of a screen → judgement → outcome → files → records → pairs → the reward model's loss."""
    orders = weak_orders(answers)
    assert len(orders) == number
    orders, outcomes = orders if answers < 5 else orders[::5], []
    for index, order in enumerate(orders):
        item, people = candidates(f"i{index}", answers), []
        for name in ("P1", "P2"):
            shown = display_order(7, name, item.id, answers)
            people.append(judgement(by_answer(at_places(order, shown), shown)))
        outcomes.append(agreed(item, *people))
    folder = written(tmp_path, outcomes)
    records, report = read(folder / "rankings.jsonl", "ranking")
    assert not report.warnings and not report.notes.changes and set(report.notes.ignored) == {"source"}
    found = {record.id: record for record in records}
    assert found.keys() == {f"i{index}" for index, order in enumerate(orders) if len(set(order)) > 1}
    rejected = {}
    for pair in rows(folder / "pairs-train.jsonl") + rows(folder / "pairs-validation.jsonl"):
        rejected.setdefault(pair["id"], set()).add((pair["chosen"][0]["content"], pair["rejected"][0]["content"]))
    scores = torch.randn(answers, dtype=torch.float64, generator=torch.Generator().manual_seed(answers))
    for index, order in enumerate(orders):
        if len(set(order)) == 1:
            continue
        record, texts = found[f"i{index}"], outcomes[index].item.answers
        assert (record.answers, record.ranks) == (texts, order)
        pairs = [(a, b) for a in range(answers) for b in range(answers) if order[a] < order[b]]
        assert rejected[record.id] == {(texts[a], texts[b]) for a, b in pairs}
        expected = -sum(torch.nn.functional.logsigmoid(scores[a] - scores[b]) for a, b in pairs) / len(pairs)
        loss = ranking_loss(scores, torch.tensor(record.ranks), torch.zeros(answers, dtype=torch.long))
        assert loss.item() == pytest.approx(expected.item(), abs=1e-12)


def test_the_published_tool_s_error_would_be_noticed_in_14_of_24_orders(tmp_path):
    """Control: it stores answer number `rank` in the place of each, the permutation instead of its inverse."""
    orders = list(itertools.permutations(range(1, 5)))
    inverse = [tuple(order.index(k) + 1 for k in range(1, 5)) for order in orders]
    items = [candidates(f"i{index}") for index in range(24)]
    files = []
    for name, given in (("right", orders), ("wrong", inverse)):
        (tmp_path / name).mkdir()
        outcomes = [agreed(item, *[judgement(order)] * 2) for item, order in zip(items, given, strict=True)]
        files.append(written(tmp_path / name, outcomes) / "rankings.jsonl")
    right, wrong = (read(file, "ranking")[0] for file in files)
    assert [record.ranks for record in right] == orders
    assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 14
    groups = torch.zeros(4, dtype=torch.long)
    pairs = [
        [{*zip(*(t.tolist() for t in ranked_pairs(torch.tensor(r.ranks), groups)[:2]), strict=True)} for r in side]
        for side in (right, wrong)
    ]
    assert sum(a != b for a, b in zip(*pairs, strict=True)) == 14


# ---- what the files hold


def test_no_dialogue_is_on_both_sides_and_the_scripts_hold_out_the_same(tmp_path):
    outcomes = []
    for number in range(120):
        first, turns = f"第{number}问", []
        for turn in range(3):
            user = first if turn == 0 else f"第{number}问的第{turn}轮，同上。"
            item = Candidates(f"{number}/{turn}", Prompt("", user, tuple(turns), "系统"), ("好", "一般", "差"))
            outcomes.append(agreed(item, judgement((1, 2, 3)), judgement((1, 2, 3))))
            turns.append((user, "好"))
    folder = written(tmp_path, outcomes)
    records, _ = read(folder / "rankings.jsonl", "ranking")
    train, valid = split(records, VALID_FRACTION)
    sides = {name: {row["id"] for row in rows(folder / f"pairs-{name}.jsonl")} for name in ("train", "validation")}
    assert sides == {"train": {r.id for r in train}, "validation": {r.id for r in valid}} and sides["validation"]
    dialogues = [{name.partition("/")[0] for name in side} for side in sides.values()]
    assert not dialogues[0] & dialogues[1] and sum(map(len, dialogues)) == 120
    assert {r["split_by"] for r in rows(folder / "rankings.jsonl")} == {f"第{n}问" for n in range(120)}
    by_turn = [is_validation(o.item.prompt.user, VALID_FRACTION) for o in outcomes]  # control: cut turn by turn
    assert by_turn != [is_validation(question(o.item), VALID_FRACTION) for o in outcomes]
    pairs, report = read(folder / "pairs-train.jsonl", "ranking")  # train_dpo.py takes trl's form as well
    assert not report.warnings and {pair.ranks for pair in pairs} == {(1, 2)}
    assert not {pair.id for pair in split(pairs, VALID_FRACTION)[1]}
    row = rows(folder / "pairs-train.jsonl")[-1]
    assert row.keys() == {"id", "prompt", "chosen", "rejected", "split_by"}
    assert [m["role"] for m in row["prompt"]][:2] == ["system", "user"] and row["prompt"][-1]["role"] == "user"
    assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"


def test_rewrites_are_dialogues_to_train_on_and_never_ranked(tmp_path):
    history = (("我咳嗽。", "多久了？"),)
    item, other = candidates("一", history=history, department="内科"), candidates("二")
    one = judgement((1, 2, 3, 4), rewrites={"3": "抱歉，我不知道。", "0": "请先就诊。"})
    two = judgement((1, 2, 3, 4), rewrites={"2": " 请先就诊。"})
    decided = judgement((4, 3, 2, 1), rewrites={"1": "由专家改写。"})
    unreadable = judgement((1, 2, 3, 4), rewrites={"0": "null", "1": other.answers[3]})
    people = (("P1", one), ("P2", two), ("E1", decided))
    outcomes = [
        agreed(item, one, two),
        Outcome(other, decided.ranks, "E1", people),
        agreed(candidates("三"), unreadable, unreadable),
    ]
    manifest = export(outcomes, [], tmp_path / "out", {})
    dialogues, report = read(tmp_path / "out" / "rewrites.jsonl", "dialogue")
    assert not report.warnings
    texts = [dialogue.turns[-1][1] for dialogue in dialogues]
    assert texts == ["请先就诊。", "抱歉，我不知道。", "由专家改写。", other.answers[3]]
    assert dialogues[0].turns == (*history, (item.prompt.user, "请先就诊。"))
    assert dialogues[0].trained == (False, True) and dialogues[0].department == "内科"
    assert dialogues[0].split_by == "我咳嗽。" and dialogues[2].trained == ()
    assert manifest["left_out"]["rewrites that a reader refuses"] == 1
    ranked = [text for record in read(tmp_path / "out" / "rankings.jsonl", "ranking")[0] for text in record.answers]
    paired = [
        row[side][0]["content"]
        for name in ("train", "validation")
        for row in rows(tmp_path / "out" / f"pairs-{name}.jsonl")
        for side in ("chosen", "rejected")
    ]
    assert set(ranked) == {text for outcome in outcomes for text in outcome.item.answers} >= set(paired)
    assert set(texts) & set(ranked) == {other.answers[3]}  # which really was shown


def test_what_says_nothing_or_cannot_be_read_is_left_out_and_counted(tmp_path):
    twice = Candidates("twice", Prompt("", "问一"), ("甲", "甲 ", "乙", "丙"))
    outcomes = [
        agreed(twice, *[judgement((1, 1, 3, 4))] * 2),
        agreed(Candidates("torn", twice.prompt, twice.answers), *[judgement((1, 4, 3, 2))] * 2),
        agreed(Candidates("gone", twice.prompt, ("甲", "甲")), *[judgement((1, 2))] * 2),
        agreed(candidates("tied"), *[judgement((1, 1, 1, 1))] * 2),
        agreed(Candidates("none", Prompt("", "问二"), ("null", "乙")), *[judgement((1, 2))] * 2),
    ]
    manifest = export(outcomes, [], tmp_path / "out", {})
    found = {record.id: record for record in read(tmp_path / "out" / "rankings.jsonl", "ranking")[0]}
    assert found.keys() == {"twice", "torn"}
    assert (found["twice"].answers, found["twice"].ranks) == (("甲", "乙", "丙"), (1, 2, 3))
    assert (found["torn"].answers, found["torn"].ranks) == (("乙", "丙"), (2, 1))
    assert manifest["left_out"] == {
        "answers with equal texts": 1 + 2 + 2,
        "items that a reader refuses": 1,
        "items whose answers all tie": 2,
    }
    assert len(rows(tmp_path / "out" / "judgements.jsonl")) == 10  # research gets them all


def test_judgements_and_manifest(tmp_path):
    faults = [[ABILITY_KEYS[0]], [], [], []]
    one, two = judgement((1, 2, 3, 4), faults=faults, notes="剂量不对"), judgement((1, 2, 4, 3))
    item = Candidates("一", Prompt("", "问", department="内科"), tuple("甲乙丙丁"), ("m1", "m2", "m1", ""), "training")
    outcomes = [agreed(item, one, two), Outcome(candidates("二"), two.ranks, "E1", (("P1", one), ("E1", two)))]
    judged = [(question(o.item), [(n, j) for n, j in o.judgements if n != "E1"]) for o in outcomes]
    facts = {"last_event": 12, "version": "0.1.0"}
    manifest = export(outcomes, judged, tmp_path / "out", facts)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    for name, about in manifest["files"].items():
        data = (tmp_path / "out" / name).read_bytes()
        assert about == {"sha256": hashlib.sha256(data).hexdigest(), "rows": data.count(b"\n")}
    assert {file.name for file in (tmp_path / "out").iterdir()} == {*manifest["files"], "manifest.json"}
    assert manifest["items"] == {
        "state": {"agreed": 1, "decided": 1},
        "source": {"outside": 1, "training": 1},
        "department": {"unknown": 1, "内科": 1},
    }
    assert manifest["annotators"] == {"E1": 1, "P1": 2, "P2": 1} and manifest["facts"] == facts
    assert manifest["agreement"]["final"]["items"] == 1 and manifest["notice"] == NOTICE
    assert manifest["agreement"]["safety"]["pairwise"] == pytest.approx(5 / 6)
    said = rows(tmp_path / "out" / "judgements.jsonl")
    assert [(row["id"], row["annotator"], row["decided_by"]) for row in said] == [
        ("一", "P1", ""),
        ("一", "P2", ""),
        ("二", "P1", "E1"),
        ("二", "E1", "E1"),
    ]
    assert said[0]["faults"] == faults and said[0]["notes"] == "剂量不对" and said[1]["final"] == [1, 2, 4, 3]
    assert said[0]["ranks"] == dict.fromkeys(DIMENSION_KEYS, [1, 2, 3, 4]) and said[0]["models"] == list(item.models)
    others = "".join((tmp_path / "out" / name).read_text() for name in manifest["files"] if name[0] != "j")
    assert "m1" not in others and "P1" not in others


def test_an_export_is_whole_or_not_there(tmp_path):
    good = agreed(candidates("一"), *[judgement((1, 2, 3, 4))] * 2)

    def stopped():
        yield good
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(stopped(), [], tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    export([good], [], tmp_path / "out", {})
    assert len(rows(tmp_path / "out" / "rankings.jsonl")) == 1
    with pytest.raises(ValueError, match="--out .*out exists"):
        export([good], [], tmp_path / "out", {})
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
