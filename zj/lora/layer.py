"""LoRA: a frozen linear layer and, beside it, any number of named low-rank corrections.

y = x W^T + (alpha / rank) dropout(x) A^T B^T         Hu et al. 2021, "LoRA", equation 3
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zj.model.llama import Product


class LoRALinear(nn.Module):
    """Holds `weight` and `bias` of the layer it replaces, under the same names, and pairs (A, B) by adapter name.

    The adapter is an argument of `forward`: there is no hidden active adapter. A layer that is no target of an adapter
    still has an entry for it (`scales[name]` is None), so that one name is valid in every layer of a model.
    """

    def __init__(self, weight: nn.Parameter, bias: Tensor | None = None):
        super().__init__()
        self.weight, self.bias = weight, bias
        self.lora_A = nn.ParameterDict()  # name -> [rank, width_in]
        self.lora_B = nn.ParameterDict()  # name -> [width_out, rank]
        self.scales: dict[str, float | None] = {}  # name -> alpha / rank
        self.dropout: dict[str, float] = {}
        self.product: Product = F.linear  # as in the model's own Linear

    def forward(self, x: Tensor, adapter: str | None = None) -> Tensor:
        y = self.product(x, self.weight, self.bias)
        if adapter is None or (scale := self.scale_of(adapter)) is None:
            return y
        A, B = self.lora_A[adapter].to(x.dtype), self.lora_B[adapter].to(x.dtype)
        x = F.dropout(x, self.dropout[adapter], self.training)
        return y.addmm_(F.linear(x, A), B.T, alpha=scale)

    def scale_of(self, adapter: str) -> float | None:
        """alpha / rank, or None if this layer is no target of the adapter."""
        if adapter not in self.scales:
            known = ", ".join(self.scales) or "none"
            raise ValueError(f"unknown adapter {adapter!r}: this model has {known}")
        return self.scales[adapter]

    def low_rank(self, adapter: str | None) -> tuple[Tensor, Tensor, float] | None:
        """(A, B, scale) of an adapter, or None without one or if this layer is none of its targets."""
        if adapter is None or (scale := self.scale_of(adapter)) is None:
            return None
        return self.lora_A[adapter], self.lora_B[adapter], scale

    def delta(self, adapter: str) -> Tensor:
        """(alpha / rank) B A in fp32 (fp64 for fp64 adapters): what merging adds to `weight`, [width_out, width_in]."""
        scale = self.scale_of(adapter)
        assert scale is not None, f"adapter {adapter!r} leaves this layer alone"
        return scale * (self.lora_B[adapter] @ self.lora_A[adapter])

    @torch.no_grad()
    def merged(self, adapter: str | None) -> Tensor:
        """The weight with an adapter merged in, computed in fp32 and rounded once."""
        if adapter is None or self.scale_of(adapter) is None:
            return self.weight
        delta = self.delta(adapter)
        return (self.weight.to(delta.dtype) + delta).to(self.weight.dtype)
