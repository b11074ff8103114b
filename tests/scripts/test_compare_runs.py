"""The table of runs: what each run's directory holds, and not what it might have held."""

from __future__ import annotations

import json

import pytest


def write_run(folder, stage, measure, values):
    folder.mkdir()
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
