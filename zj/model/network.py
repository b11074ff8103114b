"""The network that a config.json describes: LLaMA and its relatives, or Bloom."""

from __future__ import annotations

from pathlib import Path

from .bloom import Bloom
from .bloom_config import BloomConfig
from .config import LlamaConfig, open_config
from .llama import Llama


def config_from_hf(path: str | Path) -> LlamaConfig:
    """Read config.json (or a directory that holds one) of any family. ValueError as `LlamaConfig.from_hf`."""
    _, raw = open_config(path)
    return (BloomConfig if raw.get("model_type") == "bloom" else LlamaConfig).from_hf(path)


def network(config: LlamaConfig) -> Llama:
    """The network of a config, uninitialised; a Bloom has the interface of a Llama."""
    return Bloom(config) if isinstance(config, BloomConfig) else Llama(config)
