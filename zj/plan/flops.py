"""What a step of a run costs: FLOPs over all GPUs, bytes that each one sends and, while answers are sampled, reads.

A product of [m, k] and [k, n] is 2mkn FLOPs. With T tokens in a sequence, a token sees T / 2 keys on average.
Sources: Kaplan et al. 2020, "Scaling laws", section 2.1 and table 1 (2 FLOPs a weight and token forward, 4 backward);
Narayanan et al. 2021, "Megatron-LM", equation 3 (a recomputed forward pass added); Hu et al. 2021, "LoRA" (frozen
weights get no gradient, which saves half of the backward pass).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zj.data.batching import pack_plan
from zj.plan.memory import Job, build, count, linears


@dataclass(frozen=True)
class Step:
    """One step: an optimizer step, or in PPO a round of sampling, judging and learning."""

    tokens: int  # in its sequences, over all GPUs
    flops: float  # over all GPUs, without those of sampling token by token
    read: float  # bytes that each GPU reads of its memory to sample token by token, which waits for nothing else
    sent: float  # bytes that each GPU sends


def step_of(job: Job, length: int, answer: int = 0) -> Step:
    """A step whose sequences have this many tokens: those of a record, and in PPO of a prompt and its answer.

    Packs are planned as for training. All tokens are taken for counted ones but those of PPO's prompts, each of which
    is computed once for all answers to it. Validation, checkpoints and PTX are left out.
    """
    recipe, whole = job.recipe, length + answer
    if job.stage == "ppo":
        group, seen = prompt_with_answers(length, answer, recipe.answers)
        asked = recipe.answers * answer / group
        flops = length * forward_flops(job, length) + group * ppo_flops(job, seen, asked)
        told = bytes_read(job, length, answer), bytes_sent(job, group)
        return Step(recipe.batch_size * recipe.answers * whole, recipe.batch_size * flops, *told)
    asked = 0.0 if job.stage == "reward" else 1.0
    tokens = recipe.batch_size * length
    flops = training_flops(job, length, asked) + references(job) * forward_flops(job, length, asked)
    return Step(tokens, tokens * flops, 0.0, bytes_sent(job, length))


def prompt_with_answers(length: int, answer: int, answers: int) -> tuple[int, float]:
    """(tokens of a prompt and all answers to it, the length of a sequence in which a token sees as many keys)."""
    tokens = length + answers * answer
    pairs = length * length / 2 + answers * answer * (length + answer / 2)
    return tokens, 2 * pairs / tokens


def references(job: Job) -> float:
    """Forward passes of DPO's reference for each one of the policy; cached ones serve all epochs."""
    if job.stage != "dpo":
        return 0.0
    return 1.0 if job.recipe.reference == "live" else 1.0 / job.recipe.epochs


# ---- FLOPs


def forward_flops(job: Job, length: float, asked: float = 0.0) -> float:
    """Of a token in a sequence of `length` tokens, `asked` of which (a part, 0 to 1) want a log-prob:

    2 (layers * W + A + asked * V * D) + layers * 4 Q T / 2, with W the weights of a block's linear layers, A those of
    an adapter, and for each key a query's product with it and its share of the values (2 + 2 for each of Q).
    """
    blocks, adapter, head, attention = flop_parts(job, length)
    return 2 * (blocks + adapter + asked * head) + attention


def training_flops(job: Job, length: float, asked: float, layers: int = 0) -> float:
    """Of a token, forward and backward; `layers`: how many of the last blocks the backward pass goes through (0: all).

    Backward: twice the forward pass's products of a trained weight, once those of a frozen one; the head's logits once
    more; five products in attention for two forward (Dao 2023, "FlashAttention-2", section 2.2). A block that
    recomputes adds its forward pass, but for the last product, which nothing asks for (an adapter's stands after that
    of the frozen weight, which is computed for it).
    """
    blocks, adapter, head, attention = flop_parts(job, length)
    every, gradients = job.shape.num_hidden_layers, 4 if job.full else 2
    reached = layers or every
    twice = max(0, job.recompute - (every - reached))  # of them recompute
    _, inner, width = linears(job.shape)["down_proj"]
    recomputed = 2 * (blocks + adapter - (every * inner * width if job.full else 0)) + attention
    backward = (reached * (gradients * blocks + 4 * adapter + 2.5 * attention) + twice * recomputed) / every
    again = 2 if job.full or job.dtype != torch.float32 else 0  # in fp32 a frozen head's logits are computed once
    return forward_flops(job, length, asked) + backward + (gradients + again) * asked * head


def ppo_flops(job: Job, length: float, asked: float) -> float:
    """Of a token, once it is sampled: four roles judge it; policy and value learn from it in every pass."""
    judged = 2 * forward_flops(job, length, asked) + 2 * forward_flops(job, length)
    policy = training_flops(job, length, asked, job.recipe.last_layers)
    return judged + job.recipe.ppo_epochs * (policy + training_flops(job, length, 0.0))


def flop_parts(job: Job, length: float) -> tuple[int, int, int, float]:
    """Multiplications of a token with: the blocks' weights, an adapter's, the head's; FLOPs of its attention."""
    shape, lora = job.shape, job.recipe.lora
    layers, found = shape.num_hidden_layers, linears(shape)
    blocks = layers * sum(wide_in * wide_out for _, wide_in, wide_out in found.values())
    adapted = [] if job.full else [found[name] for name in found if name in lora.targets]
    adapter = layers * lora.rank * sum(wide_in + wide_out for _, wide_in, wide_out in adapted)
    attention = layers * 4 * shape.num_attention_heads * shape.head_dim * length / 2
    return blocks, adapter, shape.vocab_size * shape.hidden_size, attention


# ---- bytes


def bytes_sent(job: Job, length: int) -> float:
    """By each GPU in a step, in a ring: (W - 1) / W of what is gathered or reduced; an all-reduce is one of each.

    `length`: tokens of what packs hold whole, a record or a prompt with all its answers.

    none   the fp32 gradients are all-reduced, once an optimizer step
    zero2  all weights are gathered once for a pack's forward and backward pass, its gradients reduced to shards
    zero3  all weights are gathered for a forward pass, and once more for a backward pass
    PPO: weights are gathered to sample; each pack is judged by four roles (zero2 keeps the weights whole until the
    first backward pass), then goes through policy and value in every pass over the answers.
    """
    (model, every), ring = build(job), (job.gpus - 1) / job.gpus
    gradients = 4 * count(p for p in every if p.requires_grad)
    weights = count(model.parameters()) * job.dtype.itemsize
    steps, forwards, backwards, sampled = passes(job, length)
    if job.shard == "none":
        return ring * 2 * gradients * steps
    gathers = sampled + backwards if job.shard == "zero2" else sampled + forwards + 2 * backwards
    roles = 2 if job.stage == "ppo" else 1  # each backward pass has the gradients of one of them
    return ring * (gathers * weights + backwards * gradients / roles)


def passes(job: Job, length: int) -> tuple[int, int, int, int]:
    """(optimizer steps, forward passes without gradients, passes with them, times of sampling) of a GPU in a step."""
    recipe = job.recipe
    if job.stage != "ppo":
        packs = count_packs(job, recipe.batch_size, length)
        return 1, packs if job.stage == "dpo" and recipe.reference == "live" else 0, packs, 0
    prompts = recipe.batch_size
    size = -(-prompts // recipe.minibatches)
    sizes = [min(size, prompts - start) for start in range(0, prompts, size)]
    learnt = recipe.ppo_epochs * sum(count_packs(job, each, length) for each in sizes)
    return recipe.ppo_epochs * len(sizes), 4 * count_packs(job, prompts, length), 2 * learnt, 1


def count_packs(job: Job, sequences: int, length: int) -> int:
    """Packs of each GPU, of that many sequences in all."""
    return len(pack_plan([length] * sequences, job.recipe.tokens_per_pack, job.gpus)[0])


def bytes_read(job: Job, length: int, answer: int) -> float:
    """By each GPU to sample its answers of a step, at least: for each token of `slots` rows all weights and the cache.

    The default of 32 rows wants some 32 FLOPs of every byte of 16-bit weights, fewer than any GPU has: memory sets the
    pace. Hundreds of rows would want more time than this says.
    """
    blocks, adapter, head, _ = flop_parts(job, length)
    slots = min(job.recipe.slots, job.rows)
    shape = job.shape
    token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim
    numbers = blocks + adapter + head + slots * (length + answer / 2) * token
    return job.rows / slots * answer * numbers * job.dtype.itemsize
