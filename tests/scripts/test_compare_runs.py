"""The table of runs: what each run's directory holds, and not what it might have held."""

from __future__ import annotations

import json

import pytest


def write_run(folder, stage, measure, values, finished=True):
    folder.mkdir()
    if finished:
        (folder / "config.json").write_text("{}")
    (folder / "config.toml").write_text(f"# {stage}\n")
    rows = [{"step": 0, measure: values[0]}]
    rows += [{"step": step, "tokens": 10, "seconds": 2.0, measure: value} for step, value in enumerate(values[1:], 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("stage", "measure", "result"),
    [
        ("sft", "valid_loss", ["0.500", "2"]),
        ("dpo", "valid_loss", ["0.500", "2"]),
        ("ppo", "valid_score", ["0.700", "3"]),
    ],
)
def test_the_result_is_the_model_in_the_directory(command, tmp_path, stage, measure, result):
    """Of PPO that is the last one, though one before it scored better."""
    run = write_run(tmp_path / "run", stage, measure, [0.9, 0.8, 0.5 if stage != "ppo" else 0.95, 0.7])
    done = command("compare_runs", "--runs", run)
    assert done.status == 0, done.err
    header, row = (line.split() for line in done.out.splitlines()[:2])
    assert header[:5] == ["run", "stage", "before", "after", "result"]
    assert row == ["run", stage, "0.900", "0.700", *result, "3", "30", "5", "0.1"]


def test_an_unfinished_run_has_no_result_and_one_without_validation_does_not_end_the_table(command, tmp_path):
    one = write_run(tmp_path / "one", "sft", "valid_loss", [0.9, 0.8], finished=False)
    two = write_run(tmp_path / "two", "sft", "other", [0.9, 0.8], finished=False)
    done = command("compare_runs", "--runs", one, two)
    rows = [line.split() for line in done.out.splitlines()[1:3]]
    assert done.status == 0 and rows[0][2:6] == ["0.900", "0.800", "unfinished", "-"], done.err
    assert rows[1][:7] == ["two", "sft", "-", "-", "-", "-", "1"]
