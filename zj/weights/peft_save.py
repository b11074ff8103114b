"""An adapter of a model -> a PEFT directory."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zj.lora.adapters import adapter_layers
from zj.model.heads import ScalarHead
from zj.model.llama import Llama

from .adapter_base import FILE, base_of, write_fingerprint
from .adapter_config import CONFIG, LINEAR, is_adapter
from .checksums import SUMS, write_sums
from .families import family_name, written_table
from .huggingface import EMBEDDING, HEAD
from .peft import PREFIX, SAFE, SCORE, LowRank, key_of, open_adapter, refuse_saved
from .sharded import reshard
from .tensors import check_finite, compare_stored, on_host, open_tensors


def save_peft(
    model: Llama,
    name: str,
    path: str | Path,
    base: str | Path,
    head: ScalarHead | None = None,
    writes: bool = True,
    bottom: str | Path = "",
) -> None:
    """Write adapter `name` as a PEFT directory. `base` is the model it belongs to: a directory, or a published name.

    If `base` is an adapter, which was merged before this one was trained, the two are written as one, of the model
    below (`bottom`: its directory, if not the one that the lower adapter names): PEFT opens no adapter on an adapter.
    Embedding and head are saved with it if they are trained (`zj.lora.train_embeddings`).
    With a `head` it is a reward model, which PEFT opens as a sequence classifier with one label.
    The weights are read again and compared; adapter_config.json appears last. With a sharded model every rank calls
    this, and one of them `writes`. ValueError: unknown name, base empty or gone, numbers that are not finite.
    """
    if not str(base):
        raise ValueError(f"{path}: base is empty, expected the directory of the model that the adapter belongs to")
    path, base = Path(path), Path(base)
    if base.is_absolute() and not base.is_dir():
        raise ValueError(f"{path}: the model that the adapter was trained on is gone: no directory {base}")
    reshard(model)
    pairs = {layer: part.low_rank(name) for layer, part in adapter_layers(model, name)}
    layers: dict[str, LowRank] = {}
    for layer, pair in pairs.items():
        if pair is not None:
            A, B = (check_finite(on_host(m), key_of(layer, k), path) for k, m in zip("AB", pair[:2], strict=True))
            layers[layer] = LowRank(A, B, pair[2])
    tensors = {}
    for module, part in (("embed_tokens", model.model.embed_tokens), ("lm_head", model.lm_head)):
        if part.weight.requires_grad:  # a tied head too: PEFT saves it as a weight of its own
            tensors[WHOLE[module]] = check_finite(on_host(part.weight), WHOLE[module], path).clone()
    if head is not None:
        reshard(head)
        tensors[SCORE] = check_finite(on_host(head.weight), SCORE, path)
    if not writes:
        return
    parameters = dict(model.named_parameters())
    while is_adapter(base):
        refuse_saved(base)
        layers, base = stacked(open_adapter(base, parameters).layers, layers), base_of(base, bottom)
    table = written_table(model.config)
    layers = {family_name(path, table): pair for path, pair in layers.items()}
    ranks, targets = _ranks_of(layers), _targets_of(layers, (family_name(name, table) for name in parameters))
    config = _PLAIN | {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if head is None else "SEQ_CLS",
        "modules_to_save": [name for name, key in WHOLE.items() if key in tensors] or None,
        "base_model_name_or_path": str(base.resolve() if base.is_dir() else base),
        **ranks,
        "lora_dropout": next(part.dropout[name] for _, part in adapter_layers(model, name)),
        "target_modules": targets,
        "inference_mode": True,
        "use_rslora": False,
    }
    tensors |= {key_of(layer, part): getattr(pair, part) for layer, pair in layers.items() for part in "AB"}
    _write(path, config, tensors, base)


def stacked(lower: Mapping[str, LowRank], upper: Mapping[str, LowRank]) -> dict[str, LowRank]:
    """Two adapters, one trained on the other, as one: s B A + t D C = t [s/t B, D] [A; C], computed in fp32."""
    both = {path: LowRank(one.A[...].float(), one.B[...].float(), one.scale) for path, one in lower.items()}
    for path, two in upper.items():
        one = both.get(path)
        if one is None:
            both[path] = two
        else:
            A, B = torch.cat([one.A[...], two.A[...]]), torch.cat([one.scale / two.scale * one.B[...], two.B[...]], 1)
            both[path] = LowRank(A, B, two.scale)
    return both


# PEFT's names of modules that are saved whole -> keys.
WHOLE = {"embed_tokens": PREFIX + EMBEDDING, "lm_head": PREFIX + HEAD, "score": SCORE}

# PEFT's options beyond plain LoRA, without effect.
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


def _ranks_of(layers: Mapping[str, LowRank]) -> dict[str, Any]:
    """Rank and alpha of most layers, and by pattern those of the others."""
    ranks = {path: pair.A.shape[0] for path, pair in layers.items()}
    alphas = {path: _whole(pair.scale * ranks[path]) for path, pair in layers.items()}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {path: other for path, other in ranks.items() if other != rank},
        "alpha_pattern": {path: other for path, other in alphas.items() if other != alpha},
    }


def _targets_of(layers: Mapping[str, LowRank], names: Iterable[str]) -> list[str]:
    """The ends of the layers' paths, if those are the only layers of a model that end so; else the whole paths."""
    ends = [end for end in LINEAR if any(path.endswith(f".{end}") for path in layers)]
    paths = {name.removesuffix(".weight") for name in names}
    covered = {path for path in paths if path.rpartition(".")[2] in ends}
    return ends if covered == layers.keys() else list(layers)


def _write(path: Path, config: dict[str, Any], tensors: dict[str, Tensor], base: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    drafts = {name: path / f".writing-{name}" for name in (SAFE, FILE, SUMS, CONFIG)}
    drafts[CONFIG].write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(dict(tensors), drafts[SAFE], metadata={"format": "pt"})
    shutil.copymode(drafts[CONFIG], drafts[SAFE])  # safetensors sets 0600
    if base.is_dir():
        write_fingerprint(drafts[FILE], base)
    else:
        drafts.pop(FILE)
    write_sums(drafts[SUMS], {name: draft for name, draft in drafts.items() if name != SUMS})
    for old in (CONFIG, SUMS, FILE):
        (path / old).unlink(missing_ok=True)
    for name, draft in drafts.items():
        if name == CONFIG:
            compare_stored(open_tensors(path / SAFE), tensors)
        os.replace(draft, path / name)


def _whole(number: float) -> float:
    return round(number) if abs(number - round(number)) < 1e-9 * abs(number) else number
