"""The words of the pages in Chinese and English."""

from __future__ import annotations

import tomllib
from pathlib import Path

LANGUAGES = ("zh", "en")
STRINGS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("strings.toml").read_text(encoding="utf-8")
)  # language → key → text; a test holds that all languages have the same keys


def preferred_language(accepted: str) -> str:
    """From a browser's Accept-Language header: Chinese if it stands first, else English."""
    return "zh" if accepted.lower().lstrip().startswith("zh") else "en"
