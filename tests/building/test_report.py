"""The output of a step and its report."""

from __future__ import annotations

import hashlib
import json

import pytest

from zj.building.report import SAMPLES, StepReport, is_there, report_file, write_records
from zj.data.readers import read
from zj.data.records import Document


def test_the_output_reads_back_and_its_report_fits_it(tmp_path):
    out = tmp_path / "new" / "clean.jsonl"
    records = [Document(f"d{n}", f"text {n}") for n in range(8)]
    report = StepReport("filter", {"seed": 0}, read=9, removed=1)
    for n in range(7):
        report.add("short", f"a.jsonl:{n}", f"d{n}")
    report.add("advertising", "a.jsonl:9", number=2)
    write_records(out, iter(records), report)
    assert read(out, "document")[0] == records
    given = json.loads(report_file(out).read_text(encoding="utf-8"))
    assert report_file(out).name == "clean.report.json"
    assert given["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert given == {
        "step": "filter",
        "settings": {"seed": 0},
        "read": 9,
        "written": 8,
        "removed": 1,
        "changed": 0,
        "reasons": {"short": 7, "advertising": 2},
        "samples": {"short": [f"a.jsonl:{n} d{n}" for n in range(SAMPLES)], "advertising": ["a.jsonl:9"]},
        "sha256": given["sha256"],
    }
    assert [line.split()[0] for line in str(report).splitlines()][-2:] == ["short", "advertising"]


def test_a_step_that_fails_leaves_neither(tmp_path):
    def records():
        yield Document("d", "text")
        raise OSError("the disk is gone")

    with pytest.raises(OSError):
        write_records(tmp_path / "clean.jsonl", records(), StepReport("filter", {}))
    assert not (tmp_path / "clean.jsonl").exists() and not (tmp_path / "clean.report.json").exists()


def test_an_output_that_is_there_is_kept(tmp_path, capsys):
    file = tmp_path / "clean.jsonl"
    assert not is_there(str(file)) and capsys.readouterr().out == ""
    file.write_text("")
    assert is_there(str(file)) and "nothing was done" in capsys.readouterr().out
    for out, message in (("", "--out is missing"), (str(tmp_path), "is a directory")):
        with pytest.raises(ValueError, match=message):
            is_there(out)
