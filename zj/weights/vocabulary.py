"""Another vocabulary for a model: a row of embedding and head for each id of the new tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .huggingface import EMBEDDING, HEAD, open_llama, write_llama
from .tensors import Sliceable


def extend_vocabulary(
    path: str | Path, rows: Sequence[Sequence[int]], out: str | Path, special_ids: tuple[int, int] | None = None
) -> None:
    """Write the model of a directory with a row for each item of `rows`: the mean of these rows of the old one.

    The start of Chinese-LLaMA's and Ziya's kind: a new piece begins as the mean of the pieces that it replaces.
    `special_ids`: bos and eos of the new tokenizer. Raises ValueError as `load_llama` does.
    """
    config, weights = open_llama(path)
    for name in (EMBEDDING, HEAD):
        if name in weights:  # a tied head is not stored
            weights[name] = _means(weights[name], rows)
    write_llama(Path(out), replace(config, vocab_size=len(rows)), weights, special_ids=special_ids)


def _means(old: Sliceable, rows: Sequence[Sequence[int]]) -> Tensor:
    """[len(rows), D], computed in fp32."""
    starts = torch.tensor([0, *map(len, rows)]).cumsum(0)[:-1]
    ids = torch.tensor([id for row in rows for id in row])
    exact = torch.promote_types(old.dtype, torch.float32)
    return embedding_bag(ids, old[...].to(exact), starts, mode="mean").to(old.dtype)
