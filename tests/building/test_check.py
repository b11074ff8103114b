"""Answers against a knowledge graph. The clinic's facts are the graph: what contradicts them is known."""

from __future__ import annotations

import json
import random
import sys
from functools import cache

import pytest

from scripts.build_check import Config, main
from zj.building.check import Checker, conversations
from zj.building.graph import open_graph, without_form, words
from zj.clinic import CONDITIONS, DRUGS
from zj.clinic.case import patient_of
from zj.clinic.consultation import one_answer
from zj.data.records import Candidates, Document, Prompt, Ranking

pytest.importorskip("ahocorasick_rs", reason="extra [data]")
AGAINST = ["哮喘患者禁用", "高血压患者慎用", "肺炎危象患者禁用", "肺炎并发头痛时禁用"]
ILLNESSES = ("发热", "头痛", "胃溃疡", "肺炎", "哮喘", "感染")
GRAPH = [
    {
        "entity": "布洛芬片",
        "relations": {"适应症": ["发热", "头痛"], "禁忌": ["孕妇禁用", "活动性胃溃疡患者", "对本品过敏者"]},
    },
    {"entity": "氨氯地平片", "relations": {"适应症": ["原发性高血压"], "商品名": ["络活喜"]}},
    {"entity": "高血压", "relations": {"就诊科室": ["心内科"], "别称": ["血压高"], "相关药物": ["缬沙坦胶囊"]}},
    {"entity": "缬沙坦胶囊", "relations": {"药品类型": ["处方药"]}},
    {"entity": "麻黄碱片", "relations": {"适应症": ["哮喘"], "禁忌": AGAINST}},
    {"entity": "舒筋活络丸", "relations": {"适应症": ["关节痛"], "功效": ["舒筋活络"]}},
    {"entity": "抗病毒片", "relations": {"适应症": ["感冒"]}},
    *({"entity": name, "relations": {"就诊科室": ["内科"]}} for name in ILLNESSES),
]


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("graph") / "graph.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in GRAPH), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def checker(graph_file):
    return Checker(open_graph(str(graph_file), graph_file.with_suffix(".sqlite")))


@pytest.mark.parametrize(
    ("user", "answer", "finding"),
    [
        ("我发热了", "可以吃布洛芬。", None),
        ("我血压高", "建议服用布洛芬片。", ("unknown use", "布洛芬片", "血压高")),
        ("我发热了", "发热可以吃络活喜。", ("unknown use", "络活喜", "发热")),
        ("我血压高", "可以用络活喜，每天一次。", None),  # 血压高 = 高血压, a part of 原发性高血压
        ("我有高血压", "可以用缬沙坦。", None),  # known by the illness
        ("我怀孕三个月，发热", "可以吃布洛芬。", ("contraindicated", "布洛芬", "孕妇")),
        ("我没怀孕，发热", "可以吃布洛芬。", None),
        ("我有胃溃疡，头痛", "可以吃布洛芬。", ("contraindicated", "布洛芬", "消化性溃疡患者")),
        ("我对花粉过敏，头痛", "可以吃布洛芬。", None),  # 对本品过敏者 is nobody's illness
        ("我怀孕了，发热", "不要用布洛芬。", None),
        ("我怀孕了，发热", "孕妇禁用布洛芬。", None),
        ("我怀孕了，发热", "布洛芬不能吃，多喝水。", None),
        ("我得了肺炎", "您吃过布洛芬？", None),
        ("我得了肺炎", "布洛芬很常见。", None),
        ("我发热", "服用布洛芬可能引起胃溃疡。", None),  # an effect
        ("怎么办", "可以吃布洛芬。", None),  # for nothing
        ("我哮喘", "可以用麻黄碱。", None),  # a known use is no contraindication
        ("我哮喘，血压高", "可以用麻黄碱。", None),  # only caution
        ("我哮喘，得了肺炎", "可以用麻黄碱。", None),  # of a crisis alone
        ("我哮喘，头痛", "可以用麻黄碱。", None),  # of two illnesses together
        ("我头痛", "吃好睡好能舒筋活络。", None),  # a word, not 舒筋活络丸
        ("我头痛", "可以用抗病毒治疗。", None),
        ("我头痛", "可以用抗病毒片。", ("unknown use", "抗病毒片", "头痛")),
        ("我感染了", "可以吃布洛芬。", None),  # too wide for an illness
    ],
)
def test_statements_are_read_by_the_rule(checker, user, answer, finding):
    found = [(f.finding, f.drug, f.condition) for f in checker.findings([(user, answer)])]
    assert found == ([finding] if finding else [])


def test_an_illness_of_an_earlier_turn_counts_and_the_triple_is_given(checker):
    (finding,) = checker.findings([("我怀孕了，头痛", "多久了？"), ("两天", "可以吃布洛芬。")])
    assert finding.turn == 2 and finding.triple == ("布洛芬片", "禁忌", "孕妇禁用")


@cache
def planted(kind: str, number: int = 250) -> list[tuple[str, str]]:
    """(question, answer) of the clinic: as they are, with a drug of another illness, with one that is forbidden."""
    texts = []
    for n in range(number):
        rng, case = patient_of("check", 11, n)
        exchange = one_answer(rng, case)
        given = [drug for drug in case.suitable if drug in exchange.answer][:1]
        other = [d for d in DRUGS if d not in case.condition.drugs and not case.reason_against(d)]
        illnesses = [name for name in CONDITIONS if name in exchange.message + exchange.answer]
        other = [d for d in other if not any(d in CONDITIONS[name].drugs for name in illnesses)]
        forbidden = [d for d in DRUGS if set(DRUGS[d].forbidden) & set(case.circumstances)]
        pool = {"none": given, "unknown use": other, "contraindicated": forbidden}[kind]
        if given and pool:
            answer = exchange.answer.replace(given[0], random.Random(n).choice(pool))
            texts.append((exchange.message, answer))
    return texts


def test_planted_contradictions_of_the_clinic_are_found_and_nothing_else(tmp_path):
    checker = Checker(open_graph("clinic", tmp_path / "clinic.sqlite"))
    flagged = {
        kind: [any(f.finding == kind for f in checker.findings([turn])) for turn in planted(kind)]
        for kind in ("unknown use", "contraindicated")
    }
    control = [bool(checker.findings([turn])) for turn in planted("none")]
    recall = {kind: sum(found) / len(found) for kind, found in flagged.items()}
    assert len(control) > 150 and min(map(len, flagged.values())) > 60
    assert not sum(control), "flags on the clinic's own answers"
    assert recall["unknown use"] == 1 and recall["contraindicated"] == 1, recall


def test_flagged_records_stay_unless_asked(tmp_path, graph_file, capsys):
    rows = [("我怀孕了，头痛", "可以吃布洛芬。"), ("我头痛", "可以吃布洛芬。")]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"query": q, "response": a}, ensure_ascii=False) + "\n" for q, a in rows))
    for remove, written in ((False, 2), (True, 1)):
        out = tmp_path / f"{remove}.jsonl"
        main(Config((str(data),), out=str(out), graph=str(graph_file), remove=remove))
        report = json.loads(out.with_name(f"{remove}.report.json").read_text())
        assert (report["written"], report["removed"]) == (written, 2 - written)
        (flagged,) = map(json.loads, out.with_name(f"{remove}.flagged.jsonl").read_text().splitlines())
        assert flagged["check"][0]["triple"] == ["布洛芬片", "禁忌", "孕妇禁用"]
    assert "1 record" in capsys.readouterr().out


def test_every_kind_of_record_is_read():
    prompt = Prompt("p", "三", (("一", "二"),))
    assert list(conversations(Ranking("r", prompt, ("好", "坏"), (1, 2)))) == [(("一", "二"), ("三", "好"))]
    assert len(list(conversations(Candidates("c", prompt, ("四", "五"))))) == 2
    assert list(conversations(prompt)) == [(("一", "二"),)] and list(conversations(Document("d", "文"))) == [
        (("", "文"),)
    ]


def test_a_database_is_made_once_and_of_one_graph(tmp_path, graph_file, monkeypatch):
    database = tmp_path / "graph.sqlite"
    open_graph(str(graph_file), database)
    made = database.stat().st_mtime_ns
    open_graph(str(graph_file), database)
    assert database.stat().st_mtime_ns == made
    with pytest.raises(ValueError, match=r"--database .*: made of .*graph.jsonl, expected clinic"):
        open_graph("clinic", database)
    monkeypatch.setitem(words()["circumstances"], "新", ["新的"])
    with pytest.raises(ValueError, match="today's check.toml"):
        open_graph(str(graph_file), database)
    with pytest.raises(ValueError, match="--graph .*absent.*: cannot be read"):
        open_graph(str(tmp_path / "absent"), tmp_path / "other.sqlite")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text('{"entity": "水", "relations": {"颜色": ["无"]}}\n')
    with pytest.raises(ValueError, match="--graph .*: found no drug"):
        open_graph(str(nothing), tmp_path / "other.sqlite")
    assert not (tmp_path / "other.sqlite").exists()


def test_a_missing_library_is_named(checker, monkeypatch):
    monkeypatch.setitem(sys.modules, "ahocorasick_rs", None)
    with pytest.raises(ValueError, match=r"mentions need ahocorasick-rs: pip install 'zj\[data\]'"):
        Checker(checker.graph)


def test_names_lose_their_form_but_never_all():
    assert without_form("阿莫西林胶囊") == "阿莫西林" and without_form("滴丸") == "滴丸"
