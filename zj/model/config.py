"""The shape of a LLaMA, read from and written to Hugging Face's config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LlamaConfig:
    """Field names are Hugging Face's, so that a config.json reads as this class."""

    vocab_size: int  # V, rows of the embedding
    hidden_size: int  # D
    intermediate_size: int  # width inside SwiGLU
    num_hidden_layers: int
    num_attention_heads: int  # H query heads
    num_key_value_heads: int  # key and value heads, each shared by H / this many query heads
    head_dim: int = 0  # K; 0 means D / H
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = False
    bos_token_id: int = 1
    eos_token_id: int = 2

    def __post_init__(self) -> None:
        if not self.head_dim:
            object.__setattr__(self, "head_dim", _exact_div(self, "hidden_size", "num_attention_heads"))
        _exact_div(self, "num_attention_heads", "num_key_value_heads")
        if self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, found {self.head_dim}")

    @classmethod
    def named(cls, name: str, vocab_size: int | None = None) -> LlamaConfig:
        """A size of the table `SIZES`, with another vocabulary if one is given."""
        if name not in SIZES:
            raise ValueError(f"no model size {name!r}: expected one of {', '.join(SIZES)}")
        shape = SIZES[name]
        return cls(**(shape if vocab_size is None else shape | {"vocab_size": vocab_size}))

    @classmethod
    def from_hf(cls, path: str | Path) -> LlamaConfig:
        """Read config.json (or a directory that holds one), as published or as transformers 5 spells it.

        Raises ValueError if the file describes a network that is not implemented here.
        """
        file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise ValueError(f"{path}: no config.json there; expected a Hugging Face model directory")
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: not JSON ({error})") from None
        if not isinstance(raw, dict):
            raise ValueError(f"{file}: found a {type(raw).__name__}, expected a JSON object")
        return cls(**_read_fields(raw, file))

    def to_hf(self) -> dict:
        """The published spelling, which every version of transformers reads."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _FIXED | fields | {"architectures": ["LlamaForCausalLM"]}


# Other keys of a config.json, and the only value that is implemented here.
_FIXED = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
_OPTIONAL = ("head_dim", "max_position_embeddings", "rms_norm_eps", "bos_token_id", "eos_token_id")
_REQUIRED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def _read_fields(raw: dict, file: Path) -> dict:
    for key, value in _FIXED.items():
        if raw.get(key, value) != value:
            raise ValueError(f"{file}: {key} is {raw[key]!r}, this network computes {value!r} only")
    missing = [key for key in _REQUIRED if not isinstance(raw.get(key), int) or raw[key] < 1]
    if missing:
        raise ValueError(f"{file}: {missing[0]} is {raw.get(missing[0])!r}, expected a positive integer")
    fields = {key: raw[key] for key in _REQUIRED}
    fields |= {key: raw[key] for key in _OPTIONAL if raw.get(key) is not None}
    fields["num_key_value_heads"] = raw.get("num_key_value_heads") or raw["num_attention_heads"]
    fields["tie_word_embeddings"] = bool(raw.get("tie_word_embeddings", False))
    fields["rope_theta"] = _rope_theta(raw, file)
    if isinstance(fields.get("eos_token_id"), list):  # several stop ids: the first ends a training sequence
        fields["eos_token_id"] = fields["eos_token_id"][0]
    return fields


def _rope_theta(raw: dict, file: Path) -> float:
    scaling = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind != "default":
        raise ValueError(f"{file}: rotary scaling {kind!r} is not computed here, expected 'default'")
    return float(scaling.get("rope_theta", raw.get("rope_theta") or 10000.0))


def _exact_div(config: LlamaConfig, numerator: str, denominator: str) -> int:
    a, b = getattr(config, numerator), getattr(config, denominator)
    if b < 1 or a % b:
        raise ValueError(f"{numerator} {a} is not a multiple of {denominator} {b}")
    return a // b


def _size(vocab: int, width: int, inner: int, layers: int, heads: int, **more: object) -> dict:
    return {
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": more.pop("kv_heads", heads),
        **more,
    }


SIZES: dict[str, dict] = {
    "nano": _size(512, 32, 96, 2, 4, kv_heads=2, tie_word_embeddings=True),  # unit tests
    "tiny": _size(4000, 192, 512, 4, 6, kv_heads=2, tie_word_embeddings=True),  # demo, minutes on a laptop
    "mini": _size(5000, 384, 1024, 6, 6, tie_word_embeddings=True),  # real text, half an hour on a laptop
    "small": _size(8000, 512, 1376, 8, 8),  # bench, and a first GPU
    "1b": _size(32000, 2048, 5632, 22, 32, kv_heads=4),  # TinyLlama-1.1B
    "7b": _size(32000, 4096, 11008, 32, 32),  # LLaMA-7B
    "13b": _size(39424, 5120, 13824, 40, 40),  # Ziya-LLaMA-13B: its tokenizer uses 39410 of the rows
}
