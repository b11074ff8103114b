"""What a run tells: each step once, whatever became of the run before; and how long its phases took."""

from __future__ import annotations

import json

import pytest
import torch

from zj.train import Clock, Log, World, keep_rows, read_rows
from zj.train import log as module

ALONE = World(0, 1, torch.device("cpu"))
ROW = {"loss": 1.0, "tokens_per_s": 1.0, "memory_gb": 1.0}


def steps(out):
    return [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("start", "kept"), [(0, []), (1, [0, 1]), (3, [0, 1, 2, 3])])
def test_going_on_after_a_step_keeps_what_came_before_it(tmp_path, start, kept):
    """From step 0 it keeps nothing: such a run was cut off before its first checkpoint and tells step 0 again."""
    first = Log(tmp_path, 0, 9, ALONE)
    first.write({"step": 0})
    for step in range(1, 6):
        first.step(step, **ROW)
    first.close()
    assert steps(tmp_path) == list(range(6))
    Log(tmp_path, start, 9, ALONE).close()
    assert steps(tmp_path) == kept


def test_a_clock_gives_each_phase_its_own_seconds(monkeypatch):
    now = iter((10.0, 12.5, 13.0, 20.0))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now))
    clock = Clock()
    for phase in ("sample", "judge", "learn"):
        clock.stop(phase)
    assert clock.seconds == {"seconds_sample": 2.5, "seconds_judge": 0.5, "seconds_learn": 7.0}
    assert sum(clock.seconds.values()) == 20 - 10  # nothing is lost between the phases


def test_a_number_that_is_shown_and_not_told_is_an_error(tmp_path):
    """Negative control: the bar does not make up what a step has not said."""
    log = Log(tmp_path, 0, 9, ALONE, shown=("score",))
    with pytest.raises(KeyError, match="score"):
        log.step(1, **ROW)
    log.close()


def test_rows_end_where_a_row_ends_and_not_where_its_text_has_a_line_end(tmp_path):
    """U+2028 and U+0085 stand in JSON as they are; a last row may be cut off within a character."""
    rows = [{"step": step, "answer": f"一\u2028二\x85三\x0c四{step}"} for step in range(3)]
    file = tmp_path / "samples.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_bytes(text.encode() + '{"step": 3, "answer": "头'.encode()[:-1])
    assert read_rows(file) == rows
    keep_rows(file, lambda row: row["step"] < 2)
    assert file.read_text(encoding="utf-8") == "".join(text.partition('四1"}\n')[:2])
