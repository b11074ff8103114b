"""Files in and out: model directories of Hugging Face's form, adapters of PEFT's, deltas, checksums."""

from .huggingface import check_tokenizer_fits, load_llama, random_llama, save_llama
from .peft import base_of, config_of, load_model, load_peft, load_peft_with_head, save_peft

__all__ = [
    "base_of",
    "check_tokenizer_fits",
    "config_of",
    "load_llama",
    "load_model",
    "load_peft",
    "load_peft_with_head",
    "random_llama",
    "save_llama",
    "save_peft",
]
