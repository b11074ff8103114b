"""The network: packed sequences in, hidden states and log-probs out. Imports nothing else of zj."""

from .cache import Cache
from .config import LlamaConfig
from .heads import ScalarHead, sequence_logprobs, sequence_values, token_logprobs
from .llama import Llama
from .packed import Packed

__all__ = [
    "Cache",
    "Llama",
    "LlamaConfig",
    "Packed",
    "ScalarHead",
    "sequence_logprobs",
    "sequence_values",
    "token_logprobs",
]
