"""Rules of the filter: what each finds, and what it must leave."""

from __future__ import annotations

import json

import pytest

from scripts.build_filter import Config, main
from zj.building.filter import BY_DEFAULT, RULES, Limits, Parts, parts_of, read_words, rules
from zj.data.readers import read
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking

Q, A = "夜里咳嗽怎么办？", "建议先到呼吸科就诊，查一下胸片，再决定用药。"
CASES = {  # rule -> answers that it removes, answers that it leaves
    "empty": (["。。。", "无", "N/A", "见上"], ["无需用药。", "无明显异常"]),
    "short": (["是的"], [A]),
    "long": (["药" * 101], ["药" * 100]),
    "language": (["Take some rest and drink water."], ["查CRP、PCT和CT（HRCT），用ACEI。", "38.5", "Hellstr(o)m术"]),
    "encoding": (
        ["发烧\ufffd咳嗽", "发烧\x07", "锟斤拷", "浣犲ソ锛岃鍏堝幓鍖婚櫌", "ä½ å¥½ï¼Œåˆ«æ€¥", "\ue008"],
        ["体温38℃，血压120/80 mmHg，5×10⁹/L", "café 与 Ménière 病", "一\t二\n三"],
    ),
    "advertising": (
        ["欢迎来我院就诊。", "点击在线咨询", "祖传秘方，无效退款", "我院引进了新设备"],
        ["建议来医院就诊。", "可以拨打医院的咨询热线。", "我们医院没有这种药"],
    ),
    "contact": (
        ["加微信：abc12345", "打13812345678", "电话010-87654321", "写信给a.b@c.com", "QQ 1234567"],
        ["血小板13800", "每次0.25克，010胶囊", "每天1次，每次500 ml，共1380000单位", "用微信扫码"],
    ),
    "link": (["见https://a.cn", "上WWW.a.cn查"], ["www", "http协议", "每天3.5片"]),
    "refusal": (
        [
            "作为一个AI语言模型，我不能诊断。",
            "很抱歉，我无法回答这个问题。",
            "As an AI language model, I",
            "我只是一个人工智能",
        ],
        ["人工智能可以辅助阅片。", "抱歉让您久等了。", "作为一名医生，我建议您复查。"],
    ),
    "repetition": (
        ["多喝水，注意休息，清淡饮食。" * 4],
        [A, "哈" * 8, "多喝水多休息" * 3, "一次一片，一日三次；或一次两片，一日两次。"],
    ),
}


@pytest.fixture(scope="module")
def all_rules():
    return rules(Limits(min_answer=5, max_text=100, language="zh", least_language=0.5, most_repeated=0.3), read_words())


def test_every_rule_has_its_cases(all_rules):
    assert tuple(all_rules) == RULES and set(CASES) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_its_fault_and_leaves_the_rest(all_rules, rule):
    bad, good = CASES[rule]
    assert [text for text in bad if not all_rules[rule](Parts((Q,), (text,)))] == []
    assert [text for text in good if all_rules[rule](Parts((Q,), (text,)))] == []


def test_rules_read_the_parts_that_they_are_about(all_rules):
    url = "见https://a.cn"
    assert all_rules["link"](Parts((url,), (A,))) and not all_rules["advertising"](Parts(("欢迎来我院",), (A,)))
    assert not all_rules["short"](Parts((Q, "谢谢"), (A, "不客气")))  # the longest answer decides
    prompt = Prompt("p", Q, ((Q, "前"),))
    assert parts_of(Ranking("r", prompt, ("好", "坏"), (1, 2))) == Parts((Q, Q), ("好",))
    assert parts_of(Candidates("c", prompt, ("一", "二"))) == Parts((Q, Q), ("一", "二"))
    assert parts_of(Document("d", A)) == Parts((), (A,)) and parts_of(prompt) == Parts((Q, Q), ())


def test_only_rules_that_are_on_remove(tmp_path, capsys):
    texts = [A, "无", "是的", "作为AI助手，我无法诊断。加微信：abc12345", A]
    data, out = tmp_path / "data.jsonl", tmp_path / "clean.jsonl"
    rows = [{"id": f"r{n}", "query": Q, "response": text} for n, text in enumerate(texts)]
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    main(Config((str(data),), out=str(out)))
    assert [record.id for record in read(out, "dialogue")[0]] == ["r0", "r2", "r4"] and "short" not in BY_DEFAULT
    report = json.loads((tmp_path / "clean.report.json").read_text())
    assert report["reasons"] == {"empty": 1, "contact": 1, "refusal": 1} and report["removed"] == 2
    assert report["samples"]["refusal"] == [f"{data}:4 r3"]
    rows = [json.loads(line) for line in (tmp_path / "clean.removed.jsonl").read_text().splitlines()]
    assert rows[1]["removed"]["found"] == {"contact": "加微信", "refusal": "作为AI"}
    for chosen, left in ((("short",), 3), ((), 5)):
        file = tmp_path / f"{len(chosen)}.jsonl"
        main(Config((str(data),), out=str(file), rules=chosen))
        assert len(file.read_text().splitlines()) == left
    with pytest.raises(ValueError, match="--rules typo: no such rule"):
        Config(rules=("typo",))


def test_words_are_data(tmp_path):
    file = tmp_path / "words.toml"
    keys = ("empty", "mojibake", "advertising", "contact", "link", "refusal")
    file.write_text("".join(f'{key} = ["X{key}"]\n' for key in keys))
    assert read_words(file)["contact"].search("xCONTACT") and not read_words(file)["contact"].search("13812345678")
    for text, message in (("empty = [", "--words"), ('empty = ["a"]', "expected empty, mojibake"), ("[", "--words")):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_words(file)


def test_language_by_flag():
    english = rules(Limits(5, 1000, "en", 0.5, 0.3), read_words())["language"]
    assert english(Parts((), (A,))) == "0% en" and not english(Parts((), ("Take some rest.",)))
    assert parts_of(Dialogue("d", ((Q, A), ("二", "三")))) == Parts((Q, "二"), (A, "三"))
