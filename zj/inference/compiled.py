"""torch.compile, block by block and in place: the elementwise operations of a block are fused into a few kernels.

Attention is not compiled (every new tuple of lengths would recompile it), nor is a forward pass with a cache, which
generates text. --compile is meant for a GPU; on a CPU it needs a C++ compiler and replaces prepacked weights
(`cpu.py`), which gain as much.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zj.model.attention import attend

from .cpu import PrepackedWeight

KINDS = 64  # compiled versions of a block: one per adapter, with and without gradients, in training or not


def compile_blocks(model: Any) -> None:
    """Compile the blocks of a Llama. Parameter names stay; the first passes take half a minute per adapter."""
    import torch._dynamo  # takes a second to import

    torch._dynamo.config.recompile_limit = max(KINDS, torch._dynamo.config.recompile_limit)
    apart = torch.compiler.disable(attend)
    for layer in model.modules():
        if isinstance(getattr(layer, "product", None), PrepackedWeight):
            layer.product = F.linear
    for block in model.model.layers:
        block.self_attn.attend = apart
        block.forward = _compiled_without_cache(block)


def _compiled_without_cache(block: nn.Module) -> Any:
    plain, fused = block.forward, torch.compile(block.forward, dynamic=True)

    def forward(x: Tensor, rotary: Any, packed: Any, adapter: Any = None, cache: Any = None) -> Tensor:
        return (plain if cache else fused)(x, rotary, packed, adapter, cache)

    return forward
