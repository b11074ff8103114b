"""What a SentencePiece model file says of itself beyond what the library tells: a protocol buffer, read by field.

Field numbers: sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # kinds of pieces
BPE = 2
# A message that follows another is merged into it: normalizer_spec.add_dummy_prefix = false.
WITHOUT_PREFIX = b"\x1a\x02\x18\x00"


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """A serialized ModelProto."""

    proto: bytes

    @cached_property
    def pieces(self) -> list[Piece]:
        """All pieces; the index is the id."""
        found = []
        for number, message in _fields(self.proto):
            if number == 1:
                piece = dict(_fields(message))
                found.append(Piece(piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, 1)))
        return found

    @cached_property
    def kind(self) -> int:
        """The kind of model: BPE, or 1 unigram, 3 word, 4 character."""
        return self._spec(2).get(3, 1)

    @cached_property
    def normalizer(self) -> tuple[bytes, bool, bool]:
        """(character map, whether a space is put before a text, whether surplus spaces are removed)."""
        spec = self._spec(3)
        return spec.get(2, b""), bool(spec.get(3, 1)), bool(spec.get(4, 1))

    def same_ids(self, other: SentencePieceModel) -> bool:
        """Whether both give every text the same ids."""
        return (self.kind, self.normalizer, self.pieces) == (other.kind, other.normalizer, other.pieces)

    def _spec(self, number: int) -> dict:
        return {key: value for n, message in _fields(self.proto) if n == number for key, value in _fields(message)}


def _fields(message: bytes) -> Iterator[tuple]:
    """(number, value) of every field: an int, or the bytes of a string, a message or a float."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        else:
            size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            yield key >> 3, message[at : at + size]
            at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """(number, index behind it): seven bits a byte, the lowest first; the top bit says that more follow."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
