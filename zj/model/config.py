"""The shape of a LLaMA and the switches of its relatives, read from and written to Hugging Face's config.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .config_file import read_fields
from .rope import KEYS, RopeScaling


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
    # switches, all off in LLaMA
    qkv_bias: bool = False  # q, k and v have a bias (Qwen2)
    qk_norm: bool = False  # each head's q and k pass an RMSNorm of width K before they rotate (Qwen3)
    rope_scaling: RopeScaling | None = None  # rotary frequencies beyond pre-training (Llama 3.1, Qwen2.5)
    positions_end: bool = False  # beyond max_position_embeddings another network was published: refused there
    mistral: bool = False  # LLaMA's network; written back under this name

    def __post_init__(self) -> None:
        if not self.head_dim:
            object.__setattr__(self, "head_dim", _exact_div(self, "hidden_size", "num_attention_heads"))
        _exact_div(self, "num_attention_heads", "num_key_value_heads")
        if self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim, found {self.head_dim}")
        if self.qkv_bias and self.qk_norm:
            raise ValueError("qkv_bias and qk_norm are both on, no published family has both")

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
        file, raw = open_config(path)
        try:
            return cls(**cls.fields_of(raw))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None

    @staticmethod
    def fields_of(raw: dict) -> dict:
        """The fields in a config.json."""
        return read_fields(raw)

    def to_hf(self) -> dict:
        """The published spelling, which every version of transformers reads."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in SWITCHES}
        if self.rope_scaling is not None:
            kind, scaling = self.rope_scaling.rope_type, asdict(self.rope_scaling)
            fields["rope_scaling"] = {"rope_type": kind} | {key: scaling[key] for key in KEYS[kind]}
        if self.mistral:
            fields["sliding_window"] = self.max_position_embeddings if self.positions_end else None
        name, more = _WRITTEN[self.family]
        return {"model_type": self.family, "hidden_act": "silu", **more} | fields | {"architectures": [name]}

    @property
    def family(self) -> str:
        """The family that the network is written as. Qwen-1 is written as Qwen2, Baichuan-7B as LLaMA."""
        return "qwen3" if self.qk_norm else "qwen2" if self.qkv_bias else "mistral" if self.mistral else "llama"

    @property
    def key_width(self) -> int:
        """Numbers of each head that attention and the cache hold for a token."""
        return self.head_dim

    def check_positions(self, tokens: int, of: str) -> None:
        """ValueError, beginning with `of`, for a sequence that is longer than the network is computed as published."""
        if self.positions_end and tokens > self.max_position_embeddings:
            raise ValueError(
                f"{of} {tokens:,}, the model has {self.max_position_embeddings:,} positions: beyond them its sliding "
                "window, or Qwen-1's NTK and logn, would act, which are not computed here"
            )

    def room_behind(self, tokens: int, wanted: int) -> int:
        """How many of the wanted tokens may follow so many others, see `check_positions`."""
        return min(wanted, self.max_position_embeddings - tokens) if self.positions_end else wanted


def open_config(path: str | Path) -> tuple[Path, dict]:
    """(file, its JSON object) of a config.json, or of a directory that holds one."""
    file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ValueError(f"{path}: no config.json there; expected a Hugging Face model directory")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deep
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{file}: found a {type(raw).__name__}, expected a JSON object")
    return file, raw


SWITCHES = ("qkv_bias", "qk_norm", "rope_scaling", "positions_end", "mistral")
_WRITTEN: dict[str, tuple[str, dict]] = {  # model_type -> class of transformers, keys beside LLaMA's sizes
    "llama": ("LlamaForCausalLM", {"attention_bias": False, "mlp_bias": False}),
    "mistral": ("MistralForCausalLM", {}),
    "qwen2": ("Qwen2ForCausalLM", {"use_sliding_window": False}),
    "qwen3": ("Qwen3ForCausalLM", {"attention_bias": False, "use_sliding_window": False}),
}


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
    "tiny-qwen3": _size(
        4000, 192, 512, 4, 6, kv_heads=2, tie_word_embeddings=True, qk_norm=True
    ),  # the demo's other family
    "mini": _size(5000, 384, 1024, 6, 6, tie_word_embeddings=True),  # real text, half an hour on a laptop
    "small": _size(8000, 512, 1376, 8, 8),  # bench, and a first GPU
    "1b": _size(32000, 2048, 5632, 22, 32, kv_heads=4),  # TinyLlama-1.1B
    "7b": _size(32000, 4096, 11008, 32, 32),  # LLaMA-7B
    "13b": _size(39424, 5120, 13824, 40, 40),  # Ziya-LLaMA-13B: its tokenizer uses 39410 of the rows
}
