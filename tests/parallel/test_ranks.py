"""Several ranks are one process: same losses, same weights, for every stage and every way of sharding."""

from __future__ import annotations

import json

import pytest
import torch

from tests.parallel.conftest import STAGES, job, numbers, together, weights

MORE_RANKS = ("2 none", "2 zero3", "1 zero2", "1 zero3", "3 zero3", "4 none", "4 zero2", "4 zero3")
IN_16_BIT = ("train_pretrain", "train_ppo")  # all weights; four adapters and two heads on a frozen backbone


def run_all(line, folder, ranks, *more, stages=STAGES):
    """Each stage on so many ranks; where their directories are."""
    done = together([job(line, stage, folder / stage, *more) for stage in stages], ranks, folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def assert_same(one, other, rel, atol):
    """What two runs tell, and what they end in."""
    expected, found = numbers(one), numbers(other)
    assert len(expected) == len(found) > 10
    for row, also in zip(expected, found, strict=True):
        assert row.keys() == also.keys() and also == pytest.approx(row, rel=rel, abs=rel), row["step"]
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    for name, weight in mine.items():
        torch.testing.assert_close(theirs[name], weight, rtol=rel, atol=atol)
    if (one / "reward.json").exists():
        mine, theirs = (json.loads((folder / "reward.json").read_text())["calibration"] for folder in (one, other))
        assert theirs == pytest.approx(mine, rel=rel, abs=rel)


@pytest.fixture(scope="module")
def alone(line, tmp_path_factory):
    """stage -> directory of the run of one process that shards nothing."""
    return run_all(line, tmp_path_factory.mktemp("alone"), 1)


@pytest.fixture(
    scope="module",
    params=["2 zero2"] + [pytest.param(more, marks=pytest.mark.slow) for more in MORE_RANKS],
)
def several(request, line, tmp_path_factory):
    """The same runs on so many ranks, sharded so."""
    ranks, how = request.param.split()
    return run_all(line, tmp_path_factory.mktemp("several"), int(ranks), "--shard", how)


@pytest.mark.parametrize("stage", STAGES)
def test_ranks_tell_and_learn_what_one_process_does(alone, several, stage):
    """fp32: sums in another order differ by 1e-6 of a number; AdamW makes more of it where a gradient is near 0."""
    assert_same(alone / stage, several / stage, rel=1e-4, atol=2e-5)
    held_out = [(folder / stage / "validation.txt").read_text(encoding="utf-8") for folder in (alone, several)]
    assert held_out[0] == held_out[1] and held_out[0].count("\n") >= 2  # written once, and the same on every rank
    losses = [[row["loss"] for row in numbers(folder / stage)[1:]] for folder in (alone, several)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["zero2", "zero3"])
def test_compiled_blocks_are_shared_out_too(alone, line, tmp_path, how):
    """--compile on two ranks, of which each recomputes what it can; it needs a C++ compiler."""
    flags = ("--shard", how, "--compile", "--memory-gb", 0.0012)
    done = together([job(line, "train_sft", tmp_path / "run", *flags)], 2, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 of 2 blocks recompute" in done.stdout
    assert_same(alone / "train_sft", tmp_path / "run", rel=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["none", "zero3"])
def test_answers_are_compared_over_all_ranks(line, tmp_path, how):
    """RLOO has no value role, and needs all answers to a prompt, which ranks sample and measure apart."""
    run = lambda name, ranks, *more: together(  # noqa: E731
        [job(line, "train_ppo", tmp_path / name, "--advantage", "rloo", *more)], ranks, tmp_path
    )
    for done in (run("alone", 1), run("several", 2, "--shard", how)):
        assert done.returncode == 0, done.stderr[-3000:]
    assert_same(tmp_path / "alone", tmp_path / "several", rel=1e-4, atol=2e-5)


def test_other_data_is_another_run(alone, line, tmp_path):
    """Negative control: the comparison above notices another order of the batches."""
    done = together([job(line, "train_sft", tmp_path / "other", "--seed", 1)], 1, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    with pytest.raises(AssertionError):
        assert_same(alone / "train_sft", tmp_path / "other", rel=1e-4, atol=2e-5)


@pytest.fixture(scope="module")
def half(line, tmp_path_factory):
    """The same in bf16, on one rank."""
    return run_all(line, tmp_path_factory.mktemp("half"), 1, "--shard", "zero2", "--dtype", "bf16", stages=IN_16_BIT)


@pytest.fixture(scope="module", params=["zero2", "zero3"])
def half_shared(request, line, tmp_path_factory):
    """In bf16, on two ranks."""
    folder = tmp_path_factory.mktemp(request.param)
    return run_all(line, folder, 2, "--shard", request.param, "--dtype", "bf16", stages=IN_16_BIT)


@pytest.mark.slow  # fp16, below, and a run that is cut off in bf16 (test_stopping.py) are in the default suite
@pytest.mark.parametrize("stage", IN_16_BIT)
def test_ranks_agree_in_16_bit(half, half_shared, stage):
    """bf16 rounds every activation to 3 digits, the same way on every rank: a pack's place changes nothing but sums."""
    one, other = ([row["loss"] for row in numbers(folder / stage)[1:]] for folder in (half, half_shared))
    steps = 4 if stage == "train_ppo" else len(one)  # later, an answer that was drawn otherwise has changed the course
    assert other[:steps] == pytest.approx(one[:steps], rel=0.03, abs=0.01)


@pytest.fixture(scope="module", params=["zero3", pytest.param("zero2", marks=pytest.mark.slow)])
def scaled(request, line, tmp_path_factory):
    """In fp16 with loss scaling, on two ranks. Widths of the toy only: a CPU multiplies fp16 slowly."""
    folder = tmp_path_factory.mktemp("scaled")
    return run_all(line, folder, 2, "--shard", request.param, "--dtype", "fp16", stages=IN_16_BIT)


@pytest.mark.parametrize("stage", IN_16_BIT)
def test_fp16_takes_every_step_and_begins_as_fp32_does(alone, scaled, stage):
    rows, exact = (numbers(folder / stage)[1:] for folder in (scaled, alone))
    assert len(rows) == len(exact) and all(row["loss_factor"] == 1.0 and row["loss_scale"] >= 1 for row in rows)
    losses, expected = ([row["loss"] for row in told[:4]] for told in (rows, exact))
    assert losses == pytest.approx(expected, rel=0.01, abs=0.005)  # 11 bits a number
    assert all(weight.isfinite().all() for weight in weights(scaled / stage).values())


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["none", "zero2", "zero3"])
def test_every_stage_on_a_gpu_in_fp16(line, tmp_path, how):
    """NCCL with one rank, fp16 with loss scaling: no step is left out after the scale has settled."""
    run_all(line, tmp_path, 1, "--shard", how, "--dtype", "fp16", "--device", "cuda")
    for stage in STAGES:
        assert all(row["loss_factor"] == 1.0 for row in numbers(tmp_path / stage)[-5:])
        assert all(weight.isfinite().all() for weight in weights(tmp_path / stage).values())
