"""recipes/real/preferences.py: answers to pairs for score.py, and its scores to a share with an interval."""

from __future__ import annotations

import json

import pytest

from recipes.real.preferences import print_rates, write_pairs
from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of
from zj.stages.setup import read_records


def rows(model, *answers, finish_reason="stop"):
    return [
        AnswerRow(Prompt(f"q{n}", f"问{n}？"), f"d{n // 2}", f"参考{n}。", model, text, finish_reason)
        for n, text in enumerate(answers)
    ]


def write(path, answers):
    path.write_text("".join(lines_of(answers)), encoding="utf-8")
    return str(path)


def test_pairs_leave_out_what_cannot_be_compared(tmp_path, capsys):
    sft = write(tmp_path / "sft.jsonl", rows("sft", "甲", "乙", "", "丁"))
    cut = rows("ppo", "甲 ", "丙", "丙", "戊")
    ppo = write(tmp_path / "ppo.jsonl", [*cut[:3], *rows("ppo", "", "", "", "戊", finish_reason="length")[3:]])
    out = tmp_path / "pairs.jsonl"
    write_pairs(sft, ppo, sft, str(out))
    assert "1 pairs, 3 left out" in capsys.readouterr().out  # an equal, an empty, a cut-off one
    (ranking,) = read_records([str(out)], "ranking", "stop")
    assert (ranking.id, ranking.answers, ranking.ranks) == ("q1", ("丙", "乙"), (1, 2))


def test_the_doctors_answers_are_pairs_too(tmp_path):
    answers = write(tmp_path / "sft.jsonl", rows("sft", "甲", "乙", "丙", "丁"))
    write_pairs(answers, "reference", "shuffled", str(tmp_path / "pairs.jsonl"))
    rankings = read_records([str(tmp_path / "pairs.jsonl")], "ranking", "stop")
    assert [r.answers[0] for r in rankings] == ["参考0。", "参考1。", "参考2。", "参考3。"]
    assert [r.answers[1] for r in rankings] == ["参考2。", "参考3。", "参考0。", "参考1。"]


@pytest.mark.parametrize("scores, share", [((2.0, 1.0), "100.0%"), ((1.0, 1.0), "50.0%"), ((1.0, 2.0), "0.0%")])
def test_the_share_is_of_the_first(tmp_path, capsys, scores, share):
    answers = write(tmp_path / "sft.jsonl", rows("sft", *"甲乙丙丁"))
    lines = [json.dumps({"id": f"q{n}", "scores": scores, "ranks": [1, 2]}) + "\n" for n in range(4)]
    (tmp_path / "ppo-over-sft.jsonl").write_text("".join(lines), encoding="utf-8")
    print_rates(answers, str(tmp_path / "ppo-over-sft.jsonl"))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split()[:2] == ["ppo-over-sft", share] and line.split()[-1] == "4"
