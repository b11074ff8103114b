"""scripts/best_of_n.py: dialogues of the best, of random and of the worst answers, from one file of scores."""

from __future__ import annotations

import json
import re

import pytest

from tests.line import write_rows
from zj.data.readers import read
from zj.data.records import Prompt, as_json
from zj.data.template import encode_dialogue
from zj.data.tokenizer import Tokenizer

PROMPTS = [Prompt("a", "头痛怎么办？", (("咳嗽。", "多喝水。"),), "你是医生。")]
PROMPTS += [Prompt("b", "发热。", department="内科"), Prompt("c", "皮疹。"), Prompt("d", "失眠。")]
WHOLE, CUT = [True] * 4, [False] * 4
ROWS = [
    {"id": "a", "answers": ["甲", "乙", "丙", "丁"], "finished": WHOLE, "scores": [0.5, 2.0, 2.0, -1.0]},
    {"id": "b", "answers": ["甲", "", "丙", "丁"], "finished": [True, True, False, True], "scores": [0.1, 9, 8, 0.2]},
    {"id": "c", "answers": ["甲", "乙", "丙", "丁"], "finished": CUT, "scores": [-2.0] * 4},
]


@pytest.fixture
def files(tmp_path):
    write_rows(tmp_path / "prompts.jsonl", [as_json(prompt) for prompt in PROMPTS])
    write_rows(tmp_path / "scored.jsonl", ROWS)
    return ("--data", tmp_path / "prompts.jsonl", "--scores", tmp_path / "scored.jsonl")


def kept(command, out, *flags):
    """(answers by id, what was printed)."""
    done = command("best_of_n", *flags, "--out", out)
    assert done.status == 0, done.err
    return {dialogue.id: dialogue.turns[-1][1] for dialogue in read(out, "dialogue")[0]}, done.out


def test_the_best_is_kept_of_whole_answers_the_first_of_equal_ones(command, files, tmp_path):
    best, said = kept(command, tmp_path / "best.jsonl", *files)
    assert best == {"a": "乙", "b": "丁"}  # b: neither the empty nor the cut one; c: no whole one; d: not scored
    assert "2 dialogues; 1 prompt without a whole answer left out" in said and "仅供研究" in said
    assert "kept answers 1.100; of 4: best 1.100, any 0.512, worst -0.450; the best of 4 are at most 0.64 nats" in said
    worst, _ = kept(command, tmp_path / "worst.jsonl", *files, "--keep", "worst")
    assert worst == {"a": "丁", "b": "甲"}
    assert kept(command, tmp_path / "first.jsonl", *files, "--n", 1)[0] == {"a": "甲", "b": "甲"}
    again = command("best_of_n", *files, "--out", tmp_path / "best.jsonl", "--keep", "worst")
    assert again.status == 0 and "nothing was done" in again.out


def test_random_answers_are_those_of_the_seed_and_of_all(command, files, tmp_path):
    drawn = [kept(command, tmp_path / f"{n}.jsonl", *files, "--keep", "random", "--seed", n % 20)[0] for n in range(21)]
    assert drawn[0] == drawn[20]
    assert [{one[name] for one in drawn} for name in "ab"] == [{*"甲乙丙丁"}, {*"甲丁"}]


def test_only_the_kept_answer_is_trained_on(command, line, files, tmp_path):
    kept(command, tmp_path / "best.jsonl", *files)
    first, second = read(tmp_path / "best.jsonl", "dialogue")[0]
    assert (first.system, first.turns[:-1], first.trained) == ("你是医生。", PROMPTS[0].history, (False, True))
    assert second.department == "内科"
    encoded = encode_dialogue(first, Tokenizer.load(line.sft), "ziya")
    text = Tokenizer.load(line.sft).decode([i for i, yes in zip(encoded.ids, encoded.counted, strict=True) if yes])
    assert "乙" in text and "多喝水" not in text


def test_sampled_answers_are_kept_in_the_order_of_their_scores(command, line, tmp_path):
    flags = ("--reward", line.reward, "--model", line.sft, "--data", line.dialogues, "--max-new-tokens", 8)
    sampled = tmp_path / "scored.jsonl"
    assert command("score", *flags, "--best-of", 3, "--device", "cpu", "--out", sampled).status == 0
    means = {}
    for keep in ("best", "random", "worst"):
        found, said = kept(
            command, tmp_path / f"{keep}.jsonl", "--data", line.dialogues, "--scores", sampled, "--keep", keep
        )
        means[keep] = float(re.search(r"kept answers (-?[\d.]+);", said)[1])
    assert means["best"] > means["random"] > means["worst"] and len(found) > 20
    by_id = {row["id"]: row for row in map(json.loads, sampled.read_text(encoding="utf-8").splitlines())}
    for dialogue in read(tmp_path / "best.jsonl", "dialogue")[0]:
        row = by_id[dialogue.id]
        own = row["scores"][row["answers"].index(dialogue.turns[-1][1])]
        usable = zip(row["answers"], row["finished"], row["scores"], strict=True)
        assert own == max(score for text, done, score in usable if done and text)


def test_what_does_not_belong_together_is_named(command, files, tmp_path):
    data, scores = files[1], files[3]
    rows = {name: tmp_path / f"{name}.jsonl" for name in ("old", "twice", "other", "none")}
    write_rows(rows["old"], [{"id": "a", "answer": "甲", "score": 1.0, "scores": [1.0]}])
    write_rows(rows["twice"], [ROWS[0], ROWS[0]])
    write_rows(rows["other"], [ROWS[0], ROWS[1] | {"id": "x"}])
    write_rows(rows["none"], ROWS[2:])
    for flags, words in (
        (("--scores", scores), "--data is missing"),
        (("--data", data), "--scores is missing"),
        (("--data", data, "--scores", tmp_path / "no"), "no: no such file"),
        (("--data", data, "--scores", rows["old"]), "old.jsonl:1: expected a row of score.py --best-of"),
        (("--data", data, "--scores", rows["twice"]), "twice.jsonl:2: the prompt 'a' is there twice"),
        (("--data", data, "--scores", rows["other"]), "other.jsonl:2: the prompt 'x' is none of --data"),
        (("--data", data, "--scores", rows["none"]), "found no whole answer"),
        (("--data", data, "--scores", scores, "--n", 5), "--n is 5: "),
        (("--data", data, "--scores", scores, "--n", -1), "--n is -1"),
    ):
        done = command("best_of_n", *flags, "--out", tmp_path / "out.jsonl")
        assert (done.status, done.err.count("\n")) == (2, 1) and words in done.err, done.err
    assert not (tmp_path / "out.jsonl").exists()
