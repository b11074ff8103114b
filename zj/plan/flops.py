"""The cost of a step: FLOPs over all GPUs, and bytes that each one reads while answers are sampled.

A product of [m, k] and [k, n] is 2mkn FLOPs. In a sequence of T tokens a token attends to T / 2 keys on average.
Sources: Kaplan et al. 2020, "Scaling laws", section 2.1 and table 1 (2 FLOPs a weight and token forward, 4 backward);
Narayanan et al. 2021, "Megatron-LM", equation 3 (a recomputed forward pass added); Hu et al. 2021, "LoRA" (frozen
weights get no gradient, which saves half of the backward pass).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zj.lora import chosen_layers
from zj.plan.job import Job, linears


@dataclass(frozen=True)
class Step:
    """One step: an optimizer step, or in PPO a rollout and the passes over it."""

    tokens: int  # in its sequences, over all GPUs
    flops: float  # over all GPUs, without those of decoding
    read: float  # bytes of memory that each GPU reads to decode, which is bound by that


def step_of(job: Job, length: int, answer: int = 0) -> Step:
    """A step whose sequences have this many tokens: those of a record, and in PPO of a prompt and its answer.

    All tokens are counted ones, except those of PPO's prompts. A prompt is computed
    once for all answers to it. Validation, checkpoints and PTX are left out.
    """
    recipe, whole = job.recipe, length + answer
    if job.stage == "ppo":
        group, equal_length = prompt_with_answers(length, answer, recipe.answers)
        scored = recipe.answers * answer / group
        flops = length * forward_flops(job, length) + group * ppo_flops(job, equal_length, scored)
        read = bytes_read(job, length, answer)
        return Step(recipe.batch_size * recipe.answers * whole, recipe.batch_size * flops, read)
    scored = 0.0 if job.stage == "reward" else 1.0
    tokens = recipe.batch_size * length
    flops = training_flops(job, length, scored) + references(job) * forward_flops(job, length, scored)
    return Step(tokens, tokens * flops, 0.0)


def prompt_with_answers(length: int, answer: int, answers: int) -> tuple[int, float]:
    """(tokens of a prompt and all answers to it, length of a sequence in which a token attends to as many keys)."""
    tokens = length + answers * answer
    pairs = length * length / 2 + answers * answer * (length + answer / 2)
    return tokens, 2 * pairs / tokens


def references(job: Job) -> float:
    """Forward passes of DPO's reference per forward pass of the policy; cached ones serve all epochs."""
    if job.stage != "dpo":
        return 0.0
    return 1.0 if job.recipe.reference == "live" else 1.0 / job.recipe.epochs


# ---- FLOPs


def forward_flops(job: Job, length: float, scored: float = 0.0) -> float:
    """Of a token in a sequence of T = `length` tokens, of which the part `scored` (0 to 1) gets a log-prob:

    2 (layers * W + A + scored * V * D) + layers * 4 Q T / 2, with W the weights of a block's linear layers, A those of
    an adapter. Each key costs its products with a query and with its value (2 + 2 for each of Q).
    """
    blocks, adapter, head, attention = flop_parts(job, length)
    return 2 * (blocks + adapter + scored * head) + attention


def training_flops(job: Job, length: float, scored: float, layers: int = 0) -> float:
    """Of a token, forward and backward; `layers`: the last blocks that the backward pass goes through (0: all).

    Backward: twice the forward products of a trained weight, once those of a frozen one; the head's logits once more;
    five products in attention for two forward (Dao 2023, "FlashAttention-2", section 2.2). A block that recomputes adds
    its forward pass without the last product, whose result the backward pass does not need (an adapter's last product
    comes after that of the frozen weight, which is computed for it).
    """
    blocks, adapter, head, attention = flop_parts(job, length)
    total, gradients = job.shape.num_hidden_layers, 4 if job.full else 2
    reached = layers or total
    twice = max(0, job.recompute - (total - reached))  # blocks whose forward pass is recomputed
    _, inner, width = list(linears(job.shape).values())[-1]
    recomputed = 2 * (blocks + adapter - (total * inner * width if job.full else 0)) + attention
    backward = (reached * (gradients * blocks + 4 * adapter + 2.5 * attention) + twice * recomputed) / total
    trained = job.full or job.recipe.lora.train_embeddings
    again = 2 if trained or job.dtype != torch.float32 else 0  # in fp32 a frozen head's logits are computed once
    return forward_flops(job, length, scored) + backward + ((4 if trained else 2) + again) * scored * head


def ppo_flops(job: Job, length: float, scored: float) -> float:
    """Of a sampled token: a forward pass of each role; training of policy and value, if there is one, in every pass."""
    judged = 2 * forward_flops(job, length, scored) + (1 + job.has_values) * forward_flops(job, length)
    policy = training_flops(job, length, scored, job.recipe.last_layers)
    return judged + job.recipe.ppo_epochs * (policy + job.has_values * training_flops(job, length, 0.0))


def flop_parts(job: Job, length: float) -> tuple[int, int, int, float]:
    """Of a token: multiplications with the weights of blocks, of an adapter, of the head; FLOPs of attention."""
    shape, lora = job.shape, job.recipe.lora
    layers, shapes = shape.num_hidden_layers, linears(shape)
    blocks = layers * sum(wide_in * wide_out for _, wide_in, wide_out in shapes.values())
    adapted = [] if job.full else [shapes[name] for name in chosen_layers(lora.targets, shapes)]
    adapter = layers * lora.rank * sum(wide_in + wide_out for _, wide_in, wide_out in adapted)
    attention = layers * 4 * shape.num_attention_heads * shape.key_width * length / 2
    return blocks, adapter, shape.vocab_size * shape.hidden_size, attention


# ---- bytes


def bytes_read(job: Job, length: int, answer: int) -> float:
    """By each GPU to sample its answers of a step, at least: for each token of `slots` rows all weights and the cache.

    The default of 32 rows needs some 32 FLOPs per byte of 16-bit weights, below the ratio of any GPU: decoding is bound
    by memory. Hundreds of rows would take longer than this bound.
    """
    blocks, adapter, head, _ = flop_parts(job, length)
    slots = min(job.recipe.slots, job.rows)
    shape = job.shape
    token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.key_width
    numbers = blocks + adapter + head + slots * (length + answer / 2) * token
    return job.rows / slots * answer * numbers * job.dtype.itemsize
