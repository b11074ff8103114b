"""Delta weights: a model published as its difference to a base model. target = base + delta.

Two kinds were published. Ziya-LLaMA-13B and HuatuoGPT-13B keep embedding and head whole, since their vocabulary is
another. Vicuna (FastChat) subtracts all tensors; rows that the base lacks were subtracted from zeros. A delta does not
say which kind it is, and the wrong one gives a model that babbles. The rows tell: those of a whole embedding are as
long as the base's, those of a difference far shorter. That `base` is the very model that was subtracted cannot be told
in general: one of the same shape is refused only if the sum has no gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .checksums import check_sums
from .families import open_family
from .huggingface import EMBEDDING, HEAD, SHARD_BYTES, check_network, is_delta, refuse_delta, shapes_of, write_llama
from .tensors import Sliceable, Stored

Kind = Literal["embeddings whole", "embeddings added"]
DIFFERENCE, WHOLE = 0.25, 0.6  # length of a row / that of the base's row: below the first, above the second
OPPOSED = -0.4  # median cosine of rows with the base's, below which they are differences


def apply_delta(
    base: str | Path,
    delta: str | Path,
    out: str | Path,
    max_shard_bytes: int = SHARD_BYTES,
    special_ids: tuple[int, int] | None = None,
) -> Kind:
    """target = base + delta, in fp32, rounded to the delta's dtype; returns what was done with embedding and head.

    Reads and writes model directories, a shard at a time. `special_ids`: bos and eos id for the written config (None:
    the delta's). Raises ValueError if the two do not belong together, if `base` is a delta or `delta` is none, if the
    kind of the delta cannot be told, and for numbers that are not finite.
    """
    (config, delta_tensors), (base_config, base_tensors) = open_family(delta), open_family(base)
    check_network(delta_tensors, config, Path(delta))
    check_network(base_tensors, base_config, Path(base))
    for directory in (base, delta):
        check_sums(Path(directory))
    refuse_delta(base_tensors, Path(base))
    if not is_delta(delta_tensors):
        raise ValueError(f"{delta}: not delta weights but a whole model already, its norm weights are gains")
    kind = kind_of(base_tensors, delta_tensors, Path(delta))
    for name in (EMBEDDING, HEAD):
        if kind == "embeddings whole" and name in delta_tensors and name in base_tensors:
            _refuse_reordered(base_tensors[name], delta_tensors[name])
    target: dict[str, Sliceable] = {}
    for name in shapes_of(config):
        delta_tensor = delta_tensors[name]
        copied = name in (EMBEDDING, HEAD) and kind == "embeddings whole"
        target[name] = delta_tensor if copied else _Sum(_counterpart(base_tensors, delta_tensors, name), delta_tensor)
    if is_delta(target):
        raise ValueError(f"{delta}: added to {base} it gives no model: the norm weights of the sum are no gains")
    write_llama(Path(out), config, target, max_shard_bytes, special_ids=special_ids)
    return kind


def kind_of(base: Mapping[str, Sliceable], delta: Mapping[str, Sliceable], path: Path) -> Kind:
    """Whether the delta's embedding and head are whole or differences, by the length of their rows.

    ValueError if they are neither clearly, or one is whole and the other a difference.
    """
    both = [name for name in (EMBEDDING, HEAD) if name in base and name in delta]  # a tied head is not stored
    lengths = {name: _relative_length(base[name], delta[name]) for name in both}
    if all(length > WHOLE for length in lengths.values()):
        return "embeddings whole"
    if all(length < DIFFERENCE for length in lengths.values()):
        return "embeddings added"
    found = ", ".join(f"{name} {length:.2g}" for name, length in lengths.items())
    raise ValueError(
        f"{path}: cannot tell whether embedding and head are whole or differences: rows of {found} times the length of "
        f"the base's, expected all above {WHOLE} (whole) or all below {DIFFERENCE} (differences)"
    )


def _refuse_reordered(base: Stored, delta: Stored) -> None:
    """ValueError for long rows that are differences all the same: of a vocabulary in another order than the base's.

    Row i is then target[j] - base[i], whose cosine with base[i] is about -0.7; that of a whole row is 0 or more.
    """
    rows = slice(min(base.shape[0], delta.shape[0]))
    cosine = float(cosine_similarity(delta[rows].float(), base[rows].float()).median())
    if cosine < OPPOSED:
        raise ValueError(
            f"{delta.file}: rows of {delta.name} point away from those of {base.file} (cosine {cosine:.2f}): they are "
            "differences to a vocabulary in another order, or to another base"
        )


def _relative_length(base: Sliceable, delta: Sliceable) -> float:
    """Median over the rows that both have of the length of the delta's row / that of the base's."""
    rows = slice(min(base.shape[0], delta.shape[0]))
    of_base, of_delta = (tensor[rows].float().norm(dim=1).median() for tensor in (base, delta))
    return float(of_delta / of_base)


@dataclass(frozen=True)
class _Sum:
    base: Stored
    delta: Stored

    @property
    def shape(self) -> torch.Size:
        return self.delta.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.delta.dtype

    def __getitem__(self, rows: Any) -> Tensor:
        """These rows, a slice, or all of them (...); those that the base lacks, which are the last, are the delta's."""
        delta, base = self.delta[rows].float(), self.base[rows].float()
        return torch.cat([base + delta[: len(base)], delta[len(base) :]]).to(self.dtype)


def _counterpart(base_tensors: Mapping[str, Stored], delta_tensors: Mapping[str, Stored], name: str) -> Stored:
    base, delta = base_tensors.get(name), delta_tensors[name]
    # only the rows of a vocabulary may be more than the base's
    rows = delta.shape[0] if base is None or name not in (EMBEDDING, HEAD) else min(base.shape[0], delta.shape[0])
    if base is None or base.shape != (rows, *delta.shape[1:]):
        shape = "absent" if base is None else list(base.shape)
        raise ValueError(f"{delta.file}: {name}: {shape} in the base, {list(delta.shape)} in the delta: not its base")
    return base
