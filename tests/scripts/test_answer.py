"""scripts/answer.py and evaluate.py text: any test file to answers, answers to figures, each in one command."""

from __future__ import annotations

import json
import re

import pytest

from tests.line import write_rows
from tests.llm.service import serving
from zj.data.records import Prompt, as_json
from zj.eval.answer_file import AnswerRow, lines_of, read_answers
from zj.eval.tables import tables_of
from zj.llm.cache import ReplyCache
from zj.weights import config_of

ROW = AnswerRow(Prompt("d1", "头痛？"), "d1", "休息。", "a", "喝水。", "stop")
SHORT = ("--device", "cpu", "--max-tokens", 12, "--slots", 8)


@pytest.fixture(scope="module")
def test_file(tmp_path_factory):
    """Six dialogues of one to three turns, one a repeat, two with one id; the last turn of one only thanks."""
    dialogues = []
    for n in range(5):
        messages = []
        for turn in range(1 + n % 3):
            messages += [{"role": "user", "content": f"头痛{n}天了，第{turn}次问吗？"}]
            messages += [{"role": "assistant", "content": f"请多休息{n}，按时复查{turn}。"}]
        dialogues.append({"id": f"d{n % 4}", "messages": messages, "department": "内科"})
    dialogues[2]["messages"][-2]["content"] = "好的，谢谢医生。"
    return write_rows(tmp_path_factory.mktemp("test") / "test.jsonl", [*dialogues, dialogues[1] | {"id": "again"}])


def call(line, test_file, out, *more):
    return ("answer", "--model", line.sft, "--data", test_file, "--out", out, *SHORT, *more)


def test_two_models_answer_and_the_figures_follow(command, line, test_file, tmp_path):
    """The two commands of a newcomer."""
    pytest.importorskip("rouge_score")
    out, report = tmp_path / "answers.jsonl", tmp_path / "text.json"
    done = command(*call(line, test_file, out, "--model", line.base, "--temperature", 1))
    assert done.status == 0, done.err
    assert "1 repeat left out" in done.out and "5 questions of 5 dialogues, 5 with a reference; 1 that ask" in done.out
    rows = read_answers(out)
    assert [(row.id, row.model) for row in rows] == [
        (id, model) for model in ("sft", "base") for id in ("d0", "d1", "d2", "d3", "d0-2")
    ]
    first = rows[2]
    assert (first.dialogue, first.prompt.department, first.prompt.user) == ("d2", "内科", "好的，谢谢医生。")
    assert len(first.prompt.history) == 2 and first.reference == "请多休息2，按时复查2。" and first.turns_left_out == 0
    assert {row.finish_reason for row in rows} <= {"stop", "length"}
    assert [row.answer for row in rows[:5]] != [row.answer for row in rows[5:]]

    words = ("evaluate", "text", "--texts", out, "--preset", "official", "llamafactory", "--against", "base")
    done = command(*words, "--out", report)
    assert done.status == 0, done.err
    assert "BLEU-4, sft" in done.out and "tokens: characters without blanks" in done.out and "detectable" in done.out
    written = json.loads(report.read_text(encoding="utf-8"))
    metric = written["presets"]["llamafactory"][1]
    assert metric["metric"] == "ROUGE-1" and set(metric["scores"]) == {"sft", "base"}
    assert set(metric["comparisons"]["sft"]) == {"value", "low", "high", "p", "p_holm", "detectable"}
    assert written["systems"]["sft"]["answers"] == 5 and "n: 5 answers in 5 dialogues" in metric["signature"]
    assert [table.title for table in tables_of(written)][:3] == ["answers", "official", "official, against base"]
    again = command(*words, "--out", report)
    assert again.status == 2 and "is there already" in again.err
    controlled = report.with_name("controlled.json")
    words = (*words[:-1], "shuffled references", "--controls", "--out", controlled)
    done = command(*words)
    assert done.status == 0, done.err
    assert (
        "BLEU-4, constant" in done.out
        and "against shuffled references" in done.out
        and "constant: 请多休息" in done.out
    )
    written = json.loads(controlled.read_text(encoding="utf-8"))
    rouge = written["presets"]["llamafactory"][1]
    assert written["constant"].startswith("请多休息") and set(rouge["comparisons"]) == {"sft", "base", "constant"}


@pytest.mark.parametrize("turn, ids", [("first", ["d1/1", "d2/1"]), ("each", ["d1/1", "d1/2", "d2/1", "d2/2"])])
def test_turns(command, line, test_file, tmp_path, turn, ids):
    out = tmp_path / "answers.jsonl"
    done = command(*call(line, test_file, out, "--turn", turn, "--closing-turns", "leave-out"))
    assert done.status == 0, done.err
    rows = {row.id: row for row in read_answers(out) if row.dialogue in ("d1", "d2")}
    assert list(rows) == ids
    if turn == "each":
        assert rows["d1/2"].prompt.history == ((rows["d1/1"].prompt.user, rows["d1/1"].reference),)


@pytest.mark.parametrize("times", [1, 7])
def test_a_run_that_is_stopped_loses_no_answer_and_asks_none_twice(
    killed, command, line, test_file, tmp_path, spied, times
):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "answers.jsonl"
    two = ("--model", line.base)
    assert command(*call(line, test_file, whole, *two)).status == 0
    killed(ReplyCache, "put", times)(*call(line, test_file, out, *two))
    assert not out.exists()
    kept = spied(ReplyCache, "put")
    assert command(*call(line, test_file, out, *two)).status == 0
    assert out.read_bytes() == whole.read_bytes() and len(kept) == 10 - times
    done = command(*call(line, test_file, out, *two))
    assert done.status == 0 and "nothing was done" in done.out and len(kept) == 10 - times


def test_long_prompts_are_named_and_never_cut_in_silence(command, line, tmp_path):
    """The model has few positions: of old turns some are left out, a last message that is too long is not asked."""
    turns = [("头痛三天了。", "请多休息。")] * 60
    messages = [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    rows = [{"id": "old", "messages": messages}]
    rows += [
        {"id": id, "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "好。"}]}
        for id, text in (("long", "头痛。" * 400), ("short", "咳嗽？"))
    ]
    out = tmp_path / "answers.jsonl"
    few = config_of(line.sft).max_position_embeddings - 100
    done = command(*call(line, write_rows(tmp_path / "test.jsonl", rows), out, "--max-tokens", few))
    assert done.status == 0, done.err
    old, long, short = read_answers(out)
    assert old.turns_left_out > 0 and len(old.prompt.history) == 59
    assert (long.finish_reason, long.answer, long.prompt.user) == ("too long", "", "头痛。" * 400)
    assert short.turns_left_out == 0 and short.finish_reason in ("stop", "length")
    assert "1 shortened by their oldest turns: old" in done.out and "1 too long to be asked: long" in done.out


def test_an_endpoint_answers_and_what_it_refuses_is_counted(command, test_file, tmp_path, monkeypatch):
    out = tmp_path / "answers.jsonl"
    words = ("answer", "--model", "endpoint", "--endpoint-model", "gpt", "--data", test_file, "--out", out)
    with serving(monkeypatch) as service:
        done = command(*words, "--dry-run")
        assert done.status == 0 and "5 requests to gpt" in done.out and not service.paid and not out.exists()
        service.plans["头痛0天了，第0次问吗？"] = ["400"]
        done = command(*words)
    assert done.status == 0, done.err
    refused, *others = read_answers(out)
    assert (refused.finish_reason, refused.answer, refused.model) == ("refused", "", "gpt")
    assert [row.answer for row in others] == [f"re: {row.prompt.user}" for row in others]
    assert "1 refused: d0" in done.out


def test_prompts_without_answers_and_the_clinics_doctor(command, tmp_path):
    """Distinct alone can be measured without references; the clinic answers its own questions, and no others."""
    from zj.clinic.exam import question

    pytest.importorskip("nltk")
    questions = [question(1, n, True) for n in range(4)]
    data = write_rows(tmp_path / "exam.jsonl", [as_json(one.prompt) for one in questions])
    out, references = tmp_path / "answers.jsonl", tmp_path / "references.jsonl"
    done = command("answer", "--model", "clinic", "--data", data, "--out", out)
    assert done.status == 0 and "4 questions of 4 dialogues, 0 with a reference" in done.out, done.err
    rows = read_answers(out)
    assert [row.answer for row in rows] == [one.reference for one in questions]
    done = command("evaluate", "text", "--texts", f"doctor={out}", "--preset", "official", "promptcblue")
    assert done.status == 0 and "4 of 4 questions have no reference" in done.out, done.err
    assert "BLEU-4" not in done.out and "promptcblue: not measured, no question has a reference" in done.out
    write_rows(references, [{"id": row.id, "text": row.answer} for row in rows])
    done = command("evaluate", "text", "--texts", out, "--reference", references)
    assert done.status == 0 and re.search(r"BLEU-4 +100\.00 \[", done.out), done.err
    other = write_rows(tmp_path / "other.jsonl", [{"id": "x", "query": "头痛？"}])
    done = command("answer", "--model", "clinic", "--data", other, "--out", tmp_path / "no.jsonl")
    assert done.status == 2 and "other.jsonl:1" in done.err


@pytest.mark.parametrize(
    "words, message",
    [
        (("answer", "--out", "x"), "--model is missing"),
        (("answer", "--model", "SFT", "SFT"), "found a model twice"),
        (("answer", "--model", "SFT", "--endpoint-model", "gpt"), "--endpoint-model gpt: an endpoint, and it alone"),
        (("answer", "--model", "endpoint"), "an endpoint, and it alone, has a name"),
        (("answer", "--model", "SFT", "--max-tokens", "5000"), "--max-tokens is 5000"),
        (("answer", "--model", "nowhere"), "--model nowhere"),
        (("evaluate", "text"), "--texts is missing"),
        (("evaluate", "text", "--texts", "ANSWERS", "--preset", "best"), "--preset best: expected one of official"),
        (("evaluate", "text", "--texts", "ANSWERS", "--against", "b"), "--against b: expected one of several"),
        (("evaluate", "text", "--texts", "ANSWERS", "--controls"), "--controls: expected references of two dialogues"),
        (("evaluate", "text", "--texts", "DATA"), "test.jsonl:1: found no prompt"),
    ],
)
def test_mistakes_are_one_line(command, line, test_file, tmp_path, words, message):
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(lines_of([ROW])), encoding="utf-8")
    places = {"SFT": line.sft, "DATA": test_file, "ANSWERS": answers}
    words = [places.get(word, word) for word in words]
    if words[0] == "answer" and "--out" not in words:
        words += ["--data", test_file, "--out", tmp_path / "out.jsonl"]
    done = command(*words)
    assert done.status == 2 and message in done.err and "Traceback" not in done.err, done.err
