"""What a GPU's memory will hold in a run, before anything is loaded.

Weights are those of the modules and adapters that the stage itself makes, on the meta device: shapes without memory.
What the backward pass keeps is summed up from shapes; tests hold the sums to what autograd really keeps.
Shapes: N tokens of a pack, D width, I width inside SwiGLU, Q width of all query heads, E of all key (or value) heads,
V vocabulary, b bytes of a number in --dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from zj.inference.engine import PROMPT_TOKENS
from zj.lora import ALL_LINEAR, add_adapter, freeze_adapter
from zj.model import Llama, LlamaConfig, ScalarHead, heads
from zj.model.cache import Cache
from zj.stages.roles import train_last_layers
from zj.train import DTYPES

SAMPLES = 2, 64  # answers of a validation of the first two stages, their longest

ADAPTERS = {  # stage -> (adapters that are trained, adapters that are not)
    "pretrain": (("policy",), ()),
    "sft": (("policy",), ()),
    "reward": (("reward",), ()),
    "dpo": (("policy",), ("reference",)),
    "ppo": (("policy", "value"), ("reference", "reward")),
}


@dataclass(frozen=True)
class Job:
    """A stage, the config of its script, the model's shape, and the GPUs that share the work."""

    stage: str  # one of ADAPTERS
    recipe: Any  # the Config of scripts/train_STAGE.py
    shape: LlamaConfig
    gpus: int = 1
    shard: str = "none"  # or zero2, zero3
    # blocks, from the first on, that recompute their activations; not compared, so that `build` serves any number
    recompute: int = field(default=0, compare=False)

    @property
    def full(self) -> bool:
        """Whether all weights are trained, without an adapter."""
        return not self.recipe.lora.rank

    @property
    def dtype(self) -> torch.dtype:
        """Of the forward and backward pass."""
        return DTYPES[self.recipe.dtype]

    @property
    def pack(self) -> int:
        """Most tokens in a forward pass: what is longer than --tokens-per-pack is a pack of its own.

        That is a sequence, or in PPO a prompt with all answers to it.
        """
        more = (self.recipe.answers - 1) * self.recipe.max_new_tokens if self.stage == "ppo" else 0
        return max(self.recipe.tokens_per_pack, self.recipe.max_tokens + more)

    @property
    def rows(self) -> int:
        """Answers that one GPU samples in a step of PPO; each takes its share of the prompts."""
        return -(-self.recipe.batch_size // self.gpus) * self.recipe.answers


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at one moment, by what they hold."""

    weights: int = 0  # the shard of this GPU, adapters and heads too
    gradients: int = 0  # fp32, of what is trained; beside 16-bit weights also those of one backward pass
    optimizer: int = 0  # AdamW's two means, and fp32 masters of 16-bit weights that are trained
    gathered: int = 0  # weights that sharding has made whole for a while, and their gradients
    activations: int = 0  # what the forward pass keeps for the backward pass
    temporaries: int = 0  # gradients and results within a block
    loss: int = 0  # final norm, chunks of logits, and their gradients
    cache: int = 0  # keys and values of the answers that are being sampled

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def moments(job: Job) -> dict[str, Memory]:
    """The fullest moments of a step, on the GPU that holds most.

    "loss": a pack's forward pass is done and its loss goes backward. "block": the backward pass is in the last block.
    "sampling": the model answers prompts, in PPO and in the validations of pre-training and fine-tuning.
    Raises ValueError for --last-layers that the model has not.
    """
    (model, every), layers = build(job), job.shape.num_hidden_layers
    weights, gradients, optimizer = state_bytes(job, every)
    of_block, of_input = kept_by_block(job), job.pack * job.shape.hidden_size * job.dtype.itemsize
    rotary = 2 * job.pack * job.shape.head_dim * job.dtype.itemsize  # cos and sin
    kept = job.recompute * of_input + (layers - job.recompute) * of_block
    in_block = kept if job.recompute < layers else kept - of_input + of_block
    whole, reduced = gathered_bytes(job, model)
    state = {"weights": weights, "gradients": gradients, "optimizer": optimizer}
    found = {
        "loss": Memory(**state, gathered=whole, activations=kept + rotary, loss=loss_bytes(job)),
        "block": Memory(
            **state,
            gathered=whole + reduced,
            activations=in_block + rotary,
            temporaries=2 * job.pack * job.shape.intermediate_size * job.dtype.itemsize + of_input,
        ),
    }
    if sampled(job)[0]:
        found["sampling"] = sampling(job, model, weights, optimizer)
    return found


def fitted(job: Job) -> Job:
    """The job with as few blocks that recompute as keep it within --memory-gb (0: none does), or with all of them."""
    bound = job.recipe.memory_gb * 1e9
    if not bound:
        return job
    jobs = [replace(job, recompute=blocks) for blocks in range(job.shape.num_hidden_layers + 1)]
    return next((less for less in jobs if fullest(less)[1] <= bound), jobs[-1])


def fullest(job: Job) -> tuple[str, int]:
    """(the moment of most memory, its bytes)."""
    return max(((name, memory.total) for name, memory in moments(job).items()), key=lambda found: found[1])


# ---- weights, and what belongs to them


@lru_cache(maxsize=1)
def build(job: Job) -> tuple[Llama, list[nn.Parameter]]:
    """(model, all weights: the model's and those of heads) on the meta device, as the stage has and trains them."""
    trained, frozen = ADAPTERS[job.stage]
    lora, width = job.recipe.lora, job.shape.hidden_size
    with torch.device("meta"):
        # what is trained and sharded is kept in fp32
        model = Llama(job.shape).to(torch.float32 if job.full and job.shard != "none" else job.dtype)
        for name in () if job.full else trained + frozen:
            add_adapter(model, name, lora.rank, lora.alpha, lora.dropout, lora.targets)
        scalars = [ScalarHead(width)] if job.stage in ("reward", "ppo") else []
        if job.stage == "ppo":
            scalars.append(ScalarHead(width).requires_grad_(False))
    for name in () if job.full else frozen:
        freeze_adapter(model, name)
    if job.stage == "ppo" and job.recipe.last_layers:
        train_last_layers(model, "policy", job.recipe.last_layers)
    return model, [*model.parameters(), *(head.weight for head in scalars)]


def state_bytes(job: Job, every: list[nn.Parameter]) -> tuple[int, int, int]:
    """(weights, gradients, optimizer state) of one GPU, bytes.

    Source: Rajbhandari et al. 2020, "ZeRO", section 3.1, whose K = 12 are the two means and a master, 4 bytes each.
    """
    weights = sum(held(job, p) * p.itemsize for p in every)
    trained = [p for p in every if p.requires_grad]
    short = [p for p in trained if p.itemsize < 4]  # gets a master, and a 16-bit gradient beside the fp32 one
    gradients = sum(4 * held(job, p) for p in trained) + sum(p.itemsize * held(job, p) for p in short)
    return weights, gradients, sum(8 * held(job, p) for p in trained) + sum(4 * held(job, p) for p in short)


def held(job: Job, weight: Tensor) -> int:
    """Numbers of a weight on one GPU. Sharding deals out rows, so that an uneven share is rounded up by rows."""
    if job.shard == "none":
        return weight.numel()
    return -(-len(weight) // job.gpus) * (weight.numel() // len(weight))


def gathered_bytes(job: Job, model: Llama) -> tuple[int, int]:
    """Bytes of (whole weights, whole gradients) during a backward pass, all of them in --dtype.

    zero2 holds all weights; zero3 the root group (embedding, final norm, head), the block at work and the next one.
    Gradients: those of the root group, and of a block, which are turned to fp32 and shared out.
    """
    if job.shard == "none":
        return 0, 0
    b, blocks = job.dtype.itemsize, model.model.layers
    every, block = count(model.parameters()), count(blocks[0].parameters())
    root = every - len(blocks) * block
    whole = every if job.shard == "zero2" else root + min(2, len(blocks)) * block
    trained = count(p for p in blocks[-1].parameters() if p.requires_grad)
    return whole * b, trained * (b + 4) + (root * b if job.full else 0)


def count(weights: Iterable[Tensor]) -> int:
    """Numbers in all of them."""
    return sum(weight.numel() for weight in weights)


# ---- what the backward pass needs


def linears(shape: LlamaConfig) -> dict[str, tuple[str, int, int]]:
    """The linear layers of a block: name -> (what its input is, width in, width out)."""
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    found = {
        "q_proj": ("normed", width, queries),
        "k_proj": ("normed", width, keys),
        "v_proj": ("normed", width, keys),
        "o_proj": ("mixed", queries, width),
        "gate_proj": ("normed again", width, inner),
        "up_proj": ("normed again", width, inner),
        "down_proj": ("product", inner, width),
    }
    assert tuple(found) == ALL_LINEAR
    return found


def kept_by_block(job: Job) -> int:
    """Bytes that autograd keeps of one block's forward pass of N tokens:

    norms      their inputs, and 1 / rms in fp32
    attention  q, k, v, the result, and in fp32 the log of each query's normaliser (Dao 2023, "FlashAttention-2",
               algorithm 1); the kernel for packs takes k and v as wide as q
    SwiGLU     gate, silu(gate), up
    linear     the input, where W is trained or has an adapter: q, k and v share one, gate and up another
    LoRA       x A^T; with dropout the layer's own input and a mask instead of a shared input; A and B in 16 bit
    Rotary positions, residual sums and frozen weights keep nothing of their own.

    On a CPU norms keep fp32 copies (two if their weight is trained), and masks are as wide as what they mask.
    """
    shape, lora, b, cuda = job.shape, job.recipe.lora, job.dtype.itemsize, job.recipe.device != "cpu"
    layers = linears(shape)
    _, queries, width = layers["o_proj"]
    _, _, keys = layers["k_proj"]
    packs = cuda and b == 2  # one kernel for all sequences of a pack
    norms = 2 * (norm_bytes(job) + 4)
    attention = (4 * queries if packs else 2 * queries + 2 * keys) * b + 4 * shape.num_attention_heads
    swiglu = 3 * shape.intermediate_size * b
    trained = [layers[name] for name in layers if job.full or name in lora.targets]
    own = 0 if job.full else sum(lora.rank * b for _ in trained)
    if lora.dropout and not job.full:
        own += sum(wide * (b + (1 if cuda else b)) for _, wide, _ in trained)
    else:
        inputs = {name: wide for name, wide, _ in trained}
        own += sum(wide for name, wide in inputs.items() if name != "mixed" or not packs) * b  # kept as the result
    copied = 0 if job.full or job.shard != "none" or b == 4 else sum(i + o for _, i, o in trained) * lora.rank * b
    return job.pack * (norms + attention + swiglu + own) + copied


def norm_bytes(job: Job) -> int:
    """Bytes that a norm keeps of each token's input."""
    if job.recipe.device == "cpu":
        return job.shape.hidden_size * 4 * (2 if job.full else 1)
    return job.shape.hidden_size * job.dtype.itemsize


def loss_bytes(job: Job) -> int:
    """Bytes between the last block and the loss, when the backward pass begins; the final norm keeps its input.

    Log-probs: a copy of what they are asked of and its gradient; a chunk of logits, which become theirs, and the
    next one's, in fp32 and in b; of a trained head the gradient in fp32 and in b. Then three gradients at a time.
    In fp32 a frozen head's logits are done with when the backward pass begins.
    Values: hidden states and their gradient in fp32. Scores: two gradients.
    """
    b, states, vocabulary = job.dtype.itemsize, job.pack * job.shape.hidden_size, job.shape.vocab_size
    norm = job.pack * (norm_bytes(job) + 4)
    if job.stage == "reward":
        return norm + 2 * states * b
    elements = heads.CHUNK_ELEMENTS["cpu" if job.recipe.device == "cpu" else "cuda"]
    chunk = min(job.pack, max(1, elements // vocabulary)) * vocabulary
    head = vocabulary * job.shape.hidden_size * (4 + b) if job.full else 0
    logits = 2 * (4 if b == 4 else 4 + b) * chunk + head if job.full or b < 4 else 0
    logprobs = max(2 * states * b + logits, 3 * states * b)
    return norm + max(logprobs, 8 * states if job.stage == "ppo" else 0)


# ---- sampling


def sampled(job: Job) -> tuple[int, int]:
    """(answers that a GPU works on at a time, tokens of the longest with its prompt)."""
    recipe = job.recipe
    if job.stage == "ppo":
        held_out = -(-recipe.valid_limit // job.gpus) if recipe.valid_fraction else 0
        return min(recipe.slots, max(job.rows, held_out)), recipe.max_tokens
    prompt = {"pretrain": 16, "sft": recipe.max_tokens}.get(job.stage, 0)
    return (SAMPLES[0], prompt + SAMPLES[1]) if prompt and recipe.valid_fraction else (0, 0)


def sampling(job: Job, model: Llama, weights: int, optimizer: int) -> Memory:
    """Prompts are being read: all weights whole, a cache as long as the longest answer may be, no gradients.

    Logits of a step: as they come, in fp32, divided by the temperature, as probabilities, and summed up in fp64.
    """
    shape, b, (slots, longest) = job.shape, job.dtype.itemsize, sampled(job)
    cache = Cache(shape, slots, longest, job.dtype, torch.device("meta")).stored
    tokens = min(PROMPT_TOKENS, slots * longest)
    inner = 4 if b == 2 and job.recipe.device != "cpu" and job.shard == "none" else 3  # gate and up are one product
    return Memory(
        weights=weights,
        optimizer=optimizer,
        gathered=0 if job.shard == "none" else count(model.parameters()) * b,
        temporaries=tokens * (inner * shape.intermediate_size + 2 * shape.hidden_size) * b,
        loss=slots * shape.vocab_size * (b + 4 + 4 + 4 + 8),
        cache=cache.nbytes,
    )
