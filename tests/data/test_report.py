"""What is told of a reading, and what must not change by it: repeats, splits, orders, weights."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from zj.data.batching import question, split
from zj.data.fields import Fields, Notes, check_unread
from zj.data.prompt_formats import TEMPLATES, marks_in
from zj.data.readers import OTHER_MARKS, read
from zj.data.records import Dialogue
from zj.data.template import encode_all, encode_dialogue


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pair(question, answer="请休息。", **more):
    return {"query": question, "response": answer, **more}


# ---- the report


def test_every_file_its_rows_and_its_repeats_are_told(write, tmp_path):
    one = write("a.jsonl", lines(pair("一"), pair("二"), pair("一", id=7)))
    two = write("b.jsonl", lines(pair("二", department="内科"), pair("二", "请喝水。")))
    kept, report = read([one, two], "dialogue", repeats="once")
    assert [d.turns[0] for d in kept] == [("一", "请休息。"), ("二", "请休息。"), ("二", "请喝水。")]
    assert str(report).splitlines() == [
        f"{one}: 3 rows, 1 of them repeats",
        f"{two}: 2 rows, 1 of them repeats",
        "3 dialogues read of 5 rows, 0 rows skipped, 2 repeats left out",
    ]
    every, report = read([one, two], "dialogue", repeats="keep")
    assert len(every) == 5 and str(report).endswith("2 repeats kept")


def test_data_given_twice_adds(convert, write):
    one, two = write("a.jsonl", lines(pair("一"))), write("b.jsonl", lines(pair("二")))
    asked = [row["messages"][0]["content"] for row in convert("dialogue", one, "--data", two).rows]
    assert asked == ["一", "二"] and convert("dialogue", one, two).rows == convert("dialogue", one, "--data", two).rows


def test_what_was_changed_and_ignored_is_counted_once_by_name(convert, write):
    user, doctor = {"role": "user", "content": "疼"}, {"role": "assistant", "content": "休息"}
    rows = [
        {"messages": [doctor, user, user, doctor, doctor, user], "source": "x"},
        {"messages": [{**user, "name": "甲"}, doctor], "source": "y", "score": 3},
        {"prompt": " <user>: 一 <bot>: 二 <user>: 三", "response": "四", "tags": []},
    ]
    done = convert("dialogue", write("a.jsonl", lines(*rows)))
    told = done.told.splitlines()
    assert told[1:-1] == [
        "greetings before the first question, left out: 1",
        "messages joined to the one before them by the same speaker: 2",
        "last questions without an answer, left out: 1",
        "texts with marked turns, taken apart into turns: 1",
        "ignored fields: source (2), messages.name (1), score (1)",
    ]
    assert done.rows[0]["messages"][0]["content"] == "疼\n疼" and len(done.rows[0]["messages"]) == 2


def test_many_files_are_summed(write, tmp_path):
    for number in range(13):
        write(f"{number:02}.jsonl", lines(pair(f"第{number}问")))
    told = str(read(tmp_path, "dialogue")[1]).splitlines()
    assert len(told) == 12 and told[10] == "… and 3 more files: 3 rows" and told[11].startswith("13 dialogues read")


def test_marks_of_a_template_are_told(convert, write):
    rows = [pair("请看：<human>:头疼"), pair("再看", "好<bot>:好\n答：好"), pair("普通的<b>:字")]
    done = convert("dialogue", write("a.jsonl", lines(*rows)))
    assert "2 records carry marks of the template ziya in their text, and get them once more" in done.told
    for name, template in TEMPLATES.items():  # each template's own turn is noticed
        asked = "".join(template.ask).replace("{user}", "头疼")
        assert marks_in(asked) == name or OTHER_MARKS.search(asked)
    assert marks_in("体温<human 38>，答复：无") == ""


def test_every_field_of_a_kind_is_read_refused_or_told():
    """Negative control: the check sees what no format has read."""
    notes = Notes()
    fields = Fields({"text": "病", "source": "x", "empty": [], "null": None})
    fields.get("text")
    check_unread(fields, "document", notes)
    assert dict(notes.ignored) == {"source": 1}
    with pytest.raises(ValueError, match="found images"):
        check_unread(Fields({"images": ["a"]}), "document", notes)


# ---- repeats and wordings stand on one side


def test_no_repeat_stands_on_both_sides_of_a_split(write):
    rows = [pair(f"第{n % 40}问", f"第{n % 7}答", id=n) for n in range(400)]
    file = write("a.jsonl", lines(*rows))
    for repeats in ("once", "keep"):
        sides = split(read(file, "dialogue", repeats=repeats)[0], 0.3)
        asked = [{question(d) for d in side} for side in sides]
        assert all(asked) and not asked[0] & asked[1]


def test_wordings_of_a_question_stand_on_one_side(write):
    rows = [{"questions": [[f"药{n}怎么吃", f"{n}号药的用法", f"请问{n}"]], "answers": ["遵医嘱。"]} for n in range(60)]
    for kind in ("dialogue", "prompt"):
        records, report = read(write("a.jsonl", lines(*rows)), kind)
        assert len(records) == 180 and len({r.where for r in records}) == 180
        assert "further wordings of a question, each a record of its own: 120" in str(report)
        where = [{r.where.partition(" (")[0] for r in side} for side in split(records, 0.3)]
        assert all(where) and not where[0] & where[1]
    alone = [pair(text) for row in rows for text in row["questions"][0]]  # control: as questions of their own
    where = [{(int(r.where.rpartition(":")[2]) - 1) // 3 for r in side} for side in split(
        read(write("b.jsonl", lines(*alone)), "dialogue")[0], 0.3)]  # fmt: skip
    assert where[0] & where[1]


# ---- the published ranking tool


def tool_files(write):
    """(its input, the table that it writes, answers best to worst by id) for all orders of four answers."""
    items, table, truth = {}, ["id\tquery\thistory\trank1\trank2\trank3\trank4"], {}
    for number, given in enumerate(permutations((1, 2, 3, 4))):
        answers = [f"答{number}-{letter}" for letter in "甲乙丙丁"]
        items[str(number)] = {"query": f"第{number}问", "history": []} | {
            f"response_{n}": text for n, text in enumerate(answers)
        }
        stored = [answers[rank - 1] for rank in given]  # as the tool does
        table.append("\t".join([str(number), f"第{number}问", "[]", *stored]))
        truth[str(number)] = [answers[given.index(place)] for place in (1, 2, 3, 4)]
    return write("input.json", json.dumps(items)), write("ranked.tsv", "\n".join(table) + "\n"), truth


def test_the_tools_order_is_told_and_restored(convert, write, tmp_path):
    given, table, truth = tool_files(write)
    done = convert("ranking", table, "--ranking-tool-input", given)
    assert {row["id"]: row["responses"] for row in done.rows} == truth and len(truth) == 24
    assert all(row["ranks"] == [1, 2, 3, 4] for row in done.rows) and "is restored from" in done.told

    done = convert("ranking", table)  # control: without it 14 are wrong, and that is told
    assert sum(row["responses"] != truth[row["id"]] for row in done.rows) == 14
    assert "stores 14 of 24 orders of four answers wrongly" in done.told and "--ranking-tool-input" in done.told
    other = write("other.tsv", "query\thistory\trank1\trank2\n问\t[]\t甲\t乙\n")
    assert "wrongly" not in convert("ranking", other).told
    assert "wrongly" not in convert("prompt", table).told


@pytest.mark.parametrize(
    "item, message",
    [
        ({"query": "第0问", "response_0": "甲", "response_1": "甲"}, "equal texts, whose order cannot be restored"),
        ({"query": "第0问", "response_0": "甲", "response_1": "乙"}, "answers that are not those of"),
        ({"query": "别的", "response_0": "甲", "response_1": "甲"}, 'found id "0", expected one of'),
    ],
)
def test_a_row_that_the_tools_input_does_not_hold_is_refused(item, message, convert, write):
    table = write("t.tsv", "id\tquery\thistory\trank1\trank2\n0\t第0问\t[]\t甲\t甲\n")
    done = convert("ranking", table, "--ranking-tool-input", write("i.json", json.dumps({"0": item})))
    assert done.status == 2 and message in done.told and f"{table}:2" in done.told


# ---- answers that are context


TWO = (("我头疼三天了", "多喝水。"), ("还要吃药吗", "请到医院就诊。"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_answer_of_weight_0_is_in_the_context_and_not_counted(template, rich):
    whole = encode_dialogue(Dialogue("a", TWO), rich, template)
    first, last = (
        encode_dialogue(Dialogue("a", TWO, trained=t), rich, template) for t in ((True, False), (False, True))
    )
    assert whole.ids == first.ids == last.ids
    assert [a != b for a, b in zip(first.counted, last.counted, strict=True)] == whole.counted
    only = encode_dialogue(Dialogue("a", TWO[:1]), rich, template)
    if not TEMPLATES[template].before_last:  # then the first turn alone has more before its answer
        assert first.counted == only.counted + [False] * (len(whole.ids) - len(only.ids))


def test_weights_follow_their_turns_when_the_oldest_are_left_out(tokenizer):
    length = len(encode_dialogue(Dialogue("a", TWO[1:]), tokenizer, "ziya").ids)
    alone = encode_dialogue(Dialogue("a", TWO[1:]), tokenizer, "ziya")
    cut = encode_dialogue(Dialogue("a", TWO, trained=(False, True)), tokenizer, "ziya", length)
    assert (cut.ids, cut.counted) == (alone.ids, alone.counted)
    nothing, counts = encode_all([Dialogue("a", TWO, trained=(True, False))], tokenizer, "ziya", length)
    assert not nothing and counts.nothing_to_count == 1


def test_weights_of_every_spelling_arrive(write):
    user, doctor = {"role": "user", "content": "疼"}, {"role": "assistant", "content": "休息"}
    for key, off, on in (("weight", 0, 1), ("loss", False, True), ("train", False, True), ("training", 0.0, 1.0)):
        row = {"messages": [user, {**doctor, key: off}, user, {**doctor, key: on}]}
        assert read(write("a.jsonl", row), "dialogue")[0][0].trained == (False, True)
        row = {"messages": [user, {**doctor, key: on}, user, doctor], key: on}
        assert read(write("a.jsonl", row), "dialogue")[0][0].trained == ()
        assert read(write("a.jsonl", {"prompt": [user, {**doctor, key: off}, user]}), "prompt")[0][0].user == "疼"
