"""Hugging Face model directories in and out. Delta weights (differences to a base model) are refused: see delta.py.

A published checkpoint is this network's state dict, but for the names of some families (families.py): names and shapes
are compared one by one, and a tensor that is missing, surplus or of another shape is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from zj.model.config import LlamaConfig
from zj.model.llama import Llama
from zj.model.network import network

from .checksums import check_settings, check_sums
from .families import family_name, open_family, with_own_names, written_table
from .sharded import local, rank_rows, reshard
from .tensors import Sliceable, Stored, check_finite, open_checkpoint, write_checkpoint

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SHARD_BYTES = 5_000_000_000


Prepare = Callable[[Llama], None]  # changes a model whose weights are still on the meta device


def load_llama(path: str | Path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Llama:
    """Read a Hugging Face directory (config.json and weights of any floating dtype) into a model of `dtype`.

    The model is in evaluation mode (no dropout): call `.train()` on it to train. Host memory: the model plus one tensor
    (and pages of the current shard, which the kernel may drop). Raises ValueError, naming the file and the tensor, if a
    tensor is missing, surplus or of another shape or holds numbers that are not finite (also once they are rounded to
    `dtype`), if a file is absent, broken or holds more than tensors, for delta weights, and if a file does not match
    the directory's SHA256SUMS, where there is one.
    """
    return build_llama(*open_llama(path), dtype, device)


def open_llama(path: str | Path) -> tuple[LlamaConfig, dict[str, Sliceable]]:
    """(config, weights by name) of a Hugging Face directory; names and shapes are checked, nothing is read yet."""
    check_settings(Path(path))
    config, stored = open_family(path)
    check_network(stored, config, Path(path))
    check_sums(Path(path))
    refuse_delta(stored, Path(path))
    return config, dict(stored)


@torch.no_grad()
def build_llama(
    config: LlamaConfig,
    weights: dict[str, Sliceable],
    dtype: torch.dtype,
    device: str | torch.device,
    prepare: Prepare | None = None,
) -> Llama:
    """A model with these weights, which are read one by one. Before, `prepare` may add adapters to it and shard it.

    With a sharded model each rank reads only its own rows.
    """
    with torch.device("meta"):
        model = network(config).to(dtype)
    if prepare is not None:
        prepare(model)
    model._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device))
    model.tie_weights()
    parameters = dict(model.named_parameters())
    for name in list(weights):  # in the order of the files; a shard is closed with its last tensor
        rows = weights.pop(name)[rank_rows(parameters[name])]
        weight = local(parameters[name]).copy_(rows)
        if torch.finfo(weight.dtype).max < torch.finfo(rows.dtype).max:
            check_finite(weight, name, f"--dtype: rounded to {weight.dtype}")
    return model.eval()


def random_llama(config: LlamaConfig, dtype: torch.dtype, device: str | torch.device, seed: int) -> Llama:
    """A model with random weights, initialised on the device, in evaluation mode."""
    with torch.device("meta"):
        model = network(config).to(dtype)
    model._apply(lambda tensor: torch.empty_like(tensor, device=device))
    model.tie_weights()
    model.init_weights(seed)
    return model.eval()


def save_llama(
    model: Llama,
    path: str | Path,
    max_shard_bytes: int = SHARD_BYTES,
    writes: bool = True,
    special_ids: tuple[int, int] | None = None,
) -> None:
    """Write `model` as a Hugging Face directory: config.json and safetensors, in shards of `max_shard_bytes`.

    All files are read again and compared. With a sharded model every rank calls this, and one of them `writes`.
    `special_ids`: bos and eos of its tokenizer for config.json (None: those of the model's config). Raises ValueError
    for a model with adapters, which would be lost, and for numbers that are not finite.
    """
    reshard(model)
    parameters = dict(model.named_parameters())
    surplus = [name for name in parameters if name not in shapes_of(model.config)]
    if surplus:
        names = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in surplus}))
        raise ValueError(
            f"{path}: the model carries adapters ({names}) that would be lost: merge_adapter or remove_adapter first"
        )
    write_llama(Path(path), model.config, parameters, max_shard_bytes, writes, special_ids)


def check_tokenizer_fits(model: Llama | LlamaConfig, n_ids: int) -> None:
    """Raise ValueError if a tokenizer that uses ids up to `n_ids` - 1 needs more rows than the embedding has."""
    rows = (model.config if isinstance(model, Llama) else model).vocab_size
    if n_ids > rows:
        raise ValueError(
            f"the tokenizer has {n_ids} ids, the model's embedding {rows} rows: "
            "take the tokenizer that came with the model, or a model made for this tokenizer"
        )


def stored_dtype(path: str | Path) -> torch.dtype:
    """The dtype of the weights in a model directory."""
    return with_own_names(open_checkpoint(path))[EMBEDDING].dtype


def is_delta(stored: Mapping[str, Sliceable]) -> bool:
    """Whether these are delta weights: differences between two models, whose norm weights lie around 0.

    A model's norm weights are gains: positive, and of the order of 1 (LLaMA-1: 0.03 in the first layer, 0.5 in the
    last, above 1 before the head). Those of a delta are either tiny or of both signs.
    """
    gains = torch.cat([stored[name][...].float() for name in stored if name.endswith("norm.weight")])
    return bool(gains.abs().median() < 0.02 or (gains < 0).float().mean() > 0.25)


def write_llama(
    path: Path,
    config: LlamaConfig,
    tensors: Mapping[str, Sliceable],
    max_shard_bytes: int = SHARD_BYTES,
    writes: bool = True,
    special_ids: tuple[int, int] | None = None,
) -> None:
    """Write a model directory from tensors by name; see `save_llama`."""
    if special_ids is not None:
        config = replace(config, bos_token_id=special_ids[0], eos_token_id=special_ids[1])
    dtype = str(tensors[EMBEDDING].dtype).removeprefix("torch.")
    table = written_table(config)
    tensors = {family_name(name, table): tensor for name, tensor in tensors.items()}
    write_checkpoint(path, tensors, config.to_hf() | {"torch_dtype": dtype}, max_shard_bytes, writes)


def shapes_of(config: LlamaConfig) -> dict[str, torch.Size]:
    """Names and shapes of the tensors of a checkpoint of this network; a tied head is not among them."""
    with torch.device("meta"):
        return {name: weight.shape for name, weight in network(config).named_parameters()}


def check_network(stored: dict[str, Stored], config: LlamaConfig, path: Path) -> None:
    """Compare names and shapes with the network's; drop a tied head."""
    if config.tie_word_embeddings and HEAD in stored:
        _check_tied(stored.pop(HEAD), stored.get(EMBEDDING), path)
    expected = shapes_of(config)
    missing = [name for name in expected if name not in stored]
    if missing:
        raise ValueError(f"{path}: {missing[0]} is missing ({len(missing)} of {len(expected)} tensors are)")
    surplus = [name for name in stored if name not in expected]
    if surplus:
        raise ValueError(
            f"{stored[surplus[0]].file}: {surplus[0]} is no part of this network ({len(surplus)} such tensors)"
        )
    for name, shape in expected.items():
        if stored[name].shape != shape:
            _refuse_shape(name, stored[name], shape)


def _refuse_shape(name: str, stored: Stored, expected: torch.Size) -> None:
    if name in (EMBEDDING, HEAD) and stored.shape[1:] == expected[1:]:
        raise ValueError(
            f"{stored.file}: {name} has {stored.shape[0]} rows, but config.json says vocab_size {expected[0]}"
        )
    raise ValueError(f"{stored.file}: {name} is {list(stored.shape)}, config.json asks for {list(expected)}")


def _check_tied(head: Stored, embedding: Stored | None, path: Path) -> None:
    if embedding is None or head.shape != embedding.shape or not torch.equal(head[...], embedding[...]):
        raise ValueError(f"{path}: config.json ties {HEAD} to {EMBEDDING}, but the stored two differ")


def refuse_delta(stored: Mapping[str, Stored], path: Path) -> None:
    if is_delta(stored):
        raise ValueError(
            f"{path}: these are delta weights, differences to a base model (their norm weights lie around 0); make "
            f"the model with: python scripts/export.py apply-delta --base DIR --delta {path} --out DIR"
        )
