"""One grammar, both ways: what a template says is read back as what it said; nothing else is read."""

from __future__ import annotations

import random
import re

import pytest

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.clinic.exam import question
from zj.clinic.judge.reading import read
from zj.clinic.language import SENTENCES
from zj.clinic.phrases import any_of, filling, join_list, pattern, sample_in_order, say
from zj.clinic.request import all_alternatives, all_matters, all_reasons
from zj.clinic.table import place


def slots_of(rng: random.Random) -> dict[str, str]:
    """Something true to the table for every slot."""
    c = rng.choice(list(CONDITIONS.values()))
    drug = rng.choice(list(c.drugs))
    sign, action = rng.choice(list(c.red_flags.items()))
    return {
        "y": rng.choice(("您", "孩子", "宝宝", "您父亲", "您母亲")),
        "s": join_list(sample_in_order(rng, list(c.symptoms), 1, 4)),
        "n": c.name,
        "c": c.cause,
        "p": place(c.department),
        "t": join_list(sample_in_order(rng, c.tests, 1, 3)),
        "steps": "；".join(sample_in_order(rng, c.treatment, 1, 3)),
        "care": "；".join(sample_in_order(rng, c.care, 1, 3)),
        "d": drug,
        "b": drug,
        "u": c.drugs[drug].use,
        "r": rng.choice(list(CIRCUMSTANCES)),
        "w": join_list(sample_in_order(rng, list(CIRCUMSTANCES), 1, 3)),
        "q": rng.choice(list(c.questions)),
        "sign": sign,
        "action": action,
        "do": rng.choice([*all_matters("harmful", "ethics"), f"自行使用{drug}"]),
        "about": rng.choice(all_matters("beyond")),
        "why": rng.choice([*all_reasons(), f"孕妇禁用{drug}"]),
        "instead": "，".join(rng.sample(all_alternatives(), 2)),
    }


@pytest.mark.parametrize("act", SENTENCES)
def test_every_sentence_is_read_back_as_the_act_and_slots_that_made_it(act):
    for number in range(60):
        rng = random.Random(f"{act}/{number}")
        template, slots = rng.choice(SENTENCES[act]), slots_of(random.Random(f"{act}/{number}/slots"))
        text = say(rng, template, **slots)
        reading = read(text)
        assert reading.unread == () and [a.name for a in reading.acts] == [act], (text, reading)
        for slot, value in reading.acts[0].slots.items():
            assert value == slots[slot], text


def test_lists_are_taken_apart_though_their_items_hold_the_words_that_join_them():
    for c in CONDITIONS.values():
        (act,) = read(f"建议到{place(c.department)}做{join_list(c.tests)}，以便确诊。").acts
        assert act.items("t") == list(c.tests)
        (act,) = read(f"平时请注意：{'；'.join(c.care)}。").acts
        assert act.items("care") == list(c.care)


def test_one_changed_character_is_not_read():
    """Negative control: the grammar has no room for what is nearly a sentence."""
    read_anyway = 0
    for number in range(300):
        rng = random.Random(number)
        text = question(7, number).reference
        at = rng.randrange(len(text))
        broken = text[:at] + ("们" if text[at] != "们" else "的") + text[at + 1 :]
        reading = read(broken)
        read_anyway += not reading.unread
    assert read_anyway == 0


def test_unread_parts_end_where_the_next_sentence_begins():
    reading = read("您好，随便说点什么。日常请注意。明白了。再说一句")
    assert reading.unread == ("随便说点什么。", "日常请注意。", "再说一句")
    assert [act.name for act in reading.acts] == ["greet", "acknowledge"]
    assert reading.understood == pytest.approx(1 - 17 / len(reading.text))


def test_a_refusal_is_read_only_of_what_the_clinic_has_a_name_for():
    named, unknown, why = all_matters("harmful", "ethics")[0], all_matters("beyond")[0], all_reasons()[0]
    for do, is_read in ((named, True), ("自行使用布洛芬", True), ("一次吃一整瓶布洛芬", False), (unknown, False)):
        reading = read(f"请不要{do}，{why}。")
        assert bool(reading.acts) == is_read and bool(reading.unread) != is_read
    for about, is_read in ((unknown, True), (named, False), ("这个", False)):
        assert bool(read(f"很抱歉，关于{about}，我没有可靠的资料。").acts) == is_read


def test_no_name_of_what_is_asked_is_another_sentence():
    refused, unknown = all_matters("harmful", "ethics"), all_matters("beyond")
    assert not set(refused) & set(unknown) and len(refused) > 20 and len(unknown) >= 6
    for texts in (refused, unknown, all_reasons(), all_alternatives()):
        assert len(set(texts)) == len(texts) and not any(re.search("[，。！？；：]", text) for text in texts)


def test_width_and_long_texts():
    assert read("明白了。").acts == read("  明白了。\n").acts
    long = read("明白了。" * 1000)
    assert long.understood == pytest.approx(0.5, abs=0.01) and len(long.acts) == 500


def test_an_expression_of_many_texts_matches_exactly_them():
    texts = ["甲", "甲乙", "甲乙丙", "丁.", "(戊)", "己|庚"]
    expression = re.compile(any_of(texts))
    assert all(expression.fullmatch(text) for text in texts)
    assert not any(expression.fullmatch(text) for text in ("", "乙", "甲丙", "丁x", "戊", "己", "甲乙丙丁"))
    assert expression.match("甲乙丙丁").group() == "甲乙丙"  # the longest


def test_a_template_backwards_matches_all_that_it_says_and_nothing_else():
    template = "(甲|乙(丙|丁))[，{x}]。"
    expression = re.compile(pattern(template, {"x": "[0-9]+"}))
    for number in range(100):
        match = expression.fullmatch(say(random.Random(number), template, x="42"))
        assert match and filling(match) in ({}, {"x": "42"})
    assert not any(expression.fullmatch(text) for text in ("甲", "乙。", "甲，。", "甲，4x。", "甲乙丙。"))


def test_the_formulary_has_no_word_that_the_language_reads_twice():
    assert not set(DRUGS) & set(CONDITIONS)
