"""The memory that a run needs on a GPU, before anything is loaded.

Weights are those of the modules and adapters of the stage, on the meta device: shapes without memory.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from zj.inference.engine import PROMPT_TOKENS
from zj.model import BloomConfig, Llama
from zj.model.cache import Cache
from zj.plan.activations import loss_bytes, saved_before_blocks, saved_by_block
from zj.plan.job import Job, build, count

SAMPLES = 2, 64  # answers in a validation of pre-training or fine-tuning, their longest in tokens


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at one moment, by use."""

    weights: int = 0  # the shard of this GPU, adapters and heads too
    gradients: int = 0  # fp32, of trained weights; for 16-bit weights also the 16-bit gradients of one backward pass
    optimizer: int = 0  # AdamW's two means, and fp32 masters of trained 16-bit weights
    gathered: int = 0  # sharded weights that are whole for a while, and their gradients
    activations: int = 0  # saved by the forward pass for the backward pass
    temporaries: int = 0  # gradients and results within a block
    loss: int = 0  # final norm, chunks of logits, and their gradients
    cache: int = 0  # keys and values of the answers that are being sampled

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def peaks(job: Job) -> dict[str, Memory]:
    """The peaks of a step, on the GPU that needs most.

    "loss": a pack's forward pass is done and the backward pass of its loss begins. "block": the backward pass is in the
    last block. "sampling": the model answers prompts, in PPO and in the validations of pre-training and fine-tuning.
    Raises ValueError for more --last-layers than the model has.
    """
    (model, parameters), layers = build(job), job.shape.num_hidden_layers
    weights, gradients, optimizer = state_bytes(job, parameters)
    of_block, of_input = saved_by_block(job), job.pack * job.shape.hidden_size * job.dtype.itemsize
    before = saved_before_blocks(job)
    saved = job.recompute * of_input + (layers - job.recompute) * of_block
    in_block = saved if job.recompute < layers else saved - of_input + of_block
    whole, reduced = gathered_bytes(job, model)
    state = {"weights": weights, "gradients": gradients, "optimizer": optimizer}
    memories = {
        "loss": Memory(**state, gathered=whole, activations=saved + before, loss=loss_bytes(job)),
        "block": Memory(
            **state,
            gathered=whole + reduced,
            activations=in_block + before,
            temporaries=2 * job.pack * job.shape.intermediate_size * job.dtype.itemsize + of_input,
        ),
    }
    if sampled(job)[0]:
        memories["sampling"] = sampling(job, model, weights, optimizer)
    return memories


def fitted(job: Job) -> Job:
    """The job with the fewest recomputing blocks that fit into --memory-gb (0: none), or with all if none fits."""
    bound = job.recipe.memory_gb * 1e9
    if not bound:
        return job
    jobs = [replace(job, recompute=blocks) for blocks in range(job.shape.num_hidden_layers + 1)]
    return next((less for less in jobs if fullest(less)[1] <= bound), jobs[-1])


def fullest(job: Job) -> tuple[str, int]:
    """(the moment of most memory, its bytes)."""
    return max(((name, memory.total) for name, memory in peaks(job).items()), key=lambda peak: peak[1])


# ---- weights, gradients, optimizer state


def state_bytes(job: Job, parameters: list[nn.Parameter]) -> tuple[int, int, int]:
    """(weights, gradients, optimizer state) of one GPU, bytes.

    Source: Rajbhandari et al. 2020, "ZeRO", section 3.1, whose K = 12 are the two means and a master, 4 bytes each.
    """
    weights = sum(shard_numel(job, p) * p.itemsize for p in parameters)
    trained = [p for p in parameters if p.requires_grad]
    short = [p for p in trained if p.itemsize < 4]  # have a master, and a 16-bit gradient beside the fp32 one
    gradients = sum(4 * shard_numel(job, p) for p in trained) + sum(p.itemsize * shard_numel(job, p) for p in short)
    optimizer = sum(8 * shard_numel(job, p) for p in trained) + sum(4 * shard_numel(job, p) for p in short)
    return weights, gradients, optimizer


def shard_numel(job: Job, weight: Tensor) -> int:
    """Numbers of a weight on one GPU. Sharding distributes rows, so that an uneven share is rounded up by rows."""
    if job.shard == "none":
        return weight.numel()
    return -(-len(weight) // job.gpus) * (weight.numel() // len(weight))


def gathered_bytes(job: Job, model: Llama) -> tuple[int, int]:
    """Bytes of (whole weights, whole gradients) during a backward pass, all of them in --dtype.

    zero2 gathers all weights; zero3 the root group (embedding, final norm, head), the current block and the next one.
    Gradients: those of the root group, and of a block, which are cast to fp32 and reduce-scattered.
    """
    if job.shard == "none":
        return 0, 0
    b, blocks = job.dtype.itemsize, model.model.layers
    total, block = count(model.parameters()), count(blocks[0].parameters())
    root = total - len(blocks) * block
    whole = total if job.shard == "zero2" else root + min(2, len(blocks)) * block
    trained = count(p for p in blocks[-1].parameters() if p.requires_grad)
    return whole * b, trained * (b + 4) + (root * b if job.full else 0)


# ---- sampling


def sampled(job: Job) -> tuple[int, int]:
    """(answers that a GPU samples at a time, tokens of the longest with its prompt)."""
    recipe = job.recipe
    if job.stage == "ppo":
        held_out = -(-recipe.valid_limit // job.gpus) if recipe.valid_fraction else 0
        return min(recipe.slots, max(job.rows, held_out)), recipe.max_tokens
    prompt = {"pretrain": 16, "sft": recipe.max_tokens}.get(job.stage, 0)
    answer = job.shape.room_behind(prompt, SAMPLES[1])
    return (SAMPLES[0], prompt + answer) if prompt and recipe.valid_fraction else (0, 0)


def sampling(job: Job, model: Llama, weights: int, optimizer: int) -> Memory:
    """The step that reads prompts: all weights whole, a cache as long as the longest answer may be, no gradients.

    Logits of a step: in b, in fp32, divided by the temperature, as probabilities, and cumulated in fp64.
    """
    shape, b, (slots, longest) = job.shape, job.dtype.itemsize, sampled(job)
    cache = Cache(shape, slots, longest, job.dtype, torch.device("meta")).stored
    tokens = min(PROMPT_TOKENS, slots * longest)
    fused = b == 2 and job.recipe.device != "cpu" and job.shard == "none"  # gate and up are one product
    inner = 2 if isinstance(shape, BloomConfig) else 4 if fused else 3
    return Memory(
        weights=weights,
        optimizer=optimizer,
        gathered=0 if job.shard == "none" else count(model.parameters()) * b,
        temporaries=tokens * (inner * shape.intermediate_size + 2 * shape.hidden_size) * b,
        loss=slots * shape.vocab_size * (b + 4 + 4 + 4 + 8),
        cache=cache.nbytes,
    )
