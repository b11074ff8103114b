"""The losses of trl's own trainers, on the same models and pairs. Needs the extra [bench]: pytest -m parity."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from zj.lora import ALL_LINEAR, adapter_parameters
from zj.model import Packed, ScalarHead, sequence_logprobs
from zj.rl import dpo_loss, ranked_pairs, ranking_loss
from zj.weights import load_llama, load_peft

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
tokenizers = pytest.importorskip("tokenizers")

BETA = 0.3
# Four pairs of different lengths: (prompt, chosen, rejected)
PAIRS = [
    ([1, 40, 7, 19], [63, 8, 8, 25, 2], [11, 2]),
    ([1, 5], [9, 33, 2], [17, 21, 58, 6, 44, 12, 30, 2]),
    ([1, 22, 48, 50, 31, 9, 14], [2], [61, 2]),
    ([1, 13, 27, 39, 4, 18], [55, 29, 37, 3, 10, 20, 42, 2], [16, 23, 2]),
]
CHOSEN, REJECTED = [p + c for p, c, _ in PAIRS], [p + r for p, _, r in PAIRS]
# trl adds up its log-probs and their gradients in fp32, whatever the model's type; transformers' norms are fp32 too
EXACT, CLOSE = {"rtol": 1e-12, "atol": 1e-12}, {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No progress bars, and no report to trl's makers that a trainer was made."""
    datasets.disable_progress_bars()
    monkeypatch.setenv("CI", "1")


@pytest.fixture
def base(tmp_path):
    """Directory of a random LLaMA whose attention looks somewhere."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def trainer_of(kind: str, base, lora=None, dtype: torch.dtype = torch.float32, **options):
    """trl's DPOTrainer or RewardTrainer on the model of a directory; its data set is one idle row."""
    arguments = getattr(trl, f"{kind}Config")(
        output_dir=str(base.parent / "trl"),
        model_init_kwargs={"dtype": dtype},
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        **options,
    )
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "</s>": 2}, unk_token="<pad>"))
    return getattr(trl, f"{kind}Trainer")(
        model=str(base),
        args=arguments,
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=words, pad_token="<pad>", eos_token="</s>"
        ),
        peft_config=lora,
    )


# --- DPO


def dpo_trainer(base, **options):
    """(trl's trainer whose policy is the base with an adapter that says something, our model with that adapter)

    trl's reference is the base with the adapter off.
    """
    lora = peft.LoraConfig(r=4, lora_alpha=10, target_modules=list(ALL_LINEAR), task_type="CAUSAL_LM")
    trainer = trainer_of("DPO", base, lora, beta=BETA, **options)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in trainer.model.named_parameters():
            if "lora_" in name:
                p.normal_(0, 0.2)
    trainer.model.save_pretrained(base.parent / "adapter")
    us = load_llama(base).requires_grad_(False)
    load_peft(us, base.parent / "adapter", "policy")
    for p in adapter_parameters(us, "policy").values():
        p.requires_grad_(True)
    return trainer, us


def their_batch(trainer, pairs=PAIRS):
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return trainer.data_collator([dict(zip(names, pair, strict=True)) for pair in pairs])


def our_sums(us, adapter: str | None):
    """Log-probs of the chosen answers and of the rejected ones, all eight sequences in one pack; their lengths."""
    starts = [len(prompt) for prompt, _, _ in PAIRS] * 2
    packed = Packed.of(CHOSEN + REJECTED)
    counted = packed.positions >= torch.tensor(starts).repeat_interleave(torch.tensor(packed.lengths))
    sums = packed.sums(sequence_logprobs(us, packed, counted, adapter)[0])
    return *sums.chunk(2), packed.sums(counted.float())


def our_dpo(us, **options):
    *policy, lengths = our_sums(us, "policy")
    with torch.no_grad():
        *reference, _ = our_sums(us, None)
    return dpo_loss(*policy, *reference, BETA, **options), policy, reference, lengths


def test_dpo_and_its_gradients_are_equal(base):
    trainer, us = dpo_trainer(base)
    expected = trainer.compute_loss(trainer.model, their_batch(trainer))
    expected.backward()
    (loss, _, _), policy, reference, lengths = our_dpo(us)
    loss.backward()
    torch.testing.assert_close(loss, expected, **CLOSE)
    gradients = {n.replace(".default", ""): p.grad for n, p in trainer.model.named_parameters() if p.grad is not None}
    found = {f"base_model.model.{n}.weight": p.grad for n, p in adapter_parameters(us, "policy").items()}
    assert found.keys() == gradients.keys() and len(found) == 2 * 2 * 7
    for name, gradient in found.items():
        scale = gradients[name].abs().max()
        assert scale > 1e-3, f"{name}: too small to compare"
        torch.testing.assert_close(gradient / scale, gradients[name] / scale, **CLOSE)
    # control: the mean over an answer's tokens in place of the sum is another loss
    means = [x.detach() / n for x, n in zip([*policy, *reference], [*lengths.chunk(2)] * 2, strict=True)]
    assert abs(dpo_loss(*means, BETA)[0] - expected) > 0.01


def test_implicit_rewards_are_equal_pair_by_pair(base):
    """trl logs the mean reward of a batch, so every pair is a batch; ours sees all four in one pack."""
    trainer, us = dpo_trainer(base)
    with torch.no_grad():
        for pair in PAIRS:
            trainer.compute_loss(trainer.model, their_batch(trainer, [pair]))
        (_, chosen, rejected), *_ = our_dpo(us)
    logged = trainer._metrics["train"]
    for found, name in ((chosen, "rewards/chosen"), (rejected, "rewards/rejected")):
        torch.testing.assert_close(found, torch.tensor(logged[name]), **CLOSE)
        assert found.abs().min() > 0.01 and found.unique().numel() == 4  # control: they say something


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_label_smoothing_is_that_of_trl(base, smoothing):
    """trl's smoothed sigmoid is in its "aot" loss, which sorts the margins of a batch: nothing in batches of one."""
    trainer, us = dpo_trainer(base, loss_type="aot", label_smoothing=smoothing)
    with torch.no_grad():
        losses = [trainer.compute_loss(trainer.model, their_batch(trainer, [pair])) for pair in PAIRS]
        (loss, *_), *_ = our_dpo(us, label_smoothing=smoothing)
        (plain, *_), *_ = our_dpo(us)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), **CLOSE)
    assert abs(loss - plain) > 0.01  # control


class Said:
    """A model's answer with logits [B, T, V] that give these log-probs [B, T - 1] to the ids: to compare in fp64."""

    def __init__(self, logprobs, ids, vocabulary=64):
        others = (torch.log1p(-logprobs.exp()) - math.log(vocabulary - 1))[..., None].expand(-1, -1, vocabulary)
        said = others.scatter(2, ids[:, 1:, None], logprobs[..., None])
        self.logits = F.pad(said, (0, 0, 0, 1))


def test_the_same_log_probs_give_the_same_loss_to_the_last_digits(base):
    trainer, _ = dpo_trainer(base, precompute_ref_log_probs=True)
    batch = their_batch(trainer)
    batch["ref_chosen_logps"], batch["ref_rejected_logps"] = -20 * torch.rand(2, 4, dtype=torch.float64)
    spoken = batch["completion_mask"][:, 1:]
    logprobs = (-3 * torch.rand(spoken.shape, dtype=torch.float64) - 0.01).requires_grad_()
    expected = trainer.compute_loss(lambda input_ids, **_: Said(logprobs, input_ids), dict(batch))
    (theirs,) = torch.autograd.grad(expected, logprobs)
    sums = (logprobs * spoken).sum(1).chunk(2)
    loss, _, _ = dpo_loss(*sums, batch["ref_chosen_logps"], batch["ref_rejected_logps"], BETA)
    (ours,) = torch.autograd.grad(loss, logprobs)
    torch.testing.assert_close(loss, expected, **EXACT)
    torch.testing.assert_close(ours, theirs, **EXACT)
    assert ours.abs().max() > 1e-3


# --- the reward model


def reward_trainer(base, dtype: torch.dtype):
    """(trl's trainer of all weights, our model and head with the same)"""
    trainer = trainer_of("Reward", base, dtype=dtype)
    head = ScalarHead(32).to(dtype)
    with torch.no_grad():
        head.weight.copy_(trainer.model.score.weight.normal_(0, 1, generator=torch.Generator().manual_seed(2)))
    return trainer, load_llama(base, dtype), head


def their_pairs(trainer, chosen, rejected):
    rows = [{"chosen_ids": c, "rejected_ids": r} for c, r in zip(chosen, rejected, strict=True)]
    return trainer.data_collator(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_a_reward_models_loss_and_gradients_are_equal(base, dtype):
    trainer, us, head = reward_trainer(base, dtype)
    expected = trainer.compute_loss(trainer.model, their_pairs(trainer, CHOSEN, REJECTED))
    expected.backward()
    packed = Packed.of([ids for pair in zip(CHOSEN, REJECTED, strict=True) for ids in pair])
    scores = head(us(packed)[packed.last])
    loss = ranking_loss(scores, torch.tensor([1, 2] * 4), torch.arange(4).repeat_interleave(2))
    loss.backward()
    torch.testing.assert_close(loss, expected, **CLOSE)
    gradients = {n: p.grad for n, p in trainer.model.named_parameters()}
    found = {n: p.grad for n, p in us.named_parameters() if n != "lm_head.weight"} | {"score.weight": head.weight.grad}
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        scale = gradients[name].abs().max()
        assert scale > 1e-3, f"{name}: too small to compare"
        torch.testing.assert_close(gradient / scale, gradients[name] / scale, **CLOSE)
    # control: a score read one token too early is another loss
    scores = head(us(packed)[packed.last - 1])
    assert abs(ranking_loss(scores, torch.tensor([1, 2] * 4), torch.arange(4).repeat_interleave(2)) - expected) > 0.01


@torch.no_grad()
def test_k_ranked_answers_are_all_their_pairs(base):
    """Four answers once each in one pack of ours, six pairs with every answer three times in trl's batch."""
    trainer, us, head = reward_trainer(base, torch.float64)
    answers, ranks = [PAIRS[0][0] + said for said in ([9, 2], [33, 12, 2], [5, 5, 5, 61, 2], [2])], [3, 1, 4, 2]
    pairs = [sorted(pair, key=lambda k: ranks[k]) for pair in combinations(range(4), 2)]
    batch = their_pairs(trainer, [answers[b] for b, _ in pairs], [answers[w] for _, w in pairs])
    expected = trainer.compute_loss(trainer.model, batch)
    packed = Packed.of(answers)
    scores, ranks, group = head(us(packed)[packed.last]), torch.tensor(ranks), torch.zeros(4)
    torch.testing.assert_close(ranking_loss(scores, ranks, group), expected, **CLOSE)
    assert abs(ranking_loss(scores, ranks.flip(0), group) - expected) > 0.01  # control
    better, worse, _ = ranked_pairs(ranks, group)
    assert {(b, w) for b, w in zip(better.tolist(), worse.tolist(), strict=True)} == set(map(tuple, pairs))


def test_the_same_scores_give_the_same_loss_to_the_last_digits(base):
    trainer, _, _ = reward_trainer(base, torch.float32)
    scores = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).mul_(5).requires_grad_()
    said = transformers.modeling_outputs.SequenceClassifierOutputWithPast(logits=scores.reshape(8, 1))
    expected = trainer.compute_loss(lambda **_: said, their_pairs(trainer, CHOSEN, REJECTED))
    (theirs,) = torch.autograd.grad(expected, scores)
    loss = ranking_loss(scores.T.reshape(8), torch.tensor([1, 2] * 4), torch.arange(4).repeat_interleave(2))
    (ours,) = torch.autograd.grad(loss, scores)
    torch.testing.assert_close(loss, expected, **EXACT)
    torch.testing.assert_close(ours, theirs, **EXACT)
    assert abs(F.softplus(scores[0] - scores[1]).mean() - expected) > 0.1  # control: the worse one preferred
