"""Ranks that only seem to be there: collectives return at once, and nothing arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist

from zj.train import World


@contextmanager
def first_of(ranks: int) -> Iterator[World]:
    """The first of so many ranks, on the CPU."""
    store = pytest.importorskip("torch.testing._internal.distributed.fake_pg").FakeStore()
    dist.init_process_group("fake", store=store, rank=0, world_size=ranks)
    yield World(0, ranks, torch.device("cpu"))
    dist.destroy_process_group()
