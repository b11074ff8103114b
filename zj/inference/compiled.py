"""torch.compile, block by block and in place: what stands between a block's products becomes a few kernels of its own.

Attention stays as it is (it takes the lengths of sequences, each of which would be compiled anew), and so does a
forward pass with a cache, which generates text. On a GPU that is what --compile is for; on a CPU it needs a C++
compiler, and fp32 weights that were prepacked (`cpu.py`), which it cannot see through, gain as much.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zj.model.attention import attend

from .cpu import PrepackedWeight

KINDS = 64  # of one block: each adapter, with and without gradients, in training or not, is compiled for itself


def compile_blocks(model: Any) -> None:
    """Compile the blocks of a Llama. Names of weights stay; the first passes take half a minute for each adapter."""
    import torch._dynamo  # takes a second to import, which only these runs need

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
