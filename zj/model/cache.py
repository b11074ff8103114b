"""Keys and values of earlier tokens, kept while a sequence is being generated."""

from __future__ import annotations


class Cache:
    pass
