"""Rows that their own file calls bad are refused; topics, and rows that it calls good, are read."""

from __future__ import annotations

import pytest

from zj.data.fields import Notes
from zj.data.formats import to_records

ROW = {"query": "头疼怎么办？", "response": "先休息。"}
BAD = [
    "0.0",
    "1.0",
    "False.",
    "0",
    "1",
    "?",
    "👎",
    "错误",
    "不合格",
    "差",
    "不太好",
    "很差",
    "回答错误",
    "较差",
    "安全",
    "好的",
]
BAD += ["unsafe", "incorrect", "harmful", "neg", "not_safe", "faux", "x", "нет"]
TOPICS = [
    "内科",
    "心血管疾病",
    "ENT",
    "high blood pressure",
    "HIV negative",
    "功效作用",
    "真菌感染",
    "1型糖尿病",
    "不孕不育",
]


@pytest.mark.parametrize("label", [*BAD, False, True, 0, 1, ["内科", "bad"], "safe answer"])
@pytest.mark.parametrize("name", ["label", "标签"])
def test_a_label_that_may_be_a_verdict_is_refused(name, label):
    with pytest.raises(ValueError, match=f"^found {name} = "):
        to_records(ROW | {name: label}, "dialogue", "f:1", Notes())


@pytest.mark.parametrize("label", [*TOPICS, TOPICS])
def test_a_topic_is_read(label):
    notes = Notes()
    assert to_records(ROW | {"label": label}, "dialogue", "f:1", notes)[0].turns == (tuple(ROW.values()),)
    assert dict(notes.ignored) == {"label": 1}


NAMED = [  # (name, values that are refused, values that are read)
    ("is_safe", [False, 0, "false", "unsafe", "不安全", "0.0"], [True, 1, "1", "yes", "安全", None, ""]),
    ("isCorrect", [False, "No."], [True, "correct"]),
    ("correct", [False, "错"], [True, "对"]),
    ("accepted", [False, "rejected"], ["accepted"]),
    ("quality", ["bad", "low", "差", 0, -1, "一般"], ["good", "high", 4.5, "4.5", "三位医生看过"]),
    ("deleted", [True, "true", 1, "2024-01-01"], [False, 0, "false", "0.0"]),
    ("toxic", [True, 0.9], [False, 0]),
    ("winner", ["rejected", "model_a", 2], [None]),
    ("preference", [2], [""]),
    ("swapped", [True, "1"], [False]),
]


@pytest.mark.parametrize("name, refused, read", NAMED)
@pytest.mark.parametrize("kind", ["dialogue", "ranking", "message"])
def test_fields_whose_name_is_a_verdict(name, refused, read, kind):
    def records(value):
        if kind == "ranking":
            row = {"prompt": "问", "chosen": "甲", "rejected": "乙", name: value}
        elif kind == "message":
            row = {"messages": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答", name: value}]}
        else:
            row = ROW | {name: value}
        return to_records(row, "ranking" if kind == "ranking" else "dialogue", "f:1", Notes())

    for value in refused:
        with pytest.raises(ValueError, match=rf"found (messages\.)?{name.lower()} = "):
            records(value)
    for value in read:
        assert len(records(value)) == 1


MASKS = ["loss_weight", "trainable", "compute_loss", "is_train", "sample_weight"]


@pytest.mark.parametrize(
    "name, off, on", [*((name, 0, True) for name in MASKS), ("ignore", True, 0), ("skip", 1, False)]
)
def test_masks_of_every_name_are_obeyed(name, off, on):
    def talk(value):
        user, doctor = {"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}
        return [user, {**doctor, name: value}, user, doctor]

    assert to_records({"messages": talk(off)}, "dialogue", "f:1", Notes())[0].trained == (False, True)
    assert to_records({"messages": talk(on), name: on}, "dialogue", "f:1", Notes())[0].trained == ()
    sides = {"chosen": [talk(on)[1]], "rejected": [{"role": "assistant", "content": "坏"}]}
    assert len(to_records({"prompt": "问", **sides}, "ranking", "f:1", Notes())) == 1
    bad = [
        ({"messages": talk(0.5)}, "dialogue"),
        (ROW | {name: off}, "dialogue"),
        (ROW | {name: 0.5}, "dialogue"),
        ({"prompt": "问", "chosen": [talk(off)[1]], "rejected": "坏"}, "ranking"),
        ({"prompt": "问", "chosen": "好", "rejected": "坏", name: off}, "ranking"),
    ]
    for row, kind in bad:
        with pytest.raises(ValueError, match="^found "):
            to_records(row, kind, "f:1", Notes())


def test_a_mask_in_another_spelling_is_refused():
    with pytest.raises(ValueError, match="found lossweight = 0"):
        to_records(ROW | {"lossWeight": 0}, "dialogue", "f:1", Notes())
