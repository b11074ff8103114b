"""Paths of --data → data files. A folder stands for the data files in it and below it, as a hub lays it out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Paths = str | Path | Iterable[str | Path]

SUFFIXES = (".json", ".jsonl", ".ndjson", ".txt", ".tsv", ".csv", ".parquet", ".xlsx")
PACKED = (".gz", ".bz2", ".xz")  # behind one of SUFFIXES
# Settings and pages of a data set's folder, by their names; all else without one of SUFFIXES is passed over as well.
SETTINGS: tuple[str, ...] = (
    "dataset_info",
    "dataset_dict.json",
    "state.json",
    "config.json",
    "metadata.json",
    "croissant.json",
)
SETTINGS = (*SETTINGS, "readme", "license", "requirements", "changelog", "citation")
CACHES = ("__pycache__", "cache")


def files_of(paths: Paths) -> list[Path]:
    """The data files of these paths, in their order. Raises ValueError if a path has none."""
    return find_files(paths)[0]


def find_files(paths: Paths) -> tuple[list[Path], list[Path]]:
    """(data files, files of folders that were passed over). A folder's files come sorted by name."""
    files: list[Path] = []
    passed_over: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if path.is_dir():
            inside = _walk(path)
            data = [file for file in inside if _is_data(file.relative_to(path))]
            others = [file for file in inside if file not in set(data)]
            if not data:
                there = f", only {_names(others)}" if others else ""
                raise ValueError(f"--data {path}: found no {', '.join(SUFFIXES)} in the directory{there}")
            files += data
            passed_over += others
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"--data {path}: no such file or directory")
    if not files:
        raise ValueError("--data: found no file, expected at least one")
    return files, passed_over


def suffix(path: Path) -> str:
    """The suffix of the file, in lower case, without that of its compression."""
    name = path.name.lower()
    return Path(next((name.removesuffix(end) for end in PACKED if name.endswith(end)), name)).suffix


def _walk(folder: Path) -> list[Path]:
    """The files in the folder and below, also behind links; a folder that is reached twice is read once."""
    files: list[Path] = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        files += [Path(root) / name for name in names]
    return sorted(files)


def _is_data(path: Path) -> bool:
    hidden = any(part.startswith((".", "_")) or part.lower() in CACHES for part in path.parts)
    return not hidden and suffix(path) in SUFFIXES and not path.name.lower().startswith(SETTINGS)


def _names(files: list[Path]) -> str:
    shown = ", ".join(file.name for file in files[:3])
    return shown + (f" and {len(files) - 3} more" if len(files) > 3 else "")
