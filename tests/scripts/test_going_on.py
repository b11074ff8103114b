"""A run goes on after a harmless change as if nothing had been; after an explosion with what its message says."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.scripts.conftest import column, ppo, result, told
from tests.scripts.test_train import sft
from zj.stages import setup
from zj.stages.run_state import Run
from zj.train import Optimizer, load_checkpoint

FLAGS = ("--epochs", 3, "--save-every", 2, "--lora.rank", 4, "--lora.dropout", 0.2)


def test_a_moved_run_with_moved_data_ends_in_the_same_bits(command, killed, corpus, tmp_path):
    straight, run = (sft(corpus, tmp_path / name, *FLAGS) for name in ("straight", "run"))
    assert command(*straight).status == 0
    killed(Run, "save", 2)(*run)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(corpus / "dialogues.jsonl", tmp_path / "elsewhere" / "dialogues.jsonl")
    (tmp_path / "run").rename(tmp_path / "moved")
    out = tmp_path / "elsewhere" / ".." / "moved"
    done = command(*sft(tmp_path / "elsewhere", out, *FLAGS, "--keep", 1, "--save-every", 5, "--memory-gb", 9))
    assert done.status == 0 and "going on after step 4" in done.out, done.err
    assert told(tmp_path / "moved") == told(tmp_path / "straight")
    assert (
        result(tmp_path / "moved")["adapter_model.safetensors"]
        == (result(tmp_path / "straight")["adapter_model.safetensors"])
    )


def test_smaller_packs_go_on_to_rounding(command, killed, corpus, tmp_path):
    """After an out-of-memory."""
    straight, run = (sft(corpus, tmp_path / name, *FLAGS, "--lora.dropout", 0) for name in ("straight", "run"))
    assert command(*straight).status == 0
    killed(Run, "save", 2)(*run)
    assert command(*run, "--tokens-per-pack", 40).status == 0
    losses = [column(tmp_path / name, "loss") for name in ("straight", "run")]
    assert losses[1][:4] == losses[0][:4] and losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[1] != losses[0]  # control: the sums were in another order
    assert "tokens_per_pack = 40" in (tmp_path / "run" / "config.toml").read_text(encoding="utf-8")


def test_after_an_explosion_the_run_goes_on_as_its_message_says(command, corpus, tmp_path, monkeypatch):
    real = setup.cross_entropy
    run = sft(corpus, tmp_path / "run", "--epochs", 4, "--lora.rank", 0, "--optim.max-bad-steps", 2)
    with monkeypatch.context() as patch:
        patch.setattr("zj.stages.run_state.cross_entropy", lambda lp, n: real(lp, n) * (float("nan") if n > 1 else 1))
        stopped = command(*run)
    assert stopped.status == 1
    again = command(*run, "--optim.lr", "5e-4")
    assert again.status == 2 and "take that, --resume-with optim.lr=0.0005, or another --out" in again.err
    rows = told(tmp_path / "run")
    assert [row["step"] for row in rows] == [0, 1, 2]
    text = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    assert rows[-1]["grad_norm"] is None and rows[-1]["loss_factor"] == 0.0 and "NaN" not in text  # the last of them
    assert load_checkpoint(tmp_path / "run")["optimizer"]["guard"]["in_a_row"] == 2
    done = command(*run, "--resume-with", "optim.lr=0.0005")  # as the message says
    assert done.status == 0 and "going on after step 2 with optim.lr=0.0005" in done.out, done.err
    rows = told(tmp_path / "run")
    assert rows[3]["resume_with"] == "optim.lr=0.0005" and not any("resume_with" in row for row in rows[4:])
    assert max(row["lr"] for row in rows[3:]) == pytest.approx(5e-4, rel=0.2)  # and not 0.9^2 of that
    assert "# after step 2: optim.lr = 0.0005 (was 0.005)" in (tmp_path / "run" / "config.toml").read_text()
    assert "is finished" in command(*run).out  # the first command is still that of this run


def test_the_message_names_the_optimizer_that_exploded(command, line, tmp_path, monkeypatch, capfd):
    backward, count = Optimizer.backward, []

    def spoil(self, loss):
        count.append(self.config.lr)
        backward(self, loss * (float("nan") if self.config.lr == 3e-4 and len(count) > 16 else 1))

    monkeypatch.setattr(Optimizer, "backward", spoil)
    more = ("--value-optim.lr", 3e-4, "--value-optim.max-bad-steps", 2)
    with pytest.raises(SystemExit) as stop, monkeypatch.context() as patch:
        patch.setattr("sys.argv", ["train_ppo.py"])
        from scripts import train_ppo
        from zj.cli import parse

        train_ppo.main(parse(train_ppo.Config, [str(word) for word in ppo(line, tmp_path / "run", *more)[1:]]))
    message = str(stop.value.code)
    assert "stopped: gradient norm nan" in message
    assert message.endswith("to go on with a lower rate: the same command and --resume-with value_optim.lr=3e-05")
    steps = [json.loads(row)["step"] for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps))) and len(steps) > 2
