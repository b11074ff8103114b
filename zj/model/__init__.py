"""The network: packed sequences in, hidden states and log-probs out. Imports nothing else of zj."""

from .config import LlamaConfig
from .generate import generate
from .heads import ScalarHead, sequence_logprobs, sequence_values, token_logprobs
from .llama import Llama
from .packed import Packed
from .weights import check_tokenizer_fits, load_llama, random_llama, save_llama

__all__ = [
    "Llama",
    "LlamaConfig",
    "Packed",
    "ScalarHead",
    "check_tokenizer_fits",
    "generate",
    "load_llama",
    "random_llama",
    "save_llama",
    "sequence_logprobs",
    "sequence_values",
    "token_logprobs",
]
