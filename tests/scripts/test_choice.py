"""Multiple choice by one command: files in, tables and a report out."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest

from tests.eval.choice.questions import own_rows
from tests.line import write_rows
from zj.eval.choice.read import read_questions
from zj.eval.tables import tables_of
from zj.llm import ChatReply


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "own.jsonl", own_rows(30))


def report_of(file):
    return json.loads(file.read_text(encoding="utf-8"))


def test_a_model_is_evaluated_in_every_way(command, line, data, tmp_path):
    others = [row | {"question": "又" + row["question"]} for row in own_rows(30)]
    dev = write_rows(tmp_path / "dev.jsonl", others + own_rows(2))
    out = tmp_path / "choice.json"
    flags = ("choice", "--model", line.sft, "--data", data, "--shots-from", dev, "--shots", 1, "--shuffle", 2)
    done = command("evaluate", *flags, "--max-tokens", 12, "--limit", 12, "--out", out)
    assert done.status == 0, done.err
    report = report_of(out)
    assert [*report["methods"]] == ["letter", "text", "generation"] and report["template"] == "ziya"
    assert "2 of --shots-from left out, --data asks them too" in done.out and "12" in done.out
    several = sum(len(q["right"]) > 1 for q in report["picks"])
    assert len(report["picks"]) == 12 and 0 < several < 12
    assert report["counts"]["letter, text: questions with several right options, not scored"] == several
    letter = report["methods"]["letter"]["accuracy"]["one"]
    assert letter["questions"] == 12 - several and letter["chance"] == 0.25 and letter["shuffled"] == 12 - several
    assert {*report["methods"]["generation"]["accuracy"]} == {"one", "several", "all"}
    row = next(q for q in report["picks"] if "letter" in q["methods"])
    assert row["methods"]["letter"]["orders"][0] == "ABCD" and len(row["methods"]["generation"]["replies"]) == 3
    assert [str(table) in done.out for table in tables_of(report)] == [True] * 3
    assert "by subject" in done.out and "unparsed" in done.out
    again = command("evaluate", *flags, "--max-tokens", 12, "--limit", 12, "--out", out)
    assert again.status == 0 and "is there already, nothing was done" in again.out
    raw = command("evaluate", *flags, "--format", "raw", "--limit", 6, "--out", tmp_path / "raw.json")
    assert raw.status == 0, raw.err
    assert report_of(tmp_path / "raw.json")["methods"]["letter"] != report["methods"]["letter"]


def test_one_who_knows_the_answers_is_right_in_every_order_and_noise_is_what_is_missing(command, data, tmp_path):
    flags = ("choice", "--model", "clinic", "--by", "generation", "--data", data, "--shuffle", 7)
    assert command("evaluate", *flags, "--out", tmp_path / "key.json").status == 0
    found = report_of(tmp_path / "key.json")["methods"]["generation"]
    for of in found["accuracy"].values():
        assert of["published"]["mean"] == of["over_orders"]["mean"] == of["consistent"] == 1 and not of["unparsed"]
    assert found["letter_bias"] == 0
    assert command("evaluate", *flags, "--noise", 0.4, "--out", tmp_path / "noise.json").status == 0
    noisy = report_of(tmp_path / "noise.json")["methods"]["generation"]["accuracy"]["all"]
    assert noisy["over_orders"]["low"] < 0.6 < noisy["over_orders"]["high"]  # half of the faults cannot be parsed
    assert noisy["unparsed"] == pytest.approx(0.2, abs=0.07) and noisy["averaged"]["mean"] > 0.9
    distinct = sum(len(set(q.orders(7, seed=0))) for q in read_questions(data)[0])
    dry = command("evaluate", *flags, "--dry-run", "--out", tmp_path / "dry.json")
    assert dry.status == 0 and f"{distinct} requests" in dry.out and not (tmp_path / "dry.json").exists()


class Echo:
    """In the place of an endpoint: repeats what it was asked, letters of every option, then answers A."""

    counts, asked = Counter[str](), list[str]()

    def __init__(self, name, **settings):
        self.name = name

    def replies(self, requests):
        for number, one in enumerate(requests):
            self.asked.append(one.messages[-1][1])
            cut = len(self.asked) % 2
            yield number, ChatReply(self.asked[-1] + "\n答案：A" * cut, "length" if cut else "stop", 9, 9)


def test_answers_in_a_file_of_their_own_bad_rows_and_the_page(command, tmp_path):
    rows = [{key: value for key, value in row.items() if key != "answer"} for row in own_rows(6)]
    data = write_rows(tmp_path / "test.jsonl", [*rows, {"question": "没有选项"}])
    key = write_rows(tmp_path / "key.jsonl", [{"id": f"q{n}", "answer": "A"} for n in range(4)])
    flags = ("choice", "--model", "clinic", "--by", "generation", "--data", data, "--out", tmp_path / "choice.json")
    refused = command("evaluate", *flags, "--answers", key)
    assert refused.status == 2 and "test.jsonl:7: found the fields question, expected" in refused.err
    done = command("evaluate", *flags, "--answers", key, "--on-bad-row", "skip")
    assert done.status == 0, done.err
    assert "2 have no answer in the file and are not scored; 1 bad rows skipped" in done.out
    found = report_of(tmp_path / "choice.json")["methods"]["generation"]["accuracy"]["one"]
    assert found["questions"] == 4 and found["published"]["mean"] == found["constant"]["mean"] == 1
    assert found["published"]["low"] == pytest.approx(0.51, abs=0.01)  # Wilson's, of 4 of 4
    page = command("report", "--evaluations", tmp_path / "choice.json", "--out", tmp_path / "page.html")
    assert page.status == 0 and "letter picked (right)" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_endpoint_is_asked_once_and_what_it_says_is_not_guessed_at(command, data, tmp_path, monkeypatch):
    monkeypatch.setattr("zj.llm.client.Endpoint", Echo)
    flags = ("choice", "--model", "endpoint", "--endpoint-model", "gpt", "--by", "generation", "--data", data)
    for _ in range(2):
        done = command("evaluate", *flags, "--out", tmp_path / "a.json")
        assert done.status == 0, done.err
        found = report_of(tmp_path / "a.json")
        (tmp_path / "a.json").unlink()
    assert len(Echo.asked) == 30 and found["client"]["replies"]["from_cache"] == 30
    assert found["methods"]["generation"]["accuracy"]["all"]["unparsed"] == 1  # one that was cut off is not read either
    assert found["counts"]["generation: replies that ended by length"] == 15


WRONG = {
    "--data is missing": ("--model", "clinic", "--by", "generation"),
    "--model endpoint --endpoint-model : an endpoint, and it alone": ("--model", "endpoint", "--by", "generation"),
    "has replies alone, expected --by generation": ("--model", "clinic"),
    "--shots and --shots-from go together": ("--model", "clinic", "--by", "generation", "--shots", 2),
    "--temperature is 1.0, expected 0": ("--model", "clinic", "--by", "generation", "--temperature", 1),
    "--max-tokens is 5000, expected less than": ("--max-tokens", 5000),
    "--dry-run: counts requests": ("--dry-run",),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_done_is_said_in_one_line(command, line, data, tmp_path, message):
    flags = WRONG[message] if "--model" in WRONG[message] else ("--model", line.sft, *WRONG[message])
    where = () if message == "--data is missing" else ("--data", data)
    done = command("evaluate", "choice", *flags, *where, "--out", tmp_path / "x.json")
    assert done.status == 2 and message in done.err and "Traceback" not in done.err


def test_a_base_model_without_a_format_is_read_as_raw_text(command, line, data, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(line.base, base)
    (base / "template.json").unlink()
    (base / "SHA256SUMS").unlink(missing_ok=True)
    flags = ("choice", "--model", base, "--data", data, "--limit", 3, "--out", tmp_path / "x.json")
    refused = command("evaluate", *flags)
    assert refused.status == 2 and "stores no prompt format; --format raw is for a base model" in refused.err
    assert command("evaluate", *flags, "--format", "raw").status == 0
    assert report_of(tmp_path / "x.json")["methods"]["letter"]["accuracy"]["one"]["questions"] > 0


def test_sets_of_letters_alone_have_no_likelihood(command, line, tmp_path):
    rows = [row for row in own_rows(20) if len(row["answer"]) > 1]
    data = write_rows(tmp_path / "sets.jsonl", rows)
    flags = ("choice", "--model", line.sft, "--data", data, "--by", "likelihood", "--out", tmp_path / "x.json")
    done = command("evaluate", *flags)
    assert done.status == 2 and "every question has several right options" in done.err
