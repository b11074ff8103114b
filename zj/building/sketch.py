"""Texts with a MinHash sketch of each, in bounded memory: the texts lie in a file on disk, a sketch has 256 bytes.

Two texts are compared by their sets of character n-grams: their Jaccard similarity is the share of the n-grams of both
that both have. A slot of two sketches is equal with that probability (Broder 1997). To find similar texts without
comparing all pairs, a sketch is cut into bands of rows: texts that are equal in one band are candidates
(locality-sensitive hashing; Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from zj.building.spool import Spool

SLOTS = 128  # of a sketch
RECALL = 0.99  # least probability that two texts of just the threshold are candidates
BATCH = 2048  # texts that are sketched at a time
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication by it loses nothing


def bands_of(threshold: float) -> tuple[int, int]:
    """(bands, rows of each): the most rows for which the probability 1 - (1 - threshold^rows)^bands is `RECALL`.

    More rows give fewer candidates. ValueError below 0.1, where the slots do not suffice.
    """
    if not 0.1 <= threshold <= 1:
        raise ValueError(f"--threshold is {threshold}, expected 0.1 to 1")
    fits = [rows for rows in range(1, SLOTS + 1) if 1 - (1 - threshold**rows) ** (SLOTS // rows) >= RECALL]
    return SLOTS // fits[-1], fits[-1]


def grams(text: str, n: int) -> set[str]:
    """The n-grams of characters of a text; a shorter text is one."""
    return {text[at : at + n] for at in range(max(1, len(text) - n + 1))}


def jaccard(a: set[str], b: set[str]) -> float:
    common = len(a & b)
    return common / (len(a) + len(b) - common)


class Texts(Spool):
    """Texts on disk with `sketches` [texts, SLOTS] and `digests` [texts], of whole texts."""

    def __init__(self, texts: Iterable[str], ngram: int, seed: int = 0, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.ngram = ngram
        texts, digests = iter(texts), array("Q")
        with tempfile.TemporaryFile(dir=folder) as sketches:
            while batch := list(islice(texts, BATCH)):
                for text in batch:
                    self.append(text)
                    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                    digests.append(int.from_bytes(digest, "little"))
                sketches.write(sketch(batch, ngram, seed).tobytes())
            sketches.seek(0)
            self.sketches = np.fromfile(sketches, dtype=np.uint16).reshape(-1, SLOTS)
        self.digests = np.frombuffer(digests, dtype=np.uint64)

    def grams(self, number: int) -> set[str]:
        return grams(self[number], self.ngram)


def sketch(texts: Iterable[str], ngram: int, seed: int = 0) -> np.ndarray:
    """MinHash sketches [texts, SLOTS] of the n-grams of each text, 16 bits of each slot.

    Raises ValueError if rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise ValueError("near repeats need rensa: pip install 'zj[data]'") from None
    hashes, ends = _gram_hashes([text.ljust(ngram, "\0") for text in texts], ngram)
    rows: Any = RMinHash.digest_matrix_from_flat_token_hashes(hashes, ends, SLOTS, seed).to_rows()
    return (
        np.fromiter(chain.from_iterable(rows), np.uint32, SLOTS * (len(ends) - 1)).astype(np.uint16).reshape(-1, SLOTS)
    )


def _gram_hashes(texts: list[str], ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """(hashes of all n-grams, text by text; where each text's begin, and the end)."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    hashes = np.zeros(len(codes) - ngram + 1, np.uint64)
    for at in range(ngram):
        hashes = mixed(hashes ^ codes[at : len(hashes) + at])
    lengths = np.array([len(text) for text in texts])
    of_text = np.repeat(np.cumsum(lengths), lengths)[: len(hashes)]  # where the text of each n-gram ends
    inside = np.arange(len(hashes)) + ngram <= of_text  # an n-gram does not reach into the next text
    return hashes[inside], np.concatenate([[0], np.cumsum(lengths - ngram + 1)]).astype(np.uint64)


def mixed(values: np.ndarray) -> np.ndarray:
    """Hashes of 64-bit values: a permutation of them."""
    values = values * _MIX
    values ^= values >> np.uint64(32)
    return values * _MIX


def shared_bands(sketches: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(texts, group of each) of each band, of the texts that are equal to another text in that band."""
    bands, rows = bands_of(threshold)
    groups = 0
    for band in range(bands):
        keys = np.zeros(len(sketches), np.uint64)
        for slot in range(band * rows, (band + 1) * rows):
            keys = mixed(keys ^ sketches[:, slot].astype(np.uint64))
        order = np.argsort(keys, kind="stable").astype(np.int32)
        same = keys[order[1:]] == keys[order[:-1]]
        begins, shared = np.append(True, ~same), np.append(False, same) | np.append(same, False)
        group = np.cumsum(begins & shared)[shared].astype(np.int32)
        yield order[shared], group + groups - 1
        groups += int(group[-1]) if len(group) else 0
