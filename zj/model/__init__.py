"""The network: packed sequences in, hidden states and log-probs out. Imports nothing else of zj."""

from .config import LlamaConfig
from .heads import ScalarHead, sequence_logprobs, token_logprobs
from .llama import Llama
from .packed import Packed

__all__ = ["Llama", "LlamaConfig", "Packed", "ScalarHead", "sequence_logprobs", "token_logprobs"]
