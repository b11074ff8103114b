"""PEFT adapter directories in: adapter_config.json and adapter_model.safetensors, PEFT's own keys.

An adapter of a layer that holds several (c_attn, W_pack) becomes one of each: B A of a block of rows is that block of
B times the same A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zj.lora.adapters import adapter_parameters, add_adapter_to
from zj.model.config import LlamaConfig
from zj.model.heads import ScalarHead
from zj.model.llama import Llama
from zj.model.network import config_from_hf

from .adapter_base import base_of, levels
from .adapter_config import AdapterKeys, is_adapter, read_config
from .checksums import check_settings, check_sums
from .families import table_of, with_own_names
from .huggingface import EMBEDDING, HEAD, Prepare, build_llama, open_llama
from .tensors import Sliceable, Stored, open_tensors

SAFE, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."
SCORE = PREFIX + "score.weight"  # the head of `LlamaForSequenceClassification` with one label


def load_model(
    path: str | Path,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    prepare: Prepare | None = None,
    base: str | Path = "",
    strict: bool = True,
) -> Llama:
    """A model from its own directory, or from an adapter's: then the adapter is merged into its base, in fp32.

    `base` and `strict`: where the base of an adapter lies, and what another one means, see `base_of`; it may be an
    adapter directory itself. `prepare`: see `build_llama`. Raises ValueError as `load_llama` and `load_peft` do.
    """
    return build_llama(*open_model(path, base, strict), dtype, device, prepare)


def config_of(path: str | Path, base: str | Path = "", strict: bool = True) -> LlamaConfig:
    """The config of a model directory, or of the model below an adapter's (`base_of`); no weights are loaded."""
    *_, lowest = levels(path, base, strict)
    return config_from_hf(lowest)


def load_beside(path: str | Path, name: str, dtype: torch.dtype, base: str | Path = "") -> Llama:
    """The model of an adapter's directory with the adapter beside its weights, as `name`, and not merged into them.

    Modules that the adapter saves whole stand in place of the base's.
    """
    config, weights = open_model(base_of(path, base), base)
    adapter = open_adapter(Path(path), weights)
    model = build_llama(*adapter.put_saved(config, weights), dtype, "cpu")
    _add(model, adapter, name)
    return model


def check_adapter(path: str | Path, base: str | Path = "") -> None:
    """ValueError unless the adapter is whole and fits its base, of which no weight is read."""
    open_adapter(Path(path), open_model(base_of(path, base), base)[1])


def open_model(
    path: str | Path, base: str | Path = "", strict: bool = True
) -> tuple[LlamaConfig, dict[str, Sliceable]]:
    """(config, weights by name) of a model directory, or of an adapter's with the adapter merged in; not yet read."""
    if not is_adapter(path):
        return open_llama(path)
    config, weights = open_model(base_of(path, base, strict), base, strict)
    adapter = open_adapter(Path(path), weights)
    config, weights = adapter.put_saved(config, weights)
    for layer, low_rank in adapter.layers.items():
        weights[f"{layer}.weight"] = Merged(weights[f"{layer}.weight"], low_rank)
    return config, weights


def load_peft(model: Llama, path: str | Path, name: str) -> None:
    """Add the adapter in a PEFT directory to `model` under `name`, trainable, as `add_adapter` leaves a new one.

    Raises ValueError, naming file and tensor, if the adapter does not fit the model or is more than plain LoRA, and for
    one that saves whole modules: they would have to replace those of the base, which other adapters stand on.
    """
    adapter = open_adapter(Path(path), dict(model.named_parameters()))
    refuse_saved(path)
    _add(model, adapter, name)


def load_peft_with_head(model: Llama, path: str | Path, name: str) -> ScalarHead:
    """As `load_peft`; returns the adapter's scalar head, on the host. ValueError if the adapter has none."""
    head = ScalarHead(model.config.hidden_size)
    adapter = open_adapter(Path(path), dict(model.named_parameters()), head.weight)
    refuse_saved(path)
    _add(model, adapter, name)
    assert adapter.head is not None
    with torch.no_grad():
        head.weight.copy_(adapter.head[...])
    return head


@dataclass(frozen=True)
class LowRank:
    """The correction of one layer: scale * B A."""

    A: Sliceable  # [rank, width_in]
    B: Sliceable  # [width_out, rank]
    scale: float


@dataclass(frozen=True)
class Merged:
    """A weight with an adapter merged in. Slicing computes these rows alone, in fp32."""

    base: Sliceable
    low_rank: LowRank

    @property
    def shape(self) -> torch.Size:
        return self.base.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    def __getitem__(self, rows: Any) -> Tensor:
        exact, (A, B) = torch.promote_types(self.base.dtype, torch.float32), (self.low_rank.A, self.low_rank.B)
        return self.base[rows].to(exact) + self.low_rank.scale * (B[rows].to(exact) @ A[...].to(exact))


@dataclass(frozen=True)
class Adapter:
    """An adapter directory; its tensors are not read yet."""

    path: Path
    config: AdapterKeys
    layers: dict[str, LowRank]  # by path of the layer
    saved: dict[str, Stored]  # whole weights in place of the base's, by their names there
    head: Stored | None  # of a reward model

    def put_saved(
        self, config: LlamaConfig, weights: Mapping[str, Sliceable]
    ) -> tuple[LlamaConfig, dict[str, Sliceable]]:
        """The base's config and weights with the saved modules in place of its own.

        Embedding and head may have more rows than the base's. A tied head is a weight of its own as soon as
        modules_to_save names one of the two, as in PEFT.
        """
        weights = dict(weights)
        if config.tie_word_embeddings and self.saved.keys() & {EMBEDDING, HEAD}:
            if self.config.saved((EMBEDDING, HEAD)):
                config, weights[HEAD] = replace(config, tie_word_embeddings=False), weights[EMBEDDING]
            else:
                _check_tied(self.saved, self.path)
        weights |= {name: saved for name, saved in self.saved.items() if name in weights}
        rows = {len_of(weights[name]) for name in (EMBEDDING, HEAD) if name in weights}
        if len(rows) > 1:
            raise ValueError(f"{self.path}: {EMBEDDING} and {HEAD} have {sorted(rows)} rows, expected as many in both")
        return replace(config, vocab_size=rows.pop()), weights


def _check_tied(saved: Mapping[str, Stored], path: Path) -> None:
    """ValueError unless the embedding of a tied base was saved, and no other head."""
    embedding, head = saved.get(EMBEDDING), saved.get(HEAD)
    if embedding is None or (head is not None and not torch.equal(embedding[...], head[...])):
        raise ValueError(f"{path}: the base ties {HEAD} to {EMBEDDING}, but the saved two differ")


def len_of(tensor: Sliceable) -> int:
    return tensor.shape[0]


def open_adapter(path: Path, weights: Mapping[str, Sliceable], head: Sliceable | None = None) -> Adapter:
    """An adapter directory, checked against the weights of its base and the head that is wanted, if one is."""
    check_settings(path)
    config, stored, expected = read_config(path, head is not None), _open_tensors(path), dict[str, list[int]]()
    config, stored = replace(config, table=table_of(stored)), with_own_names(stored)
    layers = config.layers(name for name in weights if name.endswith(".weight"))
    for layer, (rank, _) in layers.items():
        width_out, width_in = weights[f"{layer}.weight"].shape
        expected |= {key_of(layer, "A"): [rank, width_in], key_of(layer, "B"): [width_out, rank]}
    # PEFT saves a resized embedding and its head also where modules_to_save does not name them
    resized = [name for name in (EMBEDDING, HEAD) if PREFIX + name in stored]
    saved = dict.fromkeys([*config.saved({**weights, HEAD: None}), *resized])
    for name in saved:
        shape = list(weights.get(name, weights[EMBEDDING]).shape)
        rows = stored[PREFIX + name].shape[:1] if name in resized else []
        expected[PREFIX + name] = [*rows, *shape[len(rows) :]]
    if head is not None:
        expected[SCORE] = list(head.shape)
    _check(stored, expected, path)
    check_sums(path)
    pairs = {layer: (stored[key_of(layer, "A")], stored[key_of(layer, "B")]) for layer in layers}
    low_rank = {layer: LowRank(*pairs[layer], scale) for layer, (_, scale) in layers.items()}
    return Adapter(path, config, low_rank, {name: stored[PREFIX + name] for name in saved}, stored.get(SCORE))


def check_stackable(path: str | Path, base: str | Path = "", strict: bool = True) -> None:
    """ValueError unless an adapter can be trained on this directory: no adapter in it or below saves whole modules.

    To be called before training: `save_peft` would refuse the result. `base` and `strict`: see `base_of`.
    """
    for level in levels(path, base, strict):
        refuse_saved(level)


def refuse_saved(path: str | Path) -> None:
    """ValueError for an adapter directory that saves whole modules: no other shares its base or stands on it."""
    stored = with_own_names(_open_tensors(Path(path))) if is_adapter(path) else {}
    whole = [key.removeprefix(PREFIX) for key in stored if ".lora_" not in key and key != SCORE]
    if whole:
        raise ValueError(
            f"{path}: it replaces {', '.join(whole)} of its base, where other adapters stand: "
            f"merge it first (scripts/export.py merge --model {path} --out DIR)"
        )


def _open_tensors(path: Path) -> dict[str, Stored]:
    """The tensors that PEFT reads: it stores a resized module three times, and reads what has the plain name."""
    file = next((path / name for name in (SAFE, PICKLED) if (path / name).is_file()), None)
    if file is None:
        raise ValueError(f"{path}: no {SAFE} or {PICKLED} there")
    copies = (".modules_to_save.weight", ".original_module.weight")
    return {key: stored for key, stored in open_tensors(file).items() if not key.endswith(copies)}


def key_of(layer: str, matrix: str) -> str:
    """PEFT's name of matrix A or B of a layer."""
    return f"{PREFIX}{layer}.lora_{matrix}.weight"


@torch.no_grad()
def _add(model: Llama, adapter: Adapter, name: str) -> None:
    layers = {layer: (len_of(low_rank.A), low_rank.scale) for layer, low_rank in adapter.layers.items()}
    add_adapter_to(model, name, layers, adapter.config.dropout)
    for path, matrix in adapter_parameters(model, name).items():
        layer, _, part = path.rpartition(".lora_")
        matrix.copy_(getattr(adapter.layers[layer], part)[...])


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
