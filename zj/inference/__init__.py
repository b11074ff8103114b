"""Text from a model: sampling with continuous batching, and fast paths that are added to the network from outside."""

from .engine import generate, stream
from .sampling import Sampling

__all__ = ["Sampling", "generate", "stream"]
