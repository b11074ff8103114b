"""The shape of a LLaMA, read from and written to Hugging Face's config.json."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T", bool, dict)
_JSON_NAMES = {bool: "true or false", dict: "an object"}


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
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deep
            raise ValueError(f"{file}: not JSON ({error})") from None
        if not isinstance(raw, dict):
            raise ValueError(f"{file}: found a {type(raw).__name__}, expected a JSON object")
        try:
            return cls(**_read_fields(raw))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    def to_hf(self) -> dict:
        """The published spelling, which every version of transformers reads."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _FIXED | fields | {"architectures": ["LlamaForCausalLM"]}


# Other keys of a config.json, and the only value that is implemented here.
_FIXED = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
# A size beyond these is a damaged file; a million layers would take hours to build before they were missed.
_MOST_LAYERS, _MOST = 1_000, 2**24
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_OPTIONAL_SIZES = ("num_key_value_heads", "head_dim", "max_position_embeddings")
_IDS = ("bos_token_id", "eos_token_id")


def _read_fields(raw: dict) -> dict:
    """The fields that the file gives; a null is as good as an absent key. ValueError names the key."""
    for key, value in _FIXED.items():
        if raw.get(key, value) != value:
            raise ValueError(f"{key} is {raw[key]!r}, this network computes {value!r} only")
    raw = {key: value for key, value in raw.items() if value is not None}
    if raw.get("partial_rotary_factor", 1) != 1:
        raise ValueError(f"partial_rotary_factor is {_shown(raw['partial_rotary_factor'])}, all of a head rotates here")
    fields: dict[str, float] = {key: _size_of(raw, key) for key in _SIZES}
    fields |= {key: _size_of(raw, key) for key in _OPTIONAL_SIZES if key in raw}
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    fields |= {key: _special_id(raw, key) for key in _IDS if raw.get(key, []) != []}
    if "rms_norm_eps" in raw:
        fields["rms_norm_eps"] = _positive(raw, "rms_norm_eps")
    fields["tie_word_embeddings"] = _of_type(raw, "tie_word_embeddings", bool, False)
    fields["rope_theta"] = _rope_theta(raw)
    return fields


def _rope_theta(raw: dict) -> float:
    """Both spellings have to say the same: transformers takes the scaling of either."""
    thetas = [_positive(raw, "rope_theta")] if "rope_theta" in raw else []
    for spelling in ("rope_parameters", "rope_scaling"):
        table = {key: value for key, value in _of_type(raw, spelling, dict, {}).items() if value is not None}
        for kind in [table[key] for key in ("rope_type", "type") if key in table]:
            if kind != "default":
                raise ValueError(f"{spelling}: rotary scaling {kind!r} is not computed here, expected 'default'")
        unknown = table.keys() - {"rope_type", "type", "rope_theta"}
        if unknown:
            raise ValueError(f"{spelling}: {min(unknown)} is not understood here, expected plain rotary positions")
        thetas += [_positive(table, "rope_theta")] if "rope_theta" in table else []
    if len(set(thetas)) > 1:
        raise ValueError(f"rope_theta is {' and '.join(map(str, thetas))}, expected one number")
    return thetas[0] if thetas else 10000.0


def _size_of(raw: dict, key: str) -> int:
    value, most = raw.get(key), _MOST_LAYERS if key == "num_hidden_layers" else _MOST
    if type(value) is not int or not 0 < value <= most:
        raise ValueError(f"{key} is {_shown(value)}, expected a positive integer of at most {most:,}")
    return value


def _special_id(raw: dict, key: str) -> int:
    """Of several stop ids the first ends a training sequence."""
    value = raw[key][0] if isinstance(raw[key], list) else raw[key]
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"{key} is {_shown(raw[key])}, expected an id or a list of ids")
    return value


def _positive(raw: dict, key: str) -> float:
    value = raw[key]
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError(f"{key} is {_shown(value)}, expected a positive number")
    return float(value)


def _of_type(raw: dict, key: str, kind: type[T], default: T) -> T:
    value = raw.get(key, default)
    if not isinstance(value, kind):
        raise ValueError(f"{key} is {_shown(value)}, expected {_JSON_NAMES[kind]}")
    return value


def _shown(value: object) -> str:
    """A value in a message, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


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
