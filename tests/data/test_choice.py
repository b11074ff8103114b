"""Multiple choice: letters never shift, and an answer that may mean two options is refused."""

from __future__ import annotations

import pytest

from zj.data.fields import Notes
from zj.data.formats import to_records

ASKED = {"question": "哪项？"}
FOUR = {"A": "甲", "B": "乙", "C": "丙", "D": "丁"}
BLOOD = {"A": "O", "B": "A", "C": "AB", "D": "B"}
MED = {"opa": "甲", "opb": None, "opc": "丙", "opd": "丁"}

READ = {  # name -> (row, letters in the question, answer)
    "columns A, B, …": (ASKED | FOUR | {"answer": "B"}, "ABCD", "B. 乙"),
    "MedMCQA with a null": (ASKED | MED | {"answer": "C"}, "ACD", "C. 丙"),
    "MedMCQA with a blank": (ASKED | MED | {"opb": "", "answer": "C"}, "ACD", "C. 丙"),
    "a fifth option": (ASKED | {"opa": "甲", "opb": "乙", "ope": "戊", "cop": 1, "answer": "A"}, "ABE", "A. 甲"),
    "option_a": (ASKED | {"option_a": "甲", "option_b": "乙", "answer": "B"}, "AB", "B. 乙"),
    "Chinese names": ({"问题": "哪项？", "选项": FOUR, "答案": "D"}, "ABCD", "D. 丁"),
    "a list with a hole": (ASKED | {"options": ["甲", "", "丙", "丁"], "answer": "C"}, "ACD", "C. 丙"),
    "ARC": (ASKED | {"choices": {"text": ["甲", "乙"], "label": ["A", "B"]}, "answerKey": "B"}, "AB", "B. 乙"),
    "an option that says None": (ASKED | {"options": FOUR | {"D": "None"}, "answer": "D"}, "ABCD", "D. None"),
    "a letter alone in answer_idx": (ASKED | {"options": FOUR, "answer_idx": "C"}, "ABCD", "C. 丙"),
    "the text and its letter": (ASKED | {"options": BLOOD, "answer": "AB", "answer_idx": "C"}, "ABCD", "C. AB"),
    "the text and its index": (ASKED | {"options": ["甲", "乙"], "answer": "乙", "answer_idx": 1}, "AB", "B. 乙"),
    "texts that carry letters": (ASKED | {"options": ["A. 甲", "B. 乙"], "answer": "B. 乙"}, "AB", "B. 乙"),
    "a word of letters": (ASKED | {"options": {"A": "good", "B": "bad", "D": "x"}, "answer": "bad"}, "ABD", "B. bad"),
    "a lower letter": (ASKED | {"options": FOUR, "answer": " b "}, "ABCD", "B. 乙"),
    "several letters": (ASKED | {"options": FOUR, "answer": "A、C"}, "ABCD", "A. 甲\nC. 丙"),
}


@pytest.mark.parametrize("name", READ)
def test_options_keep_their_letters(name):
    row, letters, answer = READ[name]
    (dialogue,) = to_records(row, "dialogue", "f:1", Notes())
    ((asked, said),) = dialogue.turns
    assert ("".join(line[0] for line in asked.split("\n")[1:]), said) == (letters, answer)
    assert to_records(row, "prompt", "f:1", Notes())[0].user == asked


REFUSED = {
    "an index": ASKED | {"choices": ["10", "12", "2", "3"], "answer": 2},
    "an index as text": ASKED | {"choices": ["10", "12", "2", "3"], "answer": "2"},
    "letters that are a text too": ASKED | {"options": BLOOD, "answer": "AB"},
    "a letter that disagrees": ASKED | {"options": FOUR, "answer": "B", "answer_idx": "C"},
    "an index that disagrees": ASKED | {"options": FOUR, "answer": "D", "answer_index": 1},
    "an index alone": ASKED | {"options": FOUR, "answer_index": 1},
    "the letter of a blank option": ASKED | MED | {"answer": "B"},
    "two lists": ASKED | {"options": ["甲", "乙"], "choices": ["丙", "丁"], "answer": "A"},
    "a list and columns": ASKED | {"options": ["甲", "乙"], "opa": "丙", "opb": "丁", "answer": "A"},
    "options by number": ASKED | {"option1": "甲", "option2": "乙", "answer": "甲"},
    "two options alike": ASKED | {"options": {"A": "甲", "B": "甲"}, "answer": "甲"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_mean_another_option_is_refused(name):
    with pytest.raises(ValueError, match="^found .*expected"):
        to_records(REFUSED[name], "dialogue", "f:1", Notes())


def test_a_lone_column_a_is_no_option():
    notes = Notes()
    (dialogue,) = to_records({"question": "问", "answer": "答", "A": "x"}, "dialogue", "f:1", notes)
    assert dialogue.turns == (("问", "答"),) and dict(notes.ignored) == {"a": 1}
