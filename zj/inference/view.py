"""A second module tree over the same weights: how a fast path is added to a network from outside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


def view(module: M, replace: Callable[[nn.Module], nn.Module | None]) -> M:
    """A copy of the module tree that shares every weight; `replace` gives the parts that differ (None: a plain copy).

    The module tree and its numbers are unchanged, so that other forward passes may run between two tokens.
    """
    if (replacement := replace(module)) is not None:
        return cast(M, replacement)
    twin = copy.copy(module)
    twin.__dict__.pop("forward", None)  # of compiled blocks, which do not compile a pass with a cache
    twin._modules = {name: part and view(part, replace) for name, part in module._modules.items()}
    return twin
