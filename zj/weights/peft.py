"""PEFT adapter directories in and out: adapter_config.json and adapter_model.safetensors, PEFT's own keys."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zj.lora.adapters import ALL_LINEAR, adapter_layers, adapter_parameters, add_adapter
from zj.model.config import LlamaConfig
from zj.model.heads import ScalarHead
from zj.model.llama import Llama
from zj.weights.checksums import SUMS, check_sums, write_sums
from zj.weights.huggingface import Prepare, build_llama, open_llama
from zj.weights.sharded import reshard
from zj.weights.tensors import Sliceable, Stored, check_finite, compare_stored, on_host, open_tensors

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
HEAD = "base_model.model.score.weight"  # the head of `LlamaForSequenceClassification` with one label


def load_model(
    path: str | Path,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    prepare: Prepare | None = None,
) -> Llama:
    """A model from its own directory, or from an adapter's: then the adapter is merged into its base, in fp32.

    The base of an adapter is the directory named by its config, absolute or relative to the adapter's own, and may be
    an adapter directory itself. `prepare`: see `build_llama`. Raises ValueError as `load_llama` and `load_peft` do.
    """
    return build_llama(*open_model(path), dtype, device, prepare)


def open_model(path: str | Path) -> tuple[LlamaConfig, dict[str, Sliceable]]:
    """(config, weights by name) of a model directory, or of an adapter's with the adapter merged in; not yet read."""
    if not (Path(path) / CONFIG).is_file():
        return open_llama(path)
    config, weights = open_model(base_of(path))
    config_json, stored = _open_adapter(Path(path), weights, {})
    for name in list(weights):
        A, B = (stored.get(_key(f"{name.removesuffix('.weight')}.lora_{part}")) for part in "AB")
        if A is not None and B is not None:
            weights[name] = Merged(weights[name], A, B, _alpha(config_json) / config_json["r"])
    return config, weights


@dataclass(frozen=True)
class Merged:
    """A weight with an adapter merged in. Slicing computes these rows alone, in fp32."""

    base: Sliceable
    A: Sliceable  # [rank, width_in]
    B: Sliceable  # [width_out, rank]
    scale: float

    @property
    def shape(self) -> torch.Size:
        return self.base.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    def __getitem__(self, rows: Any) -> Tensor:
        exact = torch.promote_types(self.base.dtype, torch.float32)
        return self.base[rows].to(exact) + self.scale * (self.B[rows].to(exact) @ self.A[...].to(exact))


def base_of(path: str | Path) -> Path:
    """The directory of the base model of an adapter directory."""
    base_name = _read_config(Path(path)).get("base_model_name_or_path")
    for candidate in (
        Path(path) / str(base_name),
        Path(str(base_name)),
    ):  # an absolute name stays itself in the first
        if base_name and candidate.is_dir():
            if candidate.samefile(path):
                raise ValueError(f"{path}: {CONFIG} names the adapter itself as base_model_name_or_path")
            return candidate
    raise ValueError(f"{path}: base_model_name_or_path is {base_name!r}, expected the directory of the base model")


def config_of(path: str | Path) -> LlamaConfig:
    """The config of a model directory, or of the model below an adapter's; no weights are opened."""
    return config_of(base_of(path)) if (Path(path) / CONFIG).is_file() else LlamaConfig.from_hf(path)


def save_peft(
    model: Llama, name: str, path: str | Path, base: str | Path, head: ScalarHead | None = None, writes: bool = True
) -> None:
    """Write adapter `name` as a PEFT directory. `base` is the model it belongs to: a directory, or a published name.

    With a `head` it is a reward model, which PEFT opens as a sequence classifier with one label.
    The weights are read again and compared; adapter_config.json appears last. With a sharded model every rank calls
    this, and one of them `writes`. ValueError: unknown name, empty base, numbers that are not finite.
    """
    if not str(base):
        raise ValueError(f"{path}: base is empty, expected the directory of the model that the adapter belongs to")
    path = Path(path)
    reshard(model)
    config, tensors = _config_of(model, name, base, head), _peft_tensors(model, name)
    if head is not None:
        reshard(head)
        tensors[HEAD] = head.weight
    plain = {key: check_finite(on_host(matrix), key, path) for key, matrix in tensors.items()}
    if not writes:
        return
    path.mkdir(parents=True, exist_ok=True)
    (path / f".writing-{CONFIG}").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(dict(plain), path / f".writing-{SAFE}", metadata={"format": "pt"})
    shutil.copymode(path / f".writing-{CONFIG}", path / f".writing-{SAFE}")  # safetensors sets 0600
    write_sums(path / f".writing-{SUMS}", {SAFE: path / f".writing-{SAFE}"})
    for old in (CONFIG, SUMS):
        (path / old).unlink(missing_ok=True)
    for file in (SAFE, SUMS):
        os.replace(path / f".writing-{file}", path / file)
    compare_stored(open_tensors(path / SAFE), plain)
    os.replace(path / f".writing-{CONFIG}", path / CONFIG)


def load_peft(model: Llama, path: str | Path, name: str) -> None:
    """Add the adapter in a PEFT directory to `model` under `name`, trainable, as `add_adapter` leaves a new one.

    Raises ValueError, naming file and tensor, if the adapter does not fit the model or is more than plain LoRA.
    """
    _load(model, Path(path), name, {})


def load_peft_with_head(model: Llama, path: str | Path, name: str) -> ScalarHead:
    """As `load_peft`; returns the adapter's scalar head, on the host. ValueError if the adapter has none."""
    head = ScalarHead(model.config.hidden_size)
    _load(model, Path(path), name, {HEAD: head.weight})
    return head


def _load(model: Llama, path: Path, name: str, heads: dict[str, torch.nn.Parameter]) -> None:
    config, stored = _open_adapter(path, dict(model.named_parameters()), heads)
    add_adapter(model, name, config["r"], _alpha(config), config["lora_dropout"], _targets(config, path))
    with torch.no_grad():
        for key, matrix in (_peft_tensors(model, name) | heads).items():
            matrix.copy_(stored[key][...])


def _open_adapter(
    path: Path, weights: Mapping[str, Sliceable], heads: Mapping[str, Sliceable]
) -> tuple[dict, dict[str, Stored]]:
    """(config, tensors) of an adapter directory, checked against the model's weights and heads."""
    config = _read_config(path, bool(heads))
    file = next((path / name for name in (SAFE, PICKLED) if (path / name).is_file()), None)
    if file is None:
        raise ValueError(f"{path}: no {SAFE} or {PICKLED} there")
    stored, shapes = open_tensors(file), _expected(weights, config["r"], _targets(config, path))
    _check(stored, shapes | {key: list(head.shape) for key, head in heads.items()}, path)
    check_sums(path)
    return config, stored


def _alpha(config: dict) -> float:
    """Rank-stabilised LoRA (Kalajdzievski 2023) divides by sqrt(r) where LoRA divides by r."""
    return config["lora_alpha"] * (config["r"] ** 0.5 if config.get("use_rslora") else 1)


def _key(path: str) -> str:
    return f"base_model.model.{path}.weight"


def _peft_tensors(model: Llama, name: str) -> dict[str, torch.nn.Parameter]:
    return {_key(path): matrix for path, matrix in adapter_parameters(model, name).items()}


def _config_of(model: Llama, name: str, base: str | Path, head: ScalarHead | None) -> dict:
    layers = adapter_layers(model, name)
    _, first = layers[0]
    rank, scale = len(first.lora_A[name]), first.scales[name]
    assert scale is not None
    targets = {path.rsplit(".", 1)[-1] for path, _ in layers}
    return _PLAIN | {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if head is None else "SEQ_CLS",
        "modules_to_save": None if head is None else ["score"],
        "base_model_name_or_path": str(Path(base).resolve() if Path(base).is_dir() else base),
        "r": rank,
        "lora_alpha": _whole(scale * rank),
        "lora_dropout": first.dropout[name],
        "target_modules": [target for target in ALL_LINEAR if target in targets],
        "inference_mode": True,
        "use_rslora": False,
    }


def _whole(number: float) -> float:
    return round(number) if abs(number - round(number)) < 1e-9 * abs(number) else number


# PEFT's options beyond plain LoRA, and the one value that is implemented here.
_PLAIN: dict[str, Any] = {
    "bias": "none",
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layers_to_transform": None,
    "layer_replication": None,
    "exclude_modules": None,
    "use_dora": False,
    "lora_bias": False,
    "init_lora_weights": True,
}
_HARMLESS_INIT = (
    True,
    False,
    "gaussian",
    "orthogonal",
    "eva",
)  # others (pissa, olora, …) change the base as well


def _read_config(path: Path, head: bool | None = None) -> dict:
    """The adapter's config, checked to be plain LoRA, with or without a score head (None: either)."""
    file = path / CONFIG
    if not file.is_file():
        raise ValueError(f"{path}: no {CONFIG} there; expected a PEFT adapter directory")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{file}: expected a JSON object with peft_type LORA")
    with_head = config.get("task_type") == "SEQ_CLS"
    if head is not None and with_head != head:
        kinds = {True: "a reward model (LoRA and score head)", False: "an adapter without a score head"}
        raise ValueError(f"{path}: is {kinds[with_head]}, expected {kinds[head]}")
    saved = config.get("modules_to_save") or []
    if saved not in ([], *([["score"], ["classifier", "score"]] if with_head else [])):
        raise ValueError(f"{file}: modules_to_save is {saved!r}, expected a score head or nothing")
    for key, plain in _PLAIN.items():
        allowed: tuple = _HARMLESS_INIT if key == "init_lora_weights" else (plain, None, [], {})
        if config.get(key, plain) not in allowed:
            raise ValueError(f"{file}: {key} is {config[key]!r}, this program computes {plain!r} only")
    config.setdefault("lora_dropout", 0.0)
    for key in ("r", "lora_alpha", "lora_dropout"):
        if not isinstance(config.get(key), int if key == "r" else int | float):
            raise ValueError(f"{file}: {key} is {config.get(key)!r}, expected a number")
    return config


def _targets(config: dict, path: Path) -> list[str]:
    targets = config.get("target_modules")
    names = list(ALL_LINEAR) if targets == "all-linear" else [targets] if isinstance(targets, str) else targets
    if not isinstance(names, list) or not names or not set(names) <= set(ALL_LINEAR):
        raise ValueError(f"{path / CONFIG}: target_modules is {targets!r}, expected some of {', '.join(ALL_LINEAR)}")
    return names


def _expected(weights: Mapping[str, Sliceable], rank: int, targets: list[str]) -> dict[str, list[int]]:
    """PEFT key -> shape of every matrix of an adapter of a model with these weights."""
    shapes: dict[str, list[int]] = {}
    for name, weight in weights.items():
        path = name.removesuffix(".weight")
        if path.rsplit(".", 1)[-1] in targets:
            width_out, width_in = weight.shape
            shapes[_key(path + ".lora_A")] = [rank, width_in]
            shapes[_key(path + ".lora_B")] = [width_out, rank]
    return shapes


def _check(stored: dict[str, Stored], expected: dict[str, list[int]], path: Path) -> None:
    missing, surplus = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    if missing:
        raise ValueError(f"{path}: {min(missing)} is missing ({len(missing)} of {len(expected)} tensors are)")
    if surplus:
        raise ValueError(f"{path}: {min(surplus)} belongs to no layer of this model ({len(surplus)} such tensors)")
    for name, shape in expected.items():
        if list(stored[name].shape) != shape:
            raise ValueError(
                f"{stored[name].file}: {name} is {list(stored[name].shape)}, this model and rank need {shape}"
            )
