"""Pre-training and fine-tuning as their user runs them: they learn, resume to the bit, and chain."""

from __future__ import annotations

import json

import pytest
import torch

from zj import stage
from zj.lora import load_model
from zj.model import Packed, sequence_logprobs

SMALL = ("--size", "nano", "--vocab-size", "400", "--device", "cpu", "--optim.lr", "5e-3", "--valid-fraction", "0.25")


def sft(corpus, out, *more):
    return ("train_sft", "--data", corpus / "dialogues.jsonl", "--out", out, *SMALL, "--batch-size", 8, *more)


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(out, key="loss"):
    return [row[key] for row in rows(out) if key in row]


def test_full_fine_tuning_learns_and_leaves_a_complete_run(command, corpus, tmp_path):
    done = command(*sft(corpus, tmp_path / "run", "--epochs", 12, "--lora.rank", 0))
    assert done.status == 0, done.err
    valid = losses(tmp_path / "run", "valid_loss")
    assert valid[0] == pytest.approx(5.99, abs=0.2)  # near log 400: it began knowing nothing
    assert min(valid) < valid[0] / 2
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"config.toml", "metrics.jsonl", "samples.jsonl", "checkpoints", "latest", "best", "tokenizer"}
    assert names >= {"config.json", "model.safetensors", "tokenizer.model", "template.json"}
    steps = [row["step"] for row in rows(tmp_path / "run")]
    assert steps == list(range(len(steps)))


def test_the_result_is_the_best_model_and_has_the_loss_that_was_logged(command, corpus, tmp_path):
    for rank in (0, 4):
        out = tmp_path / f"rank{rank}"
        assert command(*sft(corpus, out, "--epochs", 6, "--lora.rank", rank)).status == 0
        model = load_model(out)
        tokenizer = stage.Tokenizer.load(out)
        dialogues, _ = stage_read(corpus)
        from zj.data.batching import split
        from zj.data.template import encode_all

        valid, _ = encode_all(split(dialogues, 0.25)[1], tokenizer, "ziya", 1024)
        total = counted = 0.0
        for example in valid:  # one by one, without packing: an independent count
            packed, flags = Packed.of([example.ids]), torch.tensor(example.counted)
            total -= sequence_logprobs(model, packed, flags)[0].sum().item()
            counted += int(flags.sum())
        # a merged adapter is rounded once to fp32
        assert total / counted == pytest.approx(min(losses(out, "valid_loss")), rel=1e-5)


def stage_read(corpus):
    from zj.data.readers import read

    return read([str(corpus / "dialogues.jsonl")], "dialogue")


def test_the_gradient_does_not_depend_on_how_a_batch_is_packed(command, corpus, tmp_path):
    for tokens in (32, 100, 4096):
        assert command(*sft(corpus, tmp_path / str(tokens), "--tokens-per-pack", tokens, "--lora.rank", 0)).status == 0
    wide, norms = losses(tmp_path / "4096"), losses(tmp_path / "4096", "grad_norm")
    for tokens in (32, 100):  # fp32 sums in another order, carried through Adam for a few steps
        assert losses(tmp_path / str(tokens))[:4] == pytest.approx(wide[:4], rel=1e-4)
        assert losses(tmp_path / str(tokens), "grad_norm")[:2] == pytest.approx(norms[:2], rel=1e-4)


@pytest.mark.parametrize(("stage_name", "data"), [("train_sft", "dialogues"), ("train_pretrain", "documents")])
def test_an_interrupted_run_resumes_to_the_bit(command, corpus, tmp_path, monkeypatch, stage_name, data):
    """With dropout, an adapter and the best model kept: everything a later step depends on is in the checkpoint."""

    def call(out):
        flags = ("--epochs", 3, "--save-every", 2, "--lora.rank", 4, "--lora.dropout", 0.2, "--batch-size", 8)
        return command(stage_name, "--data", corpus / f"{data}.jsonl", "--out", out, *SMALL, *flags)

    assert call(tmp_path / "straight").status == 0
    save = stage.Run.save

    def save_and_be_killed(self):
        save(self)
        if self.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.Run, "save", save_and_be_killed)
        with pytest.raises(KeyboardInterrupt):
            call(tmp_path / "cut")
    again = call(tmp_path / "cut")
    assert again.status == 0 and "going on after step 4" in again.out
    assert losses(tmp_path / "cut") == losses(tmp_path / "straight")
    assert losses(tmp_path / "cut", "valid_loss") == losses(tmp_path / "straight", "valid_loss")
    one, two = (
        torch.load(tmp_path / d / "checkpoints" / (tmp_path / d / "latest").read_text() / "state.pt")
        for d in ("cut", "straight")
    )
    assert one["model"].keys() == two["model"].keys() and one["model"]
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])
    finished = call(tmp_path / "cut")
    assert finished.status == 0 and "is finished" in finished.out


def test_stages_chain_and_another_seed_differs(command, corpus, tmp_path):
    base = ("train_pretrain", "--data", corpus / "documents.jsonl", *SMALL, "--batch-size", 8)
    assert command(*base, "--out", tmp_path / "pt", "--lora.rank", 4, "--epochs", 2).status == 0
    more = (
        "--data",
        corpus / "dialogues.jsonl",
        "--model",
        tmp_path / "pt",
        "--mix",
        "multi=1,single=1",
        "--epochs",
        1,
    )
    done = command("train_sft", *more, "--out", tmp_path / "sft", "--device", "cpu", "--lora.rank", 2)
    assert done.status == 0, done.err
    assert load_model(tmp_path / "sft").config == load_model(tmp_path / "pt").config
    assert command(*base, "--out", tmp_path / "pt2", "--lora.rank", 4, "--epochs", 2, "--seed", 1).status == 0
    assert losses(tmp_path / "pt") != losses(tmp_path / "pt2")


@pytest.mark.parametrize(("dtype", "rank"), [("bf16", 0), ("bf16", 4), ("fp16", 0), ("fp16", 4)])
def test_16_bit_training_follows_fp32(command, corpus, tmp_path, dtype, rank):
    """The same run in 16 bit: losses within 16-bit rounding of the fp32 run's, over a whole epoch."""
    for kind in ("fp32", dtype):
        flags = ("--dtype", kind, "--lora.rank", rank, "--lora.dropout", 0, "--recompute", "--epochs", 2)
        assert command(*sft(corpus, tmp_path / kind, *flags)).status == 0
    exact, rounded = losses(tmp_path / "fp32"), losses(tmp_path / dtype)
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact  # negative control: it did compute in another precision


def test_nan_stops_the_run_with_everything_saved(command, corpus, tmp_path, monkeypatch):
    real = stage.cross_entropy
    monkeypatch.setattr(stage, "cross_entropy", lambda logprobs, n: real(logprobs, n) * (float("nan") if n > 1 else 1))
    done = command(*sft(corpus, tmp_path / "run", "--epochs", 9, "--lora.rank", 0, "--optim.patience", 3))
    assert done.status == 1
    state = torch.load(tmp_path / "run" / "checkpoints" / "step-3" / "state.pt")
    assert all(weight.isfinite().all() for weight in state["model"].values())


def test_validation_and_checkpoints_come_when_they_are_asked_for(command, corpus, tmp_path):
    flags = ("--epochs", 2, "--valid-every", 3, "--valid-limit", 2, "--save-every", 2, "--keep", 1, "--lora.rank", 0)
    assert command(*sft(corpus, tmp_path / "run", *flags)).status == 0
    assert [row["step"] for row in rows(tmp_path / "run") if "valid_loss" in row] == [0, 3, 6, 8]  # and after the last
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-8"]


def test_without_validation_the_last_model_is_the_result(command, corpus, tmp_path):
    assert command(*sft(corpus, tmp_path / "run", "--valid-fraction", 0, "--epochs", 1, "--lora.rank", 0)).status == 0
    last = torch.load(tmp_path / "run" / "checkpoints" / "step-4" / "state.pt")["model"]
    assert torch.equal(load_model(tmp_path / "run").state_dict()["model.norm.weight"], last["model.norm.weight"])
    assert not losses(tmp_path / "run", "valid_loss")


def test_tensorboard_is_an_extra(command, corpus, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    done = command(*sft(corpus, tmp_path / "run", "--tensorboard"))
    assert (done.status, done.err.splitlines()[-1]) == (
        2,
        "train_sft.py: error: --tensorboard: not installed; pip install 'zj[tensorboard]'",
    )


def test_the_clinic_and_a_fresh_tokenizer_stand_in_for_missing_data(command, tmp_path):
    """With nothing but --out, a stage makes its own data, tokenizer and model."""
    for name in ("train_pretrain", "train_sft"):
        flags = ("--clinic-size", 8, "--vocab-size", 1200, "--size", "nano", "--epochs", 1, "--device", "cpu")
        done = command(name, "--out", tmp_path / name, *flags, "--lora.rank", 0)
        assert done.status == 0, done.err
        assert (tmp_path / name / "clinic" / "multi.jsonl").exists() and (tmp_path / name / "config.json").exists()
