"""The reward model as its user trains it: it learns what is better, is calibrated, and opens as what it was."""

from __future__ import annotations

import json
import random

import pytest
import torch

from scripts import train_reward
from tests.line import rankings, write_rows
from tests.scripts.conftest import column, instead, least_gb, result, told
from zj.data.batching import split
from zj.data.readers import read
from zj.data.tokenizer import Tokenizer
from zj.lora import adapter_parameters
from zj.rl import ranking_loss
from zj.stages import setup
from zj.stages.preferences import encode_rankings
from zj.stages.roles import load_reward, score_all
from zj.stages.run_state import Run
from zj.train import Log, Optimizer
from zj.weights import load_model, load_peft, load_peft_with_head

SMALL = ("--device", "cpu", "--valid-fraction", 0.25, "--batch-size", 8, "--lora.rank", 4, "--optim.lr", "1e-2")


def training(line, out, *more):
    return instead(("train_reward", "--model", line.base, "--data", line.rankings, "--out", out, *SMALL), more)


def examples(line):
    """(training, validation) prompts as the script sees them."""
    tokenizer = Tokenizer.load(line.base)
    return [
        encode_rankings(part, tokenizer, "ziya", 1024)[0]
        for part in split(read([str(line.rankings)], "ranking")[0], 0.25)
    ]


def scores_of(reward, prompts):
    """One by one, without packs: [prompts][answers]."""
    return [[score_all(reward, [answer.ids])[0] for answer in prompt.answers] for prompt in prompts]


@pytest.fixture(scope="module")
def trained(line, tmp_path_factory):
    """A run of three epochs."""
    from zj.cli import parse

    out = tmp_path_factory.mktemp("trained") / "run"
    flags = map(str, training(line, out, "--epochs", 3)[1:])
    train_reward.main(parse(train_reward.Config, list(flags)))
    return out


def test_it_learns_which_answers_are_better(trained, line):
    assert column(trained, "valid_accuracy")[-1] > 0.95 > column(trained, "valid_accuracy")[0]
    assert min(column(trained, "valid_loss")) < 0.05
    reward = load_reward(load_model(line.base), trained)
    for prompt, scores in zip(examples(line)[1], scores_of(reward, examples(line)[1]), strict=True):
        good = [score for score, rank in zip(scores, prompt.ranks, strict=True) if rank == 1]
        assert sum(g > s for g in good for s in scores if s not in good) >= 3  # of 4 pairs


def test_it_cannot_learn_what_is_not_there(command, line, tmp_path):
    """Negative control: the same answers in ranks drawn by lot teach nothing that holds for others."""
    rows = rankings()
    for number, row in enumerate(rows):
        random.Random(f"lot/{number}").shuffle(row["ranks"])
    write_rows(tmp_path / "lot.jsonl", rows)
    assert command(*training(line, tmp_path / "run", "--data", tmp_path / "lot.jsonl", "--epochs", 3)).status == 0
    assert max(column(tmp_path / "run", "valid_accuracy")) < 0.8


def test_metrics_tell_loss_and_accuracies(trained):
    rows = told(trained)
    assert [row["step"] for row in rows] == list(range(16))
    promised = {"epoch", "loss", "accuracy", "accuracy_gap_1", "accuracy_better_longer", "accuracy_better_shorter"}
    promised |= {"lr", "grad_norm", "loss_factor", "loss_scale", "tokens"}
    assert all(promised <= row.keys() for row in rows[1:])
    checked = {"valid_loss", "valid_accuracy", "valid_accuracy_gap_1", "valid_accuracy_better_longer"}
    assert [row["step"] for row in rows if checked <= row.keys()] == [0, 5, 10, 15]  # once an epoch


def test_scores_are_calibrated_on_training_answers_in_unchanged_order(trained, line):
    train, _ = examples(line)
    reward = load_reward(load_model(line.base), trained)
    scores = torch.tensor([score for row in scores_of(reward, train) for score in row], dtype=torch.float64)
    assert scores.mean().item() == pytest.approx(0, abs=1e-5)
    assert scores.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    gain, bias = reward.head.calibration.gain, reward.head.calibration.bias
    raw = (scores - bias) / gain
    assert gain > 0 and (raw.mean().abs() > 1e-2 or (raw.std() - 1).abs() > 1e-2)  # control: raw scores are not so
    assert scores.argsort().tolist() == raw.argsort().tolist()


def test_the_result_is_the_best_model_and_reads_back(trained, line):
    """Raw scores of the directory give the lowest validation loss that was logged, and the saved base is untouched."""
    model = load_model(line.base)
    head = load_peft_with_head(model, trained, "x")
    _, valid = examples(line)
    loss = 0.0
    with torch.no_grad():
        for prompt in valid:
            packed = setup.Packed.of([answer.ids for answer in prompt.answers])
            scores = head(model(packed, "x")[packed.last])
            loss += ranking_loss(scores, torch.tensor(prompt.ranks), torch.zeros(4), len(valid)).item()
    assert loss == pytest.approx(min(column(trained, "valid_loss")), rel=1e-4)
    config = json.loads((trained / "adapter_config.json").read_text())
    assert (config["task_type"], config["base_model_name_or_path"]) == ("SEQ_CLS", str(line.base.resolve()))


def test_it_is_no_language_model(trained, line, command, tmp_path):
    """Read as one, its head would be lost without a word."""
    words = "is a reward model .LoRA and score head., expected an adapter without a score head"
    with pytest.raises(ValueError, match=words):
        load_model(trained)
    with pytest.raises(ValueError, match=words):
        load_peft(load_model(line.base), trained, "a")
    with pytest.raises(ValueError, match="is an adapter without a score head, expected a reward model"):
        load_reward(load_model(line.base), line.sft)
    done = command("train_sft", "--model", trained, "--data", line.dialogues, "--out", tmp_path / "sft")
    assert done.status == 2 and done.err.count("\n") == 1 and "is a reward model" in done.err


POINTS = [(Run, "save", 1), (Run, "save", 3), (Run, "keep_best", 1), (Run, "keep_best", 3)]
POINTS += [(Optimizer, "step", 1), (Optimizer, "step", 6), (Log, "step", 7), (Run, "finish", 1)]


def test_interrupted_anywhere_it_ends_the_same(command, killed, line, tmp_path):
    """Dropout, the head, the best model and its calibration: everything a later step depends on is kept."""
    more = ("--epochs", 2, "--valid-every", 3, "--save-every", 2, "--lora.dropout", 0.2)
    assert command(*training(line, tmp_path / "straight", *more)).status == 0
    for number, point in enumerate(POINTS):
        out = tmp_path / f"cut{number}"
        killed(*point)(*training(line, out, *more))
        began = (out / "latest").exists() and point[1] != "finish"
        again = command(*training(line, out, *more))
        assert (again.status, "going on after step" in again.out) == (0, began), again.err
        assert told(out) == told(tmp_path / "straight"), point
        assert result(out) == result(tmp_path / "straight"), point
    finished = command(*training(line, tmp_path / "cut0", *more))
    assert (finished.status, "is finished" in finished.out) == (0, True)
    other = command(*training(line, tmp_path / "cut0", *more, "--optim.lr", "1e-3"))
    assert other.status == 2 and "here it is 0.001; take that, --resume-with optim.lr=" in other.err


def test_the_gradient_does_not_depend_on_how_a_batch_is_packed(command, line, tmp_path):
    """Prompts stay whole, so a pack of one token holds one prompt's four answers."""
    for tokens in (1, 250, 4096):
        more = ("--tokens-per-pack", tokens, "--lora.dropout", 0, "--epochs", 1, "--optim.lr", "1e-3")
        assert command(*training(line, tmp_path / str(tokens), *more)).status == 0
    for tokens in (1, 250):
        for name in ("loss", "grad_norm", "valid_loss", "accuracy"):  # fp32 sums in another order, through Adam
            wide = column(tmp_path / "4096", name)
            assert column(tmp_path / str(tokens), name) == pytest.approx(wide, rel=2e-4), name
    dropped = ("--tokens-per-pack", 1, "--lora.dropout", 0.3, "--epochs", 1, "--optim.lr", "1e-3")
    assert command(*training(line, tmp_path / "dropout", *dropped)).status == 0
    assert column(tmp_path / "dropout", "loss") != pytest.approx(column(tmp_path / "1", "loss"), rel=2e-4)  # control


def test_16_bit_training_follows_fp32_and_opens_in_fp32(command, line, tmp_path):
    for kind in ("fp32", "bf16", "fp16"):
        more = ("--dtype", kind, "--lora.dropout", 0, "--epochs", 1, "--optim.lr", "1e-3")
        run = training(line, tmp_path / kind, *more)
        assert command(*run, "--memory-gb", least_gb(command, *run)).status == 0
        exact, rounded = column(tmp_path / "fp32", "loss"), column(tmp_path / kind, "loss")
        assert rounded == pytest.approx(exact, rel=0.05) and (rounded != exact or kind == "fp32")
        reward = load_reward(load_model(line.base), tmp_path / kind)
        assert {p.dtype for p in adapter_parameters(reward.model, "reward").values()} == {torch.float32}


def test_the_adapters_flags_reach_it_and_the_last_model_counts_without_validation(command, line, tmp_path):
    more = ("--lora.rank", 2, "--lora.alpha", 3, "--lora.dropout", 0.25, "--lora.targets", "q_proj", "up_proj")
    assert command(*training(line, tmp_path / "run", *more, "--valid-fraction", 0, "--epochs", 1)).status == 0
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 3, 0.25)
    assert config["target_modules"] == ["q_proj", "up_proj"] and not column(tmp_path / "run", "valid_loss")
    state = torch.load(tmp_path / "run" / "checkpoints" / "step-6" / "rank-0.pt")
    model = load_model(line.base)
    head = load_peft_with_head(model, tmp_path / "run", "reward")
    assert torch.equal(head.weight, state["head"]["weight"])
    kept = {n: p for n, p in model.named_parameters() if n in state["model"]}
    assert len(kept) == 8 and all(torch.equal(p, state["model"][n]) for n, p in kept.items())


def test_the_lowest_validation_loss_is_kept(command, line, tmp_path, monkeypatch):
    losses, heads = iter((5.0, 3.0, 4.0, 3.5)), []

    def keep_best(self, loss, real=Run.keep_best):
        heads.append(self.parts["head"].weight.detach().clone())
        real(self, next(losses))

    monkeypatch.setattr(Run, "keep_best", keep_best)
    done = command(*training(line, tmp_path / "run", "--epochs", 3))
    assert "best validation loss 3.0000" in done.out
    head = load_peft_with_head(load_model(line.base), tmp_path / "run", "reward").weight
    assert [torch.equal(head, one) for one in heads] == [False, True, False, False]


def test_it_may_begin_from_the_fine_tuned_adapter_and_the_clinics_rankings(command, line, tmp_path):
    """HuatuoGPT's reward model stands on the SFT model; without --data the clinic's own rankings are learnt from."""
    more = ("--device", "cpu", "--clinic-size", 8, "--lora.rank", 2, "--max-tokens", 2048, "--tokens-per-pack", 1024)
    done = command("train_reward", "--model", line.sft, "--out", tmp_path / "run", *more)
    assert done.status == 0, done.err
    assert (tmp_path / "run" / "clinic" / "ranking.jsonl").exists()
    reward = load_reward(load_model(line.base), tmp_path / "run")  # both adapters are written as one of the base
    assert len(score_all(reward, [[1, 5, 2]])) == 1
    with pytest.raises(ValueError, match="scores its own probe"):
        load_reward(load_model(line.sft), tmp_path / "run")  # control: with the SFT adapter twice it is another model


def test_what_a_run_held_out_is_scored_wherever_its_data_lie_now(command, line, trained, tmp_path):
    """In another order, under other ids, in another file: the records are those of validation.txt."""
    rows = [json.loads(row) | {"id": f"new-{n}"} for n, row in enumerate(line.rankings.read_text().splitlines())]
    held_out = {int(place.rpartition(":")[2]) - 1 for place in (trained / "validation.txt").read_text().splitlines()}
    assert 0 < len(held_out) < len(rows)
    order = random.Random(0).sample(range(len(rows)), len(rows))
    write_rows(tmp_path / "moved.jsonl", [rows[n] for n in order])
    flags = ("--reward", trained, "--kind", "ranking", "--device", "cpu")
    more = ("--data", tmp_path / "moved.jsonl", "--held-out-of", trained, "--out", tmp_path / "scores.jsonl")
    done = command("score", *flags, *more)
    assert done.status == 0, done.err
    assert f"{len(held_out)} of {len(rows)} records are on the side that would be held out by {trained}" in done.out
    found = [json.loads(row)["id"] for row in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert sorted(found) == sorted(f"new-{n}" for n in held_out) and "warning" not in done.out
    trained_on = f"warning: {len(rows) - len(held_out)} of {len(rows)} records were not held out by {trained}: "
    assert trained_on + "their numbers say nothing" in command("score", *flags, "--data", line.rankings).out
    other = command("score", *flags, "--data", tmp_path / "moved.jsonl").out  # control: the run had other bytes
    assert trained_on + "if it was trained on these data, their numbers" in other


def test_where_nothing_is_held_out_it_is_an_error(command, line, trained, tmp_path):
    rows = [json.loads(row) for row in line.rankings.read_text().splitlines()]
    held_out = [int(place.rpartition(":")[2]) - 1 for place in (trained / "validation.txt").read_text().splitlines()]
    write_rows(tmp_path / "rest.jsonl", [row for n, row in enumerate(rows) if n not in held_out])
    write_rows(tmp_path / "held.jsonl", [rows[n] for n in held_out])
    flags = ("--reward", trained, "--kind", "ranking", "--device", "cpu", "--data")
    assert "warning" not in command("score", *flags, tmp_path / "held.jsonl").out  # control
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text('valid_fraction = 0.1\nvalid_data = ["v.jsonl"]\n')
    for run, message in (
        (trained, "held out none of these"),
        (line.base, "no run of this project, config.toml is missing"),
        (other, "it validated on --valid-data v.jsonl; give these as --data"),
    ):
        done = command("score", *flags, tmp_path / "rest.jsonl", "--held-out-of", run)
        assert (done.status, done.err.count("\n")) == (2, 1) and f"--held-out-of {run}: " in done.err
        assert message in done.err
