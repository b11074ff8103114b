"""Inputs that cannot be what they seem: one line that names file:line or flag, status 2, nothing written."""

from __future__ import annotations

import gzip
import json

import pytest

Q, A = "夜里咳得睡不着，怎么办？", "请先到呼吸科检查。"
ASKS, SAYS = {"role": "user", "content": Q}, {"role": "assistant", "content": A}
CHAT = [ASKS, SAYS]
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}

DIALOGUES = {  # row -> what the line says
    "a verdict, bad": ({"messages": CHAT, "label": False}, "found label = false"),
    "a verdict, good": ({"messages": CHAT, "label": True}, "found label = true"),
    "a verdict in words": ({"query": Q, "response": A, "label": "bad"}, 'found label = "bad"'),
    "a verdict of KTO": ({"query": Q, "response": A, "kto_tag": True}, "found kto_tag = true"),
    "a weight between": (
        {"messages": [ASKS, {**SAYS, "weight": 0.5}]},
        "found weight = 0.5 in message 2, expected 0 or 1",
    ),
    "a weight of two": ({"messages": [ASKS, {**SAYS, "weight": 2}]}, "found weight = 2 in message 2"),
    "a weight of a row": ({"query": Q, "response": A, "weight": 0.3}, "found weight = 0.3 of the row"),
    "a row that is not trained on": ({"query": Q, "response": A, "train": False}, "found no answer that is trained on"),
    "no answer trained on": ({"messages": [ASKS, {**SAYS, "loss": False}]}, "found no answer that is trained on"),
    "weights that disagree": (
        {"messages": [ASKS, {**SAYS, "loss": False, "weight": 1}]},
        "weight and loss in message 2",
    ),
    "a question with a weight": (
        {"messages": [{**ASKS, "weight": 1}, SAYS]},
        "found message 1 of the user with a weight",
    ),
    "answers in a row of two weights": ({"messages": [ASKS, SAYS, {**SAYS, "weight": 0}]}, "with different weights"),
    "a mask": ({"messages": CHAT, "masks": [0, 1]}, "found masks = [0, 1]"),
    "a loss scale": ({"messages": [ASKS, {**SAYS, "loss_scale": 2.0}]}, "found messages.loss_scale = 2.0"),
    "tools": ({"conversations": CHAT, "tools": '[{"name": "f"}]'}, "found tools = "),
    "functions": ({"messages": CHAT, "functions": [{"name": "f"}]}, "found functions = "),
    "tool calls": ({"messages": [ASKS, {**SAYS, "tool_calls": [{"id": 1}]}]}, "found messages.tool_calls = "),
    "an answer of a tool": (
        {"messages": [ASKS, {"role": "tool", "content": "x"}, SAYS]},
        'found role "tool" in message 2',
    ),
    "a call of ShareGPT": ({"conversations": [{"from": "function_call", "value": "{}"}]}, 'found role "function_call"'),
    "images": ({"messages": CHAT, "images": ["a.png"]}, 'found images = ["a.png"]'),
    "a picture in a message": ({"messages": [PICTURE, SAYS]}, 'found a part "image_url" in message 1'),
    "reasoning beside the answer": (
        {"messages": [ASKS, {**SAYS, "reasoning_content": "因为"}]},
        "messages.reasoning_content",
    ),
    "reasoning of a row": ({"Question": Q, "Complex_CoT": "因为", "Response": A}, 'found complex_cot = "因为"'),
    "a worse answer": ({"messages": CHAT, "rejected": A}, "found rejected = "),
    "a pair": ({"prompt": Q, "chosen": A, "rejected": "不"}, "found no answer to the last user turn"),
    "ranked answers": ({"prompt": Q, "response": A, "responses": [A, "不"], "ranks": [1, 2]}, "found responses = "),
    "two answers": ({"question": Q, "answer": A, "output": "不"}, "found output and answer, expected one answer"),
    "two questions": (
        {"instruction": "回答", "question": Q, "output": A},
        "found instruction and question, expected one",
    ),
    "a question beside messages": (
        {"messages": CHAT, "instruction": "别的"},
        'found instruction = "别的" beside messages',
    ),
    "an answer beside messages": ({"messages": CHAT, "output": "别的"}, 'found output = "别的" beside messages'),
    "a history beside messages": ({"messages": CHAT, "history": [["一", "二"]]}, "found history = "),
    "a text to read first": ({"question": Q, "context": "病历", "answer": A}, 'found context = "病历"'),
    "two system texts": (
        {"messages": [{"role": "system", "content": "一"}, *CHAT], "system": "二"},
        "two system texts",
    ),
    "a late system text": (
        {"messages": [*CHAT, {"role": "system", "content": "一"}, *CHAT]},
        "found system as message 3",
    ),
    "an option that is none": ({"question": Q, "option": {"A": "一", "B": "二"}, "answer": "C"}, 'found answer "C"'),
    "options of two questions": (
        {"question": ["一", "二"], "option": {"A": "甲", "B": "乙"}},
        "options of 2 questions",
    ),
    "one option": ({"question": Q, "option": {"A": "一"}, "answer": "A"}, "expected at least two"),
    "options of no text": ({"question": Q, "options": {"A": 1, "B": 2}, "answer": "A"}, "found option A = 1"),
    "wordings with two answers": ({"questions": [["一", "二"]], "answers": ["甲", "乙"]}, "found questions = "),
    "an answer in text and field": (
        {"prompt": "<human>: 一 <bot>: 二", "response": A},
        "both in the marked text and in a",
    ),
    "a history that asks": (
        {"query": Q, "response": A, "history": [ASKS]},
        "found a history that ends with a question",
    ),
    "one field in two spellings": ({"Query": Q, "query": "别的", "response": A}, "found query twice"),
    "a greeting alone": ({"messages": [SAYS]}, "found no message of the user"),
    "messages of numbers": ({"messages": [1, 2]}, "found message 1 = 1"),
    "a broken text of messages": ({"conversations": "[{'role'"}, "found conversations = "),
    "texts without speakers": ({"data": [Q, A]}, "as line 1 of data, expected"),
}
RANKINGS = {
    "two questions": (
        {"prompt": "牙疼？", "chosen": CHAT, "rejected": [ASKS, {**SAYS, "content": "不"}]},
        'found prompt "牙疼？"',
    ),
    "two beginnings": ({"chosen": CHAT, "rejected": [{**ASKS, "content": "别的"}, SAYS]}, "different beginnings"),
    "scores in words": ({"prompt": Q, "responses": [A, "不"], "scores": ["9", "2"]}, "expected 2 numbers"),
    "too few scores": ({"prompt": Q, "responses": [A, "不"], "scores": [9]}, "expected 2 numbers"),
    "a score that is none": ({"prompt": Q, "responses": [A, "不"], "scores": [9, float("nan")]}, "expected 2 numbers"),
    "one answer twice": ({"prompt": Q, "responses": [A, A], "scores": [9, 2]}, "found one answer at ranks 1 and 2"),
    "one answer in output": ({"instruction": Q, "output": [A]}, "found only output 1"),
    "a margin": ({"prompt": Q, "chosen": A, "rejected": "不", "margin": 0.5}, "found margin = 0.5"),
    "a label": ({"prompt": Q, "chosen": A, "rejected": "不", "label": 0}, "found label = 0"),
    "reasoning": ({"prompt": Q, "chosen": [{**SAYS, "thinking": "想"}], "rejected": "不"}, "messages.thinking"),
    "completions without scores": (
        {"instruction": Q, "completions": [{"response": A}, {"response": "不"}]},
        "found scores =",
    ),
    "a dialogue": ({"messages": CHAT}, "found keys messages, expected a ranking"),
}
DOCUMENTS = {
    "a weight": ({"text": "病", "weight": 0.5}, "found weight = 0.5"),
    "a picture": ({"text": "病", "images": ["a.png"]}, "found images = "),
    "a context answer": ({"messages": [*CHAT, ASKS, {**SAYS, "weight": 0}]}, "weight 0, expected a document"),
    "no text": ({"text": " "}, "found an empty text"),
}
ROWS = [(kind, *row) for kind, rows in (("dialogue", DIALOGUES), ("ranking", RANKINGS), ("document", DOCUMENTS))
        for row in rows.values()]  # fmt: skip


@pytest.mark.parametrize("kind, row, message", ROWS)
def test_rows(kind, row, message, convert, write, tmp_path):
    good = {
        "dialogue": {"messages": CHAT},
        "ranking": {"prompt": Q, "chosen": A, "rejected": "不"},
        "document": {"text": "病"},
    }
    file = write("rows.jsonl", f"{json.dumps(good[kind])}\n{json.dumps(row)}\n")
    check(convert(kind, file, out=tmp_path / "new.jsonl"), f"{file}:2: ", message)
    assert not (tmp_path / "new.jsonl").exists()
    skipped = convert(kind, file, "--on-bad-row", "skip")  # control: the row before it is fine
    assert skipped.status == 0 and len(skipped.rows) == 1 and message in skipped.told


FILES = {  # name -> (content, what the line says)
    "a.zip": (b"PK\x03\x04" + b"\0" * 30, "zip archive, unpack it"),
    "a.jsonl.zst": (b"\x28\xb5\x2f\xfd" + b"\0" * 30, "zstd file, unpack it"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c" + b"\0" * 30, "7z archive"),
    "a.rar": (b"Rar!\x1a\x07" + b"\0" * 30, "rar archive"),
    "a.arrow": (b"ARROW1\0\0" + b"\0" * 30, "Arrow file"),
    "a.xls": (b"\xd0\xcf\x11\xe0" + b"\0" * 30, "old Office file"),
    "a.pdf": (b"%PDF-1.7\n" + b"\xff" * 30, "PDF"),
    "a.db": (b"SQLite format 3\0" + b"\0" * 30, "SQLite"),
    "a.tar": (b"a" * 257 + b"ustar" + b"\0" * 30, "tar archive"),
    "a.jsonl.gz": (gzip.compress(b'{"text": "x"}' * 50)[:30], "broken gzip"),
    "a.bz2": (b"BZh9" + b"\0" * 30, "broken bz2"),
    "a.xz": (b"\xfd7zXZ\0" + b"\0" * 30, "broken xz"),
    "latin.csv": ("question,answer\ndéjà vu,très\n".encode("latin-1"), "expected UTF-8 (found bytes of no encoding"),
    "sjis.csv": ("question,answer\nカルテ,コレステロール\n".encode("shift-jis"), "expected UTF-8"),
    "cut16.csv": ("question,answer\n问,答\n".encode("utf-16")[:-1], "broken UTF-16"),
    "columns.tsv": ("query\tresponse\n头疼\t感冒\t多\n", ":2: found 3 columns, expected 2"),
    "columns.csv": ("question,answer\n头疼,感冒,多\n", ":2: found 3 columns, expected 2"),
    "twice.csv": ("question,answer,answer\n头疼,感冒,多\n", ":1: found two columns answer"),
    "headless.csv": ("头疼,感冒\n发热,流感\n", ":2: found keys 头疼, 感冒"),
    "label.csv": ("question,answer,label\n头疼,感冒,0\n", ':2: found label = "0"'),
    "tools.json": (
        json.dumps({"question": ["一", "二"], "answer": ["甲", "乙"], "tools": ["f", ""]}),
        ':1: found tools = "f"',
    ),
    "messages.json": (json.dumps([{**ASKS, "talk": 1}, {**SAYS, "talk": 1}]), ":1: found keys role, content, talk"),
    "message.jsonl": ('{"role": "user", "content": "一"}\n', ":1: found keys role, content"),
    "text.txt": ("头疼怎么办？\n", ":1: found plain text"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name, convert, write, tmp_path):
    content, message = FILES[name]
    check(convert("dialogue", write(name, content), out=tmp_path / "new.jsonl"), name, message)
    assert not (tmp_path / "new.jsonl").exists()


FLAGS = {
    "no such file": (["NOWHERE.jsonl"], "--data NOWHERE.jsonl: no such file"),
    "no file": ([], "--data: found no file"),
    "a folder of pages": (["FOLDER"], "found no .json, "),
    "an input of no table": (["GOOD", "--ranking-tool-input", "GOOD"], "--ranking-tool-input"),
    "a missing input": (["GOOD", "--ranking-tool-input", "NOWHERE.json"], "--ranking-tool-input"),
    "a flag": (["GOOD", "--repeat", "once"], "unknown flag --repeat (did you mean --repeats?)"),
    "a choice": (["GOOD", "--repeats", "never"], "--repeats"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name, convert, write, tmp_path):
    words, message = FLAGS[name]
    good = write("good.jsonl", {"messages": CHAT})
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "README.md").write_text("# pages")
    places = {"GOOD": good, "FOLDER": folder}
    check(convert("dialogue", *(places.get(word, word) for word in words), out=tmp_path / "new.jsonl"), message)
    assert not (tmp_path / "new.jsonl").exists()


def check(done, *messages):
    assert done.status == 2 and done.told.count("\n") == 1 and "Traceback" not in done.told, done.told
    for message in messages:
        assert message in done.told, done.told
