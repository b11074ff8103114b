"""Loading weights: zj and transformers. Memory of the loss: zj and all logits at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from zj.model import token_logprobs
from zj.plan.measuring import peak_bytes
from zj.weights import load_llama

from .base import Base
from .peers import silence_peers
from .report import Case


def loading(base: Base, peer: bool) -> list[tuple[str, Case]]:
    """(name, function) of each side; a function loads the weights and returns their size in kilobytes.

    zj also verifies checksums. Every page is touched, so that memory-mapped weights are read on both sides.
    """
    kilobytes = sum(file.stat().st_size for file in base.folder.glob("*.safetensors")) // 1000

    def load_zj() -> int:
        touch(load_llama(base.folder, base.dtype, base.device))
        return kilobytes

    def load_transformers() -> int:
        silence_peers()
        from transformers import LlamaForCausalLM

        touch(LlamaForCausalLM.from_pretrained(base.folder, dtype=base.dtype).to(base.device))
        return kilobytes

    return [("zj", load_zj), ("transformers", load_transformers)] if peer else [("zj", load_zj)]


def touch(model: torch.nn.Module) -> None:
    """Read every memory page of the weights."""
    for weight in model.parameters():
        weight.detach().view(-1)[:: 4096 // weight.element_size()].sum()


def loss_memory(device: torch.device, tokens: int) -> dict[str, float]:
    """Peak MB of log-probs and their gradient at width 1,024 in fp32, by zj and with all logits at once."""
    hidden = torch.randn(tokens, 1024, device=device, requires_grad=True)
    head = torch.randn(39424, 1024, device=device)
    targets = torch.randint(len(head), (len(hidden),), device=device)
    losses = {
        "zj": lambda: -token_logprobs(hidden, head, targets)[0].mean(),
        "all logits": lambda: F.cross_entropy(F.linear(hidden, head), targets),
    }

    def gradient(loss: Callable[[], torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(loss(), hidden)[0]

    return {name: peak_bytes(partial(gradient, loss), device) / 1e6 for name, loss in losses.items()}
