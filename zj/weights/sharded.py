"""What a tensor of a model that is sharded over ranks is to this rank. A plain tensor is all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds only some of its rows: a DTensor, which is told by its name for taking long to import."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all its rows. Every rank has to ask for it."""
    return cast(Any, tensor).full_tensor() if is_sharded(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The rows that this rank holds; what is written into them is written into the tensor."""
    return cast(Any, tensor).to_local() if is_sharded(tensor) else tensor


def reshard(module: nn.Module) -> None:
    """Put weights that a forward pass has made whole, rounded to the dtype it computes in, back to what is stored."""
    for part in module.modules():
        if hasattr(part, "reshard"):
            cast(Any, part).reshard()


def my_rows(tensor: Tensor) -> slice:
    """Which rows of the whole tensor these are."""
    if not is_sharded(tensor):
        return slice(None)
    mesh = cast(Any, tensor).device_mesh
    each = -(-len(tensor) // mesh.size())  # as torch.chunk cuts, and so FSDP2
    start = min(each * mesh.get_local_rank(), len(tensor))
    return slice(start, start + len(local(tensor)))


def my_share(things: Sequence[T]) -> Sequence[T]:
    """Those that this rank deals with, where any rank could."""
    ranks = dist.is_available() and dist.is_initialized()
    return things[dist.get_rank() :: dist.get_world_size()] if ranks else things
