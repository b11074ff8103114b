"""The writers of data other than the clinic: a service that fails, a model of this project, and what they cost."""

from __future__ import annotations

import json

import pytest

from scripts import build_dialogues, build_refine
from tests.line import write_rows
from tests.llm.service import serving
from zj.building.prompts import PROMPTS
from zj.building.report import report_file
from zj.clinic.consultation import single
from zj.data.records import as_json

ENDPOINT = {"writer": "endpoint", "writer_model": "doctor"}
CASES = [{"id": n, "medical_case": f"咳嗽{n}天", "doctor_diagnosis": "支气管炎"} for n in range(1, 4)]


@pytest.fixture
def service(monkeypatch):
    with serving(monkeypatch) as service:
        yield service


def settings_of(out) -> dict:
    return json.loads(report_file(out).read_text(encoding="utf-8"))["settings"]


def test_a_failing_service_is_paid_once_and_a_later_run_goes_on(service, tmp_path):
    data = write_rows(tmp_path / "data.jsonl", [as_json(single(0, n)) for n in range(4)])
    flags = {"data": (str(data),), "cache": str(tmp_path / "replies.sqlite"), "price_in": 1e5, "price_out": 1e5}
    with pytest.raises(ValueError, match="--budget"):
        build_refine.main(build_refine.Config(out=str(tmp_path / "a.jsonl"), budget=150.0, **flags, **ENDPOINT))
    assert not (tmp_path / "a.jsonl").exists() and sum(service.paid.values()) < 4
    build_refine.main(
        build_refine.Config(out=str(tmp_path / "a.jsonl"), requests_per_minute=6000, concurrency=2, **flags, **ENDPOINT)
    )
    found = settings_of(tmp_path / "a.jsonl")
    assert set(service.paid.values()) == {1} and len(service.paid) == 4
    assert found["replies"]["new"] + found["replies"]["from_cache"] == 4 and found["model"] == "doctor"


def test_two_models_of_a_service_share_the_budget(service, tmp_path):
    data, prompts = write_rows(tmp_path / "cases.jsonl", CASES), tmp_path / "prompts.toml"
    prompts.write_text(
        PROMPTS.read_text(encoding="utf-8").replace("[dialogues]", "[dialogues]\npatient = '{medical_case}'"),
        encoding="utf-8",
    )  # it echoes
    flags = {
        "data": (str(data),),
        "turns": 2,
        "patient_model": "patient",
        "max_tokens": 5,
        "prompts": str(prompts),
    } | ENDPOINT
    build_dialogues.main(build_dialogues.Config(out=str(tmp_path / "a.jsonl"), **flags))
    writers = settings_of(tmp_path / "a.jsonl")["writers"]
    assert [(one["model"], one["replies"]["new"]) for one in writers] == [("patient", 6), ("doctor", 6)]
    prices = {"price_in": 1e5, "price_out": 1e5}  # a reply costs 15 tokens, 1.5
    with pytest.raises(ValueError, match=r"--budget"):
        build_dialogues.main(build_dialogues.Config(out=str(tmp_path / "b.jsonl"), budget=60.0, **prices, **flags))
    before = sum(service.paid.values())
    build_dialogues.main(build_dialogues.Config(out=str(tmp_path / "b.jsonl"), budget=1e4, **prices, **flags))
    assert sum(one["cost"] for one in settings_of(tmp_path / "b.jsonl")["writers"]) > 0
    assert sum(service.paid.values()) == 24 > before  # 12 of each output: what came before the stop is not paid again


def test_a_model_of_this_project_writes(line, tmp_path):
    data = write_rows(tmp_path / "data.jsonl", [as_json(single(0, n)) for n in range(2)])
    flags = {"data": (str(data),), "writer": str(line.sft), "device": "cpu", "max_tokens": 4}
    build_refine.main(build_refine.Config(out=str(tmp_path / "a.jsonl"), slots=2, seed=3, **flags))
    found = settings_of(tmp_path / "a.jsonl")
    assert found["replies"]["new"] >= 1 and "seed 3" in found["model"] and "files=" in found["model"]
    build_refine.main(build_refine.Config(out=str(tmp_path / "b.jsonl"), dry_run=True, **flags))
    with pytest.raises(ValueError, match="--writer"):
        flags["writer"] = str(tmp_path / "nowhere")
        build_refine.main(build_refine.Config(out=str(tmp_path / "b.jsonl"), **flags))
