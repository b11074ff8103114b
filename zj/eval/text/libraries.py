"""The metric libraries of the extra [eval], imported where they are used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def library(module: str) -> ModuleType:
    """ValueError, one line that names the extra, where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise ValueError(f"--preset: {name} is not installed: pip install -e '.[eval]'") from None
