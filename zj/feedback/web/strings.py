"""The words of the pages in Chinese and English; both languages have the same keys, none of them empty."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("strings.toml")


def read_strings(file: Path = FILE) -> dict[str, dict[str, str]]:
    """Language ("zh", "en") → key → text. ValueError if a key has a text in one language alone."""
    strings = tomllib.loads(file.read_text(encoding="utf-8"))
    keys = [{key for key, text in texts.items() if text} for texts in strings.values()]
    alone = sorted(set.union(*keys) - set.intersection(*keys))
    if alone:
        raise ValueError(f"{file}: found no text in one of the languages for {', '.join(alone)}")
    return strings


STRINGS = read_strings()
