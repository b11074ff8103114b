"""Hugging Face's config.json: the fields of a network that it gives, and a refusal of what is not computed here.

Families that differ from LLaMA in the keys of this file alone are rows of `IMPLIED`; Qwen-1 has keys of its own.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

from .rope import KEYS, RopeScaling

T = TypeVar("T", bool, dict, list)
_JSON_NAMES = {bool: "true or false", dict: "an object", list: "a list"}

# model_type -> fields of LlamaConfig that it implies
IMPLIED: dict[str, dict[str, bool]] = {
    "llama": {},
    "mistral": {"mistral": True},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
    "baichuan": {},  # Baichuan-7B
    "qwen": {"qkv_bias": True},  # Qwen-1
}
# Other keys, and the only value that is implemented here.
ONLY = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1,
    "attention_dropout": 0,
    # of Qwen-1
    "no_bias": True,
    "scale_attn_weights": True,
    "emb_dropout_prob": 0,
    "attn_dropout_prob": 0,
}
_POSITIONS = "max_position_embeddings"
_QWEN_1 = {  # key of Qwen-1 -> LLaMA's
    "kv_channels": "head_dim",
    "layer_norm_epsilon": "rms_norm_eps",
    "rotary_emb_base": "rope_theta",
    "rotary_pct": "partial_rotary_factor",
}
_BLOOM_NAMES = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_embed": "hidden_size"}
_BLOOM_ONLY = {"apply_residual_connection_post_layernorm": False, "hidden_dropout": 0, "attention_dropout": 0}
_BLOOM_HARMLESS = ("bias_dropout_fusion", "skip_bias_add", "skip_bias_add_qkv", "offset_alibi")  # of its pre-training
_END_OF_TEXT = 151643  # <|endoftext|>; Qwen-1's config.json has no special ids
# A size beyond these is a damaged file; a million layers would take hours to build before they were missed.
_MOST_LAYERS, _MOST = 1_000, 2**24
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_OPTIONAL_SIZES = ("num_key_value_heads", "head_dim", _POSITIONS)
_IDS = ("bos_token_id", "eos_token_id")
_WINDOW = ("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
_ROPE = ("rope_theta", "rope_parameters", "rope_scaling")
_READ = {*_SIZES, *_OPTIONAL_SIZES, *_IDS, *_WINDOW, *_ROPE, *ONLY, "rms_norm_eps", "tie_word_embeddings"}
_READ |= {"use_dynamic_ntk", "use_logn_attn"}
# Words in the names of keys that change a network; other keys are of training, of text, or of other programs.
_TELLING = "activation|alibi|bias|cap|chunk|compress|drop|expert|moe|multiplier|norm|original_max|quant|residual"
_TELLING += "|rope|rotary|scal|window"


def read_fields(raw: dict) -> dict:
    """The fields of LlamaConfig in a config.json. A null is as good as an absent key. ValueError names the key."""
    family = raw.get("model_type", "llama")
    if not isinstance(family, str) or family not in IMPLIED:
        known = ", ".join(IMPLIED)
        raise ValueError(f"model_type is {_shown(family)}, this network computes {known} only, and another one bloom")
    if family == "mistral":
        raw = {"sliding_window": 4096} | raw  # null means none, and an absent key this one
    raw = {key: value for key, value in raw.items() if value is not None}
    if family == "qwen":
        raw = _with_llamas_keys(raw)
    _refuse_others(raw, family)
    fields: dict[str, object] = dict(IMPLIED[family])
    fields |= {key: _size_of(raw, key) for key in _SIZES}
    fields |= {key: _size_of(raw, key) for key in _OPTIONAL_SIZES if key in raw}
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    fields |= {key: _special_id(raw, key) for key in _IDS if raw.get(key, []) != []}
    if "rms_norm_eps" in raw:
        fields["rms_norm_eps"] = _positive(raw, "rms_norm_eps")
    fields["tie_word_embeddings"] = _of_type(raw, "tie_word_embeddings", bool, False)
    fields["rope_theta"], fields["rope_scaling"] = _rope(raw)
    return fields | _end_of_positions(raw, family)


def read_bloom_fields(raw: dict) -> dict:
    """The fields of BloomConfig in a config.json, as `read_fields`. Some sizes have two names."""
    if raw.get("model_type") != "bloom":
        raise ValueError(f"model_type is {_shown(raw.get('model_type'))}, expected 'bloom'")
    raw = {key: value for key, value in raw.items() if value is not None}
    sizes = {"vocab_size": _size_of(raw, "vocab_size")}
    for key, other in _BLOOM_NAMES.items():
        if key in raw and raw.get(other, raw[key]) != raw[key]:
            raise ValueError(f"{key} is {_shown(raw[key])} and {other} {_shown(raw[other])}, expected the same")
        sizes[other] = _size_of(raw, other if other in raw else key)
    only = {"n_inner": 4 * sizes["hidden_size"], **_BLOOM_ONLY}
    _refuse_values(raw, only)
    _refuse_unread(raw, {*sizes, *_BLOOM_NAMES, *only, *_BLOOM_HARMLESS, *_IDS, "layer_norm_epsilon"})
    fields: dict[str, object] = dict(sizes)
    fields |= {key: _special_id(raw, key) for key in _IDS if raw.get(key, []) != []}
    if "layer_norm_epsilon" in raw:
        fields["layer_norm_epsilon"] = _positive(raw, "layer_norm_epsilon")
    if "seq_length" in raw:
        fields[_POSITIONS] = _size_of(raw, "seq_length")
    fields["tie_word_embeddings"] = _of_type(raw, "tie_word_embeddings", bool, True)
    return fields | {
        "intermediate_size": 4 * sizes["hidden_size"],
        "num_key_value_heads": sizes["num_attention_heads"],
    }


def _with_llamas_keys(raw: dict) -> dict:
    """Qwen-1's config.json with the keys of LLaMA's; `intermediate_size` is that of w1 and w2 together."""
    inner = _size_of(raw, "intermediate_size")
    if inner % 2:
        raise ValueError(f"intermediate_size is {inner}, expected twice the width inside Qwen-1's MLP")
    renamed = {_QWEN_1.get(key, key): value for key, value in raw.items()}
    sizes = {"intermediate_size": inner // 2, _POSITIONS: _size_of(raw, "seq_length")}
    return dict.fromkeys(_IDS, _END_OF_TEXT) | renamed | sizes


def _refuse_others(raw: dict, family: str) -> None:
    """ValueError for a key that changes the network and is not read, and for another value than the one of `ONLY`."""
    _refuse_values(raw, ONLY)
    if family == "baichuan" and raw.get("architectures") != ["BaiChuanForCausalLM"]:
        raise ValueError(
            f"architectures is {_shown(raw.get('architectures'))}, expected Baichuan-7B's ['BaiChuanForCausalLM']: "
            "Baichuan-13B has ALiBi and Baichuan2 a normalised head, which are not computed here"
        )
    _refuse_unread(raw, _READ)


def _refuse_values(raw: dict, only: dict) -> None:
    for key, value in only.items():
        if raw.get(key, value) != value:
            raise ValueError(f"{key} is {_shown(raw[key])}, this network computes {value!r} only")


def _refuse_unread(raw: dict, read: set[str]) -> None:
    for key, value in raw.items():
        if key not in read and value and re.search(_TELLING, key):
            raise ValueError(
                f"{key} is {_shown(value)}, which is not computed here (does the network not depend on it? remove it)"
            )


def _end_of_positions(raw: dict, family: str) -> dict:
    """`max_position_embeddings` and `positions_end` where the published network computes otherwise after some tokens.

    Up to its window Mistral is LLaMA, and up to `seq_length` Qwen-1 is Qwen2.
    """
    if family == "qwen":
        rules = [_of_type(raw, key, bool, True) for key in ("use_dynamic_ntk", "use_logn_attn")]
        return {_POSITIONS: _size_of(raw, _POSITIONS), "positions_end": any(rules)}
    kinds = _of_type(raw, "layer_types", list, []) if family != "mistral" else []
    if others := [kind for kind in kinds if kind != "full_attention"]:
        raise ValueError(f"layer_types has {_shown(others[0])}, this network computes 'full_attention' only")
    used = _of_type(raw, "use_sliding_window", bool, False) if family.startswith("qwen") else "sliding_window" in raw
    if not used:
        return {}
    window = _size_of(raw, "sliding_window") if "sliding_window" in raw else 4096  # transformers' default
    positions = raw.get(_POSITIONS, _MOST)
    if window < positions and family != "mistral":
        raise ValueError(f"sliding_window is {window}, less than the {positions} positions: not computed here")
    return {_POSITIONS: min(window, positions), "positions_end": True}


_NEUTRAL = {"partial_rotary_factor": 1, "truncate": True}  # values of a scaling that change nothing


def _rope(raw: dict) -> tuple[float, RopeScaling | None]:
    """(base, scaling). Both spellings have to say the same: transformers takes the scaling of either."""
    thetas = [_positive(raw, "rope_theta")] if "rope_theta" in raw else []
    scalings = []
    for spelling in ("rope_parameters", "rope_scaling"):
        table = {key: value for key, value in _of_type(raw, spelling, dict, {}).items() if value is not None}
        if table:
            scalings.append(_scaling(table, spelling, raw))
        thetas += [_positive(table, "rope_theta")] if "rope_theta" in table else []
    if len(set(thetas)) > 1:
        raise ValueError(f"rope_theta is {' and '.join(map(str, thetas))}, expected one number")
    if len(set(scalings)) > 1:
        raise ValueError("rope_parameters and rope_scaling differ, expected one rotary scaling")
    return thetas[0] if thetas else 10000.0, scalings[0] if scalings else None


def _scaling(table: dict, spelling: str, raw: dict) -> RopeScaling | None:
    """The scaling in one of the two tables; None for plain rotary positions."""
    table = {key: value for key, value in table.items() if _NEUTRAL.get(key) != value}
    kinds = {str(table[key]) for key in ("rope_type", "type") if key in table} or {"default"}
    unknown = sorted(kinds - {"default", *KEYS})
    if unknown or len(kinds) > 1:
        found, expected = unknown or sorted(kinds), ", ".join(("default", *KEYS))
        raise ValueError(
            f"{spelling}: rotary scaling {_shown(found[0])} is not computed here, expected one of {expected}"
        )
    kind = kinds.pop()
    keys = KEYS.get(kind, ())
    others = table.keys() - {"rope_type", "type", "rope_theta", *keys}
    if others:
        raise ValueError(f"{spelling}: {min(others)} is not understood here, expected the keys of {kind!r} alone")
    if kind == "default":
        return None
    original = "original_max_position_embeddings"
    try:
        fields: dict[str, float] = {key: _positive(table, key) for key in keys if key in table or key == "factor"}
        if original in keys:
            fields[original] = _size_of(table, original) if original in table else _size_of(raw, _POSITIONS)
        return RopeScaling(kind, **fields)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{spelling}: {error}") from None


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
    value: Any = raw.get(key)
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
