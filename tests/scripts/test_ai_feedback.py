"""scripts/ai_feedback.py: answers of a model → rankings that training reads, resumed and at a price."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import ai_feedback
from tests.line import write_rows
from tests.llm.service import serving
from zj.clinic import judge, question, rank
from zj.clinic.ranking import ranking
from zj.data.readers import read
from zj.data.records import Candidates, as_json
from zj.eval.tables import tables_of
from zj.feedback.ai.clinic import GoldJudge
from zj.llm.cache import ReplyCache


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    """Answers to 12 of the clinic's questions, as sample_answers.py writes them."""
    rows = [as_json(Candidates(row.id, row.prompt, row.answers, source="outside")) for row in map(ranking_0, range(12))]
    return write_rows(tmp_path_factory.mktemp("items") / "items.jsonl", rows)


def ranking_0(number):
    return ranking(0, number)


def run(items, out, *flags) -> dict:
    settings = ai_feedback.Config(data=(str(items),), out=str(out), **dict(flags))
    ai_feedback.main(settings)
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_sampled_answers_become_rankings_that_training_reads(command, line, tmp_path):
    """The chain's first two commands, with a model that knows nothing: most of its answers tie."""
    prompts = write_rows(tmp_path / "prompts.jsonl", [as_json(question(0, n).prompt) for n in range(12)])
    flags = ("--turn", "last", "--closing-turns", "keep", "--answers", 2, "--max-new-tokens", 24, "--device", "cpu")
    done = command("sample_answers", "--models", line.sft, "--data", prompts, "--out", tmp_path / "items.jsonl", *flags)
    assert done.status == 0, done
    rows = [json.loads(row) for row in (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:  # one answer of each is a good one
        row["responses"][0] = question(0, int(row["id"][-6:])).reference
    write_rows(tmp_path / "items.jsonl", rows)
    done = command("ai_feedback", "--data", tmp_path / "items.jsonl", "--out", tmp_path / "feedback")
    assert done.status == 0 and "100.0%" in done.out, done
    rankings, _ = read([tmp_path / "feedback" / "rankings.jsonl"], "ranking")
    assert len(rankings) == len(rows) >= 6 and {ranking.ranks for ranking in rankings} == {(1, 2)}


def test_the_rankings_are_golds_and_a_second_run_asks_for_nothing(items, tmp_path, monkeypatch, capsys):
    report = run(items, tmp_path / "a", ("repeat", 0.5))
    assert report["figures"]["gold: pairs of the rankings right"]["share"] == 1
    again = report["figures"]["agrees with itself"]
    assert again["share"] == again["high"] == 1 and 0.7 < again["low"] < 1  # all agree, yet it is no point
    assert tables_of(report)[0].title.startswith("AI feedback, judge: synthetic clinic")
    assert report["replies"] == {"from_cache": 0, "new": 144 + 72, "failed_attempts": {}}
    assert len(report["prompt_sha256"]) == 64
    rankings, _ = read([tmp_path / "a" / "rankings.jsonl"], "ranking")
    for found in rankings:
        gold = judge_of(found.id)
        assert found.ranks == rank([judge(gold, text) for text in found.answers])
    assert len((tmp_path / "a" / "comparisons.jsonl").read_text(encoding="utf-8").splitlines()) == 72
    first = (tmp_path / "a" / "rankings.jsonl").read_bytes()
    run(items, tmp_path / "a")
    assert "is there already, nothing was done" in capsys.readouterr().out
    (tmp_path / "a" / "rankings.jsonl").unlink()
    monkeypatch.setattr(GoldJudge, "__call__", lambda *_: pytest.fail("asked again"))
    assert run(items, tmp_path / "a", ("repeat", 0.5))["replies"]["new"] == 0
    assert (tmp_path / "a" / "rankings.jsonl").read_bytes() == first


def judge_of(id):
    seed, number = id.split("-")[1:]
    return question(int(seed), int(number))


def test_an_endpoint_with_a_budget_stops_and_goes_on(items, tmp_path, monkeypatch, capsys):
    judged = {"judge": "endpoint", "judge_model": "gpt", "pairs": "tournament", "repeat": 0.0, "limit": 6}
    prices = {"price_in": 1e6, "price_out": 1e6, "max_tokens": 8}
    with serving(monkeypatch) as service:
        send, out = service.send, tmp_path / "out"
        monkeypatch.setattr(service, "send", lambda handler, text, what: send(handler, RatedText(text), what))
        run_dry = ai_feedback.Config(data=(str(items),), out=str(out), **judged, **prices, dry_run=True)
        ai_feedback.main(run_dry)
        assert "36 requests to gpt, 0 more are in the cache" in capsys.readouterr().out and not service.paid
        with pytest.raises(ValueError, match="--budget 2400"):
            run(items, out, *judged.items(), *prices.items(), ("budget", 2400.0))
        paid = sum(service.paid.values())
        assert 0 < paid * 15 <= 2400 and paid < 36 and len(ReplyCache(out / "replies.sqlite")) == paid
        limits = {"concurrency": 2, "requests_per_minute": 10**5, "tokens_per_minute": 10**9, "timeout": 9.0}
        report = run(items, out, *judged.items(), *prices.items(), *limits.items())
        assert report["replies"] == {"from_cache": paid, "new": 36 - paid, "failed_attempts": {}}
        assert {*service.paid.values()} == {1} and report["cost"] == (36 - paid) * 15
        assert report["figures"]["longer answer wins"]["share"] == 1


class RatedText(str):
    """A prompt whose echo, `re: …`, is the rating of a judge that prefers the longer answer."""

    def __format__(self, spec):
        from zj.feedback.ai.prompt import read

        a, b = (len(read(str(self))[1][name]) for name in ("response_a", "response_b"))
        return f"Rating A: {5 + (a > b)}; Rating B: {5 + (b > a)}"


def test_a_model_that_gives_no_ratings_is_told_and_its_replies_are_kept(items, line, tmp_path):
    local = {"judge": str(line.sft), "limit": 2, "max_tokens": 4, "device": "cpu", "temperature": 1.0, "slots": 4}
    with pytest.raises(ValueError, match="found no verdict"):
        run(items, tmp_path, *local.items(), ("language", "zh"))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["figures"]["unparsed"]["share"] == report["figures"]["without a verdict"]["share"] == 1
    assert report["unparsed"] and "sft files=" in report["model"] and not (tmp_path / "rankings.jsonl").exists()
    rows = (tmp_path / "comparisons.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 12 and json.loads(rows[0])["outcome"] is None


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"judge": "endpoint"}, "--judge endpoint --judge-model"),
        ({"judge_model": "gpt"}, "--judge clinic --judge-model gpt"),
        ({"judge": "nowhere"}, "--judge"),
        ({"judge": "endpoint", "judge_model": "gpt", "noise": 0.1}, "--noise"),
        ({"budget": 1.0}, "--budget"),
        ({"repeat": 2.0}, "--repeat"),
        ({"out": ""}, "--out is missing"),
    ],
)
def test_mistakes_name_their_flag(items, tmp_path, changes, message):
    given = {"data": (str(items),), "out": str(tmp_path / "out")} | changes
    with pytest.raises(ValueError, match=message):
        ai_feedback.main(ai_feedback.Config(**given))


def test_what_has_no_reference_is_left_out_and_told(items, tmp_path, capsys):
    row = {"id": "x", "prompt": "头痛？", "responses": ["甲", "乙", "丙"]}
    own = write_rows(tmp_path / "own.jsonl", [row, row | {"id": "y", "models": ["a", "reference", "b"]}])
    with pytest.raises(ValueError, match="item y is no question of this clinic"):
        run(own, tmp_path / "out")
    assert "1 item to rank; 1 left out" in capsys.readouterr().out
    bare = write_rows(tmp_path / "bare.jsonl", [row])
    with pytest.raises(ValueError, match="found no item with a doctor's answer"):
        run(bare, tmp_path / "out")
