"""Answers that nobody has ranked: what is read, what is refused by name, and the department of a prompt."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from zj.data.batching import question, split
from zj.data.readers import read
from zj.data.records import Candidates, Dialogue, Prompt, Ranking, as_json
from zj.data.turns import choose_turns

Q, A, B, C = "夜里咳得睡不着，怎么办？", "请先到呼吸科检查。", "忍一忍。", "多喝水。"
PROMPT = Prompt("a", Q, (("我咳嗽。", "多久了？"),), "你是医生。", split_by="咳嗽", department="内科")
FULL = Candidates("a", PROMPT, (A, B, C), ("sft", "ppo", "sft"), "outside")


def candidates(file, **options):
    return read(file, "candidates", **options)[0]


def test_the_own_form_is_read_back_to_the_same_record(write):
    bare = Candidates("b", Prompt("b", Q), (A, B))
    file = write("rows.jsonl", "\n".join(json.dumps(as_json(item), ensure_ascii=False) for item in (FULL, bare)))
    assert candidates(file) == [FULL, bare] and question(FULL) == "咳嗽"
    other = replace(FULL, models=("sft", "ppo", "ppo"))
    assert as_json(other) != as_json(FULL) and candidates(file)[0] != other  # control


SPELLINGS = {
    "texts": {"prompt": Q, "responses": [A, B]},
    "messages": {"query": Q, "responses": [{"role": "assistant", "content": A}, [{"from": "gpt", "value": B}]]},
    "columns": {"query": Q, "history": [], "response_0": A, "response_1": B},
    "nothing beside them": {"prompt": Q, "responses": [A, B], "ranks": None, "models": [], "source": ""},
    "whole conversations": {
        "responses": [[{"role": "user", "content": Q}, {"role": "assistant", "content": text}] for text in (A, B)]
    },
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name, convert, write):
    done = convert("candidates", write("rows.jsonl", SPELLINGS[name]))
    assert done.status == 0, done.told
    assert [(row["prompt"], row["responses"]) for row in done.rows] == [([{"role": "user", "content": Q}], [A, B])]
    assert "1 item read of 1 row" in done.told and not {"models", "source", "ranks"} & done.rows[0].keys()


def test_the_published_tools_input_and_its_restored_output_are_joined_by_id(write):
    tool = {f"k{n}": {"query": f"{n}？", "history": [["q", "a"]], "response_0": A, "response_1": B} for n in range(2)}
    shown = write("input.json", tool)
    items = candidates(shown)
    assert [item.id for item in items] == ["k0", "k1"] and items[1].prompt.history == (("q", "a"),)
    rows = "".join(f"k{n}\t{n}？\t[['q', 'a']]\t{B}\t{A}\n" for n in range(2))
    output = write("output.tsv", "id\tquery\thistory\trank1\trank2\n" + rows)
    ranked = read(output, "ranking", ranking_tool_input=str(shown))[0]
    assert [(r.id, r.prompt) for r in ranked] == [(item.id, item.prompt) for item in items]
    assert all(set(r.answers) == set(item.answers) for r, item in zip(ranked, items, strict=True))


def test_of_equal_answers_the_first_is_kept_with_its_model_and_this_is_counted(convert, write):
    row = {"prompt": Q, "responses": [A, B, f" {A}\n", C], "models": ["m1", "m2", "m3", "m4"]}
    done = convert("candidates", write("rows.jsonl", row))
    assert (done.rows[0]["responses"], done.rows[0]["models"]) == ([A, B, C], ["m1", "m2", "m4"])
    assert "answers equal to one before them in their row, left out: 1" in done.told
    plain = convert("candidates", write("rows.jsonl", {"prompt": Q, "responses": [A, B]}))  # control
    assert "left out:" not in plain.told


GOOD = {"prompt": Q, "responses": [A, B]}
BAD = {
    "ranks": (GOOD | {"ranks": [1, 2]}, "found ranks = [1, 2], expected answers without an order"),
    "scores": (GOOD | {"scores": [9, 2]}, "found scores = [9, 2]"),
    "a rank": (GOOD | {"rank": 1}, "found rank = 1"),
    "a pair": ({"prompt": Q, "chosen": A, "rejected": B}, "found chosen = "),
    "a pair of another name": (GOOD | {"preferred_output": A}, "found preferred_output = "),
    "the tool's output": ({"id": 0, "query": Q, "history": [], "rank1": A, "rank2": B}, "found rank1 = "),
    "completions": ({"instruction": Q, "completions": [{"response": A, "score": 1}]}, "found completions = "),
    "one answer": ({"prompt": Q, "responses": [A]}, "found 1 different answers, expected 2 to 8"),
    "one answer twice": ({"prompt": Q, "responses": [A, A]}, "found 1 different answers"),
    "nine answers": ({"prompt": Q, "responses": [str(n) for n in "一二三四五六七八九"]}, "found 9 different answers"),
    "too few models": (GOOD | {"models": ["sft"]}, 'found models = ["sft"], expected 2 names'),
    "an empty model": (GOOD | {"models": ["sft", ""]}, "found an empty name in models"),
    "a model for all": (GOOD | {"models": "sft"}, 'found models = "sft"'),
    "a source": (GOOD | {"source": "web"}, 'found source = "web", expected training or outside'),
    "a gap": ({"query": Q, "response_0": A, "response_2": B}, "found 1 different answers"),
    "a surplus": ({"query": Q, "response_0": A, "response_1": B, "response_3": C}, "found response_3 = "),
    "both forms": (GOOD | {"response_0": A}, "found response_0 = "),
    "no list": ({"prompt": Q, "responses": "[]x"}, "found responses = "),
    "a null": ({"prompt": Q, "responses": [A, "nan"]}, 'found response 2 = "nan"'),
    "no question": ({"responses": [A, B]}, "expected candidates such as"),
    "no answers": ({"query": Q, "response": A}, "expected candidates such as"),
    "an answer before": ({"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}],
                          "responses": [A, B]}, "found an answer before those to rank"),
    "tools": (GOOD | {"tools": "[f]"}, "found tools = "),
    "a verdict": (GOOD | {"label": "bad"}, 'found label = "bad"'),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused_by_name(name, convert, write):
    row, message = BAD[name]
    file = write("rows.jsonl", f"{json.dumps(GOOD)}\n{json.dumps(row)}\n")
    done = convert("candidates", file)
    assert done.status == 2 and f"{file}:2: " in done.told and message in done.told, done.told
    kept = convert("candidates", file, "--on-bad-row", "skip")  # control: the row before it is fine
    assert kept.status == 0 and len(kept.rows) == 1


def test_eight_answers_are_read_and_plain_text_is_not(convert, write):
    assert len(candidates(write("rows.jsonl", {"prompt": Q, "responses": [*"一二三四五六七八"]}))[0].answers) == 8
    assert "expected rows of candidates (" in convert("candidates", write("text.txt", Q)).told


def test_the_department_goes_from_a_row_through_the_turns_and_back(write):
    row = {"cate1": "传染科", "prompt": Q, "responses": [A, B], "ranks": [1, 2]}
    (prompt,), (ranking,) = (read(write("rows.jsonl", row), kind)[0] for kind in ("prompt", "ranking"))
    assert prompt.department == ranking.prompt.department == "传染病科"  # one name of two spellings
    for record, kind in ((prompt, "prompt"), (ranking, "ranking")):
        assert read(write("own.jsonl", as_json(record)), kind)[0] == [record]
    assert "department" not in as_json(replace(prompt, department=""))
    talk = Dialogue("d", ((Q, A), (B, C)), department="儿科")
    asked = read(write("dialogue.jsonl", as_json(talk)), "prompt")[0]
    assert [(p.user, p.department) for p in choose_turns(asked, "each")] == [(Q, "儿科"), (B, "儿科")]


def test_a_department_is_no_content(write):
    """Neither repeats nor the order of a split look at it; of the answers they do."""
    rows = [{"prompt": Q, "responses": [A, B], "ranks": [1, 2], "department": name} for name in ("内科", "外科")]
    file = write("rows.jsonl", "\n".join(map(json.dumps, rows)))
    assert len(read(file, "ranking", repeats="once")[0]) == 1
    assert len(read(write("two.jsonl", [rows[0], rows[0] | {"ranks": [2, 1]}]), "ranking", repeats="once")[0]) == 2
    some = [Ranking(str(n), Prompt(str(n), Q), (A, f"{n}。"), (1, 2)) for n in range(8)]
    named = [replace(r, prompt=replace(r.prompt, department=f"{n % 3}科")) for n, r in enumerate(some)]
    order = [record.id for record in split(some, 0)[0]]
    assert [record.id for record in split(named, 0)[0]] == order != sorted(order)


def by_item(rankings, items):
    """Ranks by the answers of the items, as they were shown."""
    shown = {item.id: item.answers for item in items}
    return [tuple(r.ranks[r.answers.index(answer)] for answer in shown[r.id]) for r in rankings]


def test_the_published_tools_own_files(shared_data):
    """Its items, of which one has a single answer four times; and all 24 orders, restored and joined."""
    items, report = read(shared_data / "labeltool/data_input_file.json", "candidates", "skip")
    assert [item.id for item in items] == [str(n) for n in range(10) if n != 6]
    assert len(report.skipped) == 1 and "found 1 different answers" in report.skipped[0]
    cases = shared_data.parent / "cases"
    given, output = cases / "ranking_tool_input.json", cases / "ranking_tool_output.tsv"
    items, ranked = candidates(given), read(output, "ranking", ranking_tool_input=str(given))[0]
    assert [(r.id, r.prompt) for r in ranked] == [(item.id, item.prompt) for item in items]
    truth = [json.loads(row)["ranks_given"] for row in (cases / "ranking_tool_truth.jsonl").open(encoding="utf-8")]
    assert by_item(ranked, items) == [tuple(ranks) for ranks in truth] and len(set(map(tuple, truth))) == 24
    lost = by_item(read(output, "ranking")[0], items)  # control: as the tool stores them
    assert sum(ranks != tuple(true) for ranks, true in zip(lost, truth, strict=True)) == 14
