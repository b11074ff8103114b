"""What a judge of known faults says comes out as what it is: its bias, its noise, its taste for length, its silence."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.eval.judges.referee import PROMPT, Referee, answer, rows
from zj.eval.judges.compare import Match, compare, transcripts
from zj.eval.judges.controls import CORRUPTIONS, assess, control_matches
from zj.eval.judges.decisions import by_group, figures
from zj.llm import ChatReply, ChatRequest

FAST = {"resamples": 500}


def matches(pairs, questions=1):
    """pairs of texts → matches of a against b, `questions` of a dialogue."""
    first, second = zip(*pairs, strict=True)
    both = zip(rows(first, "a", questions), rows(second, "b", questions), strict=True)
    return [Match(a, b, "overall") for a, b in both]


def judged(referee, given):
    made = compare(given, PROMPT, ChatRequest((), max_tokens=64), referee.ask)
    return made, [one.decision for one in made]


def qualities(number, seed=0):
    """Pairs of different qualities: a is the better one of 60 %."""
    rng = random.Random(seed)
    pairs = [(answer(5), answer(3)) if rng.random() < 0.6 else (answer(2), answer(4)) for _ in range(number)]
    return pairs, sum(a > b for a, b in pairs) / number


def inside(interval, value):
    return interval["low"] <= value <= interval["high"]


def test_both_orders_are_asked_and_only_both_give_a_win():
    referee = Referee()
    made, _ = judged(referee, matches([(answer(5), answer(3)), (answer(1), answer(3)), (answer(2), answer(2, 50))]))
    assert [one.outcome for one in made] == [1, -1, 0] and made[0].signs == (1, -1)
    texts = [PROMPT.template("overall").read(request.messages[0][1]) for request in referee.requests]
    assert (texts[0]["answer1"], texts[0]["answer2"]) == (texts[1]["answer2"], texts[1]["answer1"])
    one_sided, _ = judged(Referee(seat=1.0), matches([(answer(5), answer(3))] * 3))
    assert {one.outcome for one in one_sided} == {0} and one_sided[0].signs == (1, 1)


@pytest.mark.parametrize(("seat", "noise"), [(0.3, 0.15), (0.0, 0.2), (0.5, 0.0)])
def test_seat_bias_and_noise_of_the_judge_are_recovered(seat, noise):
    pairs, better = qualities(1000)
    found = figures(judged(Referee(seat=seat, noise=noise), matches(pairs))[1], length_control=False, **FAST)
    assert inside(found["seat_bias"], seat) and found["seat_bias"]["mean"] == pytest.approx(seat, abs=0.04)
    assert found["noise"]["mean"] == pytest.approx(noise, abs=0.04)
    first_right = seat + (1 - seat) * (1 - noise)  # the better one stands first, and is said to win
    second_right = (1 - seat) * (1 - noise)
    right, wrong = first_right * second_right, (1 - first_right) * (1 - second_right)
    expected = better * right + (1 - better) * wrong
    assert found["win"]["mean"] == pytest.approx(expected, abs=0.04)
    assert found["first_seat"]["mean"] == pytest.approx((1 + seat) / 2, abs=0.03)
    assert found["consistent"]["mean"] == pytest.approx(right + wrong, abs=0.04)


def test_a_fair_judge_shows_no_bias_and_one_for_the_second_seat_the_other_sign():
    pairs, better = qualities(400)
    _, fair = judged(Referee(), matches(pairs))
    found = figures(fair, length_control=False, **FAST)
    assert found["win"]["mean"] == better and found["consistent"]["mean"] == 1 and found["noise"]["mean"] == 0
    assert inside(found["seat_bias"], 0) and found["orders"][0] == found["orders"][1]
    turned = [replace(one, signs=tuple(-1 if s == 1 and n % 3 else s for s in one.signs)) for n, one in enumerate(fair)]
    assert figures(turned, length_control=False, **FAST)["seat_bias"]["high"] < -0.2


def test_a_reply_that_cannot_be_parsed_is_no_loss_and_no_tie():
    pairs = [(answer(2), answer(4))] * 50 + [(answer(5), answer(3))] * 50
    _, decisions = judged(Referee(silent=0.3), matches(pairs))
    found = figures(decisions, length_control=False, **FAST)
    assert 0.35 < found["unparsed"] / 100 < 0.65  # 1 - 0.7²
    assert found["wins"] + found["losses"] == 100 - found["unparsed"] and found["ties"] == 0
    assert inside(found["win"], 0.5)
    for order in found["orders"]:
        assert sum(order.values()) == 100 and 15 < order["unparsed"] < 45
    _, nothing = judged(Referee(silent=1.0), matches(pairs))
    found = figures(nothing, **FAST)
    assert (found["unparsed"], found["losses"], found["ties"]) == (100, 0, 0)
    assert found["score"] is found["win"] is found["consistent"] is found["length_controlled"] is None
    assert found["sign_test"]["p"] == 1


def test_a_taste_for_length_is_seen_and_taken_out():
    """a is no better than b, and longer in 75 %; the judge follows length half of the time."""
    rng, pairs = random.Random(1), []
    for _ in range(600):
        better, longer = rng.random() < 0.5, rng.random() < 0.75
        pairs.append((answer(4 if better else 2, 80 if longer else 40), answer(3, 60)))
    found = figures(judged(Referee(longer=0.5), matches(pairs))[1], **FAST)
    assert found["score"]["low"] > 0.55 and inside(found["length_controlled"], 0.5)
    assert found["longer_wins"]["low"] > 0.6 and found["characters"][0] > found["characters"][1] == 60
    fair = figures(judged(Referee(), matches(pairs))[1], **FAST)  # control: a judge without that taste
    assert inside(fair["score"], 0.5) and inside(fair["length_controlled"], 0.5) and inside(fair["longer_wins"], 0.5)


def test_questions_of_one_dialogue_are_one_cluster():
    """Ten times the same question tells nothing more: the interval is that of the dialogues, and so is the test."""
    pairs = [(answer(5), answer(3))] * 26 + [(answer(2), answer(4))] * 14
    once = figures(judged(Referee(), matches(pairs))[1], length_control=False)
    repeated = matches([pair for pair in pairs for _ in range(10)], questions=10)
    tenfold = figures(judged(Referee(), repeated)[1], length_control=False)
    assert tenfold["score"] == pytest.approx(once["score"]) and tenfold["sign_test"] == once["sign_test"]
    apart = figures(judged(Referee(), matches([pair for pair in pairs for _ in range(10)]))[1], length_control=False)
    assert apart["sign_test"]["p"] < once["sign_test"]["p"] / 20  # the negative control
    assert apart["score"]["high"] - apart["score"]["low"] < 0.5 * (once["score"]["high"] - once["score"]["low"])


def test_groups_have_figures_of_their_own():
    _, decisions = judged(Referee(), matches([(answer(5), answer(3)), (answer(1), answer(3))] * 20))
    groups = by_group(decisions)
    assert {name: found["win"]["mean"] for name, found in groups.items()} == {"内科": 1, "皮肤科": 0}
    assert groups["内科"]["win"]["low"] == pytest.approx(0.025 ** (1 / 20))  # all of 20 dialogues: exact, no point
    assert by_group([replace(one, department="内科") for one in decisions]) == {}


# ---- controls


def controls_of(referee, number=45):
    rng = random.Random(2)
    texts = [f"{answer(rng.randrange(3, 9))}。关于第{n}题。请休息。".ljust(60, "好") for n in range(number)]
    given = control_matches(rows(texts), "overall", number, seed=0)
    return given, assess(judged(referee, given)[0], seed=0)


def test_controls_pass_for_a_judge_that_reads_even_with_noise():
    for referee in (Referee(), Referee(noise=0.2), Referee(seat=0.4, noise=0.1)):
        given, found = controls_of(referee)
        assert found["same"]["passed"] and found["same"]["score"]["mean"] == pytest.approx(0.5, abs=0.15)
        assert found["by_kind"]["cut"]["win"]["mean"] > found["by_kind"]["cut"]["loss"]["mean"]
    _, found = controls_of(Referee())
    assert found["passed"] and found["same"]["tie"]["mean"] == 1 and found["corrupted"]["score"]["low"] > 0.6
    assert {one.control for one in given} == {"same", *CORRUPTIONS}
    for one in given:
        assert (one.first.answer == one.second.answer) == (one.control == "same") and one.first.id == one.second.id


def test_controls_fail_for_a_judge_that_does_not_read():
    for referee in (Referee(blind=True), Referee(seat=1.0), Referee(silent=1.0)):
        _, found = controls_of(referee)
        assert not found["corrupted"]["passed"] and not found["passed"]
    _, found = controls_of(Referee(longer=1.0, blind=True))  # sees what is cut, and nothing else
    assert found["corrupted"]["passed"] and found["by_kind"]["cut"]["win"]["mean"] == 1
    assert not found["by_kind"]["other question"]["passed"] and not found["passed"]
    assert not controls_of(Referee(silent=1.0))[1]["same"]["passed"]  # without a verdict nothing has passed


def test_a_judge_that_tells_equal_texts_apart_fails_against_itself():
    class Cheat(Referee):
        def reply(self, request):
            return "Lose" if request.sample else "Win"

    _, found = controls_of(Cheat())
    assert not found["same"]["passed"] and found["same"]["win"]["mean"] == 1


def test_equal_answers_are_two_requests():
    referee = Referee()
    judged(referee, matches([(answer(5), answer(5))]))
    assert [request.sample for request in referee.requests] == [0, 1]


def test_answers_that_cannot_be_made_worse_are_left_out():
    given = control_matches(rows(["好", "好", ""]), "overall", 9, seed=0)
    assert [one.control for one in given] == ["same", "same"]


def test_transcripts_hold_every_word():
    made, _ = judged(Referee(), matches([(answer(5), answer(3))]))
    (line,) = transcripts(made)
    assert made[0].requests[1].messages[0][1].splitlines()[0] in line and '"outcome": 1' in line and '"Lose"' in line


def test_ratings_become_means_and_their_ratio():
    from zj.eval.judges.pairwise import mean_ratings
    from zj.eval.judges.prompt import read_prompts

    prompt = read_prompts()["huatuogpt"]
    replies = ["Rating A: 8; Rating B: 4", "Rating A: 6; Rating B: 8", "so so", "Rating A: 1; Rating B: 1"]
    given = matches([(answer(5), answer(3)), (answer(5), answer(3))])
    made = compare(given, prompt, ChatRequest(()), lambda requests: [ChatReply(t, "stop", 0, 0) for t in replies])
    assert [one.outcome for one in made] == [1, None]
    assert mean_ratings(made) == {"first": 8, "second": 5, "ratio": 5 / 8}
    assert mean_ratings(made[1:]) is None
