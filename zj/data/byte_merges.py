"""Ranks of byte-level BPE → the tokenizer.json of other programs, which lists merges instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tokenizer_json(ranks: Mapping[bytes, int], added: Mapping[str, int], words: str) -> dict[str, Any]:
    """words: the regular expression that cuts a text before its bytes are joined. Text is NFC first."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    letters = _letters()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [_halves(ranks, token, rank) for token, rank in sorted(ranks.items(), key=lambda item: item[1])]
    split = {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}
    as_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": name} | flags for name, id in added.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, as_bytes]},
        "post_processor": None,
        "decoder": as_bytes,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {spelled(token): rank for token, rank in ranks.items()},
            "merges": [[spelled(left), spelled(right)] for left, right in filter(None, merges)],
        },
    }


def _halves(ranks: Mapping[bytes, int], token: bytes, rank: int) -> tuple[bytes, bytes] | None:
    """The two tokens that are joined to this one: what all better ranks make of its bytes. None for a byte."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, rank) for left, right in zip(parts, parts[1:], strict=False)]
        at = pairs.index(min(pairs))
        if pairs[at] >= rank:
            raise ValueError(f"token {token!r} of rank {rank} is not made of two tokens of better ranks")
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _letters() -> dict[int, str]:
    """Byte -> the letter that stands for it in tokenizer.json: itself where it is printed, else one from U+0100 on."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printed)
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + n) for n, byte in enumerate(others)}
