"""A Bloom on two ranks: its blocks are sharded as LLaMA's are, and every stage is that of one process."""

from __future__ import annotations

import json

import pytest
import torch

from tests.line import make_line, write_rows
from tests.parallel.conftest import STAGES, job, numbers, together, weights
from tests.scripts.test_bloom import bloom

FLAGS = ("--epochs", 1, "--optim.lr", "1e-3")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["zero2", "zero3"])
def test_every_stage_on_two_ranks(tmp_path, how):
    line = make_line(tmp_path, bloom)
    rows = [json.loads(row) for row in line.dialogues.read_text(encoding="utf-8").splitlines()]
    write_rows(tmp_path / "documents.jsonl", [{"text": row["query"] + row["response"]} for row in rows])
    for ranks, shard in ((1, "none"), (2, how)):
        jobs = [job(line, stage, tmp_path / shard / stage, *FLAGS, "--shard", shard) for stage in STAGES]
        done = together(jobs, ranks, tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    for stage in STAGES:
        one, other = tmp_path / "none" / stage, tmp_path / how / stage
        for row, also in zip(numbers(one), numbers(other), strict=True):
            assert also == pytest.approx(row, rel=1e-4, abs=1e-4), stage
        expected, found = weights(one), weights(other)
        assert expected.keys() == found.keys()
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=5e-5)
