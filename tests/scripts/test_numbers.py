"""A run says what its numbers are numbers of: groups, files of validation, parts of the data, runs that got worse."""

from __future__ import annotations

import json
import math

import pytest
import torch

from scripts.train_sft import about_mix
from tests.line import write_rows
from tests.scripts.conftest import column, instead, ppo
from zj.data.batching import question
from zj.data.records import Dialogue, Prompt
from zj.data.sides import sides
from zj.stages.preferences import one_of_each_first
from zj.stages.validation import format_losses, group_names
from zj.train import Stop

SMALL = ("--size", "nano", "--vocab-size", 400, "--device", "cpu", "--lora.rank", 0, "--batch-size", 8)


def sft(corpus, out, *more):
    return instead(("train_sft", "--data", corpus / "dialogues.jsonl", "--out", out, *SMALL, "--epochs", 1), more)


def dialogue(number, user=""):
    return Dialogue(f"d{number}", ((user or f"问题{number}", "好"),), where=f"a.jsonl:{number}")


# ---- sides of a run


def test_what_validation_asks_is_not_trained_on_however_it_is_typed():
    records, valid = [dialogue(n) for n in range(20)], [dialogue(3, "问题３ ？"), dialogue(50)]
    train, held_out, asked_in_both = sides(records, valid, 0.5)
    assert {d.id for d in train} == {f"d{n}" for n in range(20) if n != 3} and asked_in_both == 1
    assert {d.turns[0][0] for d in held_out} == {"问题３ ？", "问题50"}  # all of the file, whatever --valid-fraction is


def test_a_limit_takes_the_same_first_records_of_any_order_of_rows():
    records = [dialogue(n) for n in range(40)]
    ten, twenty = (sides(order, None, 0.2, limit) for order, limit in ((records, 10), (records[::-1], 20)))
    assert ten.train == twenty.train[:10] and ten.valid == twenty.valid and len(ten.valid) > 2
    assert sides(records, None, 0.2).train[:20] == twenty.train and len(sides(records, None, 0.2).train) > 20  # control


def test_a_run_with_a_file_of_validation_holds_nothing_else_out(command, corpus, tmp_path):
    rows = [json.loads(line) for line in (corpus / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()]
    valid = write_rows(tmp_path / "valid.jsonl", rows[:5])
    done = command(*sft(corpus, tmp_path / "run", "--valid-data", valid))
    assert done.status == 0, done.err
    assert "--valid-data: 5 records of --data ask what is asked there, left out of training" in done.out
    assert (tmp_path / "run/validation.txt").read_text().split() and "training: 27 records" in done.out
    # the same number without training: of the result, which is the best of the run
    found = command("evaluate", "loss", "--model", tmp_path / "run", "--data", valid, "--out", tmp_path / "loss.json")
    assert found.status == 0, found.err
    losses = json.loads((tmp_path / "loss.json").read_text(encoding="utf-8"))["losses"]
    assert losses["all"] == pytest.approx(min(column(tmp_path / "run", "valid_loss")), rel=1e-6)
    for name in ("multi", "single"):
        assert losses[name] == pytest.approx(column(tmp_path / "run", f"valid_loss_{name}")[-1], rel=1e-6)
    assert f"perplexity {math.exp(losses['all']):.2f}, 5 sequences" in found.out
    other = write_rows(tmp_path / "other.jsonl", rows[:4])
    refused = command(*sft(corpus, tmp_path / "run", "--valid-data", other))
    assert refused.status == 2 and "its --valid-data is" in refused.err  # the file's contents define the run


def test_steps_and_records_can_be_few(command, corpus, tmp_path):
    done = command(*sft(corpus, tmp_path / "run", "--max-steps", 5, "--limit", 16))
    assert done.status == 0, done.err
    assert "16 dialogues an epoch, 2 steps of 8, 5 steps in all" in done.out
    assert len(column(tmp_path / "run", "epoch")) == 5 and column(tmp_path / "run", "epoch")[-1] == 2
    assert column(tmp_path / "run", "lr")[-1] < column(tmp_path / "run", "lr")[1]  # the schedule ends with them


def test_a_loss_on_what_was_trained_on_says_so_and_can_leave_it_out(command, corpus, tmp_path):
    assert command(*sft(corpus, tmp_path / "run", "--max-steps", 2, "--valid-fraction", 0.3)).status == 0
    flags = ("loss", "--model", tmp_path / "run", "--data", corpus / "dialogues.jsonl")
    listed = len((tmp_path / "run/validation.txt").read_text(encoding="utf-8").split())
    assert f"warning: {32 - listed} of 32 records were not held out by" in command("evaluate", *flags).out
    apart = command("evaluate", *flags, "--held-out-of", tmp_path / "run")
    assert "not held out" not in apart.out and f"{listed} sequences" in apart.out
    final = column(tmp_path / "run", "valid_loss")
    assert f"all: {min(final):.4f} nats/token" in apart.out


# ---- numbers that would mislead


def test_groups_are_those_of_the_mix_or_files_or_turns():
    groups = [("a", "multi"), ("a", "single"), ("b", "single")]
    assert group_names(groups, "b=1,single=2,multi=3") == ["multi", "single", "b"]
    assert group_names(groups) == ["a", "a", "b"]
    assert group_names(groups[:2]) == ["multi", "single"] and group_names([("a", "")]) == ["a"]
    assert format_losses({"a": 1.0, "b": 2.0}, ["a", "b", "b"]) == " (a 1.0000 on 1, b 2.0000 on 2)"
    assert format_losses({"a": 1.0}, ["a"]) == ""


def test_a_mix_that_leaves_most_of_the_data_out_warns():
    line = about_mix("multi=7,single=1", {"multi": (84, 625), "single": (12, 12)})
    assert "multi: 84 of 625, single: 12 of 12" in line
    assert "warning: that is 96 of 637 dialogues, since single has only 12" in line
    assert "warning" not in about_mix("multi=7,single=1", {"multi": (84, 90), "single": (12, 12)})


def test_a_run_that_only_got_worse_says_that_its_result_is_the_model_of_step_0(command, line, tmp_path):
    pairs = [json.loads(row) for row in line.pairs.read_text(encoding="utf-8").splitlines()][:12]
    same = write_rows(tmp_path / "same.jsonl", pairs)
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs]
    flags = ("--model", line.sft, "--data", line.pairs, "--device", "cpu", "--epochs", 2, "--optim.lr", "1e-2")
    valid = write_rows(tmp_path / "swapped.jsonl", swapped)
    worse = command("train_dpo", *flags, "--out", tmp_path / "a", "--valid-data", valid)
    assert worse.status == 0, worse.err
    losses = column(tmp_path / "a", "valid_loss")
    assert len(losses) == 3 and min(losses) == losses[0]
    assert "so the result is the model of step 0, unchanged: lower --optim.lr" in worse.out
    better = command("train_dpo", *flags, "--out", tmp_path / "b", "--valid-data", same)
    assert "unchanged" not in better.out and "done, best validation loss" in better.out  # control


def test_an_adapter_on_random_weights_warns(command, corpus, tmp_path):
    warned = command(*sft(corpus, tmp_path / "a", "--lora.rank", 4, "--max-steps", 1))
    assert warned.status == 0 and "the frozen weights are random, and --lora.rank 4 trains only" in warned.out
    assert "are random" not in command(*sft(corpus, tmp_path / "b", "--max-steps", 1)).out


def test_ppo_says_how_many_prompts_ask_nothing_and_can_ask_others(command, line, tmp_path):
    rows = [
        {"messages": [
            {"role": "user", "content": f"我头痛{n}天了，怎么办？"},
            {"role": "assistant", "content": "请多休息"},
            {"role": "user", "content": f"好的，谢谢{'您' * n}！"},
        ]}
        for n in range(12)
    ]  # fmt: skip
    data = write_rows(tmp_path / "dialogues.jsonl", rows)
    last = command(*ppo(line, tmp_path / "a", "--data", data, "--max-steps", 1))
    assert last.status == 0, last.err
    assert "warning: 12 of 12 prompts ask nothing" in last.out and "--turn first or each" in last.out
    each = command(*ppo(line, tmp_path / "b", "--data", data, "--max-steps", 1, "--turn", "each"))
    assert "warning: 12 of 24 prompts ask nothing" in each.out
    first = command(*ppo(line, tmp_path / "c", "--data", data, "--max-steps", 1, "--turn", "first"))
    assert first.status == 0 and "ask nothing" not in first.out


def test_held_out_of_pre_training_is_of_documents_and_of_its_own_validation_file(command, corpus, tmp_path):
    flags = ("--data", corpus / "documents.jsonl", "--out", tmp_path / "pre", *SMALL, "--max-steps", 2)
    assert command("train_pretrain", *flags).status == 0
    read = ("loss", "--model", tmp_path / "pre", "--held-out-of", tmp_path / "pre", "--data")
    wrong = command("evaluate", *read, corpus / "dialogues.jsonl")
    assert wrong.status == 2 and "it read each document as one record; read the files as --kind document" in wrong.err
    assert command("evaluate", *read, corpus / "documents.jsonl", "--kind", "document").status == 0  # control
    rows = [json.loads(line) for line in (corpus / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()]
    valid = write_rows(tmp_path / "valid.jsonl", rows[:5])
    assert command(*sft(corpus, tmp_path / "run", "--valid-data", valid, "--max-steps", 2)).status == 0
    trained = command("evaluate", "loss", "--model", tmp_path / "run", "--data", corpus / "dialogues.jsonl")
    assert "was trained on these data: their numbers say nothing about new ones" in trained.out
    told = command("consult", "--model", tmp_path / "run", "--data", corpus / "dialogues.jsonl", "--number", 1)
    assert told.status == 0 and "was trained on these data" in told.out
    assert "trained on" not in command("consult", "--model", tmp_path / "run", "--data", valid, "--number", 1).out


def test_a_limited_loss_is_not_of_what_was_held_out_alone(command, corpus, tmp_path):
    assert command(*sft(corpus, tmp_path / "run", "--max-steps", 2, "--valid-fraction", 0.3)).status == 0
    flags = ("loss", "--model", tmp_path / "run", "--data", corpus / "dialogues.jsonl", "--limit", 8)
    sample = command("evaluate", *flags)
    trained = int(sample.out.partition("warning: ")[2].partition(" of 8 records were not held out")[0])
    assert 2 < trained <= 8  # the order of the split would begin with 8 that were held out


def test_a_validation_of_each_turn_is_of_many_dialogues():
    asked = [(n, t, tuple((f"{n}问{u}", "答") for u in range(t))) for n in range(4) for t in range(5)]
    turns = [Prompt(f"d{n}/{t}", f"{n}问{t}", history) for n, t, history in asked]
    first = one_of_each_first(turns)
    assert sorted(first, key=turns.index) == turns and len({question(prompt) for prompt in first[:4]}) == 4
    assert len({question(prompt) for prompt in turns[:4]}) == 1  # control


def test_best_of_n_prints_n_itself(command, line, tmp_path):
    flags = ("--reward", line.reward, "--model", line.sft, "--data", line.dialogues, "--max-new-tokens", 4)
    done = command("score", *flags, "--best-of", 3, "--out", tmp_path / "best.jsonl")
    rows = [json.loads(row)["score"] for row in (tmp_path / "best.jsonl").read_text(encoding="utf-8").splitlines()]
    assert done.status == 0 and f"best of 3: mean score {sum(rows) / len(rows):.3f}" in done.out


# ---- a time limit that is over before the first step


def test_a_limit_of_time_holds_in_the_first_validation(command, corpus, tmp_path, monkeypatch):
    flags = sft(corpus, tmp_path / "run", "--valid-fraction", 0.4, "--tokens-per-pack", 64, "--stop-after", "9h")
    checks = iter([False, False, True])  # before the validation, before its first pack and its second
    with monkeypatch.context() as patch:
        patch.setattr(Stop, "requested", lambda self: next(checks))
        stopped = command(*flags)
    assert stopped.status == 0 and "stopped and saved after step 0" in stopped.out
    assert next(checks, "all") == "all" and not (tmp_path / "run/metrics.jsonl").exists()
    done = command(*flags)
    assert done.status == 0 and "going on after step 0" in done.out and "missing" not in done.out, done.err
    undisturbed = command(*sft(corpus, tmp_path / "other", "--valid-fraction", 0.4, "--tokens-per-pack", 64))
    assert undisturbed.status == 0
    assert column(tmp_path / "run", "loss") == column(tmp_path / "other", "loss")
    assert column(tmp_path / "run", "valid_loss") == column(tmp_path / "other", "valid_loss")
    runs = [tmp_path / name for name in ("run", "other")]
    files = [run / "checkpoints" / (run / "latest").read_text().strip() / "rank-0.pt" for run in runs]
    one, other = (torch.load(file, weights_only=True)["model"] for file in files)
    assert all(torch.equal(one[name], other[name]) for name in one)
