"""Claims over seeds: verdicts, what is missing, controls, budgets, and the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml

import pytest

from tests.eval.claims.results import claim, folders, measure, write_exam, write_lines
from zj.eval.claims import markdown, measure_claim
from zj.eval.claims.claim import LEAST_END, Budget, Side
from zj.eval.claims.figures import pictures
from zj.eval.claims.measure import NOT_MEASURABLE, NOT_RUN, ONE_SEED, UNDER_FLOOR

SEEDS = (6, 7, 8)


@pytest.fixture
def runs(tmp_path):
    """new is better than old, twin is trained as old is, in three seeds."""
    for seed in SEEDS:
        write_exam(
            tmp_path / f"seed-{seed}" / "report.json",
            {"old": 0.0, "new": 0.2, "twin": 0.0},
            {"old": 0.0, "new": 1.0},
            seed,
        )
    return folders(tmp_path, *SEEDS)


def test_verdicts(runs):
    found = {
        expected: measure_claim(claim(measure(expected=expected)), runs).verdict for expected in ("higher", "lower")
    }
    assert found == {"higher": "confirmed", "lower": "not confirmed, the opposite"}
    swapped = measure_claim(claim(measure("old", "new", "lower")), runs)
    assert swapped.verdict == "confirmed"
    for expected in ("higher", "lower"):  # the control
        assert measure_claim(claim(measure("twin", "old", expected)), runs).verdict == "not confirmed"
    assert measure_claim(claim(measure("twin", "old", "equal", margin=0.2)), runs).verdict == "confirmed"
    assert measure_claim(claim(reason="no doctors"), runs).verdict == NOT_MEASURABLE


def test_the_first_measure_decides(runs):
    one, other = measure(), measure(expected="lower")
    assert [measure_claim(claim(*pair), runs).verdict for pair in ((one, other), (other, one))] == [
        "confirmed",
        "not confirmed, the opposite",
    ]


@pytest.mark.parametrize("lift, verdict", [(0.0, "confirmed"), (0.2, UNDER_FLOOR), (0.4, UNDER_FLOOR)])
def test_what_a_constant_answer_reaches_too_is_not_confirmed(runs, lift, verdict):
    for seed, folder in runs.items():
        write_exam(folder / "report.json", {"old": 0.0, "new": 0.2, "constant": lift}, seed=seed)
    floor = measure("new", "constant", floor=True)
    assert measure_claim(claim(measure(), floor), runs).verdict == verdict
    assert measure_claim(claim(measure(), measure("new", "constant")), runs).verdict == "confirmed"  # only shown
    assert measure_claim(claim(measure("old", "new"), floor), runs).verdict == "not confirmed, the opposite"


def test_the_order_of_questions_changes_nothing(runs, tmp_path):
    before = measure_claim(claim(measure()), runs)
    for seed in SEEDS:
        file = tmp_path / "other" / f"seed-{seed}" / "report.json"
        write_exam(file, {"old": 0.0, "new": 0.2}, {"old": 0.0, "new": 1.0}, seed, shuffle=True)
    assert measure_claim(claim(measure()), folders(tmp_path / "other", *SEEDS)) == before


def test_what_is_missing_is_named(runs):
    for seed, verdict in ((6, "confirmed"), (7, ONE_SEED), (8, NOT_RUN)):
        (runs[seed] / "report.json").unlink()
        found = measure_claim(claim(measure()), runs)
        assert found.verdict == verdict and found.measures[0].left_out[seed] == f"{NOT_RUN}: seed-{seed}/report.json"
    assert "seed-6/report.json" in markdown([found], {}, SEEDS)


def test_another_exam_is_an_error_that_names_claim_and_file(runs):
    write_exam(runs[7] / "other.json", {"old": 0.0}, seed=1)
    with pytest.raises(
        ValueError, match=r"claim one: .*seed-7/other.json: 120 questions are not those of .*report.json"
    ):
        write_exam(runs[6] / "other.json", {"old": 0.0}, seed=6)
        measure_claim(claim(measure(file_b="other.json")), runs)


def test_budgets_are_sums_over_the_runs_of_a_side(runs):
    for seed, folder in runs.items():
        for run, steps in (("sft", 2), ("dpo", 3)):
            rows = [{"step": 0, "valid_loss": 1.0}, *({"step": n + 1, "tokens": 100 + seed} for n in range(steps))]
            write_lines(folder / run / "metrics.jsonl", rows)
    budgets = [
        Budget("tokens", "tokens", ("sft", "dpo"), ("sft",)),
        Budget("steps", "step", ("sft", "dpo"), ("ppo",), "last"),
    ]
    found = measure_claim(claim(measure(), budget=tuple(budgets)), runs).budgets
    assert [(one.what, one.a, one.b) for one in found] == [
        ("tokens", 535, 214),
        ("steps", 5, None),
        ("KL, nats", 1.0, 0.0),
    ]
    with pytest.raises(ValueError, match="sft/metrics.jsonl: found no numbers hours"):
        measure_claim(claim(measure(), budget=(Budget("h", "hours", ("sft",), ("sft",)),)), runs)


def test_a_run_in_work_counts_in_no_budget(runs):
    for folder in runs.values():
        write_lines(folder / "sft" / "metrics.jsonl", [{"step": 1, "tokens": 100}])
    write_lines(runs[8] / "sft" / "metrics.jsonl", [{"step": 0, "valid_loss": 1.0}])
    budget = (Budget("tokens", "tokens", ("sft",), ("sft",)),)
    with pytest.raises(ValueError, match="seed-8/sft/metrics.jsonl"):  # the control: its seed is measured
        measure_claim(claim(measure(), budget=budget), runs)
    (runs[8] / "report.json").unlink()
    assert measure_claim(claim(measure(), budget=budget), runs).budgets[0].a == 100


def test_the_page_has_a_table_for_each_system_and_controls_apart(runs):
    made = [
        claim(measure(), name="first", system="zhongjing", text="It | helps."),
        claim(measure("twin", "old"), name="twice", control=True),
        claim(name="never", reason="no doctors"),
    ]
    page = markdown([measure_claim(one, runs) for one in made], {"first": ["first.svg"]}, SEEDS)
    assert re.findall("(?m)^## (.*)", page) == ["Zhongjing", "Methods", "Controls", "Every claim"]
    assert (
        "2 claims: 1 confirmed, 1 not measurable here; 1 control: 1 not confirmed." in page
        and "![first: gold score](first.svg)" in page
    )
    assert r"It \| helps. | **confirmed** | new " in page and "not measurable here: no doctors" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 9 for line in tables)


def test_a_long_text_is_broken_into_lines_of_the_picture(runs):
    what = ("gold score of all the questions " * 6).strip()
    root = xml.fromstring(pictures(measure_claim(claim(measure(what=what)), runs), runs)["one.svg"])
    _, *lines = [element.text for element in root if element.tag.endswith("text")]
    assert " ".join(lines) == f"{what}: new minus old" and len(lines) == 3


def test_a_picture_is_svg_with_a_row_for_each_seed(runs):
    name = 'a < "b"'
    sides = {"a": Side("report.json", path=("old", "new"), name=name), "b": Side("report.json", path=("old", "new"))}
    of_paths = claim(type(measure())(**vars(measure()) | sides | {"at_kl": LEAST_END}))
    assert pictures(measure_claim(claim(reason="none"), runs), runs) == {}
    made = pictures(measure_claim(of_paths, runs), runs)
    assert list(made) == ["one.svg", "one-kl.svg"]
    for text in made.values():
        assert xml.fromstring(text).tag.endswith("svg") and "prefers-color-scheme: dark" in text
    texts = [element.text for element in xml.fromstring(made["one.svg"]).iter() if element.tag.endswith("text")]
    assert texts[0] == "one: not confirmed" and f"gold score: {name} minus new" in texts
    assert [f"seed {seed}" for seed in SEEDS] == [text for text in texts if text.startswith("seed")]


def claimed(runs, **how):
    """(left end, right end) of the coloured side, and where no difference is."""
    root = xml.fromstring(pictures(measure_claim(claim(measure(**how)), runs), runs)["one.svg"])
    side = next(one for one in root.iter() if one.get("class") == "claimed")
    zero = next(float(one.get("x1")) for one in root.iter() if one.get("class") == "level")
    return float(side.get("x")), float(side.get("x")) + float(side.get("width")), zero


def test_the_coloured_side_is_the_claimed_one(runs):
    left, right, zero = claimed(runs)
    assert left == zero and right > zero
    left, right, zero = claimed(runs, expected="lower")
    assert right == pytest.approx(zero, abs=0.11) and left < zero
    left, right, zero = claimed(runs, expected="equal", margin=0.1)
    assert (left + right) / 2 == pytest.approx(zero, abs=0.11) and left < zero
