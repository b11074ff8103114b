"""Refined replies: what may not change, what a faulty writer's replies come to, and the script from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.build_refine import Config, main
from tests.line import write_rows
from zj.building.mentions import Mentions, read_names
from zj.building.prompts import PROMPTS, read_prompts
from zj.building.refine import faults_of, prompt_of
from zj.clinic.consultation import consultation
from zj.data.readers import read
from zj.data.records import as_json
from zj.llm import ChatReply
from zj.llm.prompts import Template

BEFORE = "考虑荨麻疹。西替利嗪每晚一次，每次10毫克，连用3～5天。"
SAME = [
    "您好，可能是荨麻疹。建议服用西替利嗪，每次10mg，每晚1次，连续服用3-5天，别担心。",
    "1. 考虑荨麻疹；\n2. 西替利嗪，每次１０ｍｇ，每晚一次，用3至5日。",
]
OTHER = {  # reply -> what is wrong with it
    "考虑荨麻疹。西替利嗪每晚一次，每次10毫克，连用3～5天。也可用氯雷他定。": "drug added",
    "考虑荨麻疹。每晚一次，每次10毫克，连用3～5天。": "drug lost",
    "考虑荨麻疹或湿疹。西替利嗪每晚一次，每次10毫克，连用3～5天。": "illness added",
    "西替利嗪每晚一次，每次10毫克，连用3～5天。": "illness lost",
    "考虑荨麻疹。西替利嗪每晚一次，每次10毫克，每次半片，连用3～5天。": "dose added",
    "考虑荨麻疹。西替利嗪每晚一次，连用3～5天。": "dose lost",
    "考虑荨麻疹。西替利嗪每晚一次，每次10毫克，连用3～5天，共12岁。": "number added",
    "考虑荨麻疹。西替利嗪每晚一次，每次10毫克。": "number lost",
    "作为一个AI语言模型，我不能诊断。": "refusal",
    f"{BEFORE}每晚一次。": "dose added",  # said again, it may be another drug's
    " ": "empty",
}


@pytest.fixture(scope="module")
def mentions():
    return Mentions(read_names("", Path()))


@pytest.mark.parametrize("reply", SAME)
def test_other_words_for_the_same_change_nothing(reply, mentions):
    assert faults_of(BEFORE, ChatReply(reply, "stop", 0, 0), mentions) == {}


@pytest.mark.parametrize("reply", OTHER)
def test_what_is_added_or_lost_is_named(reply, mentions):
    assert list(faults_of(BEFORE, ChatReply(reply, "stop", 0, 0), mentions)) == [OTHER[reply]]


def test_a_reply_that_was_cut_off_or_refused_is_not_used(mentions):
    assert list(faults_of(BEFORE, ChatReply(BEFORE, "length", 0, 0), mentions)) == ["cut off"]
    assert list(faults_of(BEFORE, ChatReply("", "refused", 0, 0), mentions)) == ["no reply"]


def test_numbers_are_read_in_every_spelling(mentions):
    text = "半片，十二岁，两三天，二十分钟，血压160/90mmHg，体温38.5℃。一般来说，维生素B12"
    expected = {"0.5 片", "12 岁", "2-3 天", "20 分钟", "160-90 mmhg", "38.5 度"}
    assert {what for _, what in mentions.of(text)} == expected


def test_a_template_is_read_back_and_what_is_filled_in_is_not():
    template = Template("问{a}\n答{b}止")
    assert template.read(template.fill(a="{b}", b="x\ny")) == {"a": "{b}", "b": "x\ny"} and template.read("问") is None


def test_a_later_reply_is_rewritten_beside_the_turns_before_it():
    template = Template("[{question}]{reply}")
    assert prompt_of([("痛", "哪里？")], template) == (("user", "[痛]哪里？"),)
    turns = [("痛", "哪里？"), ("头", "多久？")]
    assert prompt_of(turns, template) == (("user", "[患者：痛\n医生：哪里？\n患者：头]多久？"),)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("refine") / "real.jsonl"
    rows = [consultation(0, number) for number in range(12)]
    file.write_text("".join(json.dumps(as_json(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def test_a_good_writer_changes_every_reply_and_no_question(data, tmp_path):
    main(Config(data=(str(data),), out=str(tmp_path / "a.jsonl"), limit=10))
    before, after = read([data], "dialogue")[0][:10], read([tmp_path / "a.jsonl"], "dialogue")[0]
    report = json.loads((tmp_path / "a.report.json").read_text(encoding="utf-8"))
    assert report["changed"] == report["written"] == len(after) == 10 and report["reasons"] == {}
    assert "synthetic" in report["settings"]["model"] and report["settings"]["prompts_sha256"]
    for old, new in zip(before, after, strict=True):
        assert [user for user, _ in old.turns] == [user for user, _ in new.turns] and old.id == new.id
        assert all(a in b and a != b for (_, a), (_, b) in zip(old.turns, new.turns, strict=True))


def test_a_faulty_writer_gets_nothing_past_the_check(data, tmp_path, mentions):
    """Control of the test above: every reply has a fault, and each of them is found."""
    main(Config(data=(str(data),), out=str(tmp_path / "a.jsonl"), noise=1.0, prompt="huatuogpt"))
    before, after = read([data], "dialogue")[0], read([tmp_path / "a.jsonl"], "dialogue")[0]
    report = json.loads((tmp_path / "a.report.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (tmp_path / "a.failed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert before == after and report["changed"] == 0
    assert len(rows) == sum(len(dialogue.turns) for dialogue in before) and all(row["reply"] for row in rows)
    assert {"drug added", "drug lost", "dose added", "refusal"} <= set(report["reasons"])
    some = Config(data=(str(data),), out=str(tmp_path / "b.jsonl"), noise=0.05, on_fail="drop", seed=3)
    main(some)
    report = json.loads((tmp_path / "b.report.json").read_text(encoding="utf-8"))
    assert 0 < report["removed"] == 12 - report["written"] < 12 and report["changed"] == report["written"]


def test_a_second_run_makes_no_new_reply_and_a_dry_run_none(data, tmp_path, capsys):
    shared = {"data": (str(data),), "cache": str(tmp_path / "replies.sqlite"), "limit": 3}
    main(Config(out=str(tmp_path / "a.jsonl"), dry_run=True, **shared))
    assert "nothing was sent" in capsys.readouterr().out and not (tmp_path / "a.jsonl").exists()
    for out in ("a.jsonl", "b.jsonl"):
        main(Config(out=str(tmp_path / out), **shared))
    replies = [json.loads((tmp_path / f"{x}.report.json").read_text())["settings"]["replies"] for x in "ab"]
    assert replies[0]["from_cache"] == replies[1]["new"] == 0 and replies[0]["new"] == replies[1]["from_cache"] > 3
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    with pytest.raises(ValueError, match="--budget"):
        main(Config(out=str(tmp_path / "c.jsonl"), price_in=1e6, budget=10.0, data=(str(data),)))


def test_names_and_prompts_are_the_users(data, tmp_path):
    names = tmp_path / "names.toml"
    names.write_text('drug = ["阿司匹林"]\nillness = ["头痛"]\n', encoding="utf-8")
    assert Mentions(read_names(str(names), tmp_path)).of("头痛用阿司匹林，西替利嗪").keys() == {
        ("drug", "阿司匹林"),
        ("illness", "头痛"),
    }
    names.write_text("drugs = []", encoding="utf-8")
    with pytest.raises(ValueError, match="--names"):
        read_names(str(names), tmp_path)
    graph = tmp_path / "graph.jsonl"
    rows = [("布洛芬胶囊", "适应症", "偏头痛"), ("偏头痛", "就诊科室", "神经内科")]
    write_rows(graph, [{"entity": name, "relations": {relation: [other]}} for name, relation, other in rows])
    of_graph = read_names(str(graph), tmp_path)
    assert of_graph == {"布洛芬": "drug", "布洛芬胶囊": "drug", "偏头痛": "illness"}
    prompts = tmp_path / "prompts.toml"
    prompts.write_text(PROMPTS.read_text(encoding="utf-8").replace("{reply}", ""), encoding="utf-8")
    with pytest.raises(ValueError, match=r"--prompts .*refine.huatuogpt.*\{question\}, \{reply\}"):
        read_prompts(str(prompts))
