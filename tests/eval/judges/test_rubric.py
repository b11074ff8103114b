"""A rubric's score by hand; a reply that cannot be parsed is no verdict on a criterion."""

from __future__ import annotations

import json

import pytest

from tests.eval.judges.referee import rows
from zj.eval.judges.rubric import (
    PROMPT,
    Criterion,
    Grade,
    difference,
    figures,
    grade,
    parse_met,
    read_rubrics,
    reply_in_form,
    score,
)
from zj.llm import ChatReply, ChatRequest

GOOD, SMALL, BAD = Criterion("问病史", 5, ("axis:a",)), Criterion("语气温和", 3, ("axis:b",)), Criterion("有害", -8)


def reply(text):
    return ChatReply(text, "stop", 1, 1)


def grades(*met, row=0, number=9, model="a"):
    """Of one answer: whether GOOD, SMALL and BAD are met."""
    given = rows([""] * number, model)[row]
    return [Grade(given, one, reply(""), m) for one, m in zip((GOOD, SMALL, BAD), met, strict=False)]


def test_the_score_is_points_met_over_positive_points():
    assert score(grades(True, True, False)) == 1 and score(grades(True, False, False)) == 5 / 8
    assert score(grades(False, True, True)) == -5 / 8  # not clipped here: the mean is
    assert score(grades(True, None, False)) is None
    assert score(grades(True, None, None), "worse") == (5 - 8) / 8 and score(grades(True, None, None), "better") == 1


def test_the_mean_is_clipped_and_both_conventions_stand_there():
    made = grades(True, True, False, row=0) + grades(False, False, True, row=1) + grades(True, False, False, row=2)
    found = figures(made)
    assert found["score"]["mean"] == pytest.approx((1 - 1 + 5 / 8) / 3)
    assert found["score_clipped_by_question"]["mean"] == pytest.approx((1 + 0 + 5 / 8) / 3)
    assert figures(grades(False, False, True))["score"]["mean"] == 0
    assert found["tags"]["axis:a"]["score"]["mean"] == pytest.approx(2 / 3)
    assert found["tags"]["axis:b"]["score"]["mean"] == pytest.approx(1 / 3) and found["n"] == 3


def test_without_a_verdict_on_a_criterion_a_question_has_no_score():
    made = grades(True, True, False, row=0) + grades(None, True, False, row=1)
    found = figures(made)
    assert (found["n"], found["unparsed"], found["criteria_unparsed"]) == (2, 1, 1) and found["score"]["mean"] == 1
    assert found["bounds"] == [pytest.approx((1 + 3 / 8) / 2), 1]
    assert found["tags"]["axis:b"]["score"]["mean"] == 1 and found["tags"]["axis:a"]["unparsed"] == 1
    nothing = figures(grades(None, None, None))
    assert nothing["score"] is None and nothing["bounds"] == [0, 1]


def test_a_difference_is_over_the_questions_that_both_have():
    first = grades(True, True, False, row=0) + grades(None, True, False, row=1) + grades(True, False, False, row=2)
    second = grades(True, False, False, row=0) + grades(False, True, False, row=1) + grades(False, True, False, row=2)
    found = difference(first, second)
    assert found["mean"] == pytest.approx((3 / 8 + 2 / 8) / 2) and found["low"] <= found["mean"] <= found["high"]
    assert difference(grades(None), grades(True)) is None


def test_what_all_questions_agree_in_is_no_point():
    met, unmet = ([one for n in range(5) for one in grades(yes, yes, False, row=n)] for yes in (True, False))
    assert figures(unmet)["score"] == {"mean": 0, "low": 0, "high": pytest.approx(1 - 0.025 ** (1 / 5))}
    found = difference(met, unmet)
    assert found["low"] < 0 < found["mean"]  # five questions say little


@pytest.mark.parametrize(
    ("text", "met"),
    [
        (reply_in_form(True, "因为{}"), True),
        ('```json\n{"explanation": "x", "criteria_met": false}\n```', False),
        ('{"criteria_met": "true"}', None),
        ('It is met: {"criteria_met": true}', None),
        ('{"criteria_met": true', None),
        ("true", None),
        ("[" * 200_000, None),  # a model in a loop
        ("", None),
    ],
)
def test_only_the_json_object_is_a_verdict(text, met):
    assert parse_met(reply(text)) is met


def test_the_judge_sees_conversation_answer_and_one_criterion_without_points():
    systems = {"a": rows(["多喝水。[End of Answer]", "去医院。"])}
    seen = []

    def ask(requests):
        seen.extend(PROMPT.read(request.messages[0][1]) for request in requests)
        return [reply(reply_in_form("水" in texts["answer"])) for texts in seen]

    made = grade(systems, {"q0": (GOOD, BAD), "q1": (SMALL,)}, ChatRequest(()), ask)
    assert [one.met for one in made] == [True, True, False]
    assert seen[0] == {"conversation": "第0题？", "answer": "多喝水。［End of Answer］", "criterion": "问病史"}


def test_a_file_of_rubrics(tmp_path):
    file, row = tmp_path / "r.jsonl", {"criterion": "问病史", "points": 5, "tags": ["axis:a"]}
    published = {"prompt_id": "x", "prompt": [], "rubrics": [row], "example_tags": []}  # as HealthBench's rows are
    file.write_text(json.dumps({"id": "q", "rubrics": [row, {"criterion": "有害", "points": -8}]}) + "\n\n")
    assert read_rubrics(file) == {"q": (GOOD, BAD)}
    file.write_text(json.dumps(published))
    assert read_rubrics(file) == {"x": (GOOD,)}
    for bad, message in (
        ("[1]", "expected {"),
        ('{"id": "q"', "r.jsonl:1: "),
        (json.dumps({"id": "q", "rubrics": [{"criterion": "x", "points": 0}]}), "points other than 0"),
        (json.dumps({"id": "q", "rubrics": [{"criterion": "x", "points": True}]}), "points other than 0"),
        (json.dumps({"id": "q", "rubrics": [{"criterion": "x", "points": -1}]}), "no criterion with positive points"),
        (f"{json.dumps(published)}\n{json.dumps(published)}", "r.jsonl:2: found the criteria of x again"),
    ):
        file.write_text(bad)
        with pytest.raises(ValueError, match="r.jsonl:") as error:
            read_rubrics(file)
        assert message in str(error.value)
