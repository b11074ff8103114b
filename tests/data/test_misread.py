"""Rows that were misread once: each kind is obeyed or refused by name, and the forms near it are read as they are."""

from __future__ import annotations

import json

import pytest

from zj.data.fields import Notes
from zj.data.formats import to_records

Q, A, A2 = "头疼怎么办？", "先休息。", "没事。"


def chat(*texts, system=""):
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + messages


def asked(record):
    return [text for turn in record.history for text in turn] + [record.user]


LONG, WORSE = chat("一", "二", Q, A), chat("一", "二", Q, A2)
DIALOG = "患者：我头疼\n医生：休息"
RANKED = {  # name -> (row, texts before the answers, answers)
    "conversations in responses": ({"responses": [LONG, WORSE], "ranks": [1, 2]}, ["一", "二", Q], (A, A2)),
    "their history said twice": (
        {"prompt": Q, "history": [["一", "二"]], "chosen": LONG, "rejected": WORSE},
        ["一", "二", Q],
        (A, A2),
    ),
    "answers that tell a dialogue": (
        {"prompt": "写一段", "chosen": DIALOG, "rejected": "不会写"},
        ["写一段"],
        (DIALOG, "不会写"),
    ),
    "both tell one": ({"prompt": "写", "chosen": DIALOG, "rejected": DIALOG + "吧"}, ["写"], (DIALOG, DIALOG + "吧")),
    "messages in JSON": (
        {"prompt": Q, "chosen": json.dumps(chat(Q, A)), "rejected": json.dumps(chat(Q, A2))},
        [Q],
        (A, A2),
    ),
    "messages as Python prints them": (
        {"prompt": str(chat(Q)), "chosen": str(chat(Q, A)), "rejected": str(chat(Q, A2))},
        [Q],
        (A, A2),
    ),
    "a message in a text": (
        {"prompt": Q, "responses": [json.dumps(chat("", A)[1]), A2], "ranks": [1, 2]},
        [Q],
        (A, A2),
    ),
    "an answer that is a list in a language": (
        {"prompt": Q, "chosen": "['a', 'b']", "rejected": "[1, 2]"},
        [Q],
        ("['a', 'b']", "[1, 2]"),
    ),
}


@pytest.mark.parametrize("name", RANKED)
def test_rankings_that_are_read(name):
    row, before, answers = RANKED[name]
    (ranking,) = to_records(row, "ranking", "f:1", Notes())
    assert (asked(ranking.prompt), ranking.answers) == (before, answers)
    assert asked(to_records(row, "prompt", "f:1", Notes())[0]) == before


HUMAN = "Human: 一\n\nAssistant: 二"
UNRANKED = {
    "two middles": {"responses": [LONG, chat("一", "三", Q, A2)], "ranks": [1, 2]},
    "a conversation and a text": {"prompt": Q, "chosen": chat(Q, A), "rejected": A2},
    "a conversation and a message": {"prompt": "牙疼", "chosen": chat(Q, A), "rejected": chat("", A2)[1:]},
    "a marked text and a text": {"prompt": "一", "chosen": HUMAN, "rejected": A2},
    "another question in marked texts": {"prompt": "牙疼", "chosen": HUMAN, "rejected": HUMAN + "吧"},
    "another answer in history": {"prompt": Q, "history": [["一", "三"]], "chosen": LONG, "rejected": WORSE},
    "two system texts": {"chosen": chat(Q, A, system="甲"), "rejected": chat(Q, A2, system="乙")},
    "another system text": {"system": "乙", "chosen": chat(Q, A, system="甲"), "rejected": chat(Q, A2, system="甲")},
    "scores against the pair": {"prompt": Q, "chosen": A, "rejected": A2, "score_chosen": 1, "score_rejected": 9},
    "scores beside a list": {"instruction": Q, "output": [A, A2], "scores": [1, 9]},
    "a hole in the ranks": {"query": Q, "rank1": A, "rank2": A2, "rank3": None, "rank4": "四"},
    "two scores of one answer": {
        "prompt": Q,
        "completions": [{"response": A, "score": 9, "rating": 1}, {"response": A2, "score": 1}],
    },
    "scores of two fields": {"prompt": Q, "completions": [{"response": A, "score": 9}, {"response": A2, "rating": 1}]},
    "ranks among the completions": {
        "prompt": Q,
        "completions": [{"response": A, "score": 1, "rank": 1}, {"response": A2, "score": 5}],
    },
    "a list in a text": {"prompt": Q, "chosen": "[{'role': 'user' 'content': 'x'}]", "rejected": A2},
}


@pytest.mark.parametrize("name", UNRANKED)
def test_rankings_that_are_refused(name):
    with pytest.raises(ValueError, match="^found .*expected"):
        to_records(UNRANKED[name], "ranking", "f:1", Notes())


PLAIN = {"instruction": Q, "output": A}
SYSTEM = {"role": "system", "content": "你是医生"}
MARKED = "Human:写对话\nAssistant:好：\n患者：疼\n医生：哪里\nHuman:谢谢\nAssistant:"
TOLD = "患者：咳嗽。\n医生：建议CT。\n请评价医生的建议。"
READ = {  # name -> (row, system, turns)
    "system in history": (PLAIN | {"history": [SYSTEM, *chat("一", "二")]}, "你是医生", (("一", "二"), (Q, A))),
    "one system text twice": (PLAIN | {"system": " 你是医生 ", "history": [SYSTEM]}, "你是医生", ((Q, A),)),
    "system in a turn": ({"conversation": [{"system": "你是医生", "human": Q, "assistant": A}]}, "你是医生", ((Q, A),)),
    "system_message": (PLAIN | {"system_message": "你是医生"}, "你是医生", ((Q, A),)),
    "Chinese names": (
        {"问": Q, "答": A, "系统": "你是医生", "输入": "三天", "历史": [["一", "二"]]},
        "你是医生",
        (("一", "二"), (Q + "\n三天", A)),
    ),
    "nulls as text": (PLAIN | {"input": "nan", "system": "None", "history": "null"}, "", ((Q, A),)),
    "a null in a sentence": (
        {"query": "None 是什么？", "response": "nan 是缺失值"},
        "",
        (("None 是什么？", "nan 是缺失值"),),
    ),
    "one text under two names": ({"instruction": Q, "question": Q, "output": A, "answer": A}, "", ((Q, A),)),
    "one role under two names": (
        {"messages": [{"role": "user", "from": "human", "content": Q}, *chat("", A)[1:]]},
        "",
        ((Q, A),),
    ),
    "title and question": ({"标题": "孕妇", "问": Q, "答": A}, "", (("孕妇\n" + Q, A),)),
    "title and query": ({"title": "孕妇", "query": Q, "response": A}, "", (("孕妇\n" + Q, A),)),
    "messages in texts": ({"prompt": json.dumps(chat(Q)), "completion": str(chat("", A)[1:])}, "", ((Q, A),)),
    "JSON that is no message": ({"query": '{"role": "x"}', "response": "[1, 2]"}, "", (('{"role": "x"}', "[1, 2]"),)),
    "marks of others inside": (
        {"instruction": MARKED, "output": A},
        "",
        (("写对话", "好：\n患者：疼\n医生：哪里"), ("谢谢", A)),
    ),
    "a dialogue that is asked about": ({"instruction": TOLD, "output": A}, "", ((TOLD, A),)),
    "a report on a dialogue": (
        {"input": "患者：疼\n医生：哪里\n患者：头\n写报告", "target": A},
        "",
        (("患者：疼\n医生：哪里\n患者：头\n写报告", A),),
    ),
    "an empty context": (PLAIN | {"context": "", "passage": None, "knowledge": []}, "", ((Q, A),)),
}


@pytest.mark.parametrize("name", READ)
def test_dialogues_that_are_read(name):
    row, system, turns = READ[name]
    (dialogue,) = to_records(row, "dialogue", "f:1", Notes())
    assert (dialogue.system, dialogue.turns) == (system, turns)
    (document,) = to_records(row, "document", "f:1", Notes())
    assert document.text.split("\n")[0] == (system or turns[0][0].split("\n")[0])


TALK = {"messages": chat(Q, A)}
REFUSED = {
    **{f"an answer {null}": {"query": Q, "response": null} for null in ("nan", "None", "null", "[]", "#NAME?", "#N/A")},
    "a question nan": {"query": "nan", "response": A},
    "a message None": {"messages": chat("None", A)},
    "two system fields": PLAIN | {"system": "甲", "system_prompt": "乙"},
    "another system text in history": PLAIN | {"system": "甲", "history": [SYSTEM]},
    "two system messages": {"messages": [SYSTEM, SYSTEM | {"content": "甲"}, *chat(Q, A)]},
    "two texts of a message": {"messages": [{"from": "human", "value": Q, "text": "别的"}, *chat("", A)[1:]]},
    "two roles of a message": {"messages": [*chat(Q), {"role": "assistant", "from": "human", "content": A}]},
    "two speakers of a turn": {"conversation": [{"user": "一", "human": Q, "assistant": A}]},
    "a message and a turn": {"messages": [{"role": "user", "content": "一", "user": Q, "assistant": A}]},
    "answers beside an answer": {"question": Q, "answer": A, "answers": [A2]},
    "a question beside questions": {"questions": ["一", "二"], "answers": [A], "question": "三", "answer": A},
    "an input of a turn": {"conversation": [{"human": Q, "input": "三天", "assistant": A}]},
    "a rejected message": {"messages": [*chat(Q), {"role": "assistant", "content": A, "rejected": A2}]},
    "a list of answers in a text": {"instruction": Q, "output": "['最好','最差']"},
    "messages in a text that is broken": {
        "instruction": Q,
        "output": "[{'role': 'a', 'content': 'b'}\n {'role': 'c'}]",
    },
    "a text without a name": PLAIN | {"": "不要吃阿司匹林"},
    "a text that pandas named": PLAIN | {"Unnamed: 2": "不要吃阿司匹林"},
    "half a character in a name": PLAIN | {"x\ud83d": 1},
    "half a character in an id": PLAIN | {"id": "x\ud83d"},
    "a weight on a part": {
        "messages": [*chat(Q), {"role": "assistant", "content": [{"type": "text", "text": A, "train": False}]}]
    },
    **{
        name: PLAIN | {name: "本品一次两片"}
        for name in ("passage", "knowledge", "documents", "description", "描述", "content")
    },
    **{
        f"{name} of a message": {"messages": [chat(Q)[0] | {name: "x"}, *chat("", A)[1:]]}
        for name in ("context", "system", "input")
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_dialogues_that_are_refused(name):
    with pytest.raises(ValueError, match="^found ") as raised:
        to_records(REFUSED[name], "dialogue", "f:1", Notes())
    str(raised.value).encode()  # can be printed
    for row in (PLAIN, TALK):  # control: the rows around
        assert to_records(row, "dialogue", "f:1", Notes())[0].turns == ((Q, A),)


def test_the_system_text_of_a_preference_row_is_obeyed():
    sides = {"preferred_output": chat("", A)[1:], "non_preferred_output": chat("", A2)[1:]}
    row = {"input": {"messages": chat(Q), "system": "你是医生"}, **sides}
    assert to_records(row, "ranking", "f:1", Notes())[0].prompt.system == "你是医生"
    with pytest.raises(ValueError, match="found input.tools"):
        to_records({"input": {"messages": chat(Q), "tools": [1]}, **sides}, "ranking", "f:1", Notes())


def test_a_prompt_that_tells_a_dialogue_is_not_cut():
    for text, before in (
        (TOLD, [TOLD]),
        ("患者：疼\n医生：哪里\n患者：头", ["疼", "哪里", "头"]),
        (MARKED, ["写对话", "好：\n患者：疼\n医生：哪里", "谢谢"]),
    ):
        assert asked(to_records({"prompt": text}, "prompt", "f:1", Notes())[0]) == before


def test_names_are_told_on_one_line():
    notes = Notes()
    to_records(PLAIN | {"x\nskipped 99": 1, "Unnamed: 0": 7}, "dialogue", "f:1", notes)
    assert dict(notes.ignored) == {"x\\nskipped 99": 1, "unnamed: 0": 1}


def test_cut_cells_are_refused_where_they_are_used():
    for cells, refused in ((["output"], True), (["source"], False), ([], False)):
        row = PLAIN | {"source": "x", "truncated_cells": cells}
        if refused:
            with pytest.raises(ValueError, match="found truncated_cells"):
                to_records(row, "dialogue", "f:1", Notes())
        else:
            assert to_records(row, "dialogue", "f:1", Notes())
