"""The file of answers: what is written is read back; what is not as the page says is refused by file and line."""

from __future__ import annotations

import json

import pytest

from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of, read_answers, read_systems
from zj.eval.text.report import answers_table

ROWS = [
    AnswerRow(Prompt("d1", "头痛怎么办？"), "d1", "休息。", "a", "多喝水。", "stop"),
    AnswerRow(
        Prompt("d2/2", "要吃药吗？", (("咳嗽。", "几天了？"),), "你是医生。", department="内科"),
        "d2",
        "",
        "a",
        "",
        "too long",
        1,
    ),
    AnswerRow(Prompt("d1", "头痛怎么办？"), "d1", "休息。", "b", " 去医院\u2028吧 ", "length"),
]


@pytest.fixture
def write(tmp_path):
    def to(rows, name="answers.jsonl"):
        (tmp_path / name).write_text("".join(lines_of(rows)), encoding="utf-8")
        return tmp_path / name

    return to


def test_what_is_written_is_read_back(write):
    assert read_answers(write(ROWS)) == ROWS


@pytest.mark.parametrize(
    "change, message",
    [
        ({"answer": None}, "found answer None"),
        ({"model": ""}, "found model ''"),
        ({"answer": "好\ud83d"}, 'found answer = "好\\ud83d" with half a character'),  # no file and no judge takes it
        ({"turns_left_out": "1"}, "found turns_left_out '1'"),
        ({"prompt": []}, "found"),
        ({"prompt": None}, "found"),
        ({"reference": "别的。"}, "found another prompt, dialogue or reference of d1"),
        ({"model": "a", "reference": "休息。"}, "found an answer of a to d1 again, as in line 1"),
    ],
)
def test_a_bad_row_is_named(write, change, message):
    file = write(ROWS)
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_answers(file)
    assert str(error.value).startswith(f"{file}:3: {message}")


def test_systems_answer_the_same_questions(write):
    one, other = write(ROWS[:2]), write(list(reversed(ROWS[:2])), "other.jsonl")
    systems = read_systems([str(one), f"b={other}"])
    assert list(systems) == ["a", "b"]
    assert [row.id for row in systems["b"]] == ["d1", "d2/2"] and {row.model for row in systems["b"]} == {"b"}
    folder = one.parent / "lr=1e-5"
    folder.mkdir()
    assert list(read_systems([str(other.replace(folder / "b.jsonl"))])) == ["a"]  # a path, no name
    other = write(list(reversed(ROWS[:2])), "other.jsonl")
    two = write(ROWS, "two.jsonl")
    assert list(read_systems([f"b={two}"])) == ["b"] and len(read_systems([f"b={two}"])["b"]) == 1  # one of several
    for files, message in [
        ([str(one), str(other)], "found a second model a"),
        ([f"c={write(ROWS, 'two.jsonl')}"], "found the models a, b"),
        ([str(write(ROWS, "two.jsonl"))], "1 questions are not those of a, such as d2/2"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_systems(files)


def test_what_makes_figures_mean_less_stands_above_them():
    asks = Prompt("a", "头痛三天了，怎么办？")
    thanks = Prompt("b", "好的，谢谢医生。", (("头痛三天了，怎么办？", "请休息。"),))
    ends = ((asks, "stop"), (thanks, "length"))
    rows = [AnswerRow(prompt, prompt.id, "请休息。", "m", "休息", reason) for prompt, reason in ends]
    table = answers_table({"m": rows})
    assert table.rows[0][:4] == ("m", "2", "0", "1") and table.head[3] == "cut off"
    assert "1 of 2 questions ask nothing" in table.about and "50% of the answers of m are cut off" in table.about
    assert answers_table({"m": rows[:1]}).about == ""  # control
