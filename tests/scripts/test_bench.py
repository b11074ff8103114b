"""The benchmark runs in every case and counts bytes and FLOPs right; how fast it is depends on the machine."""

from __future__ import annotations

import json
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from bench import limits, ppo, preferences, rankings
from bench.base import Base
from zj.data.sequences import Encoded
from zj.model import Llama, LlamaConfig, Packed
from zj.plan import flops as workload
from zj.plan.job import Job
from zj.plan.measuring import peak_bytes
from zj.stages.config import Lora
from zj.stages.preferences import Ranked

MB, CPU = 1 << 20, torch.device("cpu")
FEW = ("--size", "nano", "--batch-size", 2, "--pairs", 2, "--prompts", 2, 3, "--ppo-prompts", 2, "--long", 64)
SHORT = ("--max-new-tokens", 4, "--ppo-epochs", 2, "--minibatches", 1, "--rounds", 1, "--threads", 1)
SMALL = (*FEW, *SHORT, "--device", "cpu", "--no-peers")


@pytest.fixture(autouse=True)
def small_measures(monkeypatch):
    monkeypatch.setitem(limits.SIZES, "cpu", (512, 1 << 20, 1))


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


@pytest.mark.slow
def test_every_case_is_measured_and_told(command, tmp_path):
    out = tmp_path / "bench.json"
    done = command("bench", *SMALL, "--out", out)
    assert done.status == 0, done.err
    cases = json.loads(out.read_text(encoding="utf-8"))["found"]
    generation = {f"{case} {number}" for case in ("generate", "generate-equal", "generate-merged") for number in (2, 3)}
    training = {"sft", "sft-grouped", "sft-equal", "sft-long", "reward", "dpo", "ppo"}
    assert set(cases) == {"matmul GFLOP/s", "read GB/s", "load", "loss"} | training | generation
    assert all(0 < share < 1 for case in training | generation for share in cases[case]["share"])
    assert all(speed > 0 for case in (training | generation | {"load"}) for speed in cases[case]["zj"])
    assert cases["loss"]["zj"] < cases["loss"]["all logits"] / 8  # what the chunks are for
    for seconds, *phases in zip(cases["ppo"]["zj"], *cases["ppo"]["phases"].values(), strict=True):
        assert 0 < sum(phases) <= seconds
    assert done.out.count("\n| ") == 1 + len(training | generation) + 2  # the table: its head and the cases


def test_some_cases(command):
    done = command("bench", *SMALL, "--cases", "generate")
    assert done.status == 0 and "generation, 3 prompts, ragged" in done.out and "equal" not in done.out


@pytest.mark.parametrize("case", ["sft-equal", "reward", "dpo"])
def test_blocks_of_ours_recompute(command, spied, case):
    made = spied(Base, "prepare")
    assert command("bench", *SMALL, "--cases", case, "--recompute", 1).status == 0
    assert [model.recompute for (_, model), _ in made] == [1]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--cases", "speed"), "--cases: found 'speed'"),
        (("--rounds", 0), "--rounds is 0, expected at least 1"),
        (("--ppo-prompt-tokens", 20), "--ppo-prompt-tokens: found (20,), expected two numbers"),
        (("--ppo-prompts", 3, "--minibatches", 2), "--ppo-prompts is 3, expected a multiple of --minibatches"),
    ],
)
def test_bad_input_is_one_line(command, flags, message):
    done = command("bench", *flags)
    assert done.status == 2 and message in done.err


@pytest.mark.parity
def test_the_peers_take_part(command, tmp_path):
    """Both sides of every case, in one process."""
    out = tmp_path / "bench.json"
    done = command("bench", *SMALL[:-1], "--out", out)
    assert done.status == 0, done.err
    cases = json.loads(out.read_text(encoding="utf-8"))["found"]
    peers = {"load": "transformers", "reward": "trl", "dpo": "trl", "ppo": "trl"}
    for name, told in cases.items():
        if isinstance(told, dict) and name != "loss":
            theirs = told[peers.get(name, "transformers + peft")]
            assert len(theirs) == 1 and min(theirs) > 0 and len(told["ratio"]) == 1, name


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["LlamaForCausalLM", "LlamaForSequenceClassification"])
def test_peers_compute_with_the_same_weights_and_cannot_change_ours(kind, tmp_path):
    base = Base(SimpleNamespace(size="nano", dtype="fp32", seed=3), CPU, tmp_path / "base")
    ours, theirs = base.llama(), base.transformers_model(kind)
    ids = torch.randint(3, 500, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = ours(Packed.of(ids.tolist()))
        found = theirs.model(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # fp32, another order of sums
        for weight in theirs.parameters():
            weight.zero_()
        assert torch.equal(ours(Packed.of(ids.tolist())), expected)


# ---- what the work takes at best

SHAPE = LlamaConfig.named("nano")
WHOLE = Job("sft", SimpleNamespace(lora=Lora(rank=0), dtype="fp32"), SHAPE)  # an adapter is merged
JOB = Job("sft", SimpleNamespace(lora=Lora(rank=4), dtype="fp32"), SHAPE)


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
    held = [[8, 4], [9], [10]]  # tokens of the rows at work in each step after the prompts' own
    reading = [4 * (weights + sum(rows) * token) for rows in held]
    least = partial(limits.generation_seconds, JOB, prompts, new)
    assert least(limits.Machine(math.inf, 1.0)) == pytest.approx(sum(reading), rel=1e-12)
    prefill = sum(limits.forward_flops(WHOLE, [(n, 0, 1)]) for n in prompts)
    apart = [4 * (weights + n * token) for n in (8, 9, 10, 4)]
    assert least(limits.Machine(math.inf, 1.0), slots=1) == pytest.approx(sum(apart), rel=1e-12)
    products = [sum(limits.forward_flops(WHOLE, [(1, n - 0.5, 1)]) for n in rows) for rows in held]
    assert least(limits.Machine(1.0, math.inf)) == pytest.approx(prefill + sum(products), rel=1e-12)
    assert least(limits.Machine(1.0, math.inf), slots=1) == pytest.approx(sum(products) + prefill, rel=1e-12)
    ratio = (products[0] / reading[0] + products[1] / reading[1]) / 2  # two rows wait for products, one for memory
    mixed = prefill + products[0] + ratio * (reading[1] + reading[2])
    assert least(limits.Machine(1.0, 1 / ratio)) == pytest.approx(mixed, rel=1e-12)


def config(**more):
    return SimpleNamespace(size="nano", dtype="fp32", ppo_prompts=2, slots=0, max_new_tokens=5, ppo_epochs=3, **more)


def test_a_pair_costs_what_its_two_answers_do_less_one_prompt():
    """And DPO the reference's forward pass and the head's products besides."""
    answers = [Encoded([1] * n, [False] * 6 + [True] * (n - 6), "") for n in (16, 26)]
    job, one = Job("reward", SimpleNamespace(lora=Lora(rank=16), dtype="fp32"), SHAPE), limits.Machine(1.0, 1.0)
    apart = limits.training_flops(job, [(16, 0, 0), (26, 0, 0)]) - limits.training_flops(job, [(6, 0, 0)])
    batches = [[Ranked(tuple(answers), (1, 2))]]
    reward = preferences.least_seconds(config(), "reward", batches, one)
    assert reward == pytest.approx(apart, rel=1e-12)
    forward = limits.forward_flops(job, [(16, 0, 10), (26, 0, 20)]) - limits.forward_flops(job, [(6, 0, 0)])
    head = 30 * 4 * SHAPE.vocab_size * SHAPE.hidden_size
    assert preferences.least_seconds(config(), "dpo", batches, one) == pytest.approx(apart + head + forward, rel=1e-12)


def test_phases_of_ppo():
    """Four roles judge, two learn in every pass; of four prompts two are a step."""
    job, prompts = Job("ppo", SimpleNamespace(lora=Lora(rank=16), dtype="fp32"), SHAPE), [7, 9, 4, 12]
    found = ppo.least_seconds(config(), prompts, limits.Machine(1.0, math.inf))
    whole, answers = [(n + 5, 0, 0) for n in prompts], 20 * 2 * SHAPE.vocab_size * SHAPE.hidden_size
    assert found["judge"] == pytest.approx((4 * limits.forward_flops(job, whole) + 2 * answers) / 2, rel=1e-12)
    learnt = 3 * (2 * limits.training_flops(job, whole) + 2 * answers) / 2
    assert found["learn"] == pytest.approx(learnt, rel=1e-12)
    sampled = [
        limits.generation_seconds(job, some, [5, 5], limits.Machine(1.0, math.inf)) for some in ([7, 9], [4, 12])
    ]
    assert found["sample"] == pytest.approx(sum(sampled) / 2, rel=1e-12)


def test_the_accuracy_of_a_ranking_counts_equal_scores_half():
    ranks = {"item": (1, 2, 2)}
    assert rankings._accuracy({"item": [3.0, 1.0, 0.0]}, ranks, ranks) == 1  # the tie of the last two is no pair
    assert rankings._accuracy({"item": [1.0, 1.0, 0.0]}, ranks, ranks) == 0.75
    assert rankings._accuracy({"item": [0.0, 1.0, 2.0]}, ranks, ranks) == 0
