"""The benchmarks run in every case and count bytes right; how fast they are depends on the machine."""

from __future__ import annotations

import json

import pytest
import torch

from zj.timing import peak_bytes

MB, CPU = 1 << 20, torch.device("cpu")
SMALL = ("--size", "nano", "--batch-size", 2, "--prompts", 2, "--rounds", 1, "--threads", 1, "--no-peers")


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def found(command, script, out, *flags):
    done = command(script, *SMALL, *flags, "--device", "cpu", "--out", out)
    assert done.status == 0, done.err
    return json.loads(out.read_text(encoding="utf-8"))["found"], done.out


def test_peak_counts_what_is_held_at_a_time():
    def one_after_the_other():
        for _ in range(3):
            torch.ones(MB // 4)

    def together():
        return [torch.ones(MB // 4) for _ in range(3)]

    slack = 4096  # scalars and alignment
    before = torch.ones(MB)
    assert peak_bytes(one_after_the_other, CPU) == pytest.approx(MB, abs=slack)
    assert peak_bytes(together, CPU) == pytest.approx(3 * MB, abs=slack)
    assert before.sum() == MB


def test_fine_tuning_loss_and_generation(command, tmp_path):
    cases, said = found(command, "bench", tmp_path / "bench.json")
    assert set(cases) == {"matmul GFLOP/s", "sft", "sft-equal", "loss", "generate", "generate-equal"}
    assert all(0 < share < 1 for case in ("sft", "sft-equal") for share in cases[case]["share"])
    assert cases["loss"]["zj"] < cases["loss"]["all logits"] / 8  # what the chunks are for
    assert "of the matmul rate" in said and "39,424 words" in said


def test_reward_dpo_and_ppo(command, tmp_path):
    flags = ("--batches", 1, "--max-new-tokens", 4, "--ppo-epochs", 2, "--minibatches", 1)
    cases, _ = found(command, "bench_preferences", tmp_path / "bench.json", *flags)
    assert set(cases) == {"matmul GFLOP/s", "reward", "dpo", "ppo"}
    assert all(speed > 0 for case in ("reward", "dpo") for speed in cases[case]["zj"])
    parts = [sum(cases["ppo"][phase]) for phase in ("sample", "judge", "learn")]
    assert sum(parts) == pytest.approx(sum(cases["ppo"]["seconds a step"])) and min(parts) > 0


@pytest.mark.parametrize("script", ["bench", "bench_preferences"])
def test_an_unknown_case_is_named(command, script):
    done = command(script, "--cases", "speed")
    assert done.status == 2 and "--cases: found 'speed'" in done.err
