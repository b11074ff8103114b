"""The log-probability of options equals a whole forward pass of each text by itself."""

from __future__ import annotations

import pytest
import torch

from tests.eval.choice.questions import own_rows, question
from tests.line import write_rows
from zj.data.template import encode_prompt
from zj.eval.choice.answers import Examination
from zj.eval.choice.likelihood import Request, option_request, score, split
from zj.eval.choice.measure import accuracy, letter_bias, softmax, total_bias
from zj.eval.choice.prompt import Shots, chat_prompt, raw_text
from zj.eval.choice.read import read_questions
from zj.eval.choice.report import tables
from zj.llm.answers import load_chat_model
from zj.model import Packed


@pytest.fixture
def loaded(line):
    return load_chat_model(str(line.sft), "--model", torch.float64, torch.device("cpu"))


@pytest.fixture
def questions(tmp_path):
    return read_questions(write_rows(tmp_path / "own.jsonl", own_rows(4)))[0]


@torch.no_grad()
def whole_pass(loaded, prefix, continuation):
    """(log p(continuation | prefix), is it greedy), from all logits of the text alone."""
    model, ids = loaded.model, [*prefix, *continuation]
    logits = model.logits(model(Packed.of([ids]), loaded.adapter)).double()[len(prefix) - 1 : -1]
    picked = logits.log_softmax(-1).gather(1, torch.tensor(continuation)[:, None]).sum().item()
    return picked, logits.argmax(-1).tolist() == list(continuation)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "chat"])
@pytest.mark.parametrize("cloze", [False, True], ids=["letter", "text"])
def test_scores_equal_a_whole_forward_pass(loaded, questions, raw, cloze):
    requests = [option_request(q, questions[:2], loaded, raw, cloze) for q in questions]
    requests.append(Request([1, 5], [[9], [9, 4, 7], [30, 31]]))
    found = score(loaded, requests, tokens_per_pack=300)  # several packs
    for request, scores in zip(requests, found, strict=True):
        for continuation, one in zip(request.continuations, scores, strict=True):
            logprob, greedy = whole_pass(loaded, request.prefix, continuation)
            assert one.logprob == pytest.approx(logprob, abs=1e-10) and one.greedy is greedy
    shifted = [Request([*r.prefix, r.prefix[-1]], r.continuations) for r in requests]  # control: a token too many
    assert abs(score(loaded, shifted, 300)[0][0].logprob - found[0][0].logprob) > 1e-3


def test_prompts_hold_the_ids_that_the_model_was_trained_on(loaded):
    """Raw: BOS and the text. Chat: those of the template, then the answer as a text of its own."""
    asked, tokenizer = question(), loaded.tokenizer
    request = option_request(asked, [], loaded, raw=True)
    for letter, ids in zip("ABCD", request.continuations, strict=True):
        assert [*request.prefix, *ids] == [tokenizer.bos_id, *tokenizer.encode(raw_text(asked) + letter)]
    request = option_request(asked, [], loaded, raw=False)
    prompt = encode_prompt(chat_prompt(asked), tokenizer, loaded.template)
    for letter, ids in zip("ABCD", request.continuations, strict=True):
        assert [*request.prefix, *ids] == [*prompt, *tokenizer.encode("答案：" + letter)]


class Joining:
    """Has a token for every character, and one for "：A"."""

    def encode(self, text):
        parts = [part for piece in text.split("：A") for part in (*piece, "：A")][:-1]
        return [1000 if part == "：A" else ord(part) for part in parts]


def test_a_tokenizer_that_joins_mark_and_letter_is_split_before_both():
    found = split(Joining(), [7], "答案：", ["A", "B", "AB"])
    assert found.prefix == [7, ord("答"), ord("案")]
    assert found.continuations == [[1000], [ord("："), ord("B")], [1000, ord("B")]]
    apart = split(Joining(), [7], "答案：", ["B", "C"])  # control
    assert apart.prefix == [7, *map(ord, "答案：")] and apart.continuations == [[ord("B")], [ord("C")]]
    with pytest.raises(ValueError, match="continuation without tokens"):
        split(Joining(), [7], "答案：", ["B", ""])


def exam(questions, shuffles=0, raw=True):
    return Examination(Shots([], questions, 0, 0), shuffles, 0, raw)


def test_a_text_is_scored_by_its_characters_and_the_order_has_no_part_in_it(loaded, questions):
    (found,) = exam(questions, shuffles=3).by_likelihood(questions[1:2], loaded, 4096, cloze=True)
    request = option_request(questions[1], [], loaded, raw=True, cloze=True)
    texts = list(questions[1].options.values())
    means = [
        whole_pass(loaded, request.prefix, ids)[0] / len(text)
        for ids, text in zip(request.continuations, texts, strict=True)
    ]
    assert found.orders == [(0, 1, 2, 3)] and found.scores[0] == pytest.approx(means, abs=1e-10)
    assert found.picks == [{means.index(max(means))}]


def test_scores_are_of_the_options_as_published_in_every_order(loaded, questions):
    (found,) = exam(questions, shuffles=4).by_likelihood(questions[1:2], loaded, 4096)
    for order, scores in zip(found.orders, found.scores, strict=True):
        request = option_request(questions[1].shown(order), [], loaded, raw=True)
        shown = [whole_pass(loaded, request.prefix, ids)[0] for ids in request.continuations]
        assert [scores[index] for index in order] == pytest.approx(shown, abs=1e-10)
    means = [sum(softmax(s)[n] for s in found.scores) for n in range(4)]
    assert found.averaged == {means.index(max(means))}


def test_a_model_that_prefers_a_letter_is_shown_by_the_report(loaded, questions):
    """The first hidden number is large everywhere, so its weight is a token's bias."""
    one = [q for q in questions if not q.several]
    (letter,) = loaded.tokenizer.encode("答案：C")[len(loaded.tokenizer.encode("答案：")) :]
    before = letter_bias(exam(one, 5).by_likelihood(one, loaded, 4096))
    with torch.no_grad():
        loaded.model.lm_head.weight[letter, 0] += 50.0
    readings = exam(one, 5).by_likelihood(one, loaded, 4096)
    bias = letter_bias(readings)
    assert bias["C"]["chosen"] == 1 > before.get("C", {"chosen": 0})["chosen"] and total_bias(bias) > 0.6
    assert accuracy(readings).consistent < 0.2 and "100.0% (" in dict(tables({"letter": readings}, 0)[1].rows)["C"]


def test_examples_are_left_out_where_they_do_not_fit_and_what_never_fits_is_wrong(loaded, questions):
    long = question("很" * 3000, "A")
    pool = [question("例" * 300 + str(n), "A") for n in range(4)]
    examined = Examination(Shots(pool, [*questions[1:3], long], 4, 0), 0, 0, True)
    found = examined.by_likelihood([*questions[1:3], long], loaded, 4096)
    assert [reading.too_long for reading in found] == [False, False, True] and found[2].picks == [None]
    counts = {what.partition(": ")[2][:20]: n for what, n in examined.counts.items() if n}
    assert counts == {"prompts with fewer e": 2, "prompts that do not ": 1}
    assert accuracy(found).too_long == 1 and accuracy(found).unparsed == 1 / 3
