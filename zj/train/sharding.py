"""How a model is spread over the ranks. It is put on a plain model from the outside, here and nowhere else.

FSDP2 keeps each weight as a DTensor, of which every rank holds some rows, and makes a block whole where it is used.
Source: Rajbhandari et al. 2020, "ZeRO" (stages 2 and 3); Zhao et al. 2023, "PyTorch FSDP".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from zj.model import Llama
from zj.weights.sharded import is_sharded

from .distributed import BACKENDS, World


def shard(model: Llama, heads: Iterable[nn.Module], how: str, compute: torch.dtype, world: World) -> None:
    """Spread the weights of a model, and of heads that are trained with it, over the ranks.

    how: "zero2" shards weights at rest, gradients and optimizer state, and keeps the weights whole from a forward pass
    to the end of its backward pass; "zero3" lets go of each block in between; "none" leaves every rank its own copy.
    The model computes in `compute`, gradients are averaged over the ranks in fp32. Trainable weights have to be fp32.
    """
    if how == "none":
        return
    from torch.distributed.device_mesh import init_device_mesh  # takes a second to import, which only these runs need
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if not dist.is_initialized():
        dist.init_process_group(BACKENDS[world.device.type], store=dist.HashStore(), rank=0, world_size=1)
    model._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(world.device))
    mesh = init_device_mesh(world.device.type, (world.size,))
    mixed = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    for part in (*model.model.layers, model):
        fully_shard(part, mesh=mesh, reshard_after_forward=how == "zero3", mp_policy=mixed)
    for head in heads:
        fully_shard(head, mesh=mesh)


@contextmanager
def gathered(model: Llama, how: str) -> Iterator[None]:
    """In here every rank holds all weights: for generation, in which one rank may take more steps than another.

    Nothing may be trained inside, and `torch.inference_mode` not be used.
    """
    parts = [] if how == "none" else [model, *model.model.layers]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(how == "zero3", recurse=False)


def add_gradients(parameters: Iterable[Tensor], world: World) -> None:
    """Add up over the ranks the gradients of weights of which every rank has its own copy."""
    if world.size > 1:
        for parameter in parameters:
            if parameter.grad is not None and not is_sharded(parameter):
                dist.all_reduce(parameter.grad)
