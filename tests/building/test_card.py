"""The card of a data set: its numbers, and that nothing in the data becomes part of the page."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from scripts.build_card import Config, main
from scripts.build_filter import Config as FilterConfig
from scripts.build_filter import main as filter_main
from zj.building.summary import summarise
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking
from zj.pages.figures import histogram, quantile

EVIL = '<script>alert("x")</script>'


def test_a_summary_counts_by_kind():
    prompt = Prompt("p", "问", (("前", "后"),), department="内科")
    records = [
        Dialogue("a", (("咳嗽", "多久了？"), ("三天", "查胸片。")), department="内科"),
        Dialogue("b", (("咳 嗽。", "多久了？"), ("三天", "查胸片。")), department="内科"),  # a repeat
        Dialogue("c", (("头疼", "休息。"),)),
        Document("d", "一段文字"),
        Ranking("r", prompt, ("好", "什么?"), (1, 2)),
        Candidates("k", prompt, ("一", "二")),
        prompt,
    ]
    kinds = summarise(("f", record) for record in records)
    several = kinds["dialogues of several turns"]
    assert (several.records, several.repeats, several.asking, several.records_asking) == (2, 1, 2, 2)
    assert several.turns == {2: 2} and several.departments == {"内科": 2} and several.questions == {2: 3, 4: 1}
    assert kinds["dialogues of one turn"].answers == {3: 1} and kinds["dialogues of one turn"].departments == {"": 1}
    assert kinds["documents"].answers == {4: 1} and not kinds["documents"].questions
    assert kinds["rankings"].asking == 1 and kinds["rankings"].answers == {1: 1, 3: 1}
    assert [kinds[name].records for name in ("candidates", "prompts")] == [1, 1]


def test_quantiles_and_bars_account_for_every_value():
    counts = Counter({1: 50, 2: 49, 100: 1})
    assert [quantile(counts, share) for share in (0, 0.5, 0.51, 0.99, 1)] == [1, 1, 2, 2, 100]
    numbers = [int(n) for n in re.findall(r"<title>[^<]*: (\d+)</title>", histogram("L", counts))]
    assert sum(numbers) == 100 and numbers[-1] == 1  # the last bar: what is more than the 99th percentile
    assert histogram("L", Counter()) == "" == histogram("L", Counter({}))
    assert "<rect" in histogram("L", Counter({0: 3}))


class Tags(HTMLParser):
    """The elements of a page; each that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_shows_what_steps_did_and_takes_nothing_from_the_data(tmp_path, capsys):
    data, clean, card = (tmp_path / name for name in ("data.jsonl", "clean.jsonl", "card.html"))
    rows = [
        {"id": EVIL, "query": f"{EVIL}怎么办", "response": "无", "department": EVIL},
        {"id": "b", "query": f"{EVIL}怎么办", "response": f"建议就诊{EVIL}。", "department": EVIL},
    ]
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    filter_main(FilterConfig((str(data),), out=str(clean)))
    report = str(tmp_path / "clean.report.json")
    main(Config((str(clean), str(data)), reports=(report,), title=EVIL, out=str(card)))
    page = card.read_text(encoding="utf-8")
    tags = Tags(page)
    assert not tags.open and tags.seen["svg"] >= 3
    assert not tags.seen["script"] and not tags.seen["link"] and "://" not in page.replace(str(tmp_path), "")
    assert (
        "2 read, 1 removed, 0 changed, 1 written" in page
        and "<td>empty</td>" in page
        and "prefers-color-scheme" in page
    )
    assert page.count("<td>filter</td>") == 1  # the clean file is the output of the step, the other one is not
    assert Tags(EVIL).seen["script"] == 1  # control
    main(Config((str(clean),), out=str(card)))
    assert card.read_text(encoding="utf-8") == page and "nothing was done" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "[]", '{"step": "x"}', '{"read": 1, "written": 1, "removed": 0, "changed": "no"}']
)
def test_another_file_is_no_report(tmp_path, text):
    data, report = tmp_path / "data.jsonl", tmp_path / "x.json"
    data.write_text('{"text": "文"}\n')
    report.write_text(text)
    with pytest.raises(ValueError, match="--reports .*x.json: expected the report of a step"):
        main(Config((str(data),), reports=(str(report),), out=str(tmp_path / "card.html")))


def test_a_kind_is_read_as_it_is_named(tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"query": "问", "response": "答"}\n')
    for kind, name in (("any", "dialogues of one turn"), ("document", "documents"), ("prompt", "prompts")):
        main(Config((str(data),), kind=kind, out=str(tmp_path / f"{kind}.html")))
        assert f"<td>{name}</td>" in (tmp_path / f"{kind}.html").read_text(encoding="utf-8")
