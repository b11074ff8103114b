"""Adapters of a whole model: add, copy, freeze, merge, count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from zj.model.bloom import Bloom
from zj.model.llama import Linear, Llama

from .layer import LoRALinear

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # of LLaMA
BLOOM_LINEAR = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


def add_adapter(
    model: Llama,
    name: str,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    targets: Iterable[str] = ALL_LINEAR,
    seed: int = 0,
) -> None:
    """Add a new trainable adapter to `model`: A is random, B is zero, so that the output is unchanged.

    rank >= 1 (full-parameter training uses no adapter); alpha / rank scales the correction; dropout is a
    probability; targets are names of linear layers, see `chosen_layers`. The base weights are frozen. A and B are fp32
    (fp64 for an fp64 base). Raises ValueError for a name already taken, a name with a dot, an unknown target, a number
    out of range.
    """
    if rank < 1:
        raise ValueError(f"adapter {name!r}: rank is {rank}, expected at least 1")
    layers = _linear_layers(model)
    try:
        targets = chosen_layers(targets, [child for _, child, _ in layers])
    except ValueError as error:
        raise ValueError(f"adapter {name!r}: {error}") from None
    paths = (f"{path}.{child}" for path, child, _ in layers if child in targets)
    add_adapter_to(model, name, dict.fromkeys(paths, (rank, alpha / rank)), dropout, seed)


def chosen_layers(targets: Iterable[str], layers: Iterable[str]) -> list[str]:
    """The names of a network's linear layers that are targets. ALL_LINEAR, the default, is all layers of any network.

    ValueError for an unknown target and for none.
    """
    names = list(dict.fromkeys(layers))
    wanted = {targets} if isinstance(targets, str) else set(targets)
    if wanted == set(ALL_LINEAR):
        return names
    if wanted - set(names) or not wanted:
        raise ValueError(f"targets {sorted(wanted - set(names))}, expected some of {', '.join(names)}")
    return [name for name in names if name in wanted]


def add_adapter_to(
    model: Llama, name: str, layers: Mapping[str, tuple[int, float]], dropout: float = 0.0, seed: int = 0
) -> None:
    """As `add_adapter`, to chosen layers: path of each -> (rank, scale of the correction)."""
    _check_name(model, name)
    if not 0 <= dropout < 1:
        raise ValueError(f"adapter {name!r}: dropout is {dropout}, expected 0 <= dropout < 1")
    generator = torch.Generator().manual_seed(seed)
    for path, layer in _insert_lora_layers(model):
        layer.scales[name] = None
        if path not in layers:
            continue
        (rank, scale), (width_out, width_in) = layers[path], layer.weight.shape
        dtype = torch.promote_types(layer.weight.dtype, torch.float32)
        A = torch.empty(rank, width_in, dtype=dtype)
        nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)  # as a fresh nn.Linear, and as PEFT
        if not layer.weight.is_meta:  # a model on the meta device gets real adapters
            A = A.to(layer.weight.device)
        layer.lora_A[name] = nn.Parameter(A)
        layer.lora_B[name] = nn.Parameter(A.new_zeros(width_out, rank))
        layer.scales[name], layer.dropout[name] = scale, dropout
    for parameter_name, parameter in model.named_parameters():
        if not _is_adapter(parameter_name):
            parameter.requires_grad_(False)


def train_embeddings(model: Llama, dtype: torch.dtype | None = None) -> None:
    """Make embedding and head trainable beside an adapter, in `dtype` (None: as they are). A tied head stays tied.

    ValueError for a Bloom: its format needs no new marks, and its saved embedding has another name.
    """
    if isinstance(model, Bloom):
        raise ValueError("--lora.train-embeddings: only of LLaMA and its relatives, found a Bloom")
    for module in (model.model.embed_tokens, model.lm_head):
        module.weight = nn.Parameter(module.weight.detach().to(dtype or module.weight.dtype))
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight


def copy_adapter(model: Llama, source: str, target: str) -> None:
    """Copy adapter `source` to a frozen `target`: the reference of PPO and DPO. Raises ValueError as `add_adapter`."""
    _check_name(model, target)
    for _, layer in adapter_layers(model, source):
        layer.lora_A[target] = nn.Parameter(layer.lora_A[source].detach().clone(), requires_grad=False)
        layer.lora_B[target] = nn.Parameter(layer.lora_B[source].detach().clone(), requires_grad=False)
        layer.dropout[target] = layer.dropout[source]
    for _, layer in lora_layers(model):
        layer.scales[target] = layer.scales[source]


def freeze_adapter(model: Llama, name: str, frozen: bool = True) -> None:
    """Freeze an adapter, or (`frozen=False`) make it trainable."""
    for _, layer in adapter_layers(model, name):
        layer.lora_A[name].requires_grad_(not frozen)
        layer.lora_B[name].requires_grad_(not frozen)


@torch.no_grad()
def merge_adapter(model: Llama, name: str) -> None:
    """Add the adapter to the base weights, computed in fp32 and rounded once, and remove it.

    Every other adapter then stands on the merged base.
    """
    for _, layer in adapter_layers(model, name):
        layer.weight.copy_(layer.merged(name))
    remove_adapter(model, name)


def remove_adapter(model: Llama, name: str) -> None:
    """Remove an adapter."""
    for _, layer in adapter_layers(model, name):
        del layer.lora_A[name], layer.lora_B[name], layer.dropout[name]
    for _, layer in lora_layers(model):
        del layer.scales[name]


def adapter_parameters(model: Llama, name: str) -> dict[str, nn.Parameter]:
    """The adapter's matrices by "<path of the layer>.lora_A" and ".lora_B"."""
    matrices: dict[str, nn.Parameter] = {}
    for path, layer in adapter_layers(model, name):
        matrices |= {f"{path}.lora_A": layer.lora_A[name], f"{path}.lora_B": layer.lora_B[name]}
    return matrices


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all)."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trainable in sizes if trainable), sum(n for n, _ in sizes)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """(path, layer) of every layer that can carry adapters."""
    return ((path, m) for path, m in model.named_modules() if isinstance(m, LoRALinear))


def adapter_layers(model: nn.Module, name: str) -> list[tuple[str, LoRALinear]]:
    """(path, layer) of every layer that this adapter changes. ValueError for an unknown name."""
    layers = list(lora_layers(model))
    if not layers:
        raise ValueError(f"unknown adapter {name!r}: this model has none")
    return [(path, layer) for path, layer in layers if layer.scale_of(name) is not None]


def _linear_layers(model: Llama) -> list[tuple[str, str, Any]]:
    """(path of the parent, name in it, layer) of each linear layer of the blocks."""
    parts = model.model.layers.named_modules(prefix="model.layers")
    children = ((path, child, layer) for path, part in parts for child, layer in part.named_children())
    return [(path, child, layer) for path, child, layer in children if isinstance(layer, Linear | LoRALinear)]


def _insert_lora_layers(model: Llama) -> list[tuple[str, LoRALinear]]:
    """Replace each linear layer of the blocks by a LoRALinear with the same weight and name."""
    for path, child, layer in _linear_layers(model):
        if not isinstance(layer, LoRALinear):
            adapted = LoRALinear(layer.get_parameter("weight"), layer.bias)
            setattr(model.get_submodule(path), child, adapted.train(layer.training))  # no dropout in evaluation mode
    return list(lora_layers(model))


def _check_name(model: Llama, name: str) -> None:
    if not name or "." in name:
        raise ValueError(f"adapter name {name!r}: expected a name without dots")
    if any(name in layer.scales for _, layer in lora_layers(model)):
        raise ValueError(f"adapter {name!r} is there already")


def _is_adapter(parameter_name: str) -> bool:
    return ".lora_A." in parameter_name or ".lora_B." in parameter_name
