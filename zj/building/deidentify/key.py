"""The key of the surrogates: from the environment, so that a run can be repeated, or drawn and forgotten."""

from __future__ import annotations

import hashlib
import os
import secrets

KEY = "ZJ_DEIDENTIFY_KEY"
SHORTEST = 16  # characters


def key_is_given() -> bool:
    return bool(os.environ.get(KEY))


def key_of_run() -> bytes:
    """32 bytes. Without a key in the environment they are drawn, and nobody can link two outputs.

    Raises ValueError, without the key, if it is short.
    """
    key = os.environ.get(KEY, "")
    if not key:
        return secrets.token_bytes(32)
    if len(key) < SHORTEST:
        raise ValueError(f"{KEY}: found {len(key)} characters, expected at least {SHORTEST}")
    return hashlib.sha256(key.encode()).digest()
