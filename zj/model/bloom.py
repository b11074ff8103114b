"""Bloom by hand, on packed sequences: LLaMA's interface with another block.

Bloom > BloomBlock > BloomAttention, GeluMLP > LayerNorm, and ALiBi in place of rotary positions. Every linear layer and
norm has a bias, and one more norm follows the embedding. Within a block the parameters carry Hugging Face's names; the
trunk's are LLaMA's, see `zj.weights.families`. Source: BigScience 2022, "BLOOM", section 3.2.

Shapes: N tokens of S sequences lying end to end, D width, H heads, K head width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .bloom_config import ALIBI_WIDTH, BloomConfig
from .cache import LayerCache
from .llama import Linear, Llama
from .packed import Packed

Alibi = tuple[Tensor, Tensor]  # components of queries [1, H, 8] and of keys [N, 1, 8], whose product is the bias


class Bloom(Llama):
    """The whole network: LLaMA's, with another trunk, and ALiBi in place of rotary angles."""

    output_projections = (".dense.weight", "dense_4h_to_h.weight")

    def __init__(self, config: BloomConfig):
        nn.Module.__init__(self)
        self.config: BloomConfig = config
        self.recompute = 0  # activation checkpointing: the first so many blocks keep only their input
        self.model: Any = BloomTrunk(config)  # in place of LLaMA's Trunk
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.tie_weights()

    def embed(self, packed: Packed) -> tuple[Tensor, Alibi]:
        """As `Llama.embed`, with a norm after the embedding, and ALiBi's components in place of angles."""
        x = self.model.embed_layernorm(self.model.embed_tokens(packed.tokens))
        return x, alibi(packed.positions, self.config, x.dtype)


class BloomTrunk(nn.Module):
    """All but the head."""

    def __init__(self, config: BloomConfig):
        super().__init__()
        table = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding.from_pretrained(table, freeze=False)
        self.embed_layernorm = LayerNorm(config)
        self.layers = nn.ModuleList(BloomBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = LayerNorm(config)


class BloomBlock(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: BloomConfig):
        super().__init__()
        self.self_attn = BloomAttention(config)
        self.mlp = GeluMLP(config)
        self.input_layernorm = LayerNorm(config)
        self.post_attention_layernorm = LayerNorm(config)

    def forward(
        self, x: Tensor, bias: Alibi, packed: Packed, adapter: str | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), bias, packed, adapter, cache)
        return x + self.mlp(self.post_attention_layernorm(x), adapter)


class BloomAttention(nn.Module):
    """Causal attention within each sequence, with a bias that grows with the position of the key (ALiBi)."""

    def __init__(self, config: BloomConfig):
        super().__init__()
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.attend = attend  # (q, k, v, packed, cache) -> mixed; `zj.inference` may wrap it
        self.query_key_value = Linear(config.hidden_size, 3 * config.hidden_size, bias=True)
        self.dense = Linear(config.hidden_size, config.hidden_size, bias=True)

    def forward(
        self, x: Tensor, bias: Alibi, packed: Packed, adapter: str | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        # the rows of q, k and v are interleaved head by head
        q, k, v = self.query_key_value(x, adapter).view(len(x), self.heads, 3, self.head_dim).unbind(2)  # [N, H, K]
        mixed = self.attend(*with_alibi(q, k, v, bias), packed, cache)[..., : self.head_dim]
        return self.dense(mixed.reshape(len(x), -1), adapter)


class GeluMLP(nn.Module):
    """down(gelu(up(x))), GELU by its tanh formula. Hendrycks & Gimpel 2016, "Gaussian Error Linear Units"."""

    def __init__(self, config: BloomConfig):
        super().__init__()
        self.dense_h_to_4h = Linear(config.hidden_size, config.intermediate_size, bias=True)
        self.dense_4h_to_h = Linear(config.intermediate_size, config.hidden_size, bias=True)

    def forward(self, x: Tensor, adapter: str | None = None) -> Tensor:
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x, adapter), approximate="tanh"), adapter)


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias. Ba et al. 2016, "Layer Normalization", equation 4."""

    def __init__(self, config: BloomConfig):
        super().__init__(config.hidden_size, eps=config.layer_norm_epsilon)


# ---- ALiBi: Press et al. 2022, "Train Short, Test Long", section 3


def slopes(heads: int, like: Tensor) -> Tensor:
    """The slope of each head [H], of the dtype and on the device of `like`: 2^(-8i/H), i from 1 on.

    If H is no power of two: those of the power of two below, then every other one of the power of two above.
    """
    below = 1 << (heads.bit_length() - 1)
    index = torch.arange(1, heads + 1, dtype=like.dtype, device=like.device)
    return torch.exp2(torch.where(index <= below, -8 * index, -4 * (2 * (index - below) - 1)) / below)


def alibi(positions: Tensor, config: BloomConfig, dtype: torch.dtype) -> Alibi:
    """The bias slope * key position as more components of queries and keys, see `with_alibi`.

    A slope and a position are each a sum of two numbers of `dtype`, high + low, and their product the sum of four. In
    16 bit a position below 2^16 is exact so, a slope to 2^-16 of it, and a kernel adds the products up in fp32. The
    bias itself, rounded to 16 bit, would be off by 4 at position 2,048.
    """
    exact = positions.to(torch.promote_types(dtype, torch.float32))
    slope = _high_and_low(slopes(config.num_attention_heads, exact) * math.sqrt(config.key_width), dtype)
    position = _high_and_low(exact, dtype)
    of_queries = torch.stack((slope[0], slope[0], slope[1], slope[1]), -1)
    of_keys = torch.stack((*position, *position), -1)
    unused = (0, ALIBI_WIDTH - 4)
    return F.pad(of_queries, unused)[None], F.pad(of_keys, unused)[:, None]


def with_alibi(q: Tensor, k: Tensor, v: Tensor, bias: Alibi) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v [N, H, K] with the components of the bias: [N, H, K + 8], of v zeros.

    (q k + bias) / sqrt(K + 8) is then what attention computes; so q and the bias are scaled to q k / sqrt(K) + slope *
    position. Every kernel and the cache take ALiBi like this, and no [N, N] bias exists.
    """
    width = q.shape[-1]
    of_queries, of_keys = bias
    q = q * math.sqrt((width + ALIBI_WIDTH) / width)
    q = torch.cat((q, of_queries.expand(len(q), -1, -1)), -1)
    k = torch.cat((k, of_keys.expand(-1, k.shape[1], -1)), -1)
    return q, k, F.pad(v, (0, ALIBI_WIDTH))


def _high_and_low(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two numbers of `dtype` whose sum is x: x rounded, and the rest."""
    high = x.to(dtype)
    return high, (x - high).to(dtype)
