"""A hybrid set: shares, the seed, the steps of each part, and the recipes of the papers on the clinic's data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.build import Config, check_files, main
from zj.building.hybrid import Part, counts_of
from zj.cli import parse
from zj.clinic.consultation import consultation, single
from zj.data.readers import read
from zj.data.records import Dialogue, as_json

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
HUATUO = {"a": 61400, "b": 69768, "c": 68888, "d": 25986}


def write(file, rows):
    file.write_text("".join(json.dumps(as_json(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("total", [1, 7, 100, 4999, 226042])
def test_counts_are_the_total_s_by_their_shares(total):
    counts = counts_of(HUATUO, HUATUO, total)
    assert sum(counts.values()) == total
    assert all(abs(counts[name] - total * share / 226042) < 1 for name, share in HUATUO.items())


def test_without_a_total_it_is_the_most_that_there_is():
    assert counts_of(HUATUO, HUATUO, None) == HUATUO
    assert counts_of({"multi": 7, "single": 1}, {"multi": 70, "single": 90}, None) == {"multi": 70, "single": 10}
    assert counts_of({"multi": 7, "single": 1}, {"multi": 71, "single": 9}, None) == {"multi": 63, "single": 9}
    with pytest.raises(ValueError, match=r"--total 88: part multi has 70 .* give 77; there are enough for --total 80"):
        counts_of({"multi": 7, "single": 1}, {"multi": 70, "single": 90}, 88)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrid")
    multi, one = [consultation(0, n) for n in range(16)], [single(0, n) for n in range(30)]
    bad = [
        replace(multi[0], id="again"),
        Dialogue("ad", (("痛", "加微信：abc12345，免费咨询"), ("好", "好"))),
        Dialogue(
            "wrong",
            (("我怀孕了，得了荨麻疹，用什么药？", "治疗荨麻疹可以服用阿司匹林和甲氨蝶呤。"), ("好的", "注意休息。")),
        ),
        Dialogue(
            "person", (("我叫王建国，电话13912345678，夜里咳嗽", "您好，王建国，先查胸片。"), ("好的", "注意休息。"))
        ),
    ]
    return {"multi": write(folder / "multi.jsonl", [*multi, *bad]), "single": write(folder / "single.jsonl", one)}


def built(tmp_path, name, files, **settings):
    parts = {
        "multi": Part((files["multi"],), 7, ("deidentify", "filter", "dedup", "check"), "multi"),
        "single": Part((files["single"],), 1, ("filter",), "single"),
    }
    main(Config(**{"parts": parts, "out": str(tmp_path / name)} | settings))
    report = json.loads((tmp_path / name.replace("jsonl", "report.json")).read_text(encoding="utf-8"))
    return read([tmp_path / name], "dialogue")[0], report


def test_the_set_has_its_shares_and_no_record_that_a_step_removes(tmp_path, files):
    rows, report = built(tmp_path, "a.jsonl", files, total=16)
    parts = [row.id.partition("/")[0] for row in rows]
    assert parts.count("multi") == 14 and parts.count("single") == 2 and parts != sorted(parts)
    ids = {row.id for row in rows}
    assert not ids & {"multi/again", "multi/ad"}
    assert report["reasons"]["multi: dedup: exact"] == 1 and report["reasons"]["multi: filter: contact"] >= 1
    assert report["read"] == report["written"] + report["removed"] == 50
    steps = report["settings"]["parts"]["multi"]["steps"]
    assert [step["step"] for step in steps] == ["deidentify", "filter", "dedup", "check"]
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8") + (tmp_path / "a.report.json").read_text(encoding="utf-8")
    assert "王建国" not in text and "13912345678" not in text


def test_a_step_that_is_not_in_the_list_does_not_happen(tmp_path, files):
    """Control: without steps, all that was read is there."""
    rows, report = built(tmp_path, "a.jsonl", files, parts={"all": Part((files["multi"], files["single"]), 1, ())})
    assert len(rows) == 50 and not report["removed"] and {"all/again", "all/ad"} <= {row.id for row in rows}


def test_one_seed_and_one_key_give_one_set(tmp_path, files, monkeypatch):
    monkeypatch.setenv("ZJ_DEIDENTIFY_KEY", "a key of the test's own")
    for name, seed in (("a.jsonl", 0), ("b.jsonl", 0), ("c.jsonl", 1)):
        built(tmp_path, name, files, total=16, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    assert a == b != c
    monkeypatch.setenv("ZJ_DEIDENTIFY_KEY", "short")
    with pytest.raises(ValueError, match="at least 16"):
        built(tmp_path, "d.jsonl", files, total=16)


def test_what_is_near_a_test_set_is_removed(tmp_path, files):
    parts = {"single": Part((files["single"],), 1, ("dedup",))}
    exam = write(tmp_path / "exam.jsonl", [single(0, 3)])
    rows, report = built(tmp_path, "a.jsonl", files, parts=parts, against=(exam,))
    assert "single/single-000003" not in {row.id for row in rows} and len(rows) < 30


def test_what_repeats_a_record_of_an_earlier_part_is_removed(tmp_path, files):
    again = write(tmp_path / "again.jsonl", [replace(single(0, 3), id="x"), single(7, 0)])
    for steps, ids in ((("dedup",), {"b/single-000000"}), ((), {"b/x", "b/single-000000"})):  # the second: control
        parts = {"a": Part((files["single"],), 1, ("dedup",)), "b": Part((again,), 1, steps)}
        rows, report = built(tmp_path, f"{len(steps)}.jsonl", files, parts=parts)
        assert {row.id for row in rows if row.id.startswith("b/")} == ids
        assert report["reasons"].get("between parts: dedup: exact", 0) == len(steps)
        assert report["read"] == report["written"] + report["removed"] == 32


@pytest.mark.parametrize("paper, total", [("huatuogpt", 12), ("zhongjing", 8)])
def test_a_paper_s_recipe_is_built_of_the_clinic_s_data(paper, total, tmp_path):
    recipe = ["--config", str(RECIPES / paper / "data.toml")]
    flags = ["--total", str(total), "--out", str(tmp_path / "a.jsonl")]
    for seed, (name, part) in enumerate(parse(Config, recipe).parts.items(), 1):
        draw = single if part.turns == "single" or "instructions" in name else consultation
        own = write(tmp_path / f"{name}.jsonl", [draw(seed, n) for n in range(16)])
        flags += [f"--parts.{name.replace('_', '-')}.files", own]
    config = parse(Config, recipe + flags)
    main(config)
    rows = read([tmp_path / "a.jsonl"], "dialogue")[0]
    assert len(rows) == total and {row.id.partition("/")[0] for row in rows} == set(config.parts)
    expected = counts_of(
        {name: part.share for name, part in config.parts.items()}, dict.fromkeys(config.parts, 99), total
    )
    assert {name: sum(row.id.startswith(f"{name}/") for row in rows) for name in config.parts} == expected


def test_mistakes_of_a_recipe_are_named(tmp_path, capsys):
    def error(text):
        file = tmp_path / "data.toml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit):
            parse(Config, ["--config", str(file)])
        return capsys.readouterr().err

    assert "--parts.a.steps wash: no such step" in error('[parts.a]\nsteps = ["wash"]')
    assert "--parts.a.share is 0" in error("[parts.a]\nshare = 0")
    assert "unknown key 'parts.a.flies' (did you mean parts.a.files?)" in error('[parts.a]\nflies = ["x"]')
    assert "unknown key 'parts'" in error("parts = 3") and "[parts.NAME]" in error("total = 3")
    with pytest.raises(ValueError, match=r"--parts.a.files: nowhere.jsonl is not there; make it: python x"):
        check_files("a", Part(("nowhere.jsonl",), made_by="python x"))
