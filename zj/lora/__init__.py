"""Named LoRA adapters on the model's linear layers, chosen by an argument of `forward`."""

from .adapters import (
    ALL_LINEAR,
    adapter_parameters,
    add_adapter,
    copy_adapter,
    count_parameters,
    freeze_adapter,
    merge_adapter,
    remove_adapter,
)
from .layer import LoRALinear
from .peft import base_of, load_model, load_peft, load_peft_with_head, save_peft

__all__ = [
    "ALL_LINEAR",
    "LoRALinear",
    "add_adapter",
    "adapter_parameters",
    "base_of",
    "copy_adapter",
    "count_parameters",
    "freeze_adapter",
    "load_model",
    "load_peft",
    "load_peft_with_head",
    "merge_adapter",
    "remove_adapter",
    "save_peft",
]
