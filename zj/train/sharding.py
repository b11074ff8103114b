"""Sharding of a plain model over the ranks, from outside and only here.

FSDP2 keeps each weight as a DTensor, of which every rank holds some rows, and gathers a block when it is used.
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
    """Shard the weights of a model, and of heads that are trained with it, over the ranks.

    how: "zero2" shards weights at rest, gradients and optimizer state, and keeps the weights gathered from a forward
    pass to the end of its backward pass; "zero3" reshards each block in between; "none" replicates the model.
    The model computes in `compute`, gradients are averaged over the ranks in fp32. Trainable weights must be fp32.
    """
    if how == "none":
        return
    from torch.distributed.device_mesh import init_device_mesh  # takes a second to import
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if not dist.is_initialized():
        dist.init_process_group(BACKENDS[world.device.type], store=dist.HashStore(), rank=0, world_size=1)
    model._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(world.device))
    mesh = init_device_mesh(world.device.type, (world.size,))
    # Inputs come in `compute` from the embedding. To cast them, FSDP2 would copy the Packed for every block, without
    # what it has cached.
    mixed = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for part in (*model.model.layers, model):
        fully_shard(part, mesh=mesh, reshard_after_forward=how == "zero3", mp_policy=mixed)
    for head in heads:
        fully_shard(head, mesh=mesh)


@contextmanager
def gathered(model: Llama, how: str) -> Iterator[None]:
    """Context in which every rank has all weights: for generation, where ranks take different numbers of steps.

    No training and no `torch.inference_mode` inside.
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
    """Sum the gradients of replicated weights over the ranks."""
    if world.size > 1:
        for parameter in parameters:
            if parameter.grad is not None and not is_sharded(parameter):
                dist.all_reduce(parameter.grad)
