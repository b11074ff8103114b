"""LLaMA by hand, on packed sequences: the whole before its parts. Its relatives differ by switches of `LlamaConfig`.

Llama > Block > Attention, SwiGLU > RMSNorm, Linear, rotary positions. Parameters carry Hugging Face's names, so a
published checkpoint is this module's state dict. Source: Touvron et al. 2023, "LLaMA", section 2.2.

Shapes: N tokens of S sequences lying end to end, D width, H query heads, K head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import attend
from .cache import Cache, LayerCache
from .config import LlamaConfig
from .heads import token_logprobs
from .packed import Packed

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, weight, bias) -> x W^T + b
Rotary = tuple[Tensor, Tensor]  # cos and sin [N, 1, K] of each token's position


class Llama(nn.Module):
    """The whole network. Its weights are uninitialised until `init_weights` or a checkpoint fills them."""

    output_projections: tuple[str, ...] = ("o_proj.weight", "down_proj.weight")  # ends of a block's two branches

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.recompute = 0  # activation checkpointing: the first so many blocks keep only their input
        self.model = Trunk(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.tie_weights()

    def forward(
        self,
        packed: Packed,
        adapter: str | None = None,
        targets: Tensor | None = None,
        temperature: float = 1.0,
        cache: Cache | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Hidden states [N, D] after the final norm; with `targets` [N], their `token_logprobs` ([N], entropy [N]).

        Log-probs are computed in here because a sharded `lm_head` is whole only during the root's forward.
        `adapter` names the LoRA to apply; ValueError for a name that `add_adapter` has not made.
        `cache` holds the keys and values of earlier tokens, for generation. ValueError for a sequence beyond the
        positions of a network that is computed up to them (`LlamaConfig.positions_end`).
        """
        if self.config.positions_end:
            self.config.check_positions(max(packed.attended[2] if packed.parents else packed.lengths), "a sequence has")
        x, places = self.embed(packed)
        for index, block in enumerate(self.model.layers):
            if index < self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, places, packed, adapter, use_reentrant=False)
            else:
                x = block(x, places, packed, adapter, cache.layer(index) if cache else None)
        hidden = self.model.norm(x)
        if targets is None:
            return hidden
        return token_logprobs(hidden, self.lm_head.weight, targets, temperature)

    def embed(self, packed: Packed) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(embeddings [N, D], what the blocks take of the positions: here the angles of `rotary_angles`)."""
        x = self.model.embed_tokens(packed.tokens)
        return x, rotary_angles(packed.positions, self.config, x.dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]. For a few positions; training goes through `token_logprobs`."""
        return self.lm_head(hidden)

    def tie_weights(self) -> None:
        """Share the embedding's weight with the head, if the config ties them (again after `to_empty`)."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """N(0, 0.02), the output projections of each block scaled by 1/sqrt(2 * layers) (Radford et al. 2019)."""
        generator = torch.Generator(device=self.lm_head.weight.device).manual_seed(seed)
        for name, weight in self.named_parameters():
            if name.endswith("norm.weight"):
                weight.fill_(1.0)
            elif name.endswith("bias"):
                weight.zero_()
            else:
                last = name.endswith(self.output_projections)
                std = 0.02 / (2 * self.config.num_hidden_layers) ** 0.5 if last else 0.02
                weight.normal_(0.0, std, generator=generator)


class Trunk(nn.Module):
    """All but the head; a module of its own only because published names begin with "model."."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        table = torch.empty(config.vocab_size, config.hidden_size)  # nn.Embedding's own draw costs seconds on "meta"
        self.embed_tokens = nn.Embedding.from_pretrained(table, freeze=False)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Block(nn.Module):
    """Pre-norm residual block: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = SwiGLU(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        packed: Packed,
        adapter: str | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, packed, adapter, cache)
        return x + self.mlp(self.post_attention_layernorm(x), adapter)


class Attention(nn.Module):
    """Causal attention within each sequence; groups of query heads share one key/value head (GQA)."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        width, kv_heads = config.hidden_size, config.num_key_value_heads
        self.head_dim, self.qk_norm = config.head_dim, config.qk_norm
        self.attend = attend  # (q, k, v, packed, cache) -> mixed; `zj.inference` may wrap it
        self.q_proj = Linear(width, config.num_attention_heads * self.head_dim, config.qkv_bias)
        self.k_proj = Linear(width, kv_heads * self.head_dim, config.qkv_bias)
        self.v_proj = Linear(width, kv_heads * self.head_dim, config.qkv_bias)
        self.o_proj = Linear(config.num_attention_heads * self.head_dim, width)
        if self.qk_norm:
            self.q_norm, self.k_norm = (RMSNorm(self.head_dim, config.rms_norm_eps) for _ in range(2))

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        packed: Packed,
        adapter: str | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        heads = (len(x), -1, self.head_dim)
        q = self.q_proj(x, adapter).view(heads)  # [N, H, K]
        k, v = self.k_proj(x, adapter).view(heads), self.v_proj(x, adapter).view(heads)  # [N, key/value heads, K]
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, rotary), rotate(k, rotary)
        mixed = self.attend(q, k, v, packed, cache)
        return self.o_proj(mixed.reshape(len(x), -1), adapter)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)). Shazeer 2020, "GLU Variants Improve Transformer", equation 6."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor, adapter: str | None = None) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x, adapter)) * self.up_proj(x, adapter), adapter)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, in fp32 inside. Zhang & Sennrich 2019, equation 4."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Linear(nn.Module):
    """x W^T + b, as a rule without b. It knows no adapters: `zj.lora.add_adapter` puts a LoRALinear in its place."""

    def __init__(self, width_in: int, width_out: int, bias: bool = False):
        super().__init__()
        self.weight: Tensor = nn.Parameter(torch.empty(width_out, width_in))
        self.bias: Tensor | None = nn.Parameter(torch.empty(width_out)) if bias else None
        self.product: Product = F.linear  # `zj.inference` may put a faster one here

    def forward(self, x: Tensor, adapter: str | None = None) -> Tensor:
        return self.product(x, self.merged(adapter), self.bias)

    def merged(self, adapter: str | None) -> Tensor:
        """The weight with an adapter merged in."""
        if adapter is not None:
            raise ValueError(f"unknown adapter {adapter!r}: this model has none (add_adapter makes one)")
        return self.weight


def rotary_angles(positions: Tensor, config: LlamaConfig, dtype: torch.dtype) -> Rotary:
    """cos and sin [N, 1, K] of position * theta^(-2i/K), as `rotate` takes them. Su et al. 2021, "RoFormer", eq. 15.

    Computed afresh in fp32 (fp64 for an fp64 model): nothing to store, shard or re-initialise.
    """
    exact = torch.promote_types(dtype, torch.float32)
    half = torch.arange(0, config.head_dim, 2, device=positions.device, dtype=exact)
    frequency = 1.0 / config.rope_theta ** (half / config.head_dim)
    if config.rope_scaling is not None:
        frequency = config.rope_scaling.divided(frequency, config.rope_theta)
    angle = (positions.to(exact)[:, None] * frequency)[:, None]
    cos, sin = angle.cos(), angle.sin()
    if config.rope_scaling is not None:
        cos, sin = cos * config.rope_scaling.attention_factor, sin * config.rope_scaling.attention_factor
    cos, sin = cos.to(dtype), sin.to(dtype)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn each pair (x[i], x[i + K/2]) by its angle: the half-split layout of Hugging Face checkpoints.

    x[i] cos - x[i + K/2] sin, and x[i + K/2] cos + x[i] sin.
    """
    (cos, sin), (first, second) = rotary, x.chunk(2, dim=-1)
    return x * cos + torch.cat((second, first), dim=-1) * sin
