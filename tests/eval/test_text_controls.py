"""The controls of text metrics answer without having read the question."""

from __future__ import annotations

from collections import Counter

import pytest

from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow
from zj.eval.text import controls
from zj.eval.text.controls import CONSTANT, SHUFFLED, character_f1, most_central, with_controls
from zj.eval.text.presets import PRESETS
from zj.eval.text.scores import score_texts

REFERENCES = ("多喝水，多休息。", "多喝水，早点休息。", "请多休息，多喝水。", "做一个CT检查。", "高血压要长期服药。")


def systems(references=REFERENCES, dialogues=None):
    """One model that copies the references."""
    names = dialogues or [f"d{n}" for n in range(len(references))]
    rows = [
        AnswerRow(Prompt(f"q{n}", "问？"), name, text, "copy", text, "stop")
        for n, (name, text) in enumerate(zip(names, references, strict=True))
    ]
    return {"copy": rows}


@pytest.mark.parametrize("dialogues", [None, ["a", "a", "b", "c", "c"]])
def test_shuffled_references_are_all_of_other_dialogues(dialogues):
    made = with_controls(systems(dialogues=dialogues))
    dialogue_of = {row.reference: row.dialogue for row in made["copy"]}
    assert all(dialogue_of[row.answer] != row.dialogue for row in made[SHUFFLED])
    assert Counter(row.answer for row in made[SHUFFLED]) == Counter(REFERENCES)  # so Distinct is the references'
    assert [(row.id, row.reference) for row in made[SHUFFLED]] == [(row.id, row.reference) for row in made["copy"]]


def test_no_question_gets_an_equal_reference_where_that_can_be():
    twice = ("多喝水。", "多喝水。", "做CT。", "做CT。", "服药。", "服药。")  # two wordings of each question
    made = with_controls(systems(twice))[SHUFFLED]
    assert all(row.answer != row.reference for row in made)
    common = ("不客气。", "不客气。", "不客气。", "服药。")  # here it cannot; by two shifts of three, two do
    assert sum(row.answer == row.reference for row in with_controls(systems(common))[SHUFFLED]) == 2


def test_a_question_without_reference_lends_none():
    made = with_controls(systems(("", *REFERENCES[:2])))
    assert [row.answer for row in made[SHUFFLED]] == ["", REFERENCES[1], REFERENCES[0]]
    assert made[CONSTANT][0].answer in REFERENCES


def test_the_constant_is_nearest_to_all_references(monkeypatch):
    (best,) = {row.answer for row in with_controls(systems())[CONSTANT]}
    counts = {text: Counter(text) for text in REFERENCES}
    near = {a: sum(character_f1(counts[a], counts[b]) for b in REFERENCES) for a in REFERENCES}
    assert best == max(near, key=near.__getitem__)
    assert near[best] > min(near.values())
    assert most_central([*REFERENCES, *["早"] * 20]) == "早"
    monkeypatch.setattr(controls, "CANDIDATES", 3)  # of five texts, the first, the third and the last
    assert most_central(REFERENCES) == max(REFERENCES[::2], key=near.__getitem__)
    assert most_central(["甲", "乙", "丙", "乙"]) in ("甲", "丙")  # the control: the nearest one is no candidate


def test_f1_of_characters_by_hand():
    assert character_f1(Counter("多喝水"), Counter("多休息")) == pytest.approx(1 / 3, abs=1e-15)  # 2 · 1 / (3 + 3)
    assert character_f1(Counter("水水"), Counter("水")) == pytest.approx(2 / 3, abs=1e-15)  # counts are clipped
    assert character_f1(Counter("水"), Counter("水")) == 1 and character_f1(Counter("水"), Counter("火")) == 0


def test_a_metric_of_overlap_puts_them_below_a_model_that_reads():
    rouge = next(row for row in score_texts(PRESETS["official"], with_controls(systems())) if row.metric == "ROUGE-1")
    assert rouge.scores["copy"].mean == pytest.approx(100)
    assert rouge.scores[SHUFFLED].mean < 60 and rouge.scores[CONSTANT].mean < 80


@pytest.mark.parametrize(
    "dialogues, references",
    [(["a"] * 5, REFERENCES), (["a", "a", "a", "b", "c"], REFERENCES), (None, ("多喝水", "", "", "", ""))],
)
def test_too_few_dialogues_have_no_other(dialogues, references):
    with pytest.raises(ValueError, match="--controls: expected references of two dialogues"):
        with_controls(systems(references, dialogues))


def test_a_model_does_not_take_the_name_of_a_control():
    rows = systems()["copy"]
    with pytest.raises(ValueError, match="NAME=FILE"):
        with_controls({SHUFFLED: rows})
