"""Pre-training and fine-tuning as their user runs them: they learn, resume to the bit, and chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scripts import train_sft
from tests.scripts.conftest import least_gb
from zj.cli import parse
from zj.data.batching import split
from zj.data.prompt_formats import load_template
from zj.data.sequences import Encoded
from zj.data.store import Store
from zj.data.template import encode_all
from zj.lora import adapter_parameters
from zj.model import Packed, llama, sequence_logprobs
from zj.stages import setup
from zj.stages.run_state import Run
from zj.stages.validation import held_out_losses
from zj.train import World
from zj.weights import load_model

VALID = 0.16  # 7 of the 32 dialogues, 5 of the 32 documents: what is left makes four steps of an epoch
SMALL = (
    "--size",
    "nano",
    "--vocab-size",
    "400",
    "--device",
    "cpu",
    "--optim.lr",
    "5e-3",
    "--valid-fraction",
    str(VALID),
)


ALONE = World(0, 1, torch.device("cpu"))
STAGES = pytest.mark.parametrize(("script", "data"), [("train_sft", "dialogues"), ("train_pretrain", "documents")])


@dataclass(frozen=True)
class Ids:
    """What a model asks of a tokenizer."""

    number: int
    special_ids = (1, 2)

    def __len__(self) -> int:
        return self.number


def sft(corpus, out, *more, script="train_sft", data="dialogues"):
    return (script, "--data", corpus / f"{data}.jsonl", "--out", out, *SMALL, "--batch-size", 8, *more)


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
    assert load_template(tmp_path / "run") == "ziya"
    steps = [row["step"] for row in rows(tmp_path / "run")]
    assert steps == list(range(len(steps)))


def test_the_result_is_the_best_model_and_has_the_loss_that_was_logged(command, corpus, tmp_path):
    for rank in (0, 4):
        out = tmp_path / f"rank{rank}"
        assert command(*sft(corpus, out, "--epochs", 6, "--lora.rank", rank)).status == 0
        model = load_model(out)
        tokenizer = setup.Tokenizer.load(out)
        dialogues, _ = stage_read(corpus)
        valid, _ = encode_all(split(dialogues, VALID)[1], tokenizer, "ziya", 1024)
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


@STAGES
def test_the_gradient_does_not_depend_on_how_a_batch_is_packed(command, corpus, tmp_path, script, data):
    for tokens in (32, 100, 4096):
        flags = ("--tokens-per-pack", tokens, "--lora.rank", 0, "--epochs", 2)
        assert command(*sft(corpus, tmp_path / str(tokens), *flags, script=script, data=data)).status == 0
    wide, norms = losses(tmp_path / "4096"), losses(tmp_path / "4096", "grad_norm")
    for tokens in (32, 100):  # fp32 sums in another order, carried through Adam for a few steps
        assert losses(tmp_path / str(tokens))[:4] == pytest.approx(wide[:4], rel=1e-4)
        assert losses(tmp_path / str(tokens), "grad_norm")[:2] == pytest.approx(norms[:2], rel=1e-4)
    steps, counted = losses(tmp_path / "4096", "epoch"), losses(tmp_path / "4096", "counted")
    half = len(steps) // 2
    assert steps == [0] * half + [1] * half and sum(counted[:half]) == sum(counted[half:])  # all of it, twice


def example(*ids, answer):
    return Encoded(list(ids), [place >= len(ids) - answer for place in range(len(ids))], "")


EXAMPLES = [example(1, 5, 9, 2, answer=2), example(1, 7, 2, answer=1), example(1, *range(20, 40), 2, answer=9)]


def test_packs_hold_what_was_chosen_and_no_more_tokens_than_asked():
    got = setup.packs(EXAMPLES, [2, 1, 0, 1], 10, ALONE)
    found = [packed.tokens[a:b].tolist() for packed, _ in got for a, b in packed.spans]
    assert sorted(found) == sorted(EXAMPLES[index].ids for index in (2, 1, 0, 1))
    assert all(len(packed.tokens) <= 10 or len(packed) == 1 for packed, _ in got)  # 22 tokens stand alone
    assert sum(int(counted.sum()) for _, counted in got) == 9 + 1 + 2 + 1


def test_validation_is_the_mean_over_tokens_without_dropout_under_the_adapter(tmp_path):
    flags = ("--size", "nano", "--lora.rank", "2", "--lora.dropout", "0.5")
    model, adapter, _ = setup.find_model(parse(train_sft.Config, [*flags]), Ids(64), tmp_path, ALONE)
    for matrix in adapter_parameters(model, adapter).values():
        torch.nn.init.normal_(matrix, generator=torch.Generator().manual_seed(0))
    names = ["long", "short", "long"]
    loss, of_group = held_out_losses(model, EXAMPLES, names, 99, adapter, ALONE)
    assert model.training
    single = [setup.collate(EXAMPLES, [n]) for n in range(3)]
    nats = [-sequence_logprobs(model.eval(), *pack, adapter)[0].sum().item() for pack in single]
    assert loss == pytest.approx(sum(nats) / 12, rel=1e-5)
    expected = {"long": (nats[0] + nats[2]) / 11, "short": nats[1] / 1}
    assert of_group == pytest.approx(expected, rel=1e-5) and expected["long"] != pytest.approx(loss, rel=1e-3)
    one_by_one = held_out_losses(model.train(), EXAMPLES, names, 1, adapter, ALONE)
    assert one_by_one[0] == pytest.approx(loss, rel=1e-5) and one_by_one[1] == pytest.approx(of_group, rel=1e-5)
    assert held_out_losses(model, EXAMPLES, names, 99, None, ALONE)[0] != pytest.approx(loss, rel=1e-3)  # control
    assert held_out_losses(model, EXAMPLES, names[:1], 99, adapter, ALONE)[0] == pytest.approx(nats[0] / 2, rel=1e-5)


@STAGES
def test_no_record_is_trained_on_and_validated(command, corpus, tmp_path, monkeypatch, script, data):
    def no_further(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "find_model", no_further)
    assert command(*sft(corpus, tmp_path / "run", "--max-tokens", 24, script=script, data=data)).status == 130
    folder = tmp_path / "run" / "encoded"
    sides = [Store(folder / side, "uint16", [("", "")] * 2) for side in ("train", "valid")]
    train, valid = ({example.where for example in side} for side in sides)
    assert train and valid and not train & valid
    assert max(len(example.ids) for side in sides for example in side) <= 24  # and in neither anything longer


def test_dropout_is_a_function_of_seed_step_and_rank():
    def drawn(seed, step, rank):
        setup.seed_dropout(seed, step, World(rank, 2, ALONE.device))
        return tuple(torch.rand(3).tolist())

    cases = [(seed, step, rank) for seed in range(2) for step in range(3) for rank in range(2)]
    assert len({drawn(*case) for case in cases}) == len(cases) == len({drawn(*case) for case in cases * 2})


def test_the_flags_of_model_and_adapter_reach_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def made(*flags, out="run"):
        Path(out).mkdir(exist_ok=True)
        config = parse(train_sft.Config, ["--size", "nano", "--lora.rank", "3", *flags])
        return setup.find_model(config, Ids(64), Path(out), ALONE)

    (model, adapter, base), (other, _, _) = made(), made("--seed", "1", out="other")
    assert base == str(tmp_path / "run" / "base") and load_model(base).config == model.config
    pairs = list(zip(model.named_parameters(), other.parameters(), strict=True))
    differ = {name.rsplit(".", 2)[1] for (name, one), two in pairs if not torch.equal(one, two)}
    assert differ >= {"embed_tokens", "q_proj", "lora_A"}
    flags = ("--lora.alpha", "6", "--lora.dropout", "0.25", "--lora.targets", "q_proj", "up_proj")
    model, adapter, _ = made(*flags)
    layer = model.model.layers[1].mlp.up_proj
    assert (layer.scales[adapter], layer.dropout[adapter]) == (2.0, 0.25)
    assert {path.split(".")[-2] for path in adapter_parameters(model, adapter)} == {"q_proj", "up_proj"}
    with pytest.raises(ValueError, match="the tokenizer has 65 ids, the model's embedding 64 rows"):
        setup.find_model(parse(train_sft.Config, ["--model", base]), Ids(65), tmp_path, ALONE)


@STAGES
def test_memory_decides_how_many_blocks_recompute_and_nothing_else(command, corpus, tmp_path, spied, script, data):
    """To the bit, with dropout; where a run goes on it may have other memory."""
    flags = ("--lora.rank", 4, "--lora.dropout", 0.2, "--epochs", 2)
    free, run = (sft(corpus, tmp_path / out, *flags, script=script, data=data) for out in ("free", "run"))
    recomputed = spied(llama, "checkpoint")
    assert command(*free).status == 0 and not recomputed
    least = least_gb(command, *run)
    done = command(*run, "--memory-gb", least)
    assert done.status == 0 and "GB planned, 1 of 2 blocks recompute their activations" in done.out
    assert len({block for (block, *_), _ in recomputed}) == 1
    assert losses(tmp_path / "run") == losses(tmp_path / "free")
    assert losses(tmp_path / "run", "valid_loss") == losses(tmp_path / "free", "valid_loss")
    other = command(*run, "--memory-gb", 2 * least)
    assert other.status == 0 and "is finished" in other.out


@STAGES
def test_an_interrupted_run_resumes_to_the_bit(command, corpus, tmp_path, monkeypatch, script, data):
    """With dropout, an adapter and the best model kept: everything a later step depends on is in the checkpoint."""

    def call(out):
        flags = ("--epochs", 3, "--save-every", 2, "--lora.rank", 4, "--lora.dropout", 0.2, "--batch-size", 8)
        return command(script, "--data", corpus / f"{data}.jsonl", "--out", out, *SMALL, *flags)

    assert call(tmp_path / "straight").status == 0
    save = Run.save

    def save_and_be_killed(self):
        save(self)
        if self.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_and_be_killed)
        stopped = call(tmp_path / "cut")
    assert stopped.status == 130 and ".py: interrupted" in stopped.err and "Traceback" not in stopped.err
    again = call(tmp_path / "cut")
    assert again.status == 0 and "going on after step 4" in again.out
    assert losses(tmp_path / "cut") == losses(tmp_path / "straight")
    assert losses(tmp_path / "cut", "valid_loss") == losses(tmp_path / "straight", "valid_loss")
    one, two = (
        torch.load(tmp_path / d / "checkpoints" / (tmp_path / d / "latest").read_text() / "rank-0.pt")
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
        "multi=3,single=1",
        "--epochs",
        1,
        "--valid-fraction",
        0,
    )
    done = command("train_sft", *more, "--out", tmp_path / "sft", "--device", "cpu", "--lora.rank", 2)
    assert done.status == 0, done.err
    assert "21 dialogues an epoch" in done.out  # of 16 of each kind: 16 + floor(16 / 3)
    assert "--mix multi=3,single=1: an epoch uses multi: 16 of 16, single: 5 of 16\n" in done.out
    assert load_model(tmp_path / "sft").config == load_model(tmp_path / "pt").config
    assert command(*base, "--out", tmp_path / "pt2", "--lora.rank", 4, "--epochs", 2, "--seed", 1).status == 0
    assert losses(tmp_path / "pt") != losses(tmp_path / "pt2")


@pytest.mark.parametrize(("dtype", "rank"), [("bf16", 0), ("bf16", 4), ("fp16", 0), ("fp16", 4)])
def test_16_bit_training_follows_fp32(command, corpus, tmp_path, dtype, rank):
    """The same run in 16 bit: losses within 16-bit rounding of the fp32 run's, over a whole epoch."""
    for kind in ("fp32", dtype):
        run = sft(corpus, tmp_path / kind, "--dtype", kind, "--lora.rank", rank, "--lora.dropout", 0, "--epochs", 2)
        assert command(*run, "--memory-gb", least_gb(command, *run)).status == 0
    exact, rounded = losses(tmp_path / "fp32"), losses(tmp_path / dtype)
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact  # negative control: it did compute in another precision


@STAGES
def test_nan_stops_the_run_with_everything_saved(command, corpus, tmp_path, monkeypatch, script, data):
    real = setup.cross_entropy
    monkeypatch.setattr(
        "zj.stages.run_state.cross_entropy", lambda logprobs, n: real(logprobs, n) * (float("nan") if n > 1 else 1)
    )
    flags = ("--epochs", 9, "--lora.rank", 0, "--optim.max-bad-steps", 3)
    done = command(*sft(corpus, tmp_path / "run", *flags, script=script, data=data))
    assert done.status == 1
    state = torch.load(tmp_path / "run" / "checkpoints" / "step-3" / "rank-0.pt")
    assert all(weight.isfinite().all() for weight in state["model"].values())


def test_validation_and_checkpoints_come_when_they_are_asked_for(command, corpus, tmp_path):
    flags = ("--epochs", 2, "--valid-every", 3, "--valid-limit", 2, "--save-every", 2, "--keep", 1, "--lora.rank", 0)
    assert command(*sft(corpus, tmp_path / "run", *flags)).status == 0
    assert [row["step"] for row in rows(tmp_path / "run") if "valid_loss" in row] == [0, 3, 6, 8]  # and after the last
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-8"]


def test_the_lowest_validation_loss_is_kept_over_an_interruption_too(command, corpus, tmp_path, monkeypatch):
    losses_to_come, norms = iter((5.0, 3.0, 4.0, 3.5, 4.5)), []  # after steps 0, 2, 4, 6, 8

    def told(model, examples, names, tokens_per_pack, *more, **others):
        assert (len(names), tokens_per_pack) == (3, 1)  # --valid-limit, and --tokens-per-pack 1
        norms.append(model.model.norm.weight.detach().clone())
        return next(losses_to_come), {}

    def save_and_be_killed(self, save=Run.save):
        save(self)
        if self.step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("zj.stages.run_state.held_out_losses", told)
    limits = ("--valid-limit", 3, "--tokens-per-pack", 1)
    flags = ("--epochs", 2, "--valid-every", 2, "--save-every", 2, "--lora.rank", 0, *limits)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_and_be_killed)
        assert command(*sft(corpus, tmp_path / "run", *flags)).status == 130
    done = command(*sft(corpus, tmp_path / "run", *flags))
    assert "best validation loss 3.0000 at step 2;" in done.out
    result = load_model(tmp_path / "run").model.norm.weight
    assert [torch.equal(result, norm) for norm in norms] == [False, True, False, False, False]


def test_samples_are_what_the_trained_adapter_says_once_a_step(command, corpus, tmp_path):
    from zj.inference import generate

    flags = ("--epochs", 1, "--valid-every", 2, "--lora.rank", 8, "--optim.lr", "5e-2", "--optim.warmup", 0)
    assert command(*sft(corpus, tmp_path / "run", *flags)).status == 0
    said = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in said] == [0, 0, 2, 2, 4, 4]
    model, tokenizer = load_model(tmp_path / "run"), setup.Tokenizer.load(tmp_path / "run")
    valid, _ = encode_all(split(stage_read(corpus)[0], VALID)[1], tokenizer, "ziya", 1024)
    ids = valid[0].ids[: valid[0].counted.index(True)]
    (answer,) = generate(model, [ids], 64, temperature=0.0)
    assert said[-2] == {"step": 4, "prompt": tokenizer.decode(ids), "answer": tokenizer.decode(answer)}
    assert said[0]["answer"] != said[-2]["answer"]


def test_without_validation_the_last_model_is_the_result(command, corpus, tmp_path):
    assert command(*sft(corpus, tmp_path / "run", "--valid-fraction", 0, "--epochs", 1, "--lora.rank", 0)).status == 0
    last = torch.load(tmp_path / "run" / "checkpoints" / "step-4" / "rank-0.pt")["model"]
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
