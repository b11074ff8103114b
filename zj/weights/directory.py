"""What stands where a flag names the directory of a model or of an adapter."""

from __future__ import annotations

from pathlib import Path

RESULTS = ("config.json", "adapter_config.json")  # the last file of a result to be written


def check_directory(flag: str, path: str | Path) -> None:
    """ValueError, naming the flag, if the directory is absent, or that of a run that has no result yet."""
    folder = Path(path)
    if not folder.is_dir():
        raise ValueError(f"{flag} {path}: no such directory")
    if (folder / "config.toml").is_file() and not any((folder / name).is_file() for name in RESULTS):
        best = f", or take {folder / 'best'}" if (folder / "best").is_dir() else ""
        raise ValueError(f"{flag} {path}: an unfinished run; go on with it by the command that began it{best}")
