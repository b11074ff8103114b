"""A rehearsal of the stages with random weights: what it tells is what the runs and the plan say."""

from __future__ import annotations

import json

import pytest

SHORT = ("--size", "nano", "--dtype", "fp32", "--device", "cpu", "--steps", 2, "--length", 128, "--batch-size", 2)


def cells(told: str) -> dict[str, list[str]]:
    """stage -> the other columns of the table."""
    rows = [line.split() for line in told.splitlines()]
    start = next(number for number, row in enumerate(rows) if row[:2] == ["stage", "steps"])
    return {row[0]: row[1:] for row in rows[start + 1 :]}


@pytest.mark.parametrize(
    "stages", [("reward",), pytest.param(("pretrain", "sft", "reward", "dpo", "ppo"), marks=pytest.mark.slow)]
)
def test_the_table_tells_what_the_runs_and_the_plan_say(command, tmp_path, stages):
    flags = ("--out", tmp_path, "--stages", *stages, *SHORT, "--memory-gb", 0.03)
    done = command("rehearse", *flags)
    assert done.status == 0, done.err
    table = cells(done.out)
    assert tuple(table) == stages and done.out.count("of 2 blocks recompute") == len(stages)
    for stage, (steps, skipped, loss, speed, memory, plan) in table.items():
        folder = tmp_path / f"{stage}-nano-fp32-2-128-2-4096-1-none-0.03-0"
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").open(encoding="utf-8")]
        assert (steps, skipped) == ("2", "0") and rows[-1]["step"] == 2
        assert loss == f"{rows[-1]['loss']:.3f}" and memory == f"{rows[-1]['memory_gb']:.1f}"
        assert speed == f"{rows[-1]['tokens_per_s']:,.0f}"
        assert plan == f"{json.loads(folder.with_suffix('.plan.json').read_text())['peak'] / 1e9:.1f}"
    again = command("rehearse", *flags)
    assert again.status == 0 and cells(again.out) == table  # finished runs are told once more


@pytest.mark.parametrize(
    "flags, words",
    [
        ((), "--out is missing"),
        (("--out", "x", "--stages", "rlhf"), "--stages: found rlhf, expected some of pretrain sft"),
        (("--out", "x", "--length", 5), "--length is 5, expected at least 128"),
    ],
)
def test_what_cannot_be_is_refused(command, flags, words):
    refused = command("rehearse", *flags)
    assert refused.status == 2 and words in refused.err


def test_a_stage_that_fails_is_named(command, tmp_path):
    refused = command("rehearse", "--out", tmp_path, "--stages", "ppo", *SHORT)
    assert refused.status == 2 and "ppo: train_ppo.py ended with status 2" in refused.err
