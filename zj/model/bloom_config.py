"""The shape of a Bloom, read from and written to Hugging Face's config.json."""

from __future__ import annotations

from dataclasses import dataclass

from .config import LlamaConfig
from .config_file import read_bloom_fields

ALIBI_WIDTH = 8  # components of a key that carry its position; four would do, kernels want multiples of eight


@dataclass(frozen=True)
class BloomConfig(LlamaConfig):
    """LLaMA's sizes by LLaMA's names, one key and value head per query head, four times the width inside the MLP.

    Rotary positions and RMSNorm have no part in Bloom; `max_position_embeddings` is `seq_length`, the tokens of
    pre-training, beyond which ALiBi has positions too.
    """

    layer_norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = {
            "num_key_value_heads": self.num_attention_heads,
            "intermediate_size": 4 * self.hidden_size,
            "head_dim": self.hidden_size / self.num_attention_heads,
        }
        for name, value in expected.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} is {getattr(self, name)}, Bloom's is {value}")

    @classmethod
    def of(cls, vocab_size: int, hidden_size: int, layers: int, heads: int, **more: object) -> BloomConfig:
        """A config from the sizes that are free."""
        sizes = (vocab_size, hidden_size, 4 * hidden_size, layers, heads, heads)
        return cls(*sizes, **{"tie_word_embeddings": True, **more})  # type: ignore[arg-type]

    @staticmethod
    def fields_of(raw: dict) -> dict:
        return read_bloom_fields(raw)

    def to_hf(self) -> dict:
        same = ("vocab_size", "hidden_size", "layer_norm_epsilon", "tie_word_embeddings")
        return {
            "model_type": "bloom",
            "n_layer": self.num_hidden_layers,
            "n_head": self.num_attention_heads,
            "seq_length": self.max_position_embeddings,
            **{name: getattr(self, name) for name in (*same, "bos_token_id", "eos_token_id")},
            "apply_residual_connection_post_layernorm": False,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
            "architectures": ["BloomForCausalLM"],
        }

    @property
    def family(self) -> str:
        return "bloom"

    @property
    def key_width(self) -> int:
        return self.head_dim + ALIBI_WIDTH
