"""Text of a question → its position in [0, 1), by a hash: which side of a split it is on, and the order of validation.

The record's id is not used: where it is a row number, answers to one question would be on both sides of a split.
`zj.data.batching.split` applies this to records.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b


def normalised(text: str) -> str:
    """Text without differences of typing: width, case, white space, punctuation, invisible characters.

    "您好，医生！" and "您好 , 医生" become equal. Text of punctuation alone ("？？") is unchanged.
    """
    folded = unicodedata.normalize("NFKC", text).lower().translate(_FOLD)
    return unicodedata.normalize("NFKC", folded) or text  # again: removal may have joined characters


def hash_position(text: str) -> float:
    """A hash of the `normalised` text as a number in [0, 1), the same in every run."""
    digest = blake2b(normalised(text).encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: exact in a float


class _FoldTable(dict[int, int | None]):
    """Table for str.translate, filled as characters occur; None removes the character."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        category = unicodedata.category(character)
        # ~`^| are symbols to Unicode but typed like punctuation ("好的~"). <, >, + and = carry meaning and stay.
        ignored = category.startswith("P") or category in ("Cc", "Cf") or character.isspace() or character in "~`^|"
        self[code] = None if ignored else code
        return self[code]


_FOLD = _FoldTable()
