"""Tables, encodings and folders: whatever dress a file comes in, the rows are the same; what it was is told."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import time

import pytest

from zj.data.readers import read
from zj.data.text import _guess

SIMPLE = "我夜里咳嗽睡不着，已经三天了，请问要吃什么药？"
ANSWER = "您好，建议先到呼吸科检查，不要自己吃药。"
TRADITIONAL = "醫生您好，我這幾天頭痛得很厲害，請問應該怎麼辦？"
REPLY = "請先休息，如果還是不舒服，就到神經內科檢查。"


def turns(path, kind="dialogue"):
    return [d.turns[0] for d in read(path, kind)[0]]


# ---- quotes


TSV = {
    "quotes are characters": ('q\tquery\tresponse\n1\t"高烧"是什么\t体温高\n', [('"高烧"是什么', "体温高")]),
    "rows stay rows": (
        'query\tresponse\n头疼\t"先休息\n咳嗽\t多喝水\n皮疹\t去"皮肤科"\n',
        [("头疼", '"先休息'), ("咳嗽", "多喝水"), ("皮疹", '去"皮肤科"')],
    ),
    "two stray quotes far apart": (
        'query\tresponse\n头疼\t"先休息\n咳嗽\t多喝水"\n',
        [("头疼", '"先休息'), ("咳嗽", '多喝水"')],
    ),
    "as pandas writes it": (
        'query\tresponse\n头疼\t"一\n二\t""三"""\n"甲\n乙"\t丙\n',
        [("头疼", '一\n二\t"三"'), ("甲\n乙", "丙")],
    ),
    "a blank cell, a blank line": (
        "query\tinput\tresponse\n头疼\t\t休息\n\n发热\t三天\t喝水\n",
        [("头疼", "休息"), ("发热\n三天", "喝水")],
    ),
}
CSV = {
    "commas in quotes": ('question,answer\n"头疼,怎么办",休息\n', [("头疼,怎么办", "休息")]),
    "lines in quotes": (
        'question,answer\n头疼,"一\n二, 三\n四"\n发热,喝水\n',
        [("头疼", "一\n二, 三\n四"), ("发热", "喝水")],
    ),
    "doubled quotes": ('question,answer\n"""高烧""是什么","体温""高"""\n', [('"高烧"是什么', '体温"高"')]),
    "a quote that is a character": (
        'question,answer\n"高烧"是什么,体温"高"\n发热,"水\n',
        [('"高烧"是什么', '体温"高"'), ("发热", '"水')],
    ),
    "an index without a name": (",question,answer\n0,头疼,休息\n", [("头疼", "休息")]),
    "title and ask": ("department,title,ask,answer\n内科,咳嗽,三天了怎么办,休息\n", [("咳嗽\n三天了怎么办", "休息")]),
}


@pytest.mark.parametrize("name", [*TSV, *CSV])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes(name, end, write):
    text, expected = {**TSV, **CSV}[name]
    path = write(f"t.{'tsv' if name in TSV else 'csv'}", text.replace("\n", end).encode())
    assert turns(path) == expected


def test_lines_of_a_table_are_told_where_cells_go_over_lines(write):
    path = write("t.csv", 'question,answer\n头疼,"一\n二"\n\n发热,水\n')
    assert [d.where for d in read(path, "dialogue")[0]] == [f"{path}:2", f"{path}:5"]


def test_a_csv_is_no_plain_text_in_pretraining(write):
    file = write("t.csv", "question,answer\n头疼,休息\n")
    assert [d.text for d in read(file, "document")[0]] == ["头疼\n休息"]
    prose = write("t.txt", "text, answer and all that\n头疼, 休息\n")  # control: a first line of prose is no header
    assert len(read(prose, "document")[0]) == 2


def test_stray_quotes_do_not_make_reading_slow(write):
    path = write("t.csv", "question,answer\n" + '"头疼"啊,"休息\n' * 5_000)
    start = time.perf_counter()
    assert len(turns(path)) == 5_000
    assert time.perf_counter() - start < 10


# ---- encodings and packing


@pytest.mark.parametrize(
    "encoding, texts, told",
    [
        ("gb18030", (SIMPLE, ANSWER), "CSV, GB18030"),
        ("gbk", (TRADITIONAL, REPLY), "CSV, GB18030"),
        ("big5", (TRADITIONAL, REPLY), "CSV, Big5"),
        ("utf-16", (SIMPLE, ANSWER), "CSV, UTF-16"),
        ("utf-8-sig", (SIMPLE, ANSWER), "CSV"),
        ("gb18030", ("咳嗽怎么办", "请休息"), "CSV, GB18030"),
        ("big5", ("咳嗽怎麼辦", "請休息"), "CSV, Big5"),
    ],
)
def test_encodings_are_read_and_told(encoding, texts, told, write):
    path = write("t.csv", f"question,answer\n{texts[0]},{texts[1]}\n".encode(encoding))
    (dialogue,), report = read(path, "dialogue")
    assert dialogue.turns == (texts,) and f"{path} ({told}): 1 row\n" in str(report)


def test_big5_is_told_from_gb18030_though_most_of_it_is_valid_there():
    for length in range(6, len(TRADITIONAL)):
        data = (TRADITIONAL[:length] * 2).encode("big5")
        assert _guess(data) == ["big5hkscs"]
    data = TRADITIONAL.encode("big5")
    assert data.decode("gb18030")  # control: trying GB18030 first would read it, wrongly
    assert _guess("カルテ".encode("shift-jis")) == _guess(bytes(range(128, 256))) == []


@pytest.mark.parametrize("pack, end", [(bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_packed_files(pack, end, write, tmp_path):
    write(f"a.jsonl.{end}", pack(json.dumps({"query": SIMPLE, "response": ANSWER}).encode()))
    assert turns(tmp_path) == [(SIMPLE, ANSWER)]


# ---- files of other programs


ROWS = [{"question": SIMPLE, "answer": ANSWER, "note": None}, {"question": "二", "answer": "贰", "note": "x"}]


def test_parquet(write, tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    dialogues, report = read(tmp_path, "dialogue")
    assert [d.turns[0] for d in dialogues] == [(SIMPLE, ANSWER), ("二", "贰")]
    assert [d.where for d in dialogues] == [f"{path}:1", f"{path}:2"]
    assert f"{path} (parquet): 2 rows\nignored fields: note (1)\n" in str(report)
    messages = [{"role": "user", "content": "一", "weight": None}, {"role": "assistant", "content": "甲", "weight": 1}]
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": messages}]), path)
    assert turns(path) == [("一", "甲")]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="t.parquet: found a broken parquet file"):
        read(path, "dialogue")


def test_xlsx(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), tmp_path / "t.xlsx"
    book.active.append(["question", "answer", None])
    book.active.append([SIMPLE, 5, None])
    book.create_sheet("blank")
    book.save(file)
    assert turns(file) == [(SIMPLE, "5")] and f"{file} (xlsx): 1 row" in str(read(file, "dialogue")[1])
    book["blank"].append(["more"])
    book.save(file)
    with pytest.raises(ValueError, match=r"t.xlsx: found 2 sheets with rows \(Sheet, blank\), expected one"):
        read(file, "dialogue")


@pytest.mark.parametrize("name, content", [("t.parquet", b"PAR1"), ("t.xlsx", b"PK\x03\x04 xl/workbook.xml")])
def test_without_the_extra_its_name_is_told(name, content, write, monkeypatch):
    for library in ("pyarrow", "pyarrow.parquet", "openpyxl"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf"{name}: {name[2:]} files need \w+: pip install 'zj\[data\]'"):
        read(write(name, content + bytes(io.DEFAULT_BUFFER_SIZE)), "dialogue")


# ---- folders


def test_a_hubs_folder_is_the_data_in_it_and_below(write, tmp_path):
    row = {"query": SIMPLE, "response": ANSWER}
    for name in ("data/train-0.jsonl", "data/zh/test.json.gz", "README.md", "dataset_infos.json", ".gitattributes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    write("data/train-0.jsonl", row)
    write("data/zh/test.json.gz", gzip.compress(json.dumps([row | {"query": "二"}]).encode()))
    for name in ("README.md", "dataset_infos.json", ".gitattributes", "LICENSE", "load.py"):
        write(name, "{}")
    for name in (".cache/x.jsonl", "__pycache__/y.json"):
        (tmp_path / name).parent.mkdir()
        write(name, row)
    dialogues, report = read(tmp_path, "dialogue")
    assert [d.turns[0][0] for d in dialogues] == [SIMPLE, "二"]
    told = str(report)
    assert f"{tmp_path}/data/train-0.jsonl: 1 row\n{tmp_path}/data/zh/test.json.gz: 1 row\n" in told
    assert all(
        name in told.split("passed over: ")[1] for name in ("README.md", "dataset_infos.json", "LICENSE", "y.json")
    )
    assert len(report.passed_over) == 7
