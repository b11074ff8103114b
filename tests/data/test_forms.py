"""Forms that public data sets come in, one small file each, through scripts/convert.py: what each must become."""

from __future__ import annotations

import json

import pytest

from zj.data.readers import read

Q, A, A2 = "夜里咳得睡不着，怎么办？", "请先到呼吸科检查，别自己吃药。", "忍一忍。"
ONE = [(Q, A)]
TWO = [("我膝盖疼。", "疼多久了？"), ("半年。", "建议拍片。")]


def m(role, content, **more):
    return {"role": role, "content": content, **more}


def part(text):
    return {"type": "text", "text": text}


def chat(*turns):
    return [m(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]


DIALOGUES = {  # name -> (suffix, content, the turns of each dialogue)
    "a list of messages a line": ("jsonl", [chat(*ONE), chat(*TWO)], [ONE, TWO]),
    "one conversation alone in a file": ("json", json.dumps(chat(*TWO)), [TWO]),
    "one conversation of lines alone in a file": (
        "json",
        json.dumps({"dialogue": [f"病人：{Q}", f"医生：{A}"]}),
        [ONE],
    ),
    "one of pairs alone in a file": ("json", json.dumps({"conversation": [list(turn) for turn in TWO]}), [TWO]),
    "conversations by column": ("json", json.dumps({"messages": [chat(*ONE), chat(*TWO)]}), [ONE, TWO]),
    "lists in an array": ("json", json.dumps([chat(*ONE), chat(*TWO)]), [ONE, TWO]),
    "conversation, one": ("jsonl", [{"conversation": chat(*TWO)}], [TWO]),
    "turns with human and assistant": (
        "jsonl",
        [{"conversation_id": 1, "conversation": [{"human": q, "assistant": a} for q, a in TWO]}],
        [TWO],
    ),
    "pairs of texts": ("jsonl", [{"dialogue": [list(turn) for turn in TWO]}], [TWO]),
    "speakers in Chinese": (
        "jsonl",
        [{"dialogue": [{"speaker": "患者", "sentence": Q}, {"speaker": "医生", "sentence": A}]}],
        [ONE],
    ),
    "lines with speakers": ("jsonl", [{"dialogue": [f"病人：{Q}", f"医生：{A}"]}], [ONE]),
    "JSON in a text": ("jsonl", [{"json_dialogue": json.dumps([f"问：{Q}", f"答：{A}"])}], [ONE]),
    "parts of text": (
        "jsonl",
        [{"messages": [m("user", [part("一"), part("二")]), m("assistant", A)]}],
        [[("一\n二", A)]],
    ),
    "prompt and completion as messages": (
        "jsonl",
        [{"prompt": [m("user", Q)], "completion": [m("assistant", A)]}],
        [ONE],
    ),
    "prompt as text, completion as messages": ("jsonl", [{"prompt": Q, "completion": [m("assistant", A)]}], [ONE]),
    "input and target": ("jsonl", [{"input": Q, "target": A}], [ONE]),
    "input and output": ("jsonl", [{"input": Q, "output": A}], [ONE]),
    "问 and 答": ("jsonl", [{"问": Q, "答": A}], [ONE]),
    "capital letters": ("jsonl", [{"Question": Q, "Response": A}], [ONE]),
    "history of messages": ("jsonl", [{"history": chat(TWO[0]), "query": TWO[1][0], "response": TWO[1][1]}], [TWO]),
    "wordings of one question": (
        "jsonl",
        [{"questions": [["甲怎么吃", "甲的用法"]], "answers": ["按说明书。"]}],
        [[("甲怎么吃", "按说明书。")], [("甲的用法", "按说明书。")]],
    ),
    "turns in one text": (
        "jsonl",
        [{"instruction": " <user>: 我膝盖疼。 <bot>: 疼多久了？ <user>: 半年。", "output": "建议拍片。"}],
        [TWO],
    ),
    "turns in lines": (
        "jsonl",
        [{"instruction": "病人：我膝盖疼。\n医生：疼多久了？\n病人：半年。", "output": "建议拍片。"}],
        [TWO],
    ),
    "a prompt that was put into a template": ("jsonl", [{"prompt": f"<human>:{Q}\n<bot>:", "response": A}], [ONE]),
    "options by letter": (
        "jsonl",
        [{"question": "哪项？", "options": {"A": "甲", "B": "乙", "C": ""}, "answer": "B"}],
        [[("哪项？\nA. 甲\nB. 乙", "B. 乙")]],
    ),
    "options in one text": (
        "jsonl",
        [{"Question": "哪项？", "Options": "A 甲\nB 乙\nC 丙", "Answer": "B"}],
        [[("哪项？\nA. 甲\nB. 乙\nC. 丙", "B. 乙")]],
    ),
    "several right options": (
        "jsonl",
        [{"question": "哪几项？", "option": ["甲", "乙", "丙"], "answer": "AC"}],
        [[("哪几项？\nA. 甲\nB. 乙\nC. 丙", "A. 甲\nC. 丙")]],
    ),
    "options as objects, the answer as text": (
        "jsonl",
        [{"question": "哪项？", "options": [{"key": "A", "value": "甲"}, {"key": "B", "value": "乙"}], "answer": "乙"}],
        [[("哪项？\nA. 甲\nB. 乙", "B. 乙")]],
    ),
    "users in a row": (
        "jsonl",
        [{"messages": [m("user", "一"), m("user", "二"), m("assistant", A)]}],
        [[("一\n二", A)]],
    ),
    "answers in a row": (
        "jsonl",
        [{"messages": [m("user", Q), m("assistant", "一"), m("assistant", "二")]}],
        [[(Q, "一\n二")]],
    ),
    "a greeting first": ("jsonl", [{"messages": [m("assistant", "您好"), *chat(*ONE)]}], [ONE]),
    "thanks without an answer": ("jsonl", [{"messages": [*chat(*TWO), m("user", "谢谢")]}], [TWO]),
    "a topic is no verdict": ("jsonl", [{"query": Q, "response": A, "label": "内科"}], [ONE]),
    "no tools": ("jsonl", [{"messages": chat(*ONE), "tools": "[]", "images": [], "tool_calls": None}], [ONE]),
    "a prompt that repeats": ("jsonl", [{"messages": chat(*ONE), "prompt": Q, "prompt_id": "x"}], [ONE]),
    "a table by columns": ("json", json.dumps({"instruction": [Q, "二"], "output": [A, "贰"]}), [ONE, [("二", "贰")]]),
    "pandas by columns": (
        "json",
        json.dumps({"question": {"0": Q, "1": "二"}, "answer": {"0": A, "1": "贰"}}),
        [ONE, [("二", "贰")]],
    ),
    "pandas split": ("json", json.dumps({"columns": ["question", "answer"], "index": [0], "data": [[Q, A]]}), [ONE]),
    "rows under data": ("json", json.dumps({"version": "1.0", "data": [{"question": Q, "answer": A}]}), [ONE]),
    "one split": ("json", json.dumps({"train": [{"query": Q, "response": A}]}), [ONE]),
    "a hub's page of rows": (
        "json",
        json.dumps(
            {"features": [], "rows": [{"row_idx": 0, "row": {"query": Q, "response": A}, "truncated_cells": []}]}
        ),
        [ONE],
    ),
    "Ziya's lists in lines": ("jsonl", [{"prompt": [q for q, _ in TWO], "output": [a for _, a in TWO]}], [TWO]),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues(name, convert, write):
    suffix, content, expected = DIALOGUES[name]
    text = content if isinstance(content, str) else "\n".join(json.dumps(r, ensure_ascii=False) for r in content)
    done = convert("dialogue", write(f"rows.{suffix}", text))
    assert done.status == 0, done.told
    assert [row["messages"] for row in done.rows] == [chat(*turns) for turns in expected]


PAIR = [Q, (A, A2), (1, 2)]
SIDES = {"chosen": [*chat(*ONE)], "rejected": [m("user", Q), m("assistant", A2)]}
LONG = {"chosen": chat(*TWO), "rejected": [*chat(*TWO)[:3], m("assistant", A2)]}
RANKINGS = {  # name -> (row, [last question, answers, ranks], number of earlier turns)
    "binarized": ({"prompt": Q, **SIDES, "messages": SIDES["chosen"], "score_chosen": 9.0}, PAIR, 0),
    "prompt is the first of several questions": (
        {"prompt": TWO[0][0], **LONG},
        [TWO[1][0], (TWO[1][1], A2), (1, 2)],
        1,
    ),
    "prompt is the last of several questions": ({"prompt": TWO[1][0], **LONG}, [TWO[1][0], (TWO[1][1], A2), (1, 2)], 1),
    "prompt as the same messages": ({"prompt": chat(*TWO)[:3], **LONG}, [TWO[1][0], (TWO[1][1], A2), (1, 2)], 1),
    "whole conversations as text": (
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: {A2}"},
        PAIR,
        0,
    ),
    "scores": ({"prompt": Q, "responses": [A2, A, "贰"], "scores": [1, 9.5, 1]}, [Q, (A2, A, "贰"), (2, 1, 2)], 0),
    "ranks beside scores": (
        {"prompt": Q, "responses": [A2, A], "ranks": [1, 2], "scores": [1, 9]},
        [Q, (A2, A), (1, 2)],
        0,
    ),
    "completions with scores": (
        {
            "instruction": Q,
            "completions": [{"response": A2, "overall_score": 2}, {"response": A, "overall_score": 8.5}],
        },
        [Q, (A2, A), (2, 1)],
        0,
    ),
    "best to worst in output": (
        {"instruction": Q, "input": "", "output": [A, "贰", A2]},
        [Q, (A, "贰", A2), (1, 2, 3)],
        0,
    ),
    "answers as messages": (
        {"prompt": [m("user", Q)], "responses": [m("assistant", A2), [m("assistant", A)]], "ranks": [2, 1]},
        [Q, (A2, A), (2, 1)],
        0,
    ),
}


@pytest.mark.parametrize("name", RANKINGS)
def test_rankings(name, convert, write):
    row, (question, answers, ranks), before = RANKINGS[name]
    done = convert("ranking", write("rows.jsonl", row))
    assert done.status == 0, done.told
    (found,) = done.rows
    assert (found["prompt"][-1]["content"], found["responses"], found["ranks"]) == (question, [*answers], [*ranks])
    assert len(found["prompt"]) == 2 * before + 1
    assert convert("prompt", write("rows.jsonl", row)).rows[0]["prompt"] == found["prompt"]


def test_a_list_of_texts_holds_documents_or_prompts(convert, write):
    file = write("rows.json", ["甲病。", "乙病。"])
    assert [row["text"] for row in convert("document", file).rows] == ["甲病。", "乙病。"]
    assert [row["prompt"][0]["content"] for row in convert("prompt", file).rows] == ["甲病。", "乙病。"]
    assert convert("dialogue", file).status == 2


def test_whatever_was_read_is_written_so_that_it_reads_the_same(convert, write, tmp_path):
    """Over all kinds, with weights, wordings, departments, system texts, ties."""
    rows = {
        "document": [{"text": "甲\n\n乙"}, {"entity": "流感", "relations": {"症状": ["发热"]}}],
        "dialogue": [content[0] for suffix, content, _ in DIALOGUES.values() if suffix == "jsonl"],
        "prompt": [{"prompt": Q}, {"questions": [["甲怎么吃", "甲的用法"]], "answers": ["按说明书。"]}],
        "ranking": [row for row, *_ in RANKINGS.values()],
    }
    rows["dialogue"] += [
        {"messages": [m("system", "你是医生。"), *chat(TWO[0]), m("user", "再说？"), m("assistant", A, weight=0)]},
        {"cate1": "内科", "instruction": Q, "output": "休息。"},
    ]
    for kind, some in rows.items():
        file = write("in.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in some))
        out, again = tmp_path / f"{kind}.jsonl", tmp_path / f"{kind}2.jsonl"
        assert convert(kind, file, "--repeats", "keep", out=out).status == 0
        assert read(out, kind)[0] == read(file, kind)[0]
        assert convert(kind, out, "--repeats", "keep", out=again).status == 0
        assert again.read_bytes() == out.read_bytes()
        assert not list(tmp_path.glob(".tmp-*"))


def test_an_existing_file_is_kept(convert, write, tmp_path):
    file, out = write("rows.jsonl", {"query": Q, "response": A}), write("out.jsonl", "mine")
    done = convert("dialogue", file, out=out)
    assert (done.status, out.read_text()) == (2, "mine") and "--out" in done.told and done.told.count("\n") == 1
    assert convert("dialogue", file, out="").status == 2
    done = convert("dialogue", file, out=tmp_path / "new" / "out.jsonl")
    assert done.status == 0 and done.told.endswith("out.jsonl: 1 row\n")
