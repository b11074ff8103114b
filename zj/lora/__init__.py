"""Named LoRA adapters on the model's linear layers, chosen by an argument of `forward`."""

from .adapters import (
    ALL_LINEAR,
    BLOOM_LINEAR,
    adapter_parameters,
    add_adapter,
    add_adapter_to,
    chosen_layers,
    copy_adapter,
    count_parameters,
    freeze_adapter,
    merge_adapter,
    remove_adapter,
    train_embeddings,
)
from .layer import LoRALinear

__all__ = [
    "ALL_LINEAR",
    "BLOOM_LINEAR",
    "LoRALinear",
    "adapter_parameters",
    "add_adapter",
    "add_adapter_to",
    "chosen_layers",
    "copy_adapter",
    "count_parameters",
    "freeze_adapter",
    "merge_adapter",
    "remove_adapter",
    "train_embeddings",
]
