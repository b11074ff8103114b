"""De-identification: how much is found, what stays, and that nothing found is written anywhere."""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from pathlib import Path
from random import Random

import pytest

from tests.building.harmless import DRUGS, VALUES
from tests.building.measure import Detector, measure
from tests.building.patients import make
from tests.building.patients_after import AFTER
from tests.building.patients_before import BEFORE, FIFTH, FOURTH, SECOND, SIXTH, THIRD
from tests.building.patients_eighth import EIGHTH
from tests.building.patients_ninth import NINTH
from zj.building.deidentify import Surrogates, deidentify, find
from zj.building.deidentify.numbers import check_digit, is_id, luhn
from zj.cli import run_command
from zj.data.readers import read
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, as_json

ROOT = Path(__file__).resolve().parents[2]
KEY = b"a key of the tests"


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find([text])[0][text]]


def clean(text: str, style="surrogate", key=KEY) -> str:
    return deidentify(Document("d", text), Surrogates(key, style))[0].text


def detector(texts):
    return find(texts)[0]


# ---- how much is found


@pytest.mark.parametrize("number", [1400, pytest.param(5000, marks=pytest.mark.slow)])
def test_records_of_known_truth(number):
    """On all sets of sentences. docs/data_room.md says what was found of each at first sight, which is less."""
    wordings = (BEFORE, SECOND, THIRD, FOURTH, FIFTH, SIXTH, AFTER, EIGHTH)
    truths = [truth for n, wording in enumerate(wordings) for truth in make(wording, number // len(wordings), n)]
    score = measure(truths, detector)
    assert score.recall(names=False) >= 0.995
    assert score.recall(names=True) >= 0.97
    assert score.precision >= 0.95


def test_sentences_that_the_rules_have_not_seen():
    """A regression test of what was found at first sight: 94.6 % of the names, which is less than the 97 % wanted."""
    score = measure(make(NINTH, 300, 9), detector)
    assert score.recall(names=False) >= 0.995 and score.recall(names=True) >= 0.93 and score.precision >= 0.95


def test_the_measure_cannot_be_gamed():
    truths = make(AFTER, 300, 1)
    rng = Random(0)

    def shuffled(texts):
        given = {
            text: [len_ for span in spans for len_ in [span.end - span.start]] for text, spans in find(texts)[0].items()
        }
        return {
            t: [(a, a + n, "name") for n in lens for a in [rng.randrange(max(1, len(t) - n))]]
            for t, lens in given.items()
        }

    detectors: dict[str, Detector] = {
        "everything": lambda texts: {text: [(0, len(text), "name")] for text in texts},
        "nothing": lambda texts: {text: [] for text in texts},
        "shuffled": shuffled,
    }
    scores = {name: measure(truths, made) for name, made in detectors.items()}
    assert scores["everything"].recall(names=True) == 1 and scores["everything"].precision < 0.6
    assert (
        scores["nothing"].recall(names=True)
        == scores["nothing"].recall(names=False)
        == scores["nothing"].precision
        == 0
    )
    assert scores["shuffled"].precision < 0.7 and scores["shuffled"].recall(names=False) < 0.2
    assert measure(truths, detector).precision > 0.99  # control: the real one on the same records


def test_drugs_and_values_are_no_identifiers():
    assert len({*DRUGS}) >= 200
    for word in (*DRUGS, *VALUES):
        for text in (word, f"患者口服{word}治疗3天，好转。", f"{word}，每日2次", f"用药：{word}。查{word}"):
            assert found(text) == [], text
    assert found("、".join(DRUGS)) == [] and found("\n".join(VALUES)) == []


def test_no_drug_of_the_word_list_is_a_name(shared_data):
    drugs = (shared_data / "wordlists/drug.txt").read_text(encoding="utf-8").split()
    assert [drug for drug in drugs if found(drug)] == []


HARD = {
    "身份证 １１０１０５１９４９１２３１００２ｘ 请核对": ["１１０１０５１９４９１２３１００２ｘ"],
    "身份证号：110105 19491231 002X": ["110105 19491231 002X"],
    "证件 110105\n19491231002X 已核": ["110105\n19491231002X"],
    "旧证 370102650312123 有效": ["370102650312123"],
    "手机1 3 8 1 2 3 4 5 6 7 8": ["1 3 8 1 2 3 4 5 6 7 8"],
    "电话一三八零零一三八零零零": ["一三八零零一三八零零零"],
    "打＋８６１３８１２３４５６７８": ["＋８６１３８１２３４５６７８"],
    "联系电话(0531)8234 5678转8801": ["(0531)8234 5678转8801"],
    "就诊卡 123456789，医保卡号是 123 456 789": ["123456789", "123 456 789"],
    "生于一九六五年三月十二日，今年58岁": ["一九六五年三月十二日"],
    "患者袁连生于2020年3月5日手术": ["袁连生"],
    "微信同号13812345678，加v：zhang_3344": ["13812345678", "zhang_3344"],
    "卡号6222021234567890128": ["6222021234567890128"],
    "车牌鲁A·D12345": ["鲁A·D12345"],
    "我住在内蒙古呼和浩特市赛罕区大学西街235号（010020）": ["呼和浩特市赛罕区大学西街235号", "010020"],
    "河南省周口市太康县张集镇李楼村3组": ["周口市太康县张集镇李楼村3组"],
    "右侧腹股沟区，静脉通路1号，肠道2号，心前区不适": [],
    "江油市太平镇卫生院，山东人，我们村": [],
    "姓名：阿依古丽·买买提  性别：女": ["阿依古丽·买买提"],
    "姓　名：李　明": ["李　明"],
    "医师：王芳/李强": ["王芳", "李强"],
    "谢谢王医生！感谢医生": ["王"],
    "患者张建国高血压十年": ["张建国"],
    "患者李娜高血压十年": ["李娜"],
    "妈，我跟建华说了，让他去取药，建华电话打不通。他全名周建华。": ["建华", "建华", "周建华"],
    "我是小吴，俺家老段住院那天，王姐你在": ["吴", "段", "王"],
    "住址：大同市阳高县李官镇小营子175号": ["大同市阳高县李官镇小营子175号"],
    "老城区西大街菜市场后面3排2号，叫卢翠英": ["老城区西大街菜市场后面3排2号", "卢翠英"],
    "送检 XK-2023118890，加我lily_2023，Patient ZHANG Wei": ["XK-2023118890", "lily_2023", "ZHANG Wei"],
    "国药准字H20123456，200000IU，100000单位，20200312，400-820-8820": [],
    "口服美罗华，罗士芬片，注射用普罗瑞林，斯特奇-韦伯综合征，克雷伯菌": [],
    "我叫高兴": [],
    "患者高兴，马上安静，时间方便，常见白天": [],
    "患者高血压，白癜风，黄疸，石膏固定": [],
    "责任医生、全科医生、由于医生": [],
}


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_hard_cases(text):
    assert found(text) == HARD[text]


def test_weak_signs_add_up():
    """Two plain characters are no name, unless the record holds something else that is a person's."""
    text = "白银凤，下周再来"
    assert found(text) == [] and find([text, "电话13812345678"])[0][text][0].end == 3
    assert find([text, "电话多少"])[0][text] == []  # control


# ---- surrogates


def test_a_given_name_alone_is_that_of_the_whole_name():
    new = clean("患者周建华，我跟建华说了").removeprefix("患者")
    whole = new[:3]
    assert new == f"{whole}，我跟{whole[1:]}说了" and "建华" not in new
    assert clean("建华好。患者周建华，", "placeholder") == "[姓名1]好。患者[姓名1]，"


def test_no_part_of_an_address_stays():
    assert not set("大同阳高李官小营子") & set(clean("住址：大同市阳高县李官镇小营子175号"))


def test_a_person_keeps_a_surrogate_and_others_get_others():
    text = clean("患者王建国，家属李丽，王建国说找王医生。电话13812345678，又13900001111，再 138-1234-5678。")
    first, second, third = text.split("电话")[0].split("患者")[1].split("，")[:3]
    assert third.startswith(first) and first != second.removeprefix("家属") and "某" in first
    assert f"找{first[0]}医生" in text  # the surname alone is that of the person
    numbers = text.split("电话")[1].rstrip("。").replace("又", "").replace("再 ", "").split("，")
    assert numbers[0] == numbers[2].replace("-", "") != numbers[1] and numbers[2].count("-") == 2
    assert all(number.startswith("12") for number in numbers)
    assert clean("患者王建国，家属李丽，王建国", "placeholder") == "患者[姓名1]，家属[姓名2]，[姓名1]"
    names = {clean(f"患者{a}{b}{c}，") for a in "张" for b in "建国" for c in "华强"}
    several = clean("家属：张建华、张建强、张国华、张国强，")
    assert len(set(several[3:-1].split("、"))) == 4 and names


def test_surrogates_have_the_form_and_are_nobodys():
    text = "身份证：１１０１０５ １９４９１２３１ ００２Ｘ，卡号6222021234567890128，出生日期：1965-03-12，QQ：12345678"
    new = clean(text)
    number, card, birth, qq = new.split("，")
    plain = number.removeprefix("身份证：").translate({c + 0xFEE0: c for c in range(33, 127)}).replace(" ", "")
    assert number.count(" ") == 2 and len(plain) == 18 and "９" in number
    assert not is_id(plain) and check_digit(plain) != plain[17] and not luhn(card[2:]) and len(card) == 21
    assert birth == "出生日期：1965" and qq.startswith("QQ：0") and len(qq) == 11
    assert clean("生于一九六五年三月十二日，58岁") == "生于一九六五年，58岁"


def test_key_and_scope():
    text = "患者王建国，电话13812345678"
    assert clean(text) == clean(text) != clean(text, key=b"another key")
    one, two = Surrogates(KEY), Surrogates(KEY)
    outputs = []
    for number in range(2):
        one.begin(str(number))
        outputs.append([deidentify(Document("d", text), made)[0].text for made in (one, two)])
    assert outputs[0][0] != outputs[1][0] and outputs[0][1] == outputs[1][1]  # a record's own, and the run's


def test_everything_else_stays_to_the_character():
    for truth in make(AFTER, 60, 5):
        new, _ = deidentify(truth.record, Surrogates(KEY, "placeholder"))
        for old, changed in zip(find_texts(truth.record), find_texts(new), strict=True):
            at, rest = 0, changed
            for span in detector(find_texts(truth.record))[old]:
                kept = old[at : span.start]
                assert rest.startswith(kept)
                rest, at = rest[len(kept) :].partition("]")[2], span.end
            assert rest == old[at:]


def find_texts(record) -> list[str]:
    return [record.text] if isinstance(record, Document) else [text for turn in record.turns for text in turn]


def test_all_texts_and_ids_of_all_kinds():
    """A name that a cue tells in one text is replaced in the others and in the id; all else stays."""
    name, phone = "王建国", "13812345678"
    prompt = Prompt(
        f"{phone}-1",
        f"我叫{name}",
        ((f"电话{phone}", f"{name}你好"),),
        f"助手。患者：{name}",
        "w",
        f"我叫{name}",
        "内科",
    )
    records = [
        Document(name, f"患者{name}，{phone}"),
        Dialogue(
            f"{phone}", ((f"我叫{name}", f"{phone} {name}"),), f"患者{name}，", "王科", "w", (False,), f"我叫{name}"
        ),
        prompt,
        Ranking("r1", prompt, (f"{name}，好", "好"), (1, 2)),
        Candidates("c1", prompt, (f"{name}，好", "好"), ("王建国-7b", "b"), "training"),
    ]
    for record in records:
        new, counts = deidentify(record, Surrogates(KEY))
        row = as_json(new)
        models = row.pop("models", None)
        assert name not in str(row) and phone not in str(row) and counts["name"] >= 1
        assert type(new) is type(record) and new.where == record.where
        if isinstance(record, Candidates):
            assert models == ["王建国-7b", "b"]
        if isinstance(record, Ranking):
            assert new.ranks == (1, 2) and new.prompt.department == "内科"
    untouched = Dialogue("j4219", (("头疼怎么办", "多喝水"),), department="内科")
    assert deidentify(untouched, Surrogates(KEY)) == (untouched, {})


def test_an_id_that_is_a_hash_of_the_texts_changes_with_them():
    hashed = "0123456789abcdef"
    assert deidentify(Document(hashed, "患者王建国，"), Surrogates(KEY))[0].id != hashed
    assert deidentify(Document(hashed, "头疼"), Surrogates(KEY))[0].id == hashed


# ---- the script: nothing that was found is written anywhere

PLANTED = ("王建国", "13812345678", "110105194912310022", "zhang_3344", "解放路12号", "0012345")
TEXT = (
    "我叫王建国，电话13812345678，身份证110105194912310022，微信：zhang_3344，住济南市历下区解放路12号，住院号：0012345"
)


def run(tmp_path, rows, monkeypatch, *flags):
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    out = tmp_path / "clean.jsonl"
    spec = importlib.util.spec_from_file_location("build_deidentify", ROOT / "scripts/build_deidentify.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["build_deidentify.py", "--data", str(data), "--out", str(out), *flags])
    monkeypatch.setattr(sys.modules["__main__"], "__doc__", "")
    run_command(script.main, script.Config)
    return out


def test_nothing_found_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("ZJ_DEIDENTIFY_KEY", raising=False)
    rows = [
        {"id": "13812345678", "query": TEXT, "response": "王建国你好"},
        {"query": "头疼", "response": "多喝水"},
        "{王建国 13812345678\n",
    ]
    rows.append({"王建国": "13812345678", "query": 5, "response": "王建国"})
    out = run(tmp_path, rows, monkeypatch, "--on-bad-row", "skip")
    printed = capfd.readouterr()
    texts = [file.read_text() for file in sorted(tmp_path.iterdir()) if file.name != "rows.jsonl"] + [
        printed.out,
        printed.err,
    ]
    assert len(texts) == 5 and "name" in printed.out
    for text in texts:
        assert not [planted for planted in PLANTED if planted in text]
    report = json.loads(out.with_name("clean.report.json").read_text())
    assert (report["read"], report["written"], report["removed"], report["changed"]) == (4, 2, 2, 1)
    assert report["reasons"]["name"] == 2 and report["reasons"]["unreadable row"] == 2
    line = json.loads(out.with_name("clean.records.jsonl").read_text())
    assert line["line"] == 1 and line["where"].endswith("rows.jsonl:1") and line["replaced"]["mobile"] == 1
    assert TEXT.replace("王建国", "") != "" and any(
        p in (tmp_path / "rows.jsonl").read_text() for p in PLANTED
    )  # control
    run(tmp_path, rows, monkeypatch)
    assert "nothing was done" in capfd.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        "{王建国 13812345678\n",
        {"query": ["王建国"], "response": {"王建国": "13812345678"}},
        {"messages": [{"role": "王建国", "content": "13812345678"}]},
    ],
)
def test_errors_name_the_place_alone(row, tmp_path, monkeypatch, capfd):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, [{"query": "头疼", "response": "多喝水"}, row], monkeypatch)
    printed = capfd.readouterr()
    assert stop.value.code == 2 and printed.err.count("\n") == 1 and "rows.jsonl:2: " in printed.err
    assert not [planted for planted in PLANTED if planted in printed.err + printed.out]
    with pytest.raises(ValueError) as error:  # control: the readers themselves show what they found
        read(tmp_path / "rows.jsonl", "dialogue")
    assert isinstance(row, str) or "query" in row or "王建国" in str(error.value)


def test_a_fault_of_the_rules_shows_no_text(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError(PLANTED[0])

    monkeypatch.setattr("zj.building.deidentify.records.score_names", fail)
    with pytest.raises(RuntimeError, match=r"rows.jsonl:1: KeyError in the rules") as error:
        run(tmp_path, [{"query": TEXT, "response": "好"}], monkeypatch)
    shown = "".join(traceback.format_exception(error.value))
    assert PLANTED[0] not in shown and not (tmp_path / "clean.jsonl").exists()


def test_a_short_key_is_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ZJ_DEIDENTIFY_KEY", "secret")
    with pytest.raises(SystemExit):
        run(tmp_path, [{"query": "头疼", "response": "多喝水"}], monkeypatch)
    printed = capfd.readouterr().err
    assert "ZJ_DEIDENTIFY_KEY" in printed and "secret" not in printed


def test_the_scope_of_the_script(tmp_path, monkeypatch):
    monkeypatch.setenv("ZJ_DEIDENTIFY_KEY", "sixteen characters and more")
    rows = [{"query": "我叫王建国", "response": str(n)} for n in range(3)]
    names = {}
    for scope in ("record", "file"):
        folder = tmp_path / scope
        folder.mkdir()
        out = run(folder, rows, monkeypatch, "--scope", scope)
        names[scope] = {record.turns[0][0] for record in read(out, "dialogue")[0]}
    assert len(names["file"]) == 1 < len(names["record"])
