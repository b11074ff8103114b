"""Files in and out: model directories of Hugging Face's form, adapters of PEFT's, deltas, checksums."""

from .adapter_base import base_of, check_base, check_base_is_used, levels, same_base
from .adapter_config import is_adapter
from .directory import check_directory
from .huggingface import check_tokenizer_fits, load_llama, random_llama, save_llama
from .peft import check_adapter, check_stackable, config_of, load_beside, load_model, load_peft, load_peft_with_head
from .peft_save import save_peft

__all__ = [
    "base_of",
    "check_adapter",
    "check_base",
    "check_base_is_used",
    "check_directory",
    "check_stackable",
    "check_tokenizer_fits",
    "config_of",
    "is_adapter",
    "levels",
    "load_beside",
    "load_llama",
    "load_model",
    "load_peft",
    "load_peft_with_head",
    "random_llama",
    "same_base",
    "save_llama",
    "save_peft",
]
