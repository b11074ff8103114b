"""A LLaMA small enough to be asked everything, whose adapters all say something else."""

from __future__ import annotations

import torch

from zj.lora import adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig

EOS = 2


def tiny(*adapters: str, vocabulary: int = 16, rank: int = 3, dropout: float = 0.0, seed: int = 0) -> Llama:
    """fp64, 2 layers, width 16; weights large enough that every token before matters. Adapters are not fresh."""
    model = Llama(LlamaConfig(vocabulary, 16, 32, 2, 2, 1)).double()
    model.init_weights(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(16)
    for number, name in enumerate(adapters, 1):
        add_adapter(model, name, rank, 2 * rank, dropout, seed=number)
        move(model, name, number)
    return model.eval()


@torch.no_grad()
def move(model: Llama, adapter: str, seed: int, size: float = 0.1) -> None:
    """Give an adapter something else to say."""
    generator = torch.Generator().manual_seed(seed)
    for weight in adapter_parameters(model, adapter).values():
        weight.add_(torch.randn(weight.shape, generator=generator) * size)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """fp64 numbers of deviation 1."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def exact(numbers) -> torch.Tensor:
    """As fp64: 0.1 in fp32 is 1e-9 off."""
    return torch.tensor(numbers, dtype=torch.float64)


def close(one, other, tolerance: float = 1e-13) -> None:
    """Equal in fp64: sums of a few numbers of size 1 are hundreds of roundings below 1e-13."""
    one, other = (torch.as_tensor(x, dtype=torch.float64) for x in (one, other))
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
