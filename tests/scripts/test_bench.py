"""The benchmark runs in every case and counts bytes and FLOPs right; how fast it is depends on the machine."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from zj import workload
from zj.bench import limits
from zj.model import Llama, LlamaConfig
from zj.planning import Job
from zj.stage import Lora
from zj.timing import peak_bytes

MB, CPU = 1 << 20, torch.device("cpu")
FEW = ("--size", "nano", "--batch-size", 2, "--pairs", 2, "--prompts", 2, 3, "--ppo-prompts", 2, "--max-new-tokens", 4)
SMALL = (*FEW, "--ppo-epochs", 2, "--minibatches", 1, "--rounds", 1, "--threads", 1, "--device", "cpu", "--no-peers")


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


def test_every_case_is_measured_and_told(command, tmp_path):
    out = tmp_path / "bench.json"
    done = command("bench", *SMALL, "--out", out)
    assert done.status == 0, done.err
    cases = json.loads(out.read_text(encoding="utf-8"))["found"]
    generation = {f"{case} {number}" for case in ("generate", "generate-equal") for number in (2, 3)}
    training = {"sft", "sft-grouped", "sft-equal", "reward", "dpo", "ppo"}
    assert set(cases) == {"matmul GFLOP/s", "read GB/s", "load", "loss"} | training | generation
    assert all(0 < share < 1 for case in training | generation for share in cases[case]["share"])
    assert all(speed > 0 for case in (training | generation | {"load"}) for speed in cases[case]["zj"])
    assert cases["loss"]["zj"] < cases["loss"]["all logits"] / 8  # what the chunks are for
    assert [sum(seconds) for seconds in zip(*cases["ppo"]["phases"].values(), strict=True)] == cases["ppo"]["zj"]
    assert done.out.count("\n| ") == 1 + len(training | generation) + 2  # the table: its head and the cases


def test_some_cases(command):
    done = command("bench", *SMALL, "--cases", "generate")
    assert done.status == 0 and "generation, 3 prompts, ragged" in done.out and "equal" not in done.out


def test_an_unknown_case_is_named(command):
    done = command("bench", "--cases", "speed")
    assert done.status == 2 and "--cases: found 'speed'" in done.err


# ---- what the work takes at best

SHAPE = LlamaConfig.named("nano")
WHOLE = Job("sft", SimpleNamespace(lora=Lora(rank=0), dtype="fp32"), SHAPE)  # an adapter is merged
JOB = Job("sft", SimpleNamespace(lora=Lora(rank=4), dtype="fp32", recompute=False), SHAPE)


def test_flops_of_fine_tuning_are_the_planned_ones_less_what_is_computed_twice():
    """Flash attention makes the scores again: half of its forward pass. (The plan's are held to torch's counter.)"""
    *_, attention = workload.flop_parts(JOB, 70)
    planned = workload.training_flops(JOB, 70, 0.6) - attention / 2
    assert limits.training_flops(JOB, [(70, 0, 42)]) == pytest.approx(70 * planned, rel=1e-12)


@pytest.mark.parametrize("flops", [limits.forward_flops, limits.training_flops])
def test_a_sequence_costs_what_its_parts_cost(flops):
    whole, parts = flops(JOB, [(100, 0, 30)]), flops(JOB, [(60, 0, 0), (40, 60, 30)])
    assert parts == pytest.approx(whole, rel=1e-12)
    assert flops(JOB, [(60, 0, 0), (40, 0, 30)]) < whole  # control: without what stands before


def test_generation_reads_the_weights_once_a_step_and_what_each_row_holds():
    prompts, new = [7, 3], [4, 2]
    layers = sum(w.numel() for name, w in Llama(SHAPE).named_parameters() if name.endswith("proj.weight"))
    weights, token = layers + SHAPE.vocab_size * 32, 2 * 2 * 2 * 8  # 2 layers' keys and values of 2 heads of 8
    held = [8, 9, 10, 4]  # by the first row in its three steps after the prompt's, by the second in its one
    read = 4 * (3 * weights + sum(held) * token)
    found = limits.generation_seconds(JOB, prompts, new, limits.Machine(math.inf, 1.0))
    assert found == pytest.approx(read, rel=1e-12)
    prefill = sum(limits.forward_flops(WHOLE, [(n, 0, 1)]) for n in prompts)
    assert limits.generation_seconds(JOB, prompts, new, limits.Machine(1.0, math.inf)) == pytest.approx(prefill)
