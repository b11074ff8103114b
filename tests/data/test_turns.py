"""Which turn of a dialogue is asked, and which turns ask nothing."""

from __future__ import annotations

import pytest

from zj.data.batching import question
from zj.data.records import Prompt
from zj.data.turns import asks_nothing, choose_turns

DIALOGUE = Prompt("d", "好的，谢谢医生！", (("我头痛。", "多久了？"), ("三天，怎么办？", "请休息。")), "你是医生。")
SINGLE = Prompt("s", "谢谢")


def test_the_last_turn_is_the_prompt_as_it_is():
    assert choose_turns([DIALOGUE, SINGLE], "last") == [DIALOGUE, SINGLE]


def test_each_turn_has_those_before_it_as_history_and_first_is_the_first_of_them():
    each = choose_turns([DIALOGUE], "each")
    assert [prompt.user for prompt in each] == ["我头痛。", "三天，怎么办？", "好的，谢谢医生！"]
    assert [prompt.history for prompt in each] == [(), DIALOGUE.history[:1], DIALOGUE.history]
    assert len({prompt.id for prompt in each}) == 3 and {prompt.system for prompt in each} == {"你是医生。"}
    assert choose_turns([DIALOGUE, SINGLE], "first") == [each[0], *choose_turns([SINGLE], "each")]


def test_all_turns_of_a_dialogue_are_on_one_side_of_a_split():
    assert {question(prompt) for prompt in choose_turns([DIALOGUE], "each")} == {question(DIALOGUE)}


@pytest.mark.parametrize(
    "text",
    [
        "好的，谢谢医生！",
        "明白了。",
        "非常感谢您的建议，我会注意的。",
        "没有了，谢谢。",
        "好的，我会去医院检查的。",
        "Thank you!",
        "OK",
    ],
)
def test_thanks_ask_nothing(text):
    assert asks_nothing(Prompt("x", text, DIALOGUE.history))
    assert not asks_nothing(Prompt("x", text))  # the first message of a dialogue is answered, whatever it says


@pytest.mark.parametrize(
    "text",
    [
        *(
            "谢谢医生！那需要做手术吗？",
            "好的，请告诉我具体的建议。",
            "谢谢，我还想了解一下费用。",
            "头还是痛",
            "三天了",
        ),
        *("嗯，我没有发热和咳嗽。", "谢谢，饮食方面如何注意", "Thank you. How long does it take?", "好的药有哪些"),
    ],
)
def test_a_request_or_an_account_asks_something(text):
    assert not asks_nothing(Prompt("x", text, DIALOGUE.history))
