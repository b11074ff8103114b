"""Loading weights, beside transformers; the memory of the loss, beside that of all logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from zj.model import token_logprobs
from zj.plan.measuring import peak_bytes
from zj.weights import load_llama

from .base import Base
from .peers import hush
from .report import Case


def loading(base: Base, peer: bool) -> list[tuple[str, Case]]:
    """Who loads the weights of a directory, as (name, act); an act returns their kilobytes.

    Ours checks the files against their checksums. What is only mapped is touched, so that both have read all of it.
    """
    kilobytes = sum(file.stat().st_size for file in base.folder.glob("*.safetensors")) // 1000

    def ours() -> int:
        touch(load_llama(base.folder, base.dtype, base.device))
        return kilobytes

    def theirs() -> int:
        hush()
        from transformers import LlamaForCausalLM

        touch(LlamaForCausalLM.from_pretrained(base.folder, dtype=base.dtype).to(base.device))
        return kilobytes

    return [("zj", ours), ("transformers", theirs)] if peer else [("zj", ours)]


def touch(model: torch.nn.Module) -> None:
    """Every page of memory that the weights are in."""
    for weight in model.parameters():
        weight.detach().view(-1)[:: 4096 // weight.element_size()].sum()


def loss_memory(device: torch.device, tokens: int) -> dict[str, float]:
    """MB that log-probs of tokens and their gradient take at width 1,024, ours and with all logits; fp32."""
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
