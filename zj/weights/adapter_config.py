"""adapter_config.json of PEFT: which layers an adapter changes, with which rank and scale, and what it saves whole.

Patterns match as in PEFT 0.21: a string is a regular expression for a layer's whole path; an entry of a list is a whole
path or its end, from a dot on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zj.lora.adapters import ALL_LINEAR, BLOOM_LINEAR

from .families import Table, family_name

LINEAR = (*ALL_LINEAR, *BLOOM_LINEAR)
CONFIG = "adapter_config.json"
SCORE = ("score", "classifier")  # what PEFT saves whole for every sequence classifier

_READ = {"peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias"}
_READ |= {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"}
_READ |= {"modules_to_save", "init_lora_weights"}
# Of training's start, of quantisation that another key switches on, or of PEFT itself. PEFT ignores fan_in_fan_out for
# nn.Linear.
_WITHOUT_EFFECT = {"auto_mapping", "peft_version", "revision", "inference_mode", "runtime_config", "fan_in_fan_out"}
_WITHOUT_EFFECT |= {"eva_config", "loftq_config", "qalora_group_size", "megatron_core"}
_HARMLESS_INIT = (True, False, "gaussian", "orthogonal", "eva")  # others (pissa, olora, …) change the base as well


@dataclass(frozen=True)
class AdapterKeys:
    """The keys of an adapter_config.json, checked to describe plain LoRA."""

    file: Path
    keys: dict[str, Any]
    table: Table = field(default_factory=dict)  # of the family whose names the adapter has

    @property
    def base(self) -> str:
        """The base model as it is written: a directory or a published name; "" without one."""
        return str(self.keys.get("base_model_name_or_path") or "")

    @property
    def dropout(self) -> float:
        return self.keys["lora_dropout"]

    @property
    def with_head(self) -> bool:
        """Whether this is a reward model: a sequence classifier with a score head."""
        return self.keys.get("task_type") == "SEQ_CLS"

    def saved(self, names: Iterable[str]) -> list[str]:
        """Those of a model's weights that modules_to_save names."""
        ends = tuple(self.keys.get("modules_to_save") or ())
        return [name for name in names if ends and self._path(name).endswith(ends)]

    def layers(self, names: Iterable[str]) -> dict[str, tuple[int, float]]:
        """Path of each layer that the adapter changes -> (rank, scale), given the names of a model's weights.

        Raises ValueError if a target is no linear layer of a block, or if there is none.
        """
        paths = {name.removesuffix(".weight"): self._path(name) for name in names}
        targets = [path for path in paths if self._is_target(paths[path], path)]
        linear = [name for name in LINEAR if any(path.endswith(f".{name}") for path in paths)]
        other = [path for path in targets if path.rpartition(".")[2] not in linear]
        if other or not targets:
            found = f"matches {other[0]}" if other else "matches no layer of this model"
            wanted = self.keys.get("target_modules")
            raise ValueError(
                f"{self.file}: target_modules is {wanted!r}, {found}; expected some of {', '.join(linear)}"
            )
        return {path: self._rank_and_scale(paths[path]) for path in targets}

    def _path(self, name: str) -> str:
        """The adapter's own path of the layer with this weight or bias."""
        return family_name(name.removesuffix(".weight").removesuffix(".bias"), self.table)

    def _is_target(self, path: str, own_path: str) -> bool:
        targets, excluded = self.keys.get("target_modules") or [], self.keys.get("exclude_modules")
        saved = self.keys.get("modules_to_save") or []
        if (excluded and _matches(excluded, path)) or any(re.match(rf"(.*\.)?{name}($|\.)", path) for name in saved):
            return False
        if isinstance(targets, str):
            all_linear = targets.lower() == "all-linear"
            return own_path.rpartition(".")[2] in LINEAR if all_linear else bool(re.fullmatch(targets, path))
        return path in targets or (_matches(targets, path) and self._is_chosen_block(path))

    def _is_chosen_block(self, path: str) -> bool:
        """Whether layers_to_transform, if given, chooses the block that holds a layer."""
        chosen, patterns = self.keys.get("layers_to_transform"), self.keys.get("layers_pattern") or [r"[^.]*"]
        if chosen is None or chosen == []:
            return True
        blocks = [re.match(rf"(?:.*?\.)?{pattern}\.(\d+)\.", path) for pattern in _listed(patterns)]
        block = next((int(match[1]) for match in blocks if match), None)
        return block in _listed(chosen)

    def _rank_and_scale(self, path: str) -> tuple[int, float]:
        """Rank-stabilised LoRA (Kalajdzievski 2023) divides alpha by sqrt(r) where LoRA divides it by r."""
        rank = _by_pattern(self.keys.get("rank_pattern"), path, self.keys["r"])
        alpha = _by_pattern(self.keys.get("alpha_pattern"), path, self.keys["lora_alpha"])
        return rank, alpha / (rank**0.5 if self.keys.get("use_rslora") else rank)


def is_adapter(path: str | Path) -> bool:
    """Whether a directory holds an adapter and not a whole model."""
    return (Path(path) / CONFIG).is_file()


def read_config(path: Path, head: bool | None = None) -> AdapterKeys:
    """The config in an adapter directory, with or without a score head (None: either).

    Raises ValueError, naming the key, for anything that is more than plain LoRA.
    """
    file = path / CONFIG
    if not file.is_file():
        raise ValueError(f"{path}: no {CONFIG} there; expected a PEFT adapter directory")
    try:
        keys = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(keys, dict) or keys.get("peft_type") != "LORA":
        raise ValueError(f"{file}: expected a JSON object with peft_type LORA")
    config = AdapterKeys(file, {"lora_dropout": 0.0} | keys)
    if head is not None and config.with_head != head:
        kinds = {True: "a reward model (LoRA and score head)", False: "an adapter without a score head"}
        raise ValueError(f"{path}: is {kinds[config.with_head]}, expected {kinds[head]}")
    _refuse_other_methods(config.keys, file)
    _check_values(config.keys, file)
    return config


def _refuse_other_methods(keys: dict[str, Any], file: Path) -> None:
    for key, value in keys.items():
        if key not in _READ | _WITHOUT_EFFECT and value:
            raise ValueError(f"{file}: {key} is {value!r}, which is not understood here: more than plain LoRA")
    for key, allowed in (("bias", ("none", None)), ("init_lora_weights", _HARMLESS_INIT)):
        if keys.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{file}: {key} is {keys[key]!r}, this program computes {allowed[0]!r} only")


def _check_values(keys: dict[str, Any], file: Path) -> None:
    """ValueError for a value of another type than PEFT writes, and for a regular expression that is none."""
    ranks, alphas = keys.get("rank_pattern") or {}, keys.get("alpha_pattern") or {}
    lists = ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern")
    strings = {key: _listed(keys.get(key) or []) for key in lists}
    right = {
        "r": _is_number(keys.get("r"), int) and keys["r"] > 0,
        "lora_alpha": _is_number(keys.get("lora_alpha")) and keys["lora_alpha"] != 0,
        "lora_dropout": _is_number(keys["lora_dropout"]),
        "target_modules": bool(strings["target_modules"]),
        "rank_pattern": isinstance(ranks, dict) and all(_is_number(r, int) and r > 0 for r in ranks.values()),
        "alpha_pattern": isinstance(alphas, dict) and all(map(_is_number, alphas.values())),
        "layers_to_transform": all(_is_number(layer, int) for layer in _listed(keys.get("layers_to_transform") or [])),
    }
    for key, entries in strings.items():
        right[key] = right.get(key, True) and isinstance(entries, list) and all(isinstance(e, str) for e in entries)
    for key, fine in right.items():
        if not fine:
            expected = "a number" if key in ("r", "lora_alpha", "lora_dropout") else "what PEFT writes there"
            raise ValueError(f"{file}: {key} is {keys.get(key)!r}, expected {expected}")
    expressions = [value for value in keys.values() if isinstance(value, str) and value in sum(strings.values(), [])]
    for pattern in (*expressions, *strings["modules_to_save"], *strings["layers_pattern"], *ranks, *alphas):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{file}: {pattern!r} is no regular expression ({error})") from None


def _is_number(value: Any, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


def _matches(names: str | list[str], path: str) -> bool:
    if isinstance(names, str):
        return bool(re.fullmatch(names, path))
    return path in names or path.endswith(tuple(f".{name}" for name in names))


def _by_pattern(patterns: dict[str, Any] | None, path: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of a path."""
    return next((value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", path)), default)
