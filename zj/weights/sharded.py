"""A rank's view of the tensors of a sharded model. A plain tensor is whole on every rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds only some rows: a DTensor, recognised by a method, since the class imports slowly."""
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Tensor) -> Tensor:
    """The tensor with all its rows. A collective operation: every rank has to call it."""
    return cast(Any, tensor).full_tensor() if is_sharded(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The rows of this rank; they share memory with the tensor."""
    return cast(Any, tensor).to_local() if is_sharded(tensor) else tensor


def has_fsdp(module: nn.Module) -> bool:
    """Whether FSDP2 shards the module, also while its weights are whole. Such modules cannot be copied."""
    return hasattr(module, "reshard")


def reshard(module: nn.Module) -> None:
    """Drop the gathered weights of a forward pass, which are rounded to its dtype: the stored shards are exact."""
    for part in module.modules():
        if has_fsdp(part):
            cast(Any, part).reshard()


def rank_rows(tensor: Tensor) -> slice:
    """The rows of the whole tensor that this rank holds."""
    if not is_sharded(tensor):
        return slice(None)
    mesh = cast(Any, tensor).device_mesh
    rows_per_rank = -(-len(tensor) // mesh.size())  # as torch.chunk cuts, and so FSDP2
    start = min(rows_per_rank * mesh.get_local_rank(), len(tensor))
    return slice(start, start + len(local(tensor)))


def rank_share(items: Sequence[T]) -> Sequence[T]:
    """This rank's part of work that any rank could do."""
    ranks = dist.is_available() and dist.is_initialized()
    return items[dist.get_rank() :: dist.get_world_size()] if ranks else items
