"""The table of conventions, `presets.toml`, and the signature that names one with its figure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

DISTRIBUTIONS = {"rouge_score": "rouge-score", "rouge_chinese": "rouge-chinese"}  # where the module has another name


@dataclass(frozen=True)
class Measure:
    """Figures that share a formula and a convention; fields as in `presets.toml`."""

    names: tuple[str, ...]
    formula: str
    tokens: str
    smoothing: str
    level: Literal["corpus", "mean"]
    scale: float
    empty: str
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    about: str
    measures: tuple[Measure, ...]


def signature(measure: Measure, answers: int, clusters: int, empty: Mapping[str, int]) -> str:
    """One line that says how a figure was computed, in the manner of sacrebleu's; `empty` counts answers by system."""
    versions = [f"{name} {version(DISTRIBUTIONS.get(name, name))}" for name in measure.libraries] or ["zj's own"]
    parts = {
        "tokens": measure.tokens,
        "smoothing": measure.smoothing,
        "level": "mean of answers" if measure.level == "mean" else "corpus",
        "scale": f"0-{measure.scale:g}",
        "normalisation": "lower case, no accents" if measure.tokens.startswith("BERT") else "none",
        "by": " + ".join(versions),
        "n": f"{answers} answers in {clusters} dialogues",
        "empty answers": ", ".join(f"{name} {count}" for name, count in empty.items()) + f" ({measure.empty})",
    }
    return " | ".join(f"{name}: {value}" for name, value in parts.items())


def _read() -> dict[str, Preset]:
    table = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    return {
        name: Preset(
            preset["about"],
            tuple(
                Measure(**row | {"names": tuple(row["names"]), "libraries": tuple(row["libraries"])})
                for row in preset["metrics"]
            ),
        )
        for name, preset in table.items()
    }


PRESETS = _read()
