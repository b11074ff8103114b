"""Checksums of the weights in the format of `sha256sum`: a damaged file is an error that names it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .sharded import rank_share

SUMS = "SHA256SUMS"
MOST_BYTES = 1 << 20  # of a listing: a model has some hundreds of files


def write_sums(listing: Path, files: Mapping[str, Path]) -> None:
    """List the checksums of files; the keys are their final names."""
    digests = _digests(files.values())
    listing.write_text("".join(f"{digests[file]}  {name}\n" for name, file in files.items()), encoding="utf-8")


def check_sums(directory: Path, share: bool = True) -> None:
    """Compare the files of a directory with its SHA256SUMS, if it has one; each rank its share, or one rank all.

    ValueError names a file that has changed or is absent. Reads all files: seconds for 10 GB.
    """
    listing = directory / SUMS
    if not listing.is_file():
        return
    expected = _read_sums(listing)
    digests = _digests(rank_share(list(expected)) if share else expected)
    for file, digest in digests.items():
        if digest != expected[file]:
            raise ValueError(f"{file}: damaged, its checksum is not the one in {SUMS} (meant so? remove {SUMS})")


def _read_sums(listing: Path) -> dict[Path, str]:
    sums = {}
    if listing.stat().st_size > MOST_BYTES:
        raise ValueError(f"{listing}: has {listing.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}")
    for number, line in enumerate(listing.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        row = re.fullmatch(r"([0-9a-f]{64}) [ *](?:\./)?([^/]+)", line)
        if row is None and not line.strip():
            continue
        if row is None:
            raise ValueError(f"{listing}:{number}: expected a line of sha256sum, for a file of this directory")
        sums[listing.parent / row[2]] = row[1]
    absent = [file for file in sums if not file.is_file()]
    if absent:
        raise ValueError(f"{listing}: names {len(sums)} files, {len(absent)} of them absent, first {absent[0].name}")
    return sums


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
