"""Endpoints lose nothing and pay for nothing twice; the cache, the meter, and local models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.llm.service import KEY, serving
from zj.data.records import Prompt
from zj.llm import ChatReply, ChatRequest, ask
from zj.llm import endpoint as endpoint_module
from zj.llm.answers import generate_answers, load_chat_model, stream_answers
from zj.llm.budget import DryRun, Metered, Prices
from zj.llm.cache import Cached, ReplyCache, key_of
from zj.llm.chat import REFUSED, estimate_tokens, most_tokens
from zj.llm.endpoint import Endpoint, reply_of, seconds_of
from zj.llm.local import LocalModel, prompt_of
from zj.llm.pace import Pace


def request(text: str, **settings) -> ChatRequest:
    return ChatRequest((("user", text),), **settings)


class Echo:
    """Replies with what it was asked, and counts that."""

    name = "echo"

    def __init__(self):
        self.asked = []

    def replies(self, requests):
        for number, one in enumerate(requests):
            self.asked.append(one)
            yield number, ChatReply(one.messages[-1][1], "stop", 10, 5)


@pytest.fixture
def service(monkeypatch):
    with serving(monkeypatch) as service:
        yield service


def endpoint(**settings) -> Endpoint:
    return Endpoint("gpt", **({"first_wait": 0.01, "timeout": 5.0} | settings))


# ---- an endpoint


FAILURES = ("500", "429", "cut", "broken", "empty")


def test_a_failing_endpoint_loses_nothing_and_is_paid_once(service, tmp_path):
    texts = [f"q{n}" for n in range(30)]
    for n, text in enumerate(texts):
        service.plans[text] = [FAILURES[(n + at) % 5] for at in range(n % 3)]
    maker = endpoint(concurrency=4)
    cache = ReplyCache(tmp_path / "replies.sqlite")
    replies = ask(Cached(maker, cache), [request(text) for text in texts])
    assert [reply.text for reply in replies] == [f"re: {text}" for text in texts]
    assert {*service.paid.values()} == {1} and len(cache) == sum(service.paid.values()) == 30
    assert sum(maker.counts.values()) == 30 and maker.counts["status 429 rate_limit_exceeded"] == 6
    assert 1 < service.most_at_work <= 4
    before = len(service.times)
    again = ask(Cached(endpoint(), cache), [request(text) for text in texts])
    assert again == replies and len(service.times) == before  # a second run asks for nothing


def test_the_wait_that_the_service_asks_for_is_obeyed_by_all(service):
    service.plans["a"], service.retry_after = ["429"], "0.4"
    ask(endpoint(concurrency=1), [request("a"), request("b")])
    first, second, third = service.times
    assert second - first >= 0.4 > third - second
    assert seconds_of("250", "9") == 0.25 and seconds_of(None, "3") == 3 and seconds_of(None, None) is None
    assert seconds_of(None, "Wed, 21 Oct 2015 07:28:00 GMT") == 0 and seconds_of(None, "soon") is None


def test_a_request_that_times_out_is_sent_again(service):
    service.plans["a"] = ["slow"]
    maker = endpoint(timeout=0.2)
    assert ask(maker, [request("a")])[0].text == "re: a"
    assert maker.counts == {"no reply in time": 1}


def test_a_model_that_knows_max_tokens_by_its_newer_name_replies(service):
    ask(endpoint(), [request("a", max_tokens=7)])
    service.newer = True
    maker = endpoint(concurrency=1)
    replies = ask(maker, [request("b", max_tokens=7), request("c", max_tokens=7)])
    assert [reply.text for reply in replies] == ["re: b", "re: c"]
    old, new = {"max_tokens": 7}, {"max_completion_tokens": 7}
    assert service.limits == [old, old, new, new]


def test_after_the_last_attempt_what_came_is_kept(service, tmp_path):
    service.plans["bad"] = ["500"] * 3
    cache = ReplyCache(tmp_path / "replies.sqlite")
    texts = ["a", "b", "bad", *"cdefghijklmnop"]
    with pytest.raises(ValueError, match="3 attempts at one request failed, the last by status 500 oops"):
        ask(Cached(endpoint(attempts=3, concurrency=2), cache), [request(text) for text in texts])
    assert len(cache) == sum(service.paid.values()) >= 2
    ask(Cached(endpoint(), cache), [request(text) for text in texts])
    assert service.paid == dict.fromkeys(texts, 1)


def test_key_and_address_are_in_no_message_and_a_wrong_key_stops(service, capsys, monkeypatch):
    service.plans["a"] = ["401"]
    with pytest.raises(ValueError) as caught:
        ask(endpoint(), [request("a")])
    assert "status 401 invalid_api_key: the key is not accepted" in str(caught.value)
    shown = str(caught.value) + capsys.readouterr().err
    assert KEY not in shown and os.environ["OPENAI_BASE_URL"] not in shown
    wrong = {"OPENAI_BASE_URL": ("secret.example/v1",), "OPENAI_API_KEY": ("sk-坏", "sk-secret\n", "")}
    for name, value in ((name, value) for name, values in wrong.items() for value in values):
        monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match=f"the endpoint: {name}") as caught:
            endpoint()
        assert "secret" not in str(caught.value) and "坏" not in str(caught.value)
        monkeypatch.setenv(name, "http://127.0.0.1" if name == "OPENAI_BASE_URL" else KEY)


def test_half_an_emoji_at_the_end_of_a_reply_is_text():
    """As a service sends it that counts UTF-16; a file would not take it, and the reply would be lost."""
    body = json.dumps({"choices": [{"message": {"content": "好\U0001f600\ud83d"}, "finish_reason": "length"}]})
    assert reply_of(body.encode(), []).text == "好\U0001f600\ufffd"


def test_a_refused_request_stops_nothing_and_is_not_kept(service, tmp_path, capsys):
    service.plans["a"] = ["400", "400"]
    cache = ReplyCache(tmp_path / "replies.sqlite")
    for plan in (2, 1, 0):  # the filter is lifted at last
        replies = ask(Cached(endpoint(), cache), [request("a"), request("b")])
        assert [reply.finish_reason for reply in replies] == [REFUSED if plan else "stop", "stop"]
    assert service.paid == {"a": 1, "b": 1}
    assert "status 400 content_filter" in capsys.readouterr().err


def test_an_interrupt_lets_what_is_paid_for_arrive(service, tmp_path, monkeypatch):
    service.seconds, waits = 0.05, iter(range(99))
    wait = endpoint_module.wait

    def interrupted(*arguments, **settings):
        if next(waits) == 2:
            raise KeyboardInterrupt
        return wait(*arguments, **settings)

    monkeypatch.setattr(endpoint_module, "wait", interrupted)
    cache = ReplyCache(tmp_path / "replies.sqlite")
    with pytest.raises(KeyboardInterrupt):
        ask(Cached(endpoint(concurrency=4), cache), [request(f"q{n}") for n in range(40)])
    assert 4 <= len(cache) == sum(service.paid.values()) < 12


CHILD = """
import sys
from pathlib import Path
from zj.llm import ChatRequest, ask
from zj.llm.cache import Cached, ReplyCache
from zj.llm.endpoint import Endpoint
cached = Cached(Endpoint("gpt", concurrency=4), ReplyCache(Path(sys.argv[1])))
ask(cached, [ChatRequest((("user", f"q{n}"),)) for n in range(40)])
"""


def test_a_killed_run_pays_again_for_no_more_than_those_in_flight(service, tmp_path):
    service.seconds = 0.03
    file, root = tmp_path / "replies.sqlite", Path(__file__).resolve().parents[3]
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(file)], cwd=root, stderr=subprocess.DEVNULL)
    while sum(service.paid.values()) < 12 and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.1)  # those in flight end
    assert 12 <= sum(service.paid.values()) < 40
    paid, cache = sum(service.paid.values()), ReplyCache(file)
    in_flight = paid - len(cache)
    assert 0 <= in_flight <= 4, "at most --concurrency replies were on their way"
    ask(Cached(endpoint(), cache), [request(f"q{n}") for n in range(40)])
    assert len(cache) == 40 and sum(service.paid.values()) == 40 + in_flight


def test_limits_a_minute_space_the_starts_and_a_pause_holds_for_all():
    now = [0.0]
    pace = Pace(requests=60, tokens=6000, clock=lambda: now[0])
    assert [pace.reserve(50), pace.reserve(200), pace.reserve(50)] == [0, 1, 3]  # 1 s a request, 200 tokens take 2 s
    pace.pause(10)
    assert pace.reserve(1) == 10 and pace.seconds_until(3) == 10
    free = Pace(clock=lambda: now[0])  # control: no limits
    assert [free.reserve(10**6) for _ in range(3)] == [0, 0, 0]


# ---- cache and meter


def test_a_reply_is_asked_for_once_by_model_messages_and_parameters(tmp_path):
    cache, echo = ReplyCache(tmp_path / "replies.sqlite"), Echo()
    one = request("问题")
    others = [request("问"), replace(one, sample=1), replace(one, temperature=1.0), replace(one, max_tokens=9)]
    ask(Cached(echo, cache), [one, *others, one])
    assert echo.asked == [one, *others]
    reopened = ReplyCache(tmp_path / "replies.sqlite")
    cached = Cached(echo, reopened)
    assert [reply.text for reply in ask(cached, [one, one])] == ["问题", "问题"]
    assert len(echo.asked) == 5 and cached.known == 2
    assert key_of("echo", one) != key_of("other", one)
    row = reopened.connection.execute("SELECT request FROM replies WHERE key = ?", [key_of("echo", one)]).fetchone()
    assert '"max_tokens": 128' in row[0]
    (tmp_path / "text").write_text("no database, " * 99, encoding="utf-8")
    for wrong in (tmp_path / "text", tmp_path):
        with pytest.raises(ValueError, match=f"--cache {wrong}"):
            ReplyCache(wrong)


def test_a_budget_is_not_passed_and_all_that_came_is_kept(tmp_path):
    requests = [request(f"{n:04}", max_tokens=10) for n in range(100)]
    prices = Prices(prompt=1e6, completion=1e6)  # a token costs 1
    cache, meter = ReplyCache(tmp_path / "replies.sqlite"), Metered(Echo(), prices, budget=200)
    with pytest.raises(ValueError, match="--budget 200: 180 is spent, and one more reply may pass it; 88 requests"):
        ask(Cached(meter, cache), requests)
    most = most_tokens(requests[0].messages) + 10
    assert meter.cost <= 200 < meter.cost + most and len(cache) == meter.requests == 12
    ask(Cached(Metered(Echo(), prices, budget=88 * 15 + most), cache), requests)
    assert len(cache) == 100


def test_a_budget_holds_for_requests_that_are_at_work_at_once(service, tmp_path):
    meter = Metered(endpoint(concurrency=8), Prices(1e6, 1e6), budget=200)
    with pytest.raises(ValueError, match="--budget"):
        ask(meter, [request(f"{n:04}", max_tokens=10) for n in range(100)])
    assert sum(service.paid.values()) * 15 == meter.cost <= 200  # each is billed 10 + 5
    assert meter.cost > 200 - 30 - 15


def test_a_dry_run_counts_what_is_not_in_the_cache_and_sends_nothing(tmp_path):
    cache = ReplyCache(tmp_path / "replies.sqlite")
    ask(Cached(Echo(), cache), [request("旧")])
    dry = DryRun("echo", cache, Prices(prompt=1e6, completion=1e6))
    ask(dry, [request("旧"), request("新问题abcd"), request("新问题abcd")])
    assert (dry.requests, dry.known, dry.prompt_tokens, dry.completion_tokens) == (1, 1, 8, 128)
    assert "cost at most about 136" in dry.summary() and len(cache) == 1
    assert estimate_tokens([("user", "头痛 abc")]) == 7 and most_tokens([("user", "头痛 abc")]) == 26


# ---- a model of this project


def test_a_local_reply_depends_on_its_request_alone(line):
    loaded = load_chat_model(str(line.sft), "--judge", torch.float32, torch.device("cpu"))
    model = LocalModel(loaded, "sft", seed=3)
    texts = ["头痛三天", "咳嗽一周", "失眠"]
    requests = [request(t, temperature=1.0, max_tokens=m, sample=s) for t in texts for m, s in ((8, 0), (8, 1), (5, 0))]
    together = ask(model, [*requests, request("头痛", max_tokens=6), request("头" * 5000)])
    assert [ask(model, [one])[0] for one in requests] == together[:9]
    assert together[0].text != together[1].text  # control: another sample is another text
    assert all(reply.completion_tokens <= one.max_tokens for one, reply in zip(requests, together, strict=False))
    assert {r.finish_reason for r in together[:10]} <= {"stop", "length"} and together[10].finish_reason == REFUSED
    greedy = generate_answers(loaded, [Prompt("", "头痛")], max_new_tokens=6, temperature=0, seed=0)
    assert together[9].text == greedy[0].text


def test_local_requests_of_other_samples_are_answered_beside_each_other(line, monkeypatch):
    loaded = load_chat_model(str(line.sft), "--judge", torch.float32, torch.device("cpu"))
    batches: list[int] = []

    def counting(chat_model, encoded, *others, **options):
        batches.append(len(encoded))
        return stream_answers(chat_model, encoded, *others, **options)

    monkeypatch.setattr("zj.llm.local.stream_answers", counting)
    ask(LocalModel(loaded, "sft"), [request("头痛", temperature=1.0, max_tokens=4, sample=s) for s in range(9)])
    assert batches == [9]
    ask(LocalModel(loaded, "sft"), [request("头痛", temperature=t, max_tokens=4) for t in (0.5, 1.0)])
    assert batches == [9, 1, 1]  # one temperature a batch


def test_messages_become_a_conversation():
    messages = (("system", "您是医生"), ("user", "一"), ("assistant", "二"), ("user", "三"))
    assert prompt_of(messages) == Prompt("", "三", (("一", "二"),), "您是医生")
    with pytest.raises(ValueError, match="found messages of user, assistant"):
        prompt_of(messages[1:3])
