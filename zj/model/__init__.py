"""The network: packed sequences in, hidden states and log-probs out. Imports nothing else of zj."""

from .bloom import Bloom
from .bloom_config import BloomConfig
from .cache import Cache
from .config import LlamaConfig
from .heads import ScalarHead, sequence_logprobs, sequence_values, token_logprobs
from .llama import Llama
from .network import config_from_hf, network
from .packed import Packed

__all__ = [
    "Bloom",
    "BloomConfig",
    "Cache",
    "Llama",
    "LlamaConfig",
    "Packed",
    "ScalarHead",
    "config_from_hf",
    "network",
    "sequence_logprobs",
    "sequence_values",
    "token_logprobs",
]
