"""The words of the pages in Chinese and English."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("strings.toml")
LANGUAGES = ("zh", "en")


def read_strings(file: Path = FILE) -> dict[str, dict[str, str]]:
    """Language → key → text. ValueError if a key has no text in one of the languages."""
    strings = tomllib.loads(file.read_text(encoding="utf-8"))
    keys = [{key for key, text in strings[language].items() if text} for language in LANGUAGES]
    alone = sorted(keys[0] ^ keys[1])
    if alone:
        raise ValueError(f"{file}: found no text in one of the languages for {', '.join(alone)}")
    return strings


STRINGS = read_strings()


def preferred_language(accepted: str) -> str:
    """From a browser's Accept-Language header: Chinese if it stands first, else English."""
    return "zh" if accepted.lower().lstrip().startswith("zh") else "en"
