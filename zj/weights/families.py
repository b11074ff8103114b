"""Families whose files name the tensors of this network otherwise, or hold several in one: tables of names.

Written files have Hugging Face's names of LLaMA: Qwen-1 becomes Qwen2, and Baichuan-7B LLaMA. Bloom alone is written by
names of its own. Bias, norms and sizes are matters of config.json: see `zj.model.config_file`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zj.model.config import LlamaConfig
from zj.model.network import config_from_hf

from .tensors import Stored, open_checkpoint

# part of a name -> the same here; where a tensor holds several, the names of its equal blocks of rows
Table = dict[str, tuple[str, ...]]

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
LLAMA: Table = {}
BAICHUAN_7B: Table = {"self_attn.W_pack": QKV}
QWEN_1: Table = {
    "transformer.wte": ("model.embed_tokens",),
    "transformer.h.": ("model.layers.",),
    "transformer.ln_f": ("model.norm",),
    "ln_1": ("input_layernorm",),
    "ln_2": ("post_attention_layernorm",),
    "attn.c_attn": QKV,
    "attn.c_proj": ("self_attn.o_proj",),
    "mlp.w1": ("mlp.up_proj",),
    "mlp.w2": ("mlp.gate_proj",),  # the published MLP is c_proj(w1(x) * silu(w2(x)))
    "mlp.c_proj": ("mlp.down_proj",),
}
BLOOM: Table = {  # within a block the names are the family's own
    "transformer.word_embeddings_layernorm": ("model.embed_layernorm",),
    "transformer.word_embeddings": ("model.embed_tokens",),
    "transformer.h.": ("model.layers.",),
    "transformer.ln_f": ("model.norm",),
    "self_attention.": ("self_attn.",),
}
BLOOM_SIGNS = ("word_embeddings", "self_attention.", "mlp.dense_")  # Qwen-1's names begin alike
COMPUTED = ("rotary_emb.inv_freq", "attn.masked_bias")  # ends of tensors that older files store, computed here


def open_family(directory: str | Path) -> tuple[LlamaConfig, dict[str, Stored]]:
    """(config, tensors by this network's names) of a model directory of any family; nothing is read or compared yet."""
    return config_from_hf(directory), with_own_names(open_checkpoint(directory))


def with_own_names(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Tensors of any family, or of an adapter, by this network's names; without those that are computed here.

    ValueError if the rows of a tensor that holds several do not divide, and if a tensor is there by both names.
    """
    stored = _with_prefix(stored)
    table, tensors = table_of(stored), dict[str, Stored]()
    for name, tensor in stored.items():
        if name.endswith(COMPUTED):
            continue
        own = own_names(name, table)
        if twice := [other for other in own if other in tensors]:
            raise ValueError(f"{tensor.file}: {name} is stored as {tensors[twice[0]].name} already")
        shared = ".lora_A." in name  # B alone has the rows of the layer
        tensors |= zip(own, [tensor] * len(own) if shared else blocks_of(tensor, len(own)), strict=True)
    return tensors


def table_of(names: Iterable[str]) -> Table:
    """The table of the family that spells its names so."""
    names = list(names)
    signs = ((BLOOM_SIGNS, BLOOM), (QWEN_1, QWEN_1), (BAICHUAN_7B, BAICHUAN_7B))
    return next((table for parts, table in signs if any(part in name for part in parts for name in names)), LLAMA)


def written_table(config: LlamaConfig) -> Table:
    """The names that a network's tensors are written by, see `family_name`."""
    return BLOOM if config.family == "bloom" else LLAMA


def _with_prefix(stored: Mapping[str, Stored]) -> Mapping[str, Stored]:
    """The tensors of a Bloom whose file has no prefix "transformer.", with it."""
    if not any(name.startswith("word_embeddings.") for name in stored):
        return stored
    return {name if name.startswith("lm_head.") else f"transformer.{name}": tensor for name, tensor in stored.items()}


def own_names(name: str, table: Table) -> tuple[str, ...]:
    """The names here of what a family calls so: a tensor, a layer, or an entry of an adapter."""
    names: tuple[str, ...] = (name,)
    for part, own in table.items():
        if part in name:
            names = tuple(n.replace(part, o) for n in names for o in own)
    return names


def family_name(name: str, table: Table) -> str:
    """What a family calls a tensor or layer; of one that is a block of another, the name of the whole."""
    for part, own in table.items():
        for o in own:
            name = name.replace(o, part)
    return name


def blocks_of(tensor: Stored, count: int) -> list[Stored]:
    """Equal blocks of rows, each of which is read by itself."""
    if count == 1:
        return [tensor]
    if not tensor.shape or tensor.shape[0] % count:
        raise ValueError(f"{tensor.file}: {tensor.name} is {list(tensor.shape)}, expected {count} equal blocks of rows")
    rows = tensor.shape[0] // count
    shape = torch.Size((rows, *tensor.shape[1:]))
    spans = [range(start, start + rows) for start in range(0, rows * count, rows)]
    return [replace(tensor, shape=shape, source=Block(tensor.source, span)) for span in spans]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a tensor in a file. Slicing reads only the slice."""

    source: Any  # of the whole tensor, as in `Stored`
    rows: range

    def __getitem__(self, index: Any) -> Tensor:
        rows = self.rows if index is ... else self.rows[index]
        return self.source[rows if isinstance(rows, int) else slice(rows.start, rows.stop, rows.step)]
