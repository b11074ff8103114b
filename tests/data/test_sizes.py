"""Files that stand for far more than they seem to: one line names the file, and what is just below a bound is read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from zj.data import json_rows, sizes, tables
from zj.data.readers import read

ROWS = [{"query": f"第{n}问：夜里咳得睡不着，怎么办？", "response": "请先到呼吸科检查。"} for n in range(400)]
TEXT = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


@pytest.mark.parametrize(("end", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_packed_file_of_too_much(write, monkeypatch, end, pack):
    file = write(f"r.jsonl.{end}", pack(TEXT))
    ratio = len(TEXT) / file.stat().st_size
    for unpacked, most in ((len(TEXT), 1), (0, ratio + 1)):  # either bound alone is kept
        monkeypatch.setattr(sizes, "UNPACKED", unpacked)
        monkeypatch.setattr(sizes, "RATIO", most)
        assert len(read(file, "dialogue")[0]) == len(ROWS)
    monkeypatch.setattr(sizes, "UNPACKED", len(TEXT) - 1)
    monkeypatch.setattr(sizes, "RATIO", 1)
    with pytest.raises(
        ValueError, match=rf"r\.jsonl\.{end}: found 4\d,\d+ bytes packed into \d,?\d+, expected at most"
    ):
        read(file, "dialogue")


def test_a_bomb_is_known_before_it_is_unpacked(write, monkeypatch):
    """Of 64 MB in four members 2 MB are unpacked."""
    monkeypatch.setattr(sizes, "UNPACKED", 1 << 19)
    bomb = write("r.jsonl.gz", gzip.compress(bytes(16 << 20)) * 4)
    with pytest.raises(ValueError, match=r"found 2,097,152 bytes packed into"):
        read(bomb, "dialogue")


def test_a_row_of_too_much(write, monkeypatch):
    """In every kind of text. One just below the bound is read."""
    monkeypatch.setattr(json_rows, "ROW_LIMIT", 200)
    monkeypatch.setattr(tables, "ROW_LIMIT", 200)
    short, long = ROWS[0], {**ROWS[1], "response": "好" * 300}
    lines = [json.dumps(row, ensure_ascii=False) for row in (short, long)]
    texts = {
        "r.jsonl": "\n".join(lines),
        "r.json": f"[{lines[0]},\n{lines[1]}]",
        "r.tsv": "\n".join("\t".join(row) for row in (short.keys(), short.values(), long.values())),
    }
    for name, text in texts.items():
        line = 3 if name == "r.tsv" else 2
        with pytest.raises(ValueError, match=rf"{name}:{line}: found a row of 3\d\d characters, expected at most"):
            read(write(name, text), "dialogue")
        shorter = text.replace("好" * 300, "好" * 100)
        assert len(read(write(name, shorter), "dialogue")[0]) == 2


def test_a_line_that_is_too_long_is_not_parsed(write, monkeypatch):
    monkeypatch.setattr(json_rows, "ROW_LIMIT", 200)
    parsed: list[int] = []
    monkeypatch.setattr(json_rows, "_parse", lambda line: parsed.append(len(line)))
    for name in ("r.jsonl", "r.json"):
        file = write(name, json.dumps({"text": "好" * 300}) + '\n{"text": "好"}\n')
        with pytest.raises(ValueError, match=rf"{name}:1: found a row of"):
            read(file, "document")
    assert not parsed


def test_files_and_objects_beyond_the_memory(write, monkeypatch):
    """An array on one line is bounded as a file, an object, which is read whole, by what it may need."""
    array, object = write("a.json", ROWS), write("o.json", {"data": ROWS})
    size = array.stat().st_size
    monkeypatch.setattr(sizes, "MEMORY", 2 * size)
    assert len(read(array, "dialogue")[0]) == len(ROWS)
    monkeypatch.setattr(sizes, "MEMORY", 2 * size - 1)
    with pytest.raises(ValueError, match=r"a\.json: found [\d,]+ bytes, expected at most half of the memory"):
        read(array, "dialogue")
    needed = 50 * len(object.read_text(encoding="utf-8"))
    monkeypatch.setattr(sizes, "MEMORY", needed)
    assert len(read(object, "dialogue")[0]) == len(ROWS)
    monkeypatch.setattr(sizes, "MEMORY", needed - 1)
    with pytest.raises(ValueError, match=r"o\.json:1: found one JSON object of [\d,]+ characters"):
        read(object, "dialogue")


def test_an_array_is_read_row_by_row(write):
    """The first bad row ends it, before the rest is parsed."""
    file = write("a.json", "[" + "{}," * 1000 + "oh]")
    with pytest.raises(ValueError, match=r"a\.json:1: found keys none"):
        read(file, "dialogue")


def test_a_workbook_of_too_much(write, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    book, saved = openpyxl.Workbook(), io.BytesIO()
    for row in (("query", "response"), *((row["query"], row["response"]) for row in ROWS)):
        book.active.append(row)
    book.save(saved)
    data = saved.getvalue()
    stated = sizes.unzipped(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert stated == sum(len(archive.read(name)) for name in archive.namelist())
    monkeypatch.setattr(sizes, "RATIO", 1)
    monkeypatch.setattr(sizes, "UNPACKED", stated)
    assert len(read(write("r.xlsx", data), "dialogue")[0]) == len(ROWS)
    monkeypatch.setattr(sizes, "UNPACKED", stated - 1)
    with pytest.raises(ValueError, match=rf"r\.xlsx: found {stated:,} bytes packed into"):
        read(write("r.xlsx", data), "dialogue")


def test_a_workbook_of_empty_cells(write, monkeypatch):
    """A cell far to the right stands for 16,384 of them."""
    openpyxl = pytest.importorskip("openpyxl")
    book, saved = openpyxl.Workbook(), io.BytesIO()
    for number, row in enumerate(ROWS[:20], 1):
        book.active.cell(number, 16384, row["query"])
    book.save(saved)
    monkeypatch.setattr(sizes, "RATIO", 1)
    monkeypatch.setattr(sizes, "UNPACKED", 10 * 16384 * 8)
    with pytest.raises(ValueError, match=r"r\.xlsx: found 1,441,792 bytes packed into"):  # eleven rows
        read(write("r.xlsx", saved.getvalue()), "dialogue")


def test_a_parquet_file_of_too_much(tmp_path, monkeypatch):
    """One text for all rows is stored once. Different ones are what they seem."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    honest, bomb = tmp_path / "r.parquet", tmp_path / "b.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), honest)
    parquet.write_table(pyarrow.Table.from_pylist([{"text": "好" * 3000}] * 4000), bomb)
    monkeypatch.setattr(sizes, "UNPACKED", 1 << 20)
    assert len(read(honest, "dialogue")[0]) == len(ROWS)
    with pytest.raises(ValueError, match=r"b\.parquet: found [\d,]+ bytes packed into"):
        read(bomb, "document")
