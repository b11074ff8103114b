"""Files → records: every format that users bring, every container it may come in, and what is said of a bad row."""

from __future__ import annotations

import gzip
import json
import re
import time

import pytest

from zj.data.readers import ROW_LIMIT, read, read_any
from zj.data.records import Dialogue, Document, Prompt, Ranking, as_json

TWO = (("头疼怎么办？", "疼了几天？"), ("三天。", "请到神经内科就诊。"))
ONE = (TWO[0],)
MESSAGES = [
    {"role": "user", "content": "头疼怎么办？"},
    {"role": "assistant", "content": "疼了几天？"},
    {"role": "user", "content": "三天。"},
    {"role": "assistant", "content": "请到神经内科就诊。"},
]
SHAREGPT = [{"from": {"user": "human", "assistant": "gpt"}[m["role"]], "value": m["content"]} for m in MESSAGES]
SYSTEM = {"role": "system", "content": "你是医生。"}


# ---- zj's own spelling


RECORDS = {
    "document": [Document("d1", "高血压患者应低盐饮食。\n\n按时服药。"), Document("7", "x")],
    "dialogue": [Dialogue("a", TWO, "你是医生。", "内科"), Dialogue("b", ONE)],
    "prompt": [Prompt("p", "三天。", ONE, "你是医生。"), Prompt("q", "头疼")],
    "ranking": [
        Ranking("r", Prompt("r", "三天。", ONE, "你是医生。"), ("甲", "乙", "丙", "乙"), (2, 1, 3, 1)),
        Ranking("s", Prompt("s", "头疼"), ("甲", "乙"), (1, 1)),
    ],
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_written_and_read_is_the_same(kind, write):
    path = write("rows.jsonl", "\n".join(json.dumps(as_json(r), ensure_ascii=False) for r in RECORDS[kind]))
    records, report = read(path, kind)
    assert (records, report.skipped) == (RECORDS[kind], [])


def test_where_is_file_and_line(write):
    path = write("rows.jsonl", '{"text": "甲"}\n\n{"text": "乙"}\n')
    assert [d.where for d in read(path, "document")[0]] == [f"{path}:1", f"{path}:3"]


# ---- formats


DIALOGUES = {
    "messages": ({"messages": MESSAGES}, TWO),
    "sharegpt": ({"conversations": SHAREGPT}, TWO),
    "sharegpt, roles as in messages": ({"conversations": MESSAGES}, TWO),
    "alpaca": ({"instruction": TWO[0][0], "input": "", "output": TWO[0][1]}, ONE),
    "alpaca with input": (
        {"instruction": "诊断", "input": "头疼", "output": "感冒"},
        (("诊断\n头疼", "感冒"),),
    ),
    "alpaca, question in input": (
        {"instruction": "", "input": "头疼", "output": "感冒"},
        (("头疼", "感冒"),),
    ),
    "alpaca with history": (
        {"instruction": TWO[1][0], "input": "", "output": TWO[1][1], "history": [list(TWO[0])]},
        TWO,
    ),
    "history null": ({"instruction": TWO[0][0], "output": TWO[0][1], "history": None}, ONE),
    "cmtmedqa safety": ({"instruct": " 头疼怎么办？", "output": " 疼了几天？"}, ONE),
    "huatuo-26m": ({"id": "", "instruction": [TWO[0][0]], "input": "", "output": [TWO[0][1]]}, ONE),
    "ziya": ({"task": "qa", "prompt": [q for q, _ in TWO], "output": [a for _, a in TWO]}, TWO),
    "chatmed": ({"query": TWO[0][0], "response": TWO[0][1]}, ONE),
    "question and answer": ({"question": TWO[0][0], "answer": TWO[0][1], "score": 5}, ONE),
    "trl prompt and completion": ({"prompt": TWO[0][0], "completion": TWO[0][1]}, ONE),
    "huatuogpt": (
        {"data": ["问：头疼怎么办？", "答：疼了几天？", "问:三天。", "答:请到神经内科就诊。"]},
        TWO,
    ),
    "med-dialog": ({"id": 5, "medical_case": TWO[0][0], "doctor_diagnosis": TWO[0][1]}, ONE),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_in_every_format(name, write):
    row, turns = DIALOGUES[name]
    path = write("rows.json", [row])
    (dialogue,), report = read(path, "dialogue")
    assert dialogue.turns == turns and not report.skipped

    (prompt,), _ = read(path, "prompt")  # the last user turn with the gold history before it
    assert (prompt.history, prompt.user, prompt.id) == (turns[:-1], turns[-1][0], dialogue.id)

    (document,), _ = read(path, "document")
    assert document.text == "\n".join(part for turn in turns for part in turn)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [SYSTEM, *MESSAGES]},
        {"conversations": [{"from": "system", "value": "你是医生。"}, *SHAREGPT]},
        {"conversations": SHAREGPT, "system_prompt": "你是医生。"},
        {"instruction": TWO[1][0], "output": TWO[1][1], "history": [list(TWO[0])], "system": "你是医生。"},
    ],
)
def test_the_system_text_is_kept(row, write):
    path = write("rows.json", [row])
    (dialogue,), _ = read(path, "dialogue")
    assert (dialogue.system, dialogue.turns) == ("你是医生。", TWO)
    assert read(path, "prompt")[0][0].system == "你是医生。"


@pytest.mark.parametrize(
    "fields, department",
    [
        ({"cate1": "内科", "cate2": "心内科"}, "内科"),
        ({"cate1": "传染科"}, "传染病科"),
        ({"cate1": "nan", "cate2": ""}, ""),
        ({"Department": "皮肤科"}, "皮肤科"),
        ({"department": "外科"}, "外科"),
        ({}, ""),
    ],
)
def test_departments(fields, department, write):
    (dialogue,), _ = read(write("r.json", [{"instruction": "问", "output": "答", **fields}]), "dialogue")
    assert dialogue.department == department


CHAT_PAIR = ([{"role": "assistant", "content": "多喝水"}], [{"role": "assistant", "content": "不知道"}])
PAIRS = {
    "sharegpt, strings": {"conversations": SHAREGPT[:3], "chosen": "多喝水", "rejected": "不知道"},
    "sharegpt, messages": {
        "conversations": SHAREGPT[:3],
        "chosen": {"from": "gpt", "value": "多喝水"},
        "rejected": {"from": "gpt", "value": "不知道"},
    },
    "alpaca": {
        "instruction": "三天。",
        "input": "",
        "history": [list(TWO[0])],
        "chosen": "多喝水",
        "rejected": "不知道",
    },
    "question and responses": {
        "question": "三天。",
        "history": [list(TWO[0])],
        "response_chosen": "多喝水",
        "response_rejected": "不知道",
    },
    "trl, strings": {"prompt": "三天。", "history": [list(TWO[0])], "chosen": "多喝水", "rejected": "不知道"},
    "trl, messages": {"prompt": MESSAGES[:3], "chosen": CHAT_PAIR[0], "rejected": CHAT_PAIR[1]},
    "trl, whole conversations": {
        "chosen": MESSAGES[:3] + CHAT_PAIR[0],
        "rejected": MESSAGES[:3] + CHAT_PAIR[1],
    },
    "openai": {
        "input": {"messages": MESSAGES[:3], "tools": []},
        "preferred_output": CHAT_PAIR[0],
        "non_preferred_output": CHAT_PAIR[1],
    },
    "zj": {"prompt": MESSAGES[:3], "responses": ["多喝水", "不知道"], "ranks": [1, 2]},
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_in_every_format(name, write):
    path = write("rows.jsonl", PAIRS[name])
    (ranking,), _ = read(path, "ranking")
    assert (ranking.prompt.history, ranking.prompt.user) == (ONE, "三天。")
    assert (ranking.answers, ranking.ranks) == (("多喝水", "不知道"), (1, 2))
    assert read(path, "prompt")[0] == [ranking.prompt]


LABEL_TOOL = {
    "0": {"query": "谢谢", "history": [], "response_0": "不客气", "response_1": "不客气", "response_2": "好"},
    "17": {"query": "三天。", "history": [list(TWO[0])], "response_0": "甲", "response_1": "乙"},
}


def test_the_label_tools_input_holds_prompts_and_no_rankings(write):
    path = write("input.json", json.dumps(LABEL_TOOL, ensure_ascii=False, indent=2))
    assert read(path, "prompt")[0] == [Prompt("0", "谢谢"), Prompt("17", "三天。", ONE)]
    assert [p.where for p in read(path, "prompt")[0]] == [f"{path}:2", f"{path}:9"]
    with pytest.raises(ValueError, match=rf"{path}:2: found answers without ranks .* expected ranks"):
        read(path, "ranking")


def test_the_label_tools_table_is_best_to_worst_with_ties(write):
    header = "id\tquery\thistory\trank1\trank2\trank3\trank4\n"
    row = f'3\t三天。\t{[list(TWO[0])]!r}\t甲\t乙\t"乙"\t"丙\n带""引号""\t和制表符"\n'
    path = write("ranked.tsv", header + row + "4\t谢谢\t[]\ta\tb\tc\td")
    first, second = read(path, "ranking")[0]
    assert first == Ranking("3", Prompt("3", "三天。", ONE), ("甲", "乙", "乙", '丙\n带"引号"\t和制表符'), (1, 2, 2, 4))
    assert (second.ranks, second.where) == ((1, 2, 3, 4), f"{path}:4")  # a quoted cell went over a line end


def test_prompts_and_pretraining_text_share_a_spelling(write):
    path = write("rows.jsonl", {"prompt": " 高血压是常见病。 "})
    assert read(path, "prompt")[0][0].user == read(path, "document")[0][0].text == "高血压是常见病。"
    for kind in ("dialogue", "ranking"):
        with pytest.raises(ValueError, match=":1: found .*, expected"):
            read(path, kind)


def test_a_knowledge_graph_is_text(write):
    row = {"entity": "流感", "relations": {"常见症状": ["发热", "乏力"], "就诊科室": ["内科"]}}
    assert read(write("g.jsonl", row), "document")[0][0].text == "流感。\n常见症状：发热、乏力。\n就诊科室：内科。"
    for relations in ([], {"症状": []}, {"症状": "发热"}, {"症状": [1]}):
        with pytest.raises(ValueError, match="g.jsonl:1: found .*, expected"):
            read(write("g.jsonl", {"entity": "流感", "relations": relations}), "document")


def test_the_last_answer_is_not_even_looked_at_in_a_prompt(write):
    path = write("rows.jsonl", {"instruction": "头疼", "output": ""})
    assert read(path, "prompt")[0][0].user == "头疼"
    with pytest.raises(ValueError, match="found an empty answer in turn 1, expected text"):
        read(path, "dialogue")


# ---- ids


def test_rows_without_an_id_get_one_from_what_is_asked(write):
    rows = [
        {"id": "", "instruction": ["头疼"], "output": ["甲"]},
        {"query": "头疼", "response": "乙"},
        {"question": "头疼", "response_chosen": "甲", "response_rejected": "乙"},
        {"question": "发热", "answer": "甲"},
    ]
    path = write("rows.json", rows)
    ids = [p.id for p in read(path, "prompt")[0]]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert all(re.fullmatch("[0-9a-f]{16}", id) for id in ids)
    assert ids == [p.id for p in read(write("other.json", rows), "prompt")[0]]  # not from the place


@pytest.mark.parametrize("given, id", [("j4219", "j4219"), (62963, "62963"), (0, "0")])
def test_an_id_of_the_row_is_kept(given, id, write):
    assert read(write("r.json", [{"id": given, "text": "x"}]), "document")[0][0].id == id


# ---- containers


ROWS = [{"id": str(n), "text": f"第{n}\u2028段\x85"} for n in range(3)]  # str.splitlines would cut these
DOCUMENTS = [Document(str(n), f"第{n}\u2028段") for n in range(3)]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
CONTAINERS = {
    "lines": (LINES, [1, 2, 3]),
    "lines, one at the end": (LINES + "\n", [1, 2, 3]),
    "lines, blank ones between": (LINES.replace("\n", "\n\n \n"), [1, 4, 7]),
    "array on one line": (json.dumps(ROWS), ["1", "1 (row 2)", "1 (row 3)"]),
    "array, pretty": (json.dumps(ROWS, indent=4), [2, 6, 10]),
    "array, a row a line": ("[\n" + LINES.replace("\n", ",\n") + "\n]\n", [2, 3, 4]),
    "keyed by id": (json.dumps({r["id"]: {"text": r["text"]} for r in ROWS}, indent=2), [2, 5, 8]),
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".txt", ""])
@pytest.mark.parametrize("dress", ["plain", "BOM", "CRLF", "gzip"])
def test_containers_are_told_by_content(name, suffix, dress, write):
    text, lines = CONTAINERS[name]
    data = text.encode()
    data = {
        "plain": data,
        "BOM": b"\xef\xbb\xbf" + data,
        "CRLF": data.replace(b"\n", b"\r\n"),
        "gzip": gzip.compress(data),
    }[dress]
    path = write("rows" + suffix + (".gz" if dress == "gzip" else ""), data)
    documents, report = read(path, "document")
    assert (documents, report.skipped) == (DOCUMENTS, [])
    assert [d.where for d in documents] == [f"{path}:{line}" for line in lines]


def test_one_row_alone_in_a_file(write):
    row = {"messages": MESSAGES}
    for text in (json.dumps(row), json.dumps(row, indent=1), json.dumps([row])):
        assert [d.turns for d in read(write("r.json", text), "dialogue")[0]] == [TWO]


def test_plain_text_is_cut_at_blank_lines(write):
    path = write("book.txt", "第一段，\r\n还是第一段。\r\n\r\n \r\n第二段。\r\n")
    documents, _ = read(path, "document")
    assert [d.text for d in documents] == ["第一段，\n还是第一段。", "第二段。"]
    assert [d.where for d in documents] == [f"{path}:1", f"{path}:5"]


def test_plain_text_without_blank_lines_is_a_document_a_line(write):
    path = write("terms.txt", "\n[流感] 甲型\n  乙型\n丙型")
    assert [d.text for d in read(path, "document")[0]] == ["[流感] 甲型", "乙型", "丙型"]


def test_plain_text_is_linear_in_its_length(write):
    """A line of a million characters, many blanks: no pattern may look at it twice (limit: 30 times what it takes)."""
    path = write("long.txt", "药" * 1_000_000 + "\n" + " " * 100_000 + "\n" + "一 行\n" * 100_000)
    start = time.perf_counter()
    assert len(read(path, "document")[0]) == 2
    assert time.perf_counter() - start < 2


def test_a_directory_is_all_data_files_in_it_sorted(write, tmp_path):
    write("b.jsonl", {"text": "乙"})
    write("a.json.gz", gzip.compress(b'[{"text": "a"}]'))
    write("c.txt", "丙")
    write("README.md", "not data")
    (tmp_path / "below.json").mkdir()
    assert [d.text for d in read(tmp_path, "document")[0]] == ["a", "乙", "丙"]
    assert [d.text for d in read([tmp_path / "c.txt", tmp_path / "b.jsonl"], "document")[0]] == ["丙", "乙"]


# ---- bad rows


GOOD = {"messages": MESSAGES}
BAD_DIALOGUES = [
    ({"foo": 1, "bar": 2}, r"found keys foo, bar, expected a dialogue such as \{"),
    ({}, "found keys none, expected a dialogue"),
    ({"text": "一段"}, "found keys text, expected a dialogue"),
    (5, "found 5, expected an object such as"),
    ("头疼", 'found "头疼", expected an object'),
    ({"messages": "头疼"}, 'found messages = "头疼", expected a list'),
    ({"messages": []}, "found no message of the user, expected at least one"),
    ({"messages": [SYSTEM]}, "found no message of the user"),
    ({"messages": ["头疼"]}, 'found message 1 = "头疼", expected an object with role and content'),
    ({"messages": MESSAGES[:1]}, "found no answer to the last user turn, expected a dialogue"),
    ({"messages": MESSAGES[1:2]}, "found no message of the user, expected at least one"),
    ({"messages": [MESSAGES[0]] * 2}, "found no answer to the last user turn, expected a dialogue"),
    ({"messages": [*MESSAGES, SYSTEM]}, "found system as message 5, expected it as the first one"),
    (
        {"messages": [{"role": "tool", "content": "x"}]},
        'found role "tool" in message 1, expected one of user,',
    ),
    ({"messages": [{"role": ["user"], "content": "x"}]}, r'found role \["user"\] in message 1'),
    ({"messages": [{"role": "user"}, MESSAGES[1]]}, "found user text in turn 1 = null, expected text"),
    ({"conversations": [*SHAREGPT[:1], {"from": "gpt", "value": " \n"}]}, "found an empty answer in turn 1"),
    ({"instruction": "头疼", "output": 5}, "found answer in turn 1 = 5, expected text"),
    ({"instruction": "头疼", "output": None}, "found no answer to the last user turn"),
    (
        {"instruction": ["甲", "乙"], "output": ["丙", "丁", "戊"]},
        "found 2 questions and 3 answers, expected one",
    ),
    ({"instruction": [], "output": []}, "found 0 questions and 0 answers"),
    ({"instruction": "甲", "output": "乙", "history": "谢"}, 'found history "谢", expected a list of'),
    (
        {"instruction": "甲", "output": "乙", "history": [["丙"]]},
        r'found history = \[\["丙"\]\], expected a list of',
    ),
    ({"instruction": "甲", "output": "乙", "history": [["", "丁"]]}, "found an empty user text in turn 1"),
    ({"instruction": "甲", "input": 3, "output": "乙"}, "found input = 3, expected text"),
    ({"instruction": "甲", "output": "乙", "system": ["丙"]}, r'found system = \["丙"\], expected text'),
    ({"instruction": "甲", "output": "\ud83d"}, r'found answer in turn 1 = "\\ud83d" with half a character'),
    ({"data": ["头疼"]}, 'found "头疼" as line 1 of data, expected 问：… or 答：…'),
    ({"query": "谢谢", "response_0": "甲"}, "found no answer to the last user turn"),
]


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("row, message", BAD_DIALOGUES)
def test_bad_rows_are_named_or_skipped(row, message, form, write):
    text = {"lines": "{}\n{}\n{}", "array": "[\n{},\n{},\n{}\n]"}[form].replace("{}", "%s")
    bad = json.dumps(row)  # with \ud83d spelled out, as it would stand in a file
    path = write("r.json", text % (json.dumps(GOOD), bad, json.dumps(GOOD)))
    line = 2 if form == "lines" else 3
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}:{line}: {message}") as raised:
        read(path, "dialogue")
    assert "\n" not in str(raised.value)
    str(raised.value).encode()  # can be printed

    dialogues, report = read(path, "dialogue", "skip")
    assert [d.turns for d in dialogues] == [TWO, TWO] and report.skipped == [str(raised.value)]


@pytest.mark.parametrize("text", ['{"text": "%s"}\n{"text": "x"}', '[{"text": "%s"},\n{"text": "x"}]', "%s\n\nx"])
def test_absurdly_long_rows(text, write):
    """Far longer than any document: a file without line ends, say."""
    path = write("r.txt", text % ("x" * ROW_LIMIT + "x"))
    documents, report = read(path, "document", "skip")
    assert [d.text for d in documents] == ["x"]
    assert re.match(r".*:1: found a row of 10,000,0\d\d characters, expected at most 10,000,000$", report.skipped[0])


BAD_RANKINGS = [
    ({"prompt": "x", "responses": ["a", "b"]}, "found answers without ranks"),
    (
        {"prompt": "x", "responses": ["a"], "ranks": [1]},
        r'found responses = \["a"\], expected a list of at least two',
    ),
    (
        {"prompt": "x", "responses": ["a", "b"], "ranks": [1]},
        r"found ranks = \[1\], expected 2 whole numbers",
    ),
    ({"prompt": "x", "responses": ["a", "b"], "ranks": [0, 1]}, r"found ranks = \[0, 1\], expected 2 whole"),
    ({"prompt": "x", "responses": ["a", "b"], "ranks": [1, 2.5]}, r"found ranks = \[1, 2.5\]"),
    ({"prompt": "x", "responses": ["a", "b"], "ranks": [True, 2]}, r"found ranks = \[true, 2\]"),
    ({"prompt": "x", "responses": ["a", "b"], "ranks": [1, 10**30]}, r"found ranks = \[1, 1000"),
    ({"prompt": "x", "responses": ["a", ""], "ranks": [1, 2]}, "found an empty response 2"),
    (
        {"prompt": "x", "chosen": "a", "rejected": " a "},
        "found chosen and rejected alike, expected two different",
    ),
    ({"prompt": "x", "chosen": "a", "rejected": ""}, "found an empty rejected"),
    ({"prompt": "x", "chosen": "a"}, "found keys prompt, chosen, expected a ranking such as"),
    ({"chosen": "a", "rejected": "b"}, "found keys chosen, rejected, expected a ranking such as"),
    ({"messages": MESSAGES, "chosen": "a", "rejected": "b"}, "found an answer before those to rank"),
    ({"prompt": "x", "chosen": MESSAGES[:1], "rejected": "b"}, "found a message of user in chosen"),
    (
        {"chosen": MESSAGES, "rejected": [MESSAGES[2], *CHAT_PAIR[1]]},
        "found chosen and rejected with different beginnings",
    ),
    ({"query": "x", "rank1": "a"}, "found only rank1, expected two answers or more"),
    ({"prompt": "x", "responses": ["a", "b", "a"], "ranks": [1, 2, 2]}, "found one answer at ranks 1 and 2, expected"),
    ({"query": "x", "rank1": "a", "rank2": "b", "rank3": "a"}, "found one answer at ranks 1 and 3, expected equal"),
]


@pytest.mark.parametrize("row, message", BAD_RANKINGS)
def test_bad_rankings(row, message, write):
    path = write("r.jsonl", row)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}:1: {message}"):
        read(path, "ranking")


def test_lines_of_broken_json_are_rows_like_any_other(write):
    good = json.dumps({"text": "好"})
    path = write("r.jsonl", "\n".join([good, '{"text": "half', "garbage", '{"text": "好"} {}', "[" * 100_000, good]))
    documents, report = read(path, "document", "skip")
    assert len(documents) == 2
    assert [m.split(": ")[0] for m in report.skipped] == [f"{path}:{n}" for n in (2, 3, 4, 5)]
    assert report.skipped[0].endswith("expected one JSON object a line")


def test_a_bad_first_line_does_not_change_the_container(write):
    path = write("r.jsonl", '{"text": "half\n{"text": "好"}\n')
    assert read(path, "document", "skip")[1].skipped[0].startswith(f"{path}:1: found broken JSON")
    assert len(read(path, "document", "skip")[0]) == 1


@pytest.mark.parametrize(
    "text, line, message",
    [
        ('[\n{"text": "好"},\n{"text": "好"', 3, "found the end of the file"),
        ('[\n{"text": "好"}\n{"text": "好"}]', 3, "found broken JSON at column 1"),
        ('[\n{"text": "好"}]\nmore', 3, "found broken JSON at column 1 .more text behind the end"),
        ('{\n"text" "好"}', 2, "found broken JSON at column 8"),
        ('{\n"text": "好",\n', 3, "found the end of the file"),
        ("[\n\n" + "[" * 100_000, 3, "found broken JSON"),
        ("[\n\n" + "1" * 100_000 + "]", 3, "found broken JSON"),
    ],
)
def test_a_broken_array_is_an_error_of_the_file(text, line, message, write):
    path = write("r.json", text)
    for on_bad_row in ("stop", "skip"):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}:{line}: {message}.* expected a whole JSON"):
            read(path, "document", on_bad_row)


def test_a_bad_row_among_several_on_a_line_is_named_by_its_number(write):
    path = write("r.json", [GOOD, GOOD, {"foo": 1}])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}:1: found keys foo, .* \(row 3\)$"):
        read(path, "dialogue")


def test_a_table_with_a_missing_column(write):
    path = write("r.tsv", "query\tresponse\n头疼\t感冒\n发热\n")
    assert len(read(path, "dialogue", "skip")[0]) == 1
    with pytest.raises(ValueError, match=":3: found 1 columns, expected 2: query response"):
        read(path, "dialogue")


# ---- bad files


CHINESE = '{"text": "高血压患者应低盐饮食，按时服药。"}\n'
BAD_FILES = {
    "binary": (bytes(range(256)), r": byte 128: expected UTF-8 \(found binary data\)"),
    "binary, but ASCII": (b"ELF\x01\0\0", ": byte 4: found binary data, expected UTF-8 text"),
    "latin": (
        b"caf\xe9\xff\xff",
        r": byte 3: expected UTF-8 \(found bytes of no encoding known here: convert the file\)",
    ),
    "empty": (b"", ": found an empty file, expected rows"),
    "blank": (b" \r\n\t", ": found an empty file"),
    "only a BOM": (b"\xef\xbb\xbf\n", ": found an empty file"),
    "half a gzip": (gzip.compress(CHINESE.encode() * 50)[:40], ": found a broken gzip file"),
    "no rows": (b"[]", ": found no document, no rows"),
    "name says JSON": (CHINESE[2:].encode(), ":1: found broken JSON"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, write):
    data, message = BAD_FILES[name]
    path = write("data.jsonl", data)
    with pytest.raises(ValueError, match=re.escape(str(path)) + message) as raised:
        read(path, "document")
    assert "\n" not in str(raised.value)


def test_all_rows_bad_is_an_error_even_when_skipping(write):
    path = write("r.jsonl", '{"a": 1}\n{"b": 2}')
    with pytest.raises(ValueError, match="found no dialogue, all 2 rows are bad, the first: .*:1: found keys a,"):
        read(path, "dialogue", "skip")


def test_paths_that_hold_nothing(tmp_path):
    for paths, message in [
        (tmp_path / "nowhere.json", "no such file or directory"),
        (tmp_path, "in the directory"),
        ([], "found no file"),
    ]:
        with pytest.raises(ValueError, match=f"--data.*{message}"):
            read(paths, "dialogue")


def test_plain_text_is_no_dialogue(write):
    with pytest.raises(ValueError, match=r"t.txt:1: found plain text, expected rows of dialogues"):
        read(write("t.txt", "头疼怎么办"), "dialogue")


# ---- real data: the numbers of shared/data/README.md


def test_cmtmedqa(shared_data):
    start = time.perf_counter()
    dialogues, _ = read(shared_data / "zhongjing/CMtMedQA_dev.json", "dialogue")
    assert len(dialogues) == 801 and time.perf_counter() - start < 1
    real = [d for d in dialogues if re.fullmatch("[jx][0-9]+", d.id)]
    assert len({d.id for d in real}) == len(real) == 701
    assert (sum(d.id[0] == "j" for d in real), sum(d.id[0] == "x" for d in real)) == (412, 289)
    turns = [len(d.turns) for d in real]
    assert (min(turns), max(turns), sum(turns)) == (1, 10, 3213)
    assert [turns.count(n) for n in range(1, 11)] == [13, 17, 60, 236, 248, 98, 22, 4, 2, 1]
    answers = [[a for _, a in d.turns] for d in real]
    assert sum("？" in a for several in answers for a in several) == 401
    assert sum(any("？" in a for a in several) for several in answers) == 262
    departments = [d.department for d in real]
    assert departments.count("皮肤科") == 140 and departments.count("传染病科") == 25 + 1
    assert departments.count("其他") == 7 and departments.count("") == 1
    assert [d.turns[0][0][0] for d in dialogues if d not in real].count(" ") == 0  # outer blanks are gone
    assert len({d.turns[0][0] for d in dialogues if d not in real}) == 94


def test_single_turn_sets(shared_data):
    def lengths(file: str) -> tuple[int, tuple, tuple]:
        dialogues, _ = read(shared_data / file, "dialogue")
        asked = sorted(len(d.turns[0][0]) for d in dialogues)
        said = sorted(len(d.turns[0][1]) for d in dialogues)
        half = len(said) // 2
        return len(said), (asked[0], asked[half], asked[-1]), (said[0], said[half], said[-1])

    count, asked, said = lengths("zhongjing/huatuo26M_dev.json")
    assert (count, asked, said) == (3000, (6, 36, 255), (2, 99, 6608))
    count, _, said = lengths("bentsao/llama_data.json")
    assert (count, said) == (8658, (1, 54, 372))
    count, _, said = lengths("medicalgpt/medical_sft_1K_format.jsonl")
    assert (count, said) == (1000, (2, 120, 3293))


def test_preference_sets(shared_data):
    medical, _ = read(shared_data / "medicalgpt/reward_test_medical100.jsonl", "ranking")
    general, _ = read(shared_data / "medicalgpt/dpo_zh_500.jsonl", "ranking")
    assert (len(medical), len(general)) == (100, 500)
    assert sum(len(r.answers[0]) > len(r.answers[1]) for r in medical) == 62
    assert sum(len(r.answers[0]) > len(r.answers[1]) for r in general) == 289
    assert (max(len(r.answers[0]) for r in medical), max(len(r.answers[0]) for r in general)) == (9968, 3315)
    assert sum(bool(r.prompt.system) for r in general) == 84


def test_the_label_tools_files(shared_data):
    prompts, _ = read(shared_data / "labeltool/data_input_file.json", "prompt")
    assert len(prompts) == 10 and sum(bool(p.history) for p in prompts) == 5
    rankings, report = read(shared_data / "labeltool/data_output_result.tsv", "ranking", "skip")
    assert [(r.id, r.ranks) for r in rankings] == [("2", (1, 2, 3, 4))]
    assert len(report.skipped) == 1 and ":2: found one answer at ranks 1 and 4" in report.skipped[0]  # as published


def test_evaluation_sets(shared_data):
    assert len(read(shared_data / "huatuogpt/eval_KUAKE-QIC_100.json", "prompt")[0]) == 100
    cases, _ = read(shared_data / "huatuogpt/eval_Med-dialog_100.json", "dialogue")
    assert len({d.department for d in cases}) == 20 and cases[0].id == "62963"


def test_reading_eight_thousand_rows_takes_about_a_second(shared_data):
    start = time.perf_counter()
    read(shared_data / "bentsao/llama_data.json", "dialogue")
    assert time.perf_counter() - start < 2  # 0.7 s on a busy machine


def test_a_file_of_any_kind(write):
    """The kind is that of all rows, else that of the first; a ranking without its answers is not a question."""
    rows = [{"prompt": "问", "responses": ["一", "二"], "ranks": [1, 2]}] * 3
    mixed = [{"text": "文"}, {"query": "问", "response": "答"}]
    assert [type(record) for record in read_any(write("r.json", rows))[0]] == [Ranking] * 3
    assert [type(record) for record in read_any(write("m.json", mixed))[0]] == [Document] * 2
    assert [type(record) for record in read_any(write("d.json", mixed[1:]))[0]] == [Dialogue]
    broken = write("b.jsonl", "\n".join(map(json.dumps, [*rows, {"prompt": "问", "responses": [], "ranks": []}])))
    with pytest.raises(ValueError, match=r"b\.jsonl:4: found"):
        read_any(broken)
    assert len(read_any(broken, "skip")[0]) == 3
    first_is_bad = write("f.jsonl", "\n".join(map(json.dumps, [{"query": "问"}, *mixed[1:], *mixed[1:]])))
    assert [type(record) for record in read_any(first_is_bad, "skip")[0]] == [Dialogue] * 2
    asked = [{"instruction": "", "input": "问", "output": ""}]
    assert [type(record) for record in read_any(write("p.json", asked))[0]] == [Prompt]
    with pytest.raises(ValueError, match=r"n\.jsonl:1: found keys no, expected a document"):
        read_any(write("n.jsonl", {"no": "kind"}))
