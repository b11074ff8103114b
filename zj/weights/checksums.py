"""Checksums beside the weights, as `sha256sum` writes and checks them: a byte that flipped is named, not trained on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .sharded import my_share

SUMS = "SHA256SUMS"


def write_sums(listing: Path, files: Mapping[str, Path]) -> None:
    """List the checksums of the files by the names that they will have."""
    found = _digests(files.values())
    listing.write_text("".join(f"{found[file]}  {name}\n" for name, file in files.items()), encoding="utf-8")


def check_sums(directory: Path) -> None:
    """Compare the files of a directory with its SHA256SUMS, if it has one. Of several ranks each checks a share.

    ValueError names the file that is not what it was, or is absent. Reads all of them: seconds for 10 GB.
    """
    listing = directory / SUMS
    if not listing.is_file():
        return
    expected = _read_sums(listing)
    found = _digests(my_share(list(expected)))
    for file, digest in found.items():
        if digest != expected[file]:
            raise ValueError(f"{file}: damaged, its checksum is not the one in {SUMS} (meant so? remove {SUMS})")


def _read_sums(listing: Path) -> dict[Path, str]:
    found = {}
    for number, line in enumerate(listing.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        row = re.fullmatch(r"([0-9a-f]{64}) [ *](?:\./)?([^/]+)", line)
        if row is None and not line.strip():
            continue
        if row is None:
            raise ValueError(f"{listing}:{number}: expected a line of sha256sum, for a file of this directory")
        found[listing.parent / row[2]] = row[1]
    absent = [file for file in found if not file.is_file()]
    if absent:
        raise ValueError(f"{listing}: names {len(found)} files, {len(absent)} of them absent, first {absent[0].name}")
    return found


def _digests(files: Iterable[Path]) -> dict[Path, str]:
    files = list(files)
    with ThreadPoolExecutor() as threads:
        return dict(zip(files, threads.map(file_digest, files), strict=True))


def file_digest(file: Path) -> str:
    """SHA-256 of a file's contents."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(1 << 18):
            digest.update(block)
    return digest.hexdigest()
