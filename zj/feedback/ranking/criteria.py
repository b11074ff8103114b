"""Zhongjing, Table 2 as data: three dimensions, nine abilities, from the most important to the least."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("criteria.toml")
Words = dict[str, str]  # language ("zh", "en") -> text


@dataclass(frozen=True)
class Ability:
    key: str
    name: Words
    explanation: Words


@dataclass(frozen=True)
class Dimension:
    key: str
    name: Words
    abilities: tuple[Ability, ...]


def _read() -> tuple[Dimension, ...]:
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["dimensions"]
    return tuple(
        Dimension(row["key"], row["name"], tuple(Ability(**ability) for ability in row["abilities"])) for row in rows
    )


DIMENSIONS = _read()
DIMENSION_KEYS = tuple(dimension.key for dimension in DIMENSIONS)
ABILITY_KEYS = tuple(ability.key for dimension in DIMENSIONS for ability in dimension.abilities)
ADMISSION = {"zh": "抱歉，我不知道……", "en": "I'm sorry, I don't know …"}  # section 3: beyond the model's ability
