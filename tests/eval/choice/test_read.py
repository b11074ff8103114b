"""Files of the published suites as they are published, in miniature."""

from __future__ import annotations

import json

import pytest

from tests.eval.choice.questions import own_rows
from tests.line import write_rows
from zj.eval.choice.read import read_questions

CMB = [
    {
        "exam_type": "医师考试",
        "exam_class": "执业医师",
        "exam_subject": "内科",
        "question": "体温多少是发热？",
        "answer": "B",
        "question_type": "单项选择题",
        "option": {"A": "36℃", "B": "38℃", "C": "35℃", "D": "34℃", "E": ""},
    },
    {
        "exam_type": "护理考试",
        "exam_class": "护士",
        "exam_subject": "护士",
        "question": "发热时应该",
        "answer": "AC",
        "question_type": "多项选择题",
        "option": {"A": "多喝水", "B": "熬夜", "C": "休息"},
    },
]
CMEXAM = """Question,Options,Answer,Explanation,Clinical Department,Medical Discipline
体温多少是发热,"A 36℃
B 38℃
C 35℃",B,正常体温在37℃左右,内科,诊断学
发热时应该,"A 多喝水
B 熬夜
C 休息",AC,,内科,护理学
没有答案的题,"A 一
B 二",,,,
"""
CEVAL = "id,question,A,B,C,D,answer,explanation\n0,体温多少是发热,36℃,38℃,35℃,34℃,B,\n1,正常体温,36.5℃,39℃,40℃,41℃,A,\n"
CMMLU = ",Question,A,B,C,D,Answer\n0,体温多少是发热,36℃,38℃,35℃,34℃,B\n1,正常体温,36.5℃,39℃,40℃,41℃,A\n"
MEDQA = [
    {
        "question": "Which temperature is a fever?",
        "answer": "38 C",
        "options": {"A": "36 C", "B": "38 C", "C": "35 C", "D": "34 C", "E": "33 C"},
        "meta_info": "step1",
        "answer_idx": "B",
    },
    {
        "question": "血型鉴定中缺少抗A和抗B的是",
        "answer": "AB型",
        "options": {"A": "O型", "B": "AB型", "C": "A型", "D": "B型"},
        "meta_info": "卫生法规",
        "answer_idx": "B",
    },
]


def read(tmp_path, name, text, **more):
    file = tmp_path / name
    file.write_text(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False), encoding="utf-8")
    return read_questions(file, **more)


def facts(questions):
    return [(q.suite, q.subject, "".join(sorted(q.right)), q.several, q.letters) for q in questions]


def test_each_suite_is_read_as_published(tmp_path):
    found, _ = read(tmp_path, "CMB-val.json", CMB)
    assert facts(found) == [("CMB", "执业医师", "B", False, "ABCD"), ("CMB", "护士", "AC", True, "ABC")]
    assert found[1].options == {"A": "多喝水", "B": "熬夜", "C": "休息"} and found[0].text == "体温多少是发热？"
    found, report = read(tmp_path, "test.csv", CMEXAM)
    assert facts(found)[:2] == [("CMExam", "诊断学", "B", False, "ABC"), ("CMExam", "护理学", "AC", True, "ABC")]
    assert report.unanswered == 1 and not found[2].right and found[1].options["C"] == "休息"
    assert [q.where.rpartition(":")[2] for q in found] == ["2", "5", "8"]
    found, _ = read(tmp_path, "physician_val.csv", CEVAL)
    assert facts(found) == [("C-Eval", "physician", "B", False, "ABCD"), ("C-Eval", "physician", "A", False, "ABCD")]
    found, _ = read(tmp_path, "anatomy.csv", CMMLU)
    assert facts(found) == [("CMMLU", "anatomy", "B", False, "ABCD"), ("CMMLU", "anatomy", "A", False, "ABCD")]
    found, _ = read_questions(write_rows(tmp_path / "test.jsonl", MEDQA))
    assert facts(found) == [("MedQA", "step1", "B", False, "ABCDE"), ("MedQA", "卫生法规", "B", False, "ABCD")]
    found, report = read_questions(write_rows(tmp_path / "own.jsonl", own_rows(5)))
    assert found[0].right == {"A", "C"} and found[0].several and found[1].subject == "外科" and found[1].id == "q1"
    assert str(report) == "5 questions of own"


def test_ones_own_options_may_be_a_list_and_a_letter_is_a_letter_where_it_is_a_text_too(tmp_path):
    blood = {"question": "万能受血者的血型是", "options": ["O", "AB", "A", "B"], "answer": "B"}
    found, _ = read_questions(write_rows(tmp_path / "own.jsonl", [blood, blood | {"answer": ["A", "C"]}]))
    assert [q.right for q in found] == [{"B"}, {"A", "C"}] and found[0].options["B"] == "AB"
    text = {"question": "发热？", "options": ["36℃", "38℃"], "answer": "38℃"}
    assert read_questions(write_rows(tmp_path / "own.jsonl", [text]))[0][0].right == {"B"}


def test_rows_on_one_line_are_told_apart(tmp_path):
    found, _ = read(
        tmp_path, "own.json", [{"question": f"问{n}", "options": ["甲", "乙"], "answer": "A"} for n in (1, 2)]
    )
    assert found[0].where != found[1].where and found[1].where.endswith(":1 (row 2)")


@pytest.mark.parametrize("null", [None, "", "NULL", "nan"])
def test_a_question_without_an_answer_is_counted_and_never_scored(tmp_path, null):
    rows = [*own_rows(3), own_rows(4)[3] | {"answer": null}]
    found, report = read_questions(write_rows(tmp_path / "own.jsonl", rows))
    assert report.unanswered == 1 and [bool(q.right) for q in found] == [True] * 3 + [False]
    with pytest.raises(ValueError, match="found no question with an answer .*1 have no answer"):
        read_questions(write_rows(tmp_path / "own.jsonl", rows[3:]))


def test_a_test_sets_answers_may_be_in_a_file_of_their_own(tmp_path):
    asked = [{key: value for key, value in row.items() if key != "answer"} | {"id": n} for n, row in enumerate(CMB)]
    key = tmp_path / "answers.json"
    key.write_text(json.dumps([{"id": 0, "answer": "B"}, {"id": 1, "answer": "AC"}]))
    found, report = read(tmp_path, "questions.json", asked, answers=key)
    assert [q.right for q in found] == [{"B"}, {"A", "C"}] and not report.unanswered
    key.write_text(json.dumps([{"id": 0, "answer": "B"}, {"id": 7, "answer": "A"}]))
    with pytest.raises(ValueError, match="--answers: found an answer to question 7, which --data does not have"):
        read(tmp_path, "questions.json", asked, answers=key)


BAD = {
    "no options": ({"question": "发热？", "answer": "A"}, "found the fields question, answer, expected .* CMB"),
    "no question": ({"text": "发热", "options": ["一", "二"]}, "found the fields text, options, expected"),
    "an answer beyond the options": (own_rows(1)[0] | {"answer": "E"}, 'found answer "E", expected letters of'),
    "a letter twice": (own_rows(1)[0] | {"answer": "AA"}, "expected each letter once"),
    "letter and text that differ": (MEDQA[0] | {"answer_idx": "A"}, "that agree"),
    "no object": ([1], r"found \[1\], expected CMB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_by_file_and_line_or_skipped(tmp_path, name):
    row, message = BAD[name]
    file = write_rows(tmp_path / "own.jsonl", [*own_rows(2), row])
    with pytest.raises(ValueError, match=f"own.jsonl:3: .*{message}") as caught:
        read_questions(file)
    assert "\n" not in str(caught.value)
    found, report = read_questions(file, on_bad_row="skip")
    assert len(found) == 2 and len(report.skipped) == 1 and "own.jsonl:3" in str(report)
