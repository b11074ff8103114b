"""What is planned: a stage with its recipe, model and GPUs; the stage's weights are built on the meta device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from zj.lora import ALL_LINEAR, BLOOM_LINEAR, add_adapter, freeze_adapter, train_embeddings
from zj.model import BloomConfig, Llama, LlamaConfig, ScalarHead, network
from zj.stages.roles import train_last_layers
from zj.train import DTYPES

ADAPTERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # stage -> (trained adapters, frozen adapters)
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
    # the first so many blocks recompute their activations; not compared, so that `build` serves any number
    recompute: int = field(default=0, compare=False)

    @property
    def full(self) -> bool:
        """Whether all weights are trained, without an adapter."""
        return not self.recipe.lora.rank

    @property
    def has_values(self) -> bool:
        """Whether there is a value role: PPO with another advantage than GAE has none."""
        return self.stage == "ppo" and self.recipe.advantage == "gae"

    @property
    def dtype(self) -> torch.dtype:
        """Of the forward and backward pass."""
        return DTYPES[self.recipe.dtype]

    @property
    def pack(self) -> int:
        """Most tokens in a forward pass: a sequence longer than --tokens-per-pack is a pack of its own.

        In PPO a prompt with all answers to it counts as one sequence.
        """
        more = (self.recipe.answers - 1) * self.recipe.max_new_tokens if self.stage == "ppo" else 0
        return max(self.recipe.tokens_per_pack, self.recipe.max_tokens + more)

    @property
    def rows(self) -> int:
        """Answers that one GPU samples in a step of PPO: those to its share of the prompts."""
        return -(-self.recipe.batch_size // self.gpus) * self.recipe.answers


@lru_cache(maxsize=1)
def build(job: Job) -> tuple[Llama, list[nn.Parameter]]:
    """(model, all parameters: the model's and those of heads) on the meta device, trainable as in the stage."""
    trained, frozen = ADAPTERS[job.stage]
    trained = tuple(name for name in trained if name != "value" or job.has_values)
    lora, width = job.recipe.lora, job.shape.hidden_size
    with torch.device("meta"):
        # sharded trainable weights are kept in fp32
        model = network(job.shape).to(torch.float32 if job.full and job.shard != "none" else job.dtype)
        for name in () if job.full else trained + frozen:
            add_adapter(model, name, lora.rank, lora.alpha, lora.dropout, lora.targets)
        scalars = [ScalarHead(width)] if job.stage == "reward" or job.has_values else []
        if job.stage == "ppo":
            scalars.append(ScalarHead(width).requires_grad_(False))
        if lora.train_embeddings:
            train_embeddings(model, torch.float32 if job.shard != "none" else None)
    for name in () if job.full else frozen:
        freeze_adapter(model, name)
    if job.stage == "ppo" and job.recipe.last_layers:
        train_last_layers(model, "policy", job.recipe.last_layers)
    return model, [*model.parameters(), *(head.weight for head in scalars)]


def count(weights: Iterable[Tensor]) -> int:
    """Numbers in all of these weights."""
    return sum(weight.numel() for weight in weights)


def linears(shape: LlamaConfig) -> dict[str, tuple[str, int, int]]:
    """The linear layers of a block: name -> (name of the input, width in, width out)."""
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    of_bloom = {
        "query_key_value": ("normed", width, 3 * width),
        "dense": ("mixed", width, width),
        "dense_h_to_4h": ("normed again", width, inner),
        "dense_4h_to_h": ("product", inner, width),
    }
    of_llama = {
        "q_proj": ("normed", width, queries),
        "k_proj": ("normed", width, keys),
        "v_proj": ("normed", width, keys),
        "o_proj": ("mixed", queries, width),
        "gate_proj": ("normed again", width, inner),
        "up_proj": ("normed again", width, inner),
        "down_proj": ("product", inner, width),
    }
    assert (tuple(of_llama), tuple(of_bloom)) == (ALL_LINEAR, BLOOM_LINEAR)
    return of_bloom if isinstance(shape, BloomConfig) else of_llama
