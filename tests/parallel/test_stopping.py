"""A run survives what happens to it: signals, kills, other numbers of ranks, a second run in its directory."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from scripts import train_sft
from tests.parallel.conftest import ROOT, STAGES, job, numbers, together, torchrun, weights
from zj.cli import parse
from zj.train import Rows, load_checkpoint
from zj.train.stop import seconds

ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
ONE_PACK = ("--tokens-per-pack", 4096)  # of each rank in each step


def begin(ranks, name, *flags):
    """A run in the background."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    if ranks == 1:
        start = [sys.executable]
    return subprocess.Popen(
        [*start, f"scripts/{name}.py", *flags],
        **{"cwd": ROOT, "env": ENV, "text": True},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill(process):
    """SIGKILL for a process and all that it has started, torchrun's ranks among them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    doomed = [process.pid]
    for pid in doomed:
        doomed += [child for child, parent in parents.items() if parent == pid]
    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def steps_done(out):
    """Rows of metrics.jsonl so far, the one before the first step not counted."""
    file = out / "metrics.jsonl"
    return max(0, file.read_bytes().count(b"\n") - 1) if file.exists() else 0


def wait_for(condition, process, seconds=90):
    """Until it is true or the process has ended."""
    for _ in range(seconds * 100):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.01)
    raise AssertionError("waited too long")


def stop_amid(ranks, name, flags, out):
    """Ask a run to stop once it has done a step; the number of steps after which it has."""
    process = begin(ranks, name, *flags)
    wait_for(lambda: steps_done(out) >= 1, process)
    process.send_signal(signal.SIGTERM)
    said, err = process.communicate(timeout=90)
    assert "stopped and saved after step" in said, err[-2000:]
    return int(said.partition("stopped and saved after step ")[2].partition(";")[0])


def same(one, other):
    """Bitwise equal results, and the same story."""
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert numbers(one) == numbers(other)


def whole(out):
    """Nothing in a run's directory looks complete and is not."""
    assert not (out / "adapter_config.json").exists() and not (out / "config.json").exists()
    checkpoints = [*(out / "checkpoints").glob("step-*")] if (out / "checkpoints").exists() else []
    for folder in checkpoints:
        assert (folder / "manifest.json").is_file()
    if (out / "latest").exists():
        assert load_checkpoint(out) is not None
    if (out / "best").exists():
        weights(out / "best")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_the_step_at_hand(line, tmp_path, number):
    name, *flags = job(line, "train_sft", tmp_path / "run", "--save-every", 100, "--epochs", 60)
    process = begin(1, name, *flags)
    wait_for(lambda: steps_done(tmp_path / "run") >= 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    said = [row for row in out.splitlines() if "stopped and saved after step" in row]
    assert len(said) == 1 and said[0].endswith("the same command goes on")
    assert load_checkpoint(tmp_path / "run")["optimizer"]["steps"] == steps_done(tmp_path / "run") > 0


def test_a_stopped_run_goes_on_to_the_bit(line, tmp_path):
    straight = job(line, "train_sft", tmp_path / "straight")
    name, *flags = job(line, "train_sft", tmp_path / "cut")
    assert together([straight], 2, tmp_path).returncode == 0
    step = stop_amid(2, name, flags, tmp_path / "cut")
    again = torchrun(2, f"scripts/{name}.py", *flags)
    assert again.returncode == 0 and f"going on after step {step}" in again.stdout, again.stderr[-2000:]
    same(tmp_path / "straight", tmp_path / "cut")


@pytest.mark.parametrize("before, after", [(2, 1), pytest.param(2, 3, marks=pytest.mark.slow)])
def test_another_number_of_ranks_goes_on(line, tmp_path, before, after):
    """To rounding: sums are in another order."""
    jobs = {n: job(line, "train_pretrain", tmp_path / n, "--shard", "zero3") for n in ("straight", "moved")}
    assert together([jobs["straight"]], 1, tmp_path).returncode == 0
    name, *flags = jobs["moved"]
    assert stop_amid(before, name, flags, tmp_path / "moved") > 0
    assert torchrun(after, f"scripts/{name}.py", *flags).returncode == 0
    mine, theirs = weights(tmp_path / "straight"), weights(tmp_path / "moved")
    for key, weight in mine.items():
        torch.testing.assert_close(theirs[key], weight, rtol=1e-4, atol=2e-5)


def killed_again_and_again(line, tmp_path, stage, times, seed):
    """Kill a run on two ranks so many times, each at a random moment, and let it end; steps it had done each time."""
    rng, moments = random.Random(f"{seed}/{stage}"), []
    more = ("--shard", "zero2", "--save-every", 1, "--epochs", 8)
    name, *flags = job(line, stage, tmp_path / "cut", *more)
    assert together([job(line, stage, tmp_path / "straight", *more)], 2, tmp_path).returncode == 0
    for _ in range(times):
        process, done = begin(2, name, *flags), steps_done(tmp_path / "cut")
        wait_for(lambda done=done: steps_done(tmp_path / "cut") > done, process)
        time.sleep(rng.uniform(0, 0.5))
        kill(process)
        assert process.returncode == -signal.SIGKILL, "it had ended before it was killed"
        moments.append(steps_done(tmp_path / "cut"))
        whole(tmp_path / "cut")
    last = torchrun(2, f"scripts/{name}.py", *flags)
    assert last.returncode == 0, last.stderr[-2000:]
    same(tmp_path / "straight", tmp_path / "cut")
    return moments


def test_a_run_that_is_killed_goes_on_to_the_bit(line, tmp_path):
    moments = killed_again_and_again(line, tmp_path, "train_dpo", 2, seed=0)
    assert 0 < moments[0] < moments[1]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_thirty_kills_of_every_stage(line, tmp_path, stage):
    for number in range(6):
        (tmp_path / str(number)).mkdir()
        killed_again_and_again(line, tmp_path / str(number), stage, 5, seed=number)


def test_16_bit_checkpoints_hold_fp32_and_go_on_to_the_bit(line, tmp_path):
    """A validation leaves weights whole and rounded under zero2; what is saved after it must be what is stored."""
    more = ("--shard", "zero2", "--dtype", "bf16", "--valid-every", 5, "--save-every", 5)
    jobs = {n: job(line, "train_reward", tmp_path / n, *more) for n in ("straight", "cut")}
    assert together([jobs["straight"]], 2, tmp_path).returncode == 0
    name, *flags = jobs["cut"]
    process = begin(2, name, *flags)
    wait_for(lambda: (tmp_path / "cut" / "checkpoints" / "step-5").exists(), process)
    kill(process)
    state = load_checkpoint(tmp_path / "cut")
    assert state is not None and all(isinstance(rows, Rows) for rows in state["model"].values())
    assert {piece.dtype for rows in state["model"].values() for piece in rows.pieces} == {torch.float32}
    assert torchrun(2, f"scripts/{name}.py", *flags).returncode == 0
    same(tmp_path / "straight", tmp_path / "cut")
    assert all(weight.dtype == torch.float32 for weight in weights(tmp_path / "cut").values())


def test_two_runs_do_not_share_a_directory(line, tmp_path):
    name, *flags = job(line, "train_sft", tmp_path / "run", "--epochs", 60)
    process = begin(1, name, *flags)
    try:
        wait_for(lambda: steps_done(tmp_path / "run") >= 1, process)
        second = subprocess.run(
            [sys.executable, f"scripts/{name}.py", *flags],
            cwd=ROOT,
            env=ENV,
            capture_output=True,
            text=True,
            timeout=90,
        )
    finally:
        process.kill()
        process.communicate()
    assert second.returncode == 2 and second.stderr.count("\n") == 1
    assert f"another run is at work in it (process {process.pid} on " in second.stderr


@pytest.mark.parametrize("text", ["soon", "3", "1h2", "1.5h"])
def test_what_is_no_length_of_time_is_refused_at_once(text, capsys):
    with pytest.raises(SystemExit) as refused:
        parse(train_sft.Config, ["--stop-after", text])
    assert refused.value.code == 2 and f"--stop-after {text}: expected a length of time" in capsys.readouterr().err


def test_lengths_of_time():
    assert [seconds(text) for text in ("3h50m", "90m", "45s", "1h0m1s")] == [13800, 5400, 45, 3601]


def test_a_mistake_is_told_once_by_several_ranks(line, tmp_path):
    name, *flags = job(line, "train_sft", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    done = torchrun(2, f"scripts/{name}.py", *flags)
    message = "not empty and not a run of this project"
    assert done.returncode != 0 and done.stderr.count(message) == 2  # again in torchrun's summary
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_nan_on_one_rank_is_a_step_that_nobody_takes(line, tmp_path):
    """Rank 1's loss is no number at step 3: the step is left out on both, and the run goes on."""
    name, *flags = job(line, "train_sft", tmp_path / "run", "--shard", "zero2", *ONE_PACK)
    done = together([[f"{name}+nan3", *flags]], 2, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = numbers(tmp_path / "run")
    assert [row["loss_factor"] for row in rows[1:]] == [1.0, 1.0, 0.0, *[1.0] * (len(rows) - 4)]
    assert all(weight.isfinite().all() for weight in weights(tmp_path / "run").values())


def test_nan_again_and_again_ends_a_run_with_all_saved(line, tmp_path):
    name, *flags = job(line, "train_sft", tmp_path / "run", "--shard", "zero2", "--optim.max-bad-steps", 2, *ONE_PACK)
    done = together([[f"{name}+nan3-9", *flags]], 2, tmp_path)
    assert done.returncode != 0 and done.stderr.count("stopped: gradient norm nan") == 1
    state = load_checkpoint(tmp_path / "run")
    assert state is not None and state["optimizer"]["steps"] == 4
    assert all(rows[:].isfinite().all() for rows in state["model"].values())


def test_a_rank_that_dies_takes_the_run_down(line, tmp_path, monkeypatch):
    """With its own traceback first, within 10 s, though torchrun would wait ten minutes for the other rank."""
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    name, *flags = job(line, "train_sft", tmp_path / "run", *ONE_PACK)
    done = together([[f"{name}+die3", *flags]], 2, tmp_path, torchrun)
    last = (tmp_path / "run" / "metrics.jsonl").stat().st_mtime
    assert done.returncode == 1 and time.time() - last < 10
    told = done.stderr.index("Traceback")
    assert done.stderr.index("RuntimeError: the card has fallen off the bus") < done.stderr.find("Traceback", told + 1)
    assert steps_done(tmp_path / "run") == 2


@pytest.mark.parametrize("last, status", [("world.leave()", 0), ("", 1)], ids=["leaves", "control"])
def test_what_happens_after_all_is_done_changes_nothing(tmp_path, last, status):
    """As threads of gloo do now and then: an abort while the interpreter is taken down."""
    before = "import atexit, os\nfrom zj.train import start\natexit.register(os.abort)\nworld = start('cpu')\n"
    (tmp_path / "rank.py").write_text(before + last, encoding="utf-8")
    assert torchrun(2, tmp_path / "rank.py").returncode == status
