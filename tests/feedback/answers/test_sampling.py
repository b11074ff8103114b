"""Which prompts are asked, which model answers how often, and what of the answers is shown."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import pytest

from zj.data.batching import is_validation, question
from zj.data.held_out import hash_position
from zj.data.records import Prompt
from zj.feedback.answers.sampling import (
    ATTEMPTS,
    PromptToAnswer,
    candidates_of,
    choose,
    draw,
    items_of,
    shares,
    turns_to_answer,
)
from zj.llm.answers import seed_of

DIALOGUE = {
    "id": "d",
    "cate1": "内科",
    "history": [["头痛。", "多久了？"], ["三天，怎么办？", "请休息。"]],
    "instruction": "好的，谢谢医生！",
    "output": "不客气。",
}


def asked(source, *texts):
    return [PromptToAnswer(Prompt(f"{source}{n}", text), source) for n, text in enumerate(texts)]


def numbered(source, number):
    return asked(source, *(f"{source}第{n}题？" for n in range(number)))


# ---- prompts


def test_a_dialogue_is_cut_into_its_turns_each_with_its_own_answer(tmp_path):
    file = tmp_path / "d.json"
    file.write_text(json.dumps([DIALOGUE]), encoding="utf-8")
    each, report = turns_to_answer(file, "training", "each", with_reference=True)
    assert [(one.prompt.user, one.reference) for one in each] == [
        ("头痛。", "多久了？"),
        ("三天，怎么办？", "请休息。"),
        ("好的，谢谢医生！", "不客气。"),
    ]
    assert {one.prompt.department for one in each} == {"内科"} and report.records == 1
    for turn, number in (("first", 0), ("last", 2)):
        (one,), _ = turns_to_answer(file, "training", turn, with_reference=True)
        assert (one.prompt.user, one.reference) == (each[number].prompt.user, each[number].reference)
    without, _ = turns_to_answer(file, "training", "each", with_reference=False)
    assert [one.prompt for one in without] == [one.prompt for one in each] and not any(one.reference for one in without)
    file.write_text(json.dumps([{"prompt": "头痛。"}]), encoding="utf-8")
    assert len(turns_to_answer(file, "training", "each", with_reference=False)[0]) == 1
    with pytest.raises(ValueError, match="expected a dialogue"):
        turns_to_answer(file, "training", "each", with_reference=True)


@pytest.mark.parametrize("number, training, outside", [(6, 3, 3), (7, 4, 3), (1, 1, 0), (0, 9, 8)])
def test_half_of_the_prompts_are_from_each_source_and_an_odd_one_is_of_training(number, training, outside):
    choice = choose(numbered("training", 9), numbered("outside", 8), number, False)
    assert (choice.count("training"), choice.count("outside")) == (training, outside)


def test_of_one_source_alone_all_prompts_are():
    for sides in ((numbered("x", 9), []), ([], numbered("x", 9))):
        assert [len(choose(*sides, number, False).to_answer) for number in (5, 0)] == [5, 9]


def test_fewer_prompts_are_the_first_of_more_in_an_order_that_no_file_decides():
    training, outside = numbered("training", 9), numbered("outside", 9)
    ids = [one.prompt.id for one in choose(training, outside, 18, False).to_answer]
    assert ids == [one.prompt.id for one in choose(training[::-1], outside[::-1], 18, False).to_answer]
    some = {one.prompt.id for one in choose(training, outside, 10, False).to_answer}
    for source in ("training", "outside"):
        of_source = [id for id in ids if id.startswith(source)]
        assert [id in some for id in of_source] == [True] * 5 + [False] * 4
        assert of_source != sorted(of_source)  # control: it is not the order of the file


def test_the_first_tenth_of_the_prompts_is_not_what_training_holds_out():
    every = numbered("training", 400)
    held_out = [is_validation(question(one.prompt), 0.1) for one in choose(every, [], 40, False).to_answer]
    assert 0 < sum(held_out) < 15, "about 4 of 40"
    by_split = sorted(every, key=lambda one: hash_position(question(one.prompt)))  # control: the order of the split
    assert sum(is_validation(question(one.prompt), 0.1) for one in by_split[:40]) > 25


def test_the_turns_of_a_dialogue_follow_each_other():
    turns = [PromptToAnswer(Prompt(f"d/{n}", f"第{n}问？", (("头痛。", "嗯。"),) * n), "training") for n in (2, 0, 1)]
    turns[1] = PromptToAnswer(Prompt("d/0", "头痛。"), "training")
    found = choose([*turns, *numbered("x", 5)], [], 0, False).to_answer
    places = [n for n, one in enumerate(found) if one.prompt.id.startswith("d")]
    assert [found[n].prompt.id for n in places] == ["d/0", "d/1", "d/2"] and places == [
        *range(places[0], places[0] + 3)
    ]


def test_what_is_asked_in_both_is_not_outside_and_repeats_are_asked_once():
    choice = choose(asked("training", "头痛？", "头痛 ?", "咳嗽？"), asked("outside", "头痛", "失眠？"), 0, False)
    assert {one.prompt.user for one in choice.to_answer} == {"头痛？", "咳嗽？", "失眠？"}
    assert (choice.in_both, choice.repeats, choice.count("outside")) == (1, 1, 1)
    other = choose(asked("training", "咳嗽？"), asked("outside", "头痛", "失眠？"), 0, False)  # control
    assert (other.in_both, other.repeats, other.count("outside")) == (0, 0, 2)


def test_turns_that_ask_nothing_are_counted_and_left_out_unless_they_are_kept():
    idle = PromptToAnswer(Prompt("i", "好的，谢谢！", (("头痛。", "请休息。"),)), "training")
    for kept, number in ((False, 2), (True, 3)):
        choice = choose([*numbered("training", 2), idle], [], 0, kept)
        assert (len(choice.to_answer), choice.idle) == (number, 1)


@pytest.mark.parametrize(
    "training, outside, number, message",
    [
        (3, 9, 8, "--prompts 8, half from each of --data and --outside: --data has 3, expected 4"),
        (9, 3, 9, "--outside has 3, expected 4"),
        (3, 0, 4, r"--prompts 4: --data has 3, expected 4 \(0: all prompts\)"),
        (0, 3, 4, "--prompts 4: --outside has 3, expected 4"),
    ],
)
def test_too_few_prompts_name_the_flag_and_the_number(training, outside, number, message):
    with pytest.raises(ValueError, match=message):
        choose(numbered("training", training), numbered("outside", outside), number, False)
    choose(numbered("training", training), numbered("outside", outside), 0, False)  # control


def test_a_file_of_thanks_alone_has_no_prompt():
    idle = PromptToAnswer(Prompt("i", "谢谢！", (("头痛。", "请休息。"),)), "outside")
    with pytest.raises(ValueError, match="--outside: found no prompt to ask"):
        choose([], [idle], 0, False)


def test_no_two_items_have_one_id():
    both = [PromptToAnswer(Prompt(id, f"{n}？"), "training") for n, id in enumerate(("1", "1", "1", "1-2", "2"))]
    ids = sorted(one.prompt.id for one in choose(both, [], 0, False).to_answer)
    assert len(set(ids)) == 5 and {"1", "1-2", "2"} < set(ids)


# ---- answers


@pytest.mark.parametrize("models, answers", [(1, 4), (2, 4), (3, 4), (4, 3), (3, 8), (5, 2)])
def test_answers_are_shared_out_evenly_and_the_rest_by_turns(models, answers):
    given = [shares(models, answers, n) for n in range(7 * models)]
    assert all(sum(row) == answers and max(row) - min(row) <= 1 for row in given)
    assert {sum(column) for column in zip(*given, strict=True)} == {7 * answers}
    always_first = [[answers // models + (m < answers % models) for m in range(models)]] * len(given)  # control
    assert len({sum(column) for column in zip(*always_first, strict=True)}) == 1 + (answers % models > 0)


def sampler(texts):
    """Gives the texts of each prompt one after the other; None is an answer that is cut off."""
    left, calls = [list(of_one) for of_one in texts], []

    def sample(numbers, attempt):
        calls.append((tuple(numbers), attempt))
        found = [left[n].pop(0) for n in numbers]
        return [SimpleNamespace(text="断" if text is None else text, finished=text is not None) for text in found]

    return sample, calls


def test_equal_cut_off_and_empty_answers_are_sampled_again():
    sample, calls = sampler([["甲", "甲", "乙"], [None, "", "丙", "丁"], ["参考", "戊"]])
    drawn = draw([2, 2, 1], [set(), set(), {"参考"}], sample)
    assert [one.texts for one in drawn] == [["甲", "乙"], ["丙", "丁"], ["戊"]]
    assert [(one.equal, one.cut, one.empty) for one in drawn] == [(1, 0, 0), (0, 1, 1), (1, 0, 0)]
    assert calls == [((0, 0, 1, 1, 2), 0), ((0, 1, 1, 2), 1)]


def test_what_cannot_be_shown_stays_away_after_some_attempts():
    sample, calls = sampler([["甲"] + ["甲"] * 9, [None] * 9])
    drawn = draw([2, 1], [set(), set()], sample)
    assert [one.texts for one in drawn] == [["甲"], []] and len(calls) == ATTEMPTS
    assert (drawn[0].equal, drawn[1].cut) == (ATTEMPTS, ATTEMPTS)


ONE = PromptToAnswer(Prompt("a", "头痛？"), "outside", "休息。")


def test_a_row_has_all_answers_with_their_models_in_an_order_by_seed_and_prompt():
    item = candidates_of(ONE, ["sft", "ppo"], [["甲", "乙"], ["丙"]], 0)
    assert dict(zip(item.answers, item.models, strict=True)) == {
        "休息。": "reference",
        "甲": "sft",
        "乙": "sft",
        "丙": "ppo",
    }
    assert item.source == "outside" and item == candidates_of(ONE, ["sft", "ppo"], [["甲", "乙"], ["丙"]], 0)
    rows = [candidates_of(ONE, ["m"], [["甲", "乙", "丙"]], seed).answers for seed in range(200)]
    first = Counter(row[0] for row in rows)
    assert len(set(rows)) == 24 and all(30 < number < 70 for number in first.values())  # no place tells the model


def test_fewer_than_two_answers_are_no_row():
    assert candidates_of(ONE, ["m"], [[]], 0) is None
    assert candidates_of(PromptToAnswer(ONE.prompt, ""), ["m"], [["甲"]], 0) is None
    assert len(candidates_of(ONE, ["m"], [["甲"]], 0).answers) == 2  # control


def test_the_items_of_one_model_at_once():
    sample, _ = sampler([["甲", "乙", "丙"], [None] * 16])
    items = items_of([ONE, PromptToAnswer(Prompt("b", "咳嗽？"), "")], "sft", 4, 0, sample)
    assert [(item.id, len(item.answers)) for item in items] == [("a", 4)]


def test_models_and_attempts_have_seeds_of_their_own():
    assert len({seed_of(seed, model, attempt) for seed in range(3) for model in range(3) for attempt in range(3)}) == 27


def test_the_papers_dialogues_are_cut_into_items(shared_data):
    """801 dialogues of CMtMedQA: most of them end with thanks, which are a sixth of all turns."""
    file = shared_data / "zhongjing/CMtMedQA_dev.json"
    each, report = turns_to_answer(file, "training", "each", with_reference=True)
    last = turns_to_answer(file, "training", "last", with_reference=True)[0]
    assert (report.records, len(each), len(last)) == (801, 3313, 801)
    choice, of_last = choose(each, [], 0, False), choose(last, [], 0, False)
    assert (len(choice.to_answer), choice.repeats, choice.idle) == (2724, 7, 582) and of_last.idle == 559
    assert len({one.prompt.department for one in choice.to_answer} - {""}) == 15
    assert len({one.prompt.id for one in choice.to_answer}) == 2724 and all(one.reference for one in choice.to_answer)
    both = choose(
        each, turns_to_answer(shared_data / "zhongjing/huatuo26M_dev.json", "outside", "each", True)[0], 2001, False
    )
    assert (both.count("training"), both.count("outside"), both.in_both) == (1001, 1000, 0)
