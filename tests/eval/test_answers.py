"""Prompts of an evaluation: which of them lose their oldest turns, and that this is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from zj.clinic import question
from zj.data.records import Prompt, as_json
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.template import encode_prompt
from zj.eval.questions import read_questions
from zj.llm.answers import encode_prompts


def test_each_prompt_that_is_shortened_counts_once(tmp_path, capsys):
    tokenizer = train_tokenizer(["医生，我头痛三天了。请多休息，多喝水。"] * 4, tmp_path, 300)
    short = Prompt("a", "我头痛三天了。")
    long = Prompt("b", "我头痛三天了。", (("我头痛三天了。", "请多休息，多喝水。"),) * 3)
    whole = [encode_prompt(prompt, tokenizer, "ziya") for prompt in (short, long)]
    room = len(whole[1]) - 1
    ids = encode_prompts([short, long, short, long], tokenizer, "ziya", room)
    assert capsys.readouterr().out.startswith(f"1 of 2 conversations shortened to the {room} tokens")
    assert ids == [whole[0], encode_prompt(long, tokenizer, "ziya", room)] * 2 and len(ids[1]) < room
    assert encode_prompts([long], tokenizer, "ziya", room + 1) == [whole[1]]  # control
    assert capsys.readouterr().out.startswith("0 of 1 ")


def test_a_department_beside_a_question_of_the_clinic_asks_nothing_else(tmp_path):
    asked = question(3, 0)
    file = tmp_path / "prompt.jsonl"
    file.write_text(json.dumps(as_json(replace(asked.prompt, department="内科"))), encoding="utf-8")
    assert read_questions([str(file)]) == [asked]
    file.write_text(json.dumps(as_json(replace(asked.prompt, user="别的"))), encoding="utf-8")  # control
    with pytest.raises(ValueError, match="found other words"):
        read_questions([str(file)])
