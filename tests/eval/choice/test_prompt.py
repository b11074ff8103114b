"""Prompts, examples, orders of options and what replies mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.eval.choice.questions import own_rows, question
from tests.line import write_rows
from zj.eval.choice.grammar import parse_reply
from zj.eval.choice.prompt import Shots, chat_prompt, raw_text
from zj.eval.choice.read import read_questions

# ---- prompts and examples


def test_raw_text_is_c_evals_and_a_chat_has_its_examples_as_turns():
    shot = question("正常体温是", "AD", options={"A": "36.5℃", "B": "39℃", "D": "36.8℃"})
    assert raw_text(question(), [question("一？", "C")]) == (
        "以下是单项选择题，请选出一个正确答案。\n\n一？\nA. 36℃\nB. 38℃以上\nC. 35℃\nD. 37℃\n答案：C\n\n"
        "下列哪项是发热？\nA. 36℃\nB. 38℃以上\nC. 35℃\nD. 37℃\n答案："
    )
    prompt = chat_prompt(question(), [shot])
    assert prompt.history[0][1] == "答案：AD" and "多项选择题" in prompt.history[0][0]
    assert prompt.user.startswith("以下是单项选择题") and prompt.user.endswith("“答案：”和正确选项的字母。")
    assert raw_text(question(), cloze=True) == "下列哪项是发热？\n答案："
    english = question("Which is a fever?", options={"A": "36 C", "B": "39 C"})
    assert raw_text(english, [english]).endswith("Answer: B\n\nWhich is a fever?\nA. 36 C\nB. 39 C\nAnswer:")


def test_examples_never_ask_what_the_test_asks(tmp_path):
    test = read_questions(write_rows(tmp_path / "test.jsonl", own_rows(10)))[0]
    others = [row | {"question": "又" + row["question"]} for row in own_rows(30)]
    spaced = [
        row | {"question": row["question"].replace("患者", "患者 ，")} for row in own_rows(10)
    ]  # the same, as typed
    pool = read_questions(write_rows(tmp_path / "dev.jsonl", others + spaced))[0]
    shots = Shots(pool, test, 3, seed=1)
    assert shots.overlap == 10
    for asked in test:
        drawn = shots.of(asked)
        assert len(drawn) == 3 == len({shot.text for shot in drawn}) and {s.several for s in drawn} == {asked.several}
        assert {shot.subject for shot in drawn} == {asked.subject}
        assert not {shot.text for shot in drawn} & {q.text for q in test} and drawn == Shots(pool, test, 3, 1).of(asked)
    assert [Shots(pool, test, 3, 2).of(q) for q in test] != [shots.of(q) for q in test]
    with pytest.raises(ValueError, match=r"--shots 7: --shots-from has 6 questions with several .*10 overlap"):
        Shots(pool, test, 7, 1)


# ---- orders


def test_options_move_with_what_is_right_and_the_published_order_is_first():
    asked = question(right="BD")
    orders = asked.orders(5, seed=3)
    assert orders[0] == (0, 1, 2, 3) and len(orders) == 6 and len(set(orders)) > 2
    for order in orders:
        shown = asked.shown(order)
        assert {shown.options[letter] for letter in shown.right} == {"38℃以上", "37℃"} and shown.letters == "ABCD"
        assert asked.picked(shown.right, order) == {1, 3}
    assert asked.orders(5, seed=3) == orders != asked.orders(5, seed=4)


@pytest.mark.parametrize(
    "text", ["以上都不是", "以上均正确", "上述选项", "A和B", "B、C", "都不对", "None of the above"]
)
def test_options_that_refer_to_others_stay_where_they_are(text):
    asked = question(options={"A": "肺炎", "B": "感冒", "C": "胃炎", "D": text})
    assert asked.orders(4, seed=0) == [(0, 1, 2, 3)]
    for plain in ("38℃以上", "乙型肝炎", "a, blood test", "HBsAg, IgG"):
        assert not question(options={"A": "肺炎", "B": plain}).fixed


def test_questions_share_a_stem_if_all_but_their_last_sentence_is_the_same():
    case = "患者，男，45岁，咳嗽咳痰三天，伴发热，体温39℃。"
    first, second = question(case + "最可能的诊断是"), question(case + "首选的检查是？")
    assert first.cluster == second.cluster != question("患者，女，45岁，咳嗽咳痰三天，伴发热，体温39℃。诊断是").cluster
    assert question("一。诊断是").cluster != question("一。检查是").cluster  # control: too short for a case
    assert replace(first, group="g").cluster == question("另一题", group="g").cluster


# ---- replies

READ = {
    "答案：B": "B",
    "体温38℃以上是发热，因此选B。\n\n答案：B。": "B",
    "**答案：B**": "B",
    "答案: ＡＢ": "AB",
    "答案：A、C": "AC",
    "Answer: D": "D",
    "B": "B",
    "B.": "B",
    "A,B": "AB",
    "B. 38℃以上": "B",
    "B、38℃以上\nD、37℃": "BD",
    "先看体温。\n答案：B. 38℃以上": "B",
}
NOT_READ = [
    *(
        "",
        "维生素A缺乏可致夜盲，因此选C",
        "答案是B",
        "选B",
        "我认为答案：B",
        "答案：B\n希望对您有帮助。",
        "答案：F",
        "答案：b",
    ),
    *("答案：BB", "38℃以上", "B. 37℃", "B. 38℃以上，因为体温升高", "答案：", "答案：无", "A型血", "答案：B. 37℃"),
]


@pytest.mark.parametrize("reply", READ)
def test_a_reply_of_the_grammar_is_read(reply):
    assert parse_reply(reply, question()) == set(READ[reply])


@pytest.mark.parametrize("reply", NOT_READ)
def test_nothing_is_guessed_from_another_reply(reply):
    assert parse_reply(reply, question()) is None


def test_the_first_line_of_raw_text_is_the_answer():
    assert parse_reply("B\n\n下一题？\nA. 一\n答案：C", question(), raw=True) == {"B"}
    assert parse_reply("答案：B", question(), raw=True) is None and parse_reply("因为\nB", question(), raw=True) is None
