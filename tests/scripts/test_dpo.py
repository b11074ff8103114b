"""DPO as its user runs it: it begins at log 2, follows the equation, and its cached reference is the live one."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from scripts import train_dpo
from tests.line import best, rankings, unlist
from tests.scripts.conftest import column, instead, least_gb, result, told
from zj.data.batching import split
from zj.data.readers import read
from zj.data.template import encode_answers
from zj.data.tokenizer import Tokenizer
from zj.lora import ALL_LINEAR
from zj.model import Packed, sequence_logprobs
from zj.stages.run_state import Run, trainable_state
from zj.train import Log, Optimizer
from zj.weights import load_model

VALID = 0.29  # 12 of the 48 prompts: 36 are trained on, in three steps of an epoch
SMALL = ("--device", "cpu", "--valid-fraction", VALID, "--batch-size", 12, "--optim.lr", "1e-2")


def training(line, out, *more):
    return instead(("train_dpo", "--model", line.sft, "--data", line.rankings, "--out", out, *SMALL), more)


def sides(line):
    """(training, validation) rankings."""
    return split(read([str(line.rankings)], "ranking")[0], VALID)


@torch.no_grad()
def answer_logprobs(model, ranking, tokenizer):
    """log p(answer and its EOS | prompt) of each answer, alone in its pack."""
    found = []
    for encoded in encode_answers(ranking.prompt, ranking.answers, tokenizer, "ziya"):
        logprobs, _ = sequence_logprobs(model, Packed.of([encoded.ids]), torch.tensor(encoded.counted))
        found.append(logprobs.double().sum().item())
    return found


def test_it_learns_what_is_preferred_and_its_loss_is_equation_4(command, line, tmp_path):
    """The result, opened as any model, has the lowest validation loss that was logged: by loops over pairs."""
    done = command(*training(line, tmp_path / "run", "--epochs", 4))
    assert done.status == 0, done.err
    accuracy, margin = column(tmp_path / "run", "valid_accuracy"), column(tmp_path / "run", "valid_margin")
    assert accuracy[0] == 0.5 and accuracy[-1] > 0.95 and margin[-1] > 0.5
    policy, reference = load_model(tmp_path / "run"), load_model(line.sft)
    tokenizer, losses = Tokenizer.load(tmp_path / "run"), []
    for ranking in sides(line)[1]:
        pi, ref = (answer_logprobs(model, ranking, tokenizer) for model in (policy, reference))
        rewards = [0.1 * (p - r) for p, r in zip(pi, ref, strict=True)]
        pairs = [(i, j) for i, j in product(range(4), repeat=2) if ranking.ranks[i] < ranking.ranks[j]]
        losses.append(sum(-F.logsigmoid(torch.tensor(rewards[i] - rewards[j])).item() for i, j in pairs) / len(pairs))
    found = min(column(tmp_path / "run", "valid_loss"))
    assert sum(losses) / len(losses) == pytest.approx(found, rel=1e-4)  # a merged adapter is rounded once more
    assert found < 0.9 * math.log(2)


def test_metrics_tell_loss_margin_and_lengths(command, line, tmp_path):
    assert command(*training(line, tmp_path / "run", "--valid-every", 2)).status == 0
    rows = told(tmp_path / "run")
    promised = {"epoch", "loss", "margin", "accuracy", "accuracy_gap_1", "chosen_logprob", "rejected_logprob"}
    promised |= {"chosen_length", "rejected_length", "lr", "grad_norm", "loss_factor", "loss_scale", "tokens"}
    assert all(promised <= row.keys() for row in rows[1:])
    assert [row["step"] for row in rows if {"valid_loss", "valid_accuracy", "valid_margin"} <= row.keys()] == [0, 2, 3]
    assert max(column(tmp_path / "run", "chosen_logprob")) < 0


@pytest.mark.parametrize("reference", ["live", "cached"])
@pytest.mark.parametrize("start", ["sft", "base"])
def test_at_the_start_the_loss_is_log_2_and_the_margin_0(command, line, tmp_path, reference, start):
    more = ("--reference", reference, "--model", getattr(line, start), "--label-smoothing", 0.2, "--batch-size", 36)
    done = command(*training(line, tmp_path / "run", *more))
    assert done.status == 0, done.err
    first, second = told(tmp_path / "run")[:2]
    assert (first["valid_margin"], first["valid_accuracy"], second["margin"], second["accuracy"]) == (0, 0.5, 0, 0.5)
    assert first["valid_loss"] == pytest.approx(math.log(2), rel=1e-6)  # fp32
    assert second["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert second["valid_margin"] != 0  # control: after a step it has moved


def test_the_cached_reference_is_the_live_one(command, line, tmp_path):
    for reference in ("live", "cached"):
        assert command(*training(line, tmp_path / reference, "--reference", reference, "--epochs", 2)).status == 0
    for one, two in zip(told(tmp_path / "live"), told(tmp_path / "cached"), strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-4)  # other packs, other fp32 rounding
    assert (tmp_path / "cached" / "reference.json").exists() and not (tmp_path / "live" / "reference.json").exists()


@pytest.fixture
def computed(monkeypatch):
    """Answers whose reference log-probs were computed, call by call."""
    found = []
    real = train_dpo.Reference._compute
    monkeypatch.setattr(
        train_dpo.Reference, "_compute", lambda self, pack: found.append(len(pack.ranks)) or real(self, pack)
    )
    return found


def test_the_cache_is_used_again_and_made_again_when_the_model_has_changed(command, killed, line, tmp_path, computed):
    for name in ("base", "sft"):
        shutil.copytree(getattr(line, name), tmp_path / name)
    config = tmp_path / "sft" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(line.base), str(tmp_path / "base")))
    unlist(config)
    flags = training(line, tmp_path / "run", "--model", tmp_path / "sft", "--save-every", 2)
    killed(Optimizer, "step", 2)(*flags)
    assert sum(computed) == 48 * 4  # each answer once
    killed(Optimizer, "step", 1)(*flags)
    assert sum(computed) == 48 * 4
    for file in (tmp_path / "base" / "model.safetensors", tmp_path / "sft" / "adapter_model.safetensors"):
        os.utime(file, ns=(1, 1))  # another file than it was: the base counts as well as the adapter
        computed.clear()
        killed(Optimizer, "step", 1)(*flags)
        assert sum(computed) == 48 * 4, file
    computed.clear()
    assert command(*flags).status == 0 and not computed


def _flipped(text):
    at = text.index("-", text.index("logprobs")) + 1  # the first digit of a log-prob
    return text[:at] + str(9 - int(text[at])) + text[at + 1 :]


@pytest.mark.parametrize("damage", [_flipped, lambda text: text[: len(text) // 2], lambda text: "[" * 9999])
def test_a_damaged_cache_is_computed_again(command, killed, line, tmp_path, computed, damage):
    flags, file = training(line, tmp_path / "run", "--save-every", 2), tmp_path / "run" / "reference.json"
    killed(Optimizer, "step", 1)(*flags)
    whole = file.read_text(encoding="utf-8")
    file.write_text(damage(whole), encoding="utf-8")
    computed.clear()
    done = command(*flags)
    assert done.status == 0 and sum(computed) == 48 * 4
    assert f"{file}: damaged, or of another version; the reference's log-probs are computed again" in done.out
    assert file.read_text(encoding="utf-8") == whole


POINTS = [(Run, "save", 1), (Run, "save", 3), (train_dpo.Reference, "_compute", 1), (Log, "step", 5)]
POINTS += [(Run, "keep_best", 1), (Run, "keep_best", 3), (Optimizer, "step", 1), (Run, "finish", 1)]


def test_interrupted_anywhere_it_ends_the_same(command, killed, line, tmp_path):
    more = ("--epochs", 2, "--valid-every", 2, "--save-every", 2, "--sft", 0.1)
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
    other = command(*training(line, tmp_path / "cut0", *more, "--beta", 0.2))
    assert other.status == 2 and "its --beta is 0.1, here it is 0.2" in other.err


def test_the_gradient_does_not_depend_on_how_a_batch_is_packed(command, line, tmp_path):
    for tokens in (1, 250, 4096):
        more = ("--tokens-per-pack", tokens, "--optim.lr", "1e-3", "--sft", 0.5)
        assert command(*training(line, tmp_path / str(tokens), *more)).status == 0
    for tokens, name in product((1, 250), ("loss", "grad_norm", "margin", "valid_loss")):
        wide = column(tmp_path / "4096", name)  # fp32 sums in another order, through Adam
        assert column(tmp_path / str(tokens), name) == pytest.approx(wide, rel=5e-4, abs=1e-5), name


def test_the_first_gradient_is_beta_times_one_less_two_smoothings(command, line, tmp_path):
    """At margin 0 the loss's slope is -beta (1 - 2 smoothing) / 2; two rankings' ties make no pair."""
    norms = {}
    for beta, smoothing in ((0.1, 0.0), (0.3, 0.0), (0.1, 0.25), (0.1, 0.5)):
        out = tmp_path / f"{beta}-{smoothing}"
        more = ("--beta", beta, "--label-smoothing", smoothing, "--batch-size", 36)
        assert command(*training(line, out, *more)).status == 0
        norms[beta, smoothing] = column(out, "grad_norm")[0]
    assert norms[0.3, 0.0] == pytest.approx(3 * norms[0.1, 0.0], rel=1e-4)
    assert norms[0.1, 0.25] == pytest.approx(norms[0.1, 0.0] / 2, rel=1e-4)
    assert norms[0.1, 0.5] < 1e-4 * norms[0.1, 0.0]


def test_the_sft_term_is_the_cross_entropy_of_the_best_answers(command, line, tmp_path):
    """All answers of rank 1, with EOS, in nats per token; told beside the loss, which stays that of the validation."""
    assert command(*training(line, tmp_path / "run", "--sft", 0.5, "--batch-size", 36)).status == 0
    model, tokenizer, total, tokens = load_model(line.sft), Tokenizer.load(line.sft), 0.0, 0
    for ranking in sides(line)[0]:
        for text, rank, logprob in zip(
            ranking.answers, ranking.ranks, answer_logprobs(model, ranking, tokenizer), strict=True
        ):
            total -= logprob * (rank == 1)
            tokens += (len(tokenizer.encode(text)) + 1) * (rank == 1)
    assert column(tmp_path / "run", "sft_loss")[0] == pytest.approx(total / tokens, rel=1e-5)
    assert column(tmp_path / "run", "loss")[0] == pytest.approx(math.log(2), rel=1e-6)


def test_the_sft_term_is_learnt_with_its_weight(command, line, tmp_path):
    """Label smoothing of 0.5 leaves DPO no gradient at the start, so the first one is the term's."""
    norms = {}
    for weight in (0, 0.25, 0.5):
        out = tmp_path / str(weight)
        more = ("--sft", weight, "--label-smoothing", 0.5, "--batch-size", 36)
        assert command(*training(line, out, *more)).status == 0
        norms[weight] = column(out, "grad_norm")[0]
    assert norms[0.5] == pytest.approx(2 * norms[0.25], rel=1e-4)  # fp32
    assert norms[0] < 1e-4 * norms[0.5]


def test_pairs_of_chosen_and_rejected_are_rankings_of_two(command, line, tmp_path):
    done = command(*training(replace(line, rankings=line.pairs), tmp_path / "run", "--epochs", 4))
    assert done.status == 0 and "36 prompts, 72 answers" in done.out
    assert column(tmp_path / "run", "valid_accuracy")[-1] > 0.9
    tokenizer, chosen = Tokenizer.load(line.sft), {row["id"]: best(row) for row in rankings()}
    lengths = [len(tokenizer.encode(chosen[r.id])) + 1 for r in split(read([str(line.pairs)], "ranking")[0], VALID)[0]]
    assert sum(column(tmp_path / "run", "chosen_length")[:3]) / 3 == pytest.approx(sum(lengths) / 36)


def test_16_bit_training_follows_fp32(command, line, tmp_path):
    for kind in ("fp32", "bf16", "fp16"):
        more = ("--dtype", kind, "--epochs", 2, "--reference", "live")
        run = training(line, tmp_path / kind, *more)
        assert command(*run, "--memory-gb", least_gb(command, *run)).status == 0
        exact, rounded = column(tmp_path / "fp32", "loss"), column(tmp_path / kind, "loss")
        assert rounded == pytest.approx(exact, rel=0.05) and (rounded != exact or kind == "fp32")


def test_a_fresh_adapter_has_what_the_flags_say_and_one_that_is_trained_on_its_own(command, line, tmp_path):
    flags = ("--lora.rank", 5, "--lora.alpha", 10, "--lora.targets", "v_proj")
    for start, expected in ((line.base, (5, 10, ["v_proj"])), (line.sft, (3, 6, list(ALL_LINEAR)))):
        out = tmp_path / start.name
        assert command(*training(line, out, "--model", start, *flags)).status == 0
        config = json.loads((out / "adapter_config.json").read_text())
        assert (config["r"], config["lora_alpha"], config["target_modules"]) == expected
        assert config["base_model_name_or_path"] == str(line.base.resolve())  # beside the SFT adapter, not on it


def test_the_lowest_validation_loss_is_kept(command, line, tmp_path, monkeypatch):
    losses, weights = iter((5.0, 3.0, 4.0, 3.5)), []

    def keep_best(self, loss, real=Run.keep_best):
        weights.append(trainable_state(self.model)["model.layers.0.mlp.up_proj.lora_A.policy"].clone())
        real(self, next(losses))

    monkeypatch.setattr(Run, "keep_best", keep_best)
    assert "best validation loss 3.0000" in command(*training(line, tmp_path / "run", "--epochs", 3)).out
    from safetensors.torch import load_file

    kept = load_file(tmp_path / "run" / "adapter_model.safetensors")
    found = kept["base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"]
    assert [torch.equal(found, one) for one in weights] == [False, True, False, False]
