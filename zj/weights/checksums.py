"""Checksums of a model directory in the format of `sha256sum`: a damaged file is an error that names it.

Listed are the weights and the small files that decide what they compute: config, adapter, tokenizer, prompt format.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .sharded import rank_share

SUMS = "SHA256SUMS"
MOST_BYTES = 1 << 20  # of a listing: a model has some hundreds of files
SETTINGS = (
    *("config.json", "adapter_config.json", "base.json", "reward.json", "template.json"),
    *("tokenizer.model", "added_tokens.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    *("qwen.tiktoken", "special_tokens_map.json", "vocab.json", "merges.txt"),
)


def write_sums(listing: Path, files: Mapping[str, Path]) -> None:
    """List the checksums of files; the keys are their final names."""
    digests = _digests(files.values())
    _write(listing, {name: digests[file] for name, file in files.items()})


def _write(listing: Path, digests: Mapping[str, str]) -> None:
    listing.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()), encoding="utf-8")


def add_settings(directory: Path) -> None:
    """List the small files of a directory in its SHA256SUMS as they are now. The lines of other files stay."""
    listing, draft = directory / SUMS, directory / f".writing-{SUMS}"
    files = [directory / name for name in SETTINGS if (directory / name).is_file()]
    sums = {file: digest for file, digest in _read_sums(listing).items() if file.name not in SETTINGS}
    _write(draft, {file.name: digest for file, digest in (sums | _digests(files)).items()})
    os.replace(draft, listing)


def check_sums(directory: Path, share: bool = True) -> None:
    """Compare the files of a directory with its SHA256SUMS, if it has one; each rank its share, or one rank all.

    ValueError names a file that has changed or is absent. Reads all files: seconds for 10 GB.
    """
    expected = _read_sums(directory / SUMS)
    _check(expected, rank_share(list(expected)) if share else expected)


def check_settings(directory: Path) -> None:
    """`check_sums` for the small files alone, on every rank: before they are read."""
    expected = _read_sums(directory / SUMS)
    _check(expected, [file for file in expected if file.name in SETTINGS])


def _check(expected: Mapping[Path, str], files: Iterable[Path]) -> None:
    for file, digest in _digests(files).items():
        if digest != expected[file]:
            found = "changed since it was written" if file.name in SETTINGS else "damaged"
            raise ValueError(
                f"{file}: {found}, its checksum is not the one in {SUMS} (meant so? remove its line there)"
            )


def _read_sums(listing: Path) -> dict[Path, str]:
    """Digests of the listed files, all of which are there. {} without a listing."""
    sums: dict[Path, str] = {}
    if not listing.is_file():
        return sums
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
        raise ValueError(
            f"{listing}: names {len(sums)} files, {len(absent)} of them absent, first {absent[0].name} "
            "(meant so? remove its line)"
        )
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
