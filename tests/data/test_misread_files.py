"""Files that were misread once: columns without a name, headers, splits, encodings, links, the ranking tool."""

from __future__ import annotations

import json

import pytest

from zj.data.readers import read

Q, A, B = "头疼怎么办？", "先休息。", "别吃阿司匹林。"
HEAD = "question,answer"


def turns(path):
    return [d.turns[0] for d in read(path, "dialogue")[0]]


# ---- tables

TABLES = {  # name -> (text, dialogues)
    "an index from 0": (f",{HEAD}\n0,{Q},{A}\n1,二,贰\n", [(Q, A), ("二", "贰")]),
    "an index that was filtered": (f"Unnamed: 0,{HEAD}\n3,{Q},{A}\n17,二,贰\n", [(Q, A), ("二", "贰")]),
    "an empty last column": (f"{HEAD},\n{Q},{A},\n", [(Q, A)]),
    "a row that is like the header": (f"{HEAD}\nquestion,什么\n", [("question", "什么")]),
}
BAD_TABLES = {  # name -> (text, what the line says)
    "a text without a name": (f"{HEAD},\n{Q},{A},{B}\n", f':2: found "{B}" in column 3, which has no name'),
    "a text that pandas named": (f"{HEAD},Unnamed: 2\n{Q},{A},{B}\n", f':2: found "{B}" in column 3'),
    "numbers that are no index": (f"{HEAD},\n{Q},{A},1\n二,贰,0\n", ':3: found "0" in column 3'),
    "the header once more": (f"{HEAD}\n{Q},{A}\n{HEAD}\n", ":3: found the header once more"),
    "with a byte order mark": (f"{HEAD}\n{Q},{A}\n\ufeff{HEAD}\n", ":3: found the header once more"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name, write):
    text, expected = TABLES[name]
    path = write("t.csv", text)
    assert turns(path) == expected
    told = str(read(path, "dialogue")[1])
    assert ("without a name (2)" in told) is ("an index" in name)


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, write):
    text, message = BAD_TABLES[name]
    with pytest.raises(ValueError, match="t.csv" + message) as raised:
        read(write("t.csv", text), "dialogue")
    assert "\n" not in str(raised.value)


def test_xlsx_is_a_table_like_others(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def book(*rows):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    assert turns(book([None, "question", "answer"], [0, Q, A], [1, "二", "贰"])) == [(Q, A), ("二", "贰")]
    for rows in (
        [["question", "answer", None], [Q, A, B]],
        [["question", "answer"], [Q, A], ["question", "answer"]],
        [["question", "answer"], [Q, "#N/A"]],
        [["x", "an\nswer", "an\nswer"], [Q, A, B]],
    ):
        with pytest.raises(ValueError, match="t.xlsx:[123]: found") as raised:
            read(book(*rows), "dialogue")
        assert "\n" not in str(raised.value)
    tool = book(["id", "query", "history", "rank1", "rank2", "note"], [1, Q, "[]", A, B, "x"])
    assert "wrongly" in str(read(tool, "ranking")[1])


@pytest.mark.parametrize(
    "text, documents",
    [
        ('text\n"第一行\n第二行"\n"另一篇"\n', ["第一行\n第二行", "另一篇"]),
        ('text\n"高烧"是什么\n她说"疼"\n', ['"高烧"是什么', '她说"疼"']),
        ("text\n一行\n二行\n", ["一行", "二行"]),
        ('text\n"一个""引号"\n', ['一个"引号']),
    ],
)
@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_tables_of_one_column(text, documents, suffix, write):
    assert [d.text for d in read(write(f"t.{suffix}", text), "document")[0]] == documents


# ---- JSON

ROW = {"question": Q, "answer": A}
OBJECTS = {
    "a version beside the rows": {"version": "1.0", "description": "set", "data": [ROW]},
    "features of a hub's page": {
        "features": [{"name": "question"}],
        "rows": [{"row_idx": 0, "row": ROW, "truncated_cells": []}],
    },
    "pandas split": {"columns": ["question", "answer"], "index": [0], "data": [[Q, A]]},
    "one split": {"train": [ROW]},
}
BAD_OBJECTS = {  # name -> (object, what the line says)
    "splits": ({"train": [ROW], "test": [ROW | {"question": "二"}]}, ":1: found rows under train and test"),
    "two keys of rows": ({"data": [ROW], "rows": [{"row_idx": 0, "row": ROW}]}, ":1: found rows under data and rows"),
    "a system text of all rows": ({"system": "你是医生", "data": [ROW]}, ':1: found "system" = "你是医生" beside'),
    "bad rows beside the good": ({"data": [ROW], "bad_examples": [ROW]}, ':1: found "bad_examples" ='),
    "a cell without a column": (
        {"columns": ["question", "answer"], "data": [[Q, A, B]]},
        ":1: found 3 columns, expected 2",
    ),
    "cut cells": ({"rows": [{"row_idx": 0, "row": ROW, "truncated_cells": ["answer"]}]}, ":1: found truncated_cells"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name, write):
    assert turns(write("r.json", OBJECTS[name])) == [(Q, A)]


@pytest.mark.parametrize("name", BAD_OBJECTS)
def test_bad_objects(name, write):
    value, message = BAD_OBJECTS[name]
    with pytest.raises(ValueError, match="r.json" + message):
        read(write("r.json", value), "dialogue")


@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_key_that_stands_twice(form, write):
    """A row of its own is refused, the rows around it are read; a value said twice is no harm."""
    rows = [
        json.dumps(ROW),
        '{"question": "二", "answer": "贰", "answer": "三"}',
        '{"question": "四", "question": "四", "answer": "肆"}',
    ]
    rows.append('{"messages": [{"role": "user", "role": "assistant", "content": "x"}]}')
    text = "\n".join(rows) if form == "lines" else "[" + ",\n".join(rows) + "]"
    dialogues, report = read(write("r.json", text), "dialogue", "skip")
    assert [d.turns[0] for d in dialogues] == [(Q, A), ("四", "肆")]
    assert ['found "answer" twice' in report.skipped[0], 'found "role" twice' in report.skipped[1]] == [True, True]


def test_a_key_that_stands_twice_in_a_broken_line_is_forgotten(write):
    path = write("r.jsonl", '{"a": {"b": 1, "b": 2}, \n' + json.dumps(ROW))
    assert len(read(path, "dialogue", "skip")[0]) == 1


@pytest.mark.parametrize("row", [ROW | {"x\ud83d": 1}, ROW | {"id": "\ud83d"}])
def test_half_a_character_in_a_name_or_an_id(row, convert, write, tmp_path):
    done = convert("dialogue", write("r.jsonl", json.dumps(row)), out=tmp_path / "new.jsonl")
    assert done.status == 2 and "r.jsonl:1: found" in done.told and not (tmp_path / "new.jsonl").exists()


# ---- text, folders


def test_two_encodings_in_one_file(write):
    first, second = "请先休息，多喝水。\n\n".encode(), "医生建议你去检查。\n\n".encode("gbk")
    for text in (first + second, second + first):
        with pytest.raises(ValueError, match=r"t.txt:[13]: found UTF-8 in a file of another encoding"):
            read(write("t.txt", text), "document")
    chance = "药模\n\n".encode("gbk")  # control: valid UTF-8 by chance
    assert chance.decode() != "药模\n\n" and len(read(write("t.txt", chance + second), "document")[0]) == 2


@pytest.mark.parametrize("name", ["t.txt", "t.jsonl", "t.parquet"])
def test_pointers_of_git_lfs(name, write):
    with pytest.raises(ValueError, match="found a Git LFS pointer"):
        read(write(name, "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"), "document")


def test_folders_behind_links_are_read_once(tmp_path):
    for name in ("data/sub", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/sub/a.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "elsewhere/b.jsonl").write_text(json.dumps(ROW | {"question": "二"}))
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/sub/loop").symlink_to(tmp_path / "data")
    dialogues, report = read(tmp_path / "data", "dialogue")
    assert sorted(d.turns[0][0] for d in dialogues) == sorted([Q, "二"]) and report.passed_over == []


def test_marks_of_other_templates_are_counted(write):
    rows = [
        {"instruction": "[INST] 头疼 [/INST]", "output": "休息</s>"},
        {"instruction": "### Instruction:\n头疼\n\n### Response:\n", "output": "休息"},
        {"system": "<|im_start|>", "instruction": "头疼", "output": "休息<|im_end|>"},
        {"instruction": "a < b 且 [1]", "output": "### 结论\n<b>是</b>"},  # control
    ]
    report = read(write("r.jsonl", "\n".join(map(json.dumps, rows))), "dialogue")[1]
    assert "marks of other templates, trained on as text: [INST] (1), ### Instruction: (1), <|im_start|> (1)\n" in str(
        report
    )
    told = str(read(write("r.jsonl", {"text": "<human>:头疼\n<bot>:休息</s>"}), "document")[1])
    assert "1 record carries marks of the template ziya" in told and "</s> (1)" in told
    assert "ziya" in str(read(write("r.jsonl", ROW | {"system": "<human>:x"}), "dialogue")[1])


# ---- the ranking tool

TOOL = {"id": "1", "query": Q, "history": "[]", "rank1": A, "rank2": B, "rank3": "三"}


@pytest.mark.parametrize("extra", [{}, {"": "0"}, {"note": "x"}])
@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl"])
def test_the_ranking_tool_is_told_in_every_dress(extra, form, write):
    row, mark = extra | TOOL, {"tsv": "\t", "csv": ","}.get(form, "")
    text = "\n".join((mark.join(row), mark.join(row.values()))) if mark else json.dumps(row)
    given = write("input.json", {"1": {"query": Q, "response_0": B, "response_1": A, "response_2": "三"}})
    records, report = read(write(f"t.{form}", text), "ranking", ranking_tool_input=str(given))
    assert "stores 14 of 24 orders" in str(report) and len(report.warnings) == 1
    assert records[0].answers == (A, B, "三")  # the tool stored the answers at places 2, 1, 3
    other = {key: value for key, value in row.items() if key != "id"}  # control
    assert read(write("o.jsonl", other), "ranking")[1].warnings == []
