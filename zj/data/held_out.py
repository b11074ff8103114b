"""What is asked → on which side of a split it stands, and in which order validation looks at it. It knows texts only.

A record's own id decides nothing: it may be a row number, or one name for all rows, and then the three answers to one
question would stand on both sides. What is asked decides, however it is typed. `zj.data.batching.split` applies this
to records.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b


def normalised(text: str) -> str:
    """Text without what typing it another way changes: width, case, white space, punctuation, invisible characters.

    "您好，医生！" and "您好 , 医生" become one. Text that is nothing else ("？？") stays as it is.
    """
    kept = unicodedata.normalize("NFKC", text).lower().translate(_KEPT)
    return unicodedata.normalize("NFKC", kept) or text  # again: what was apart may now stand together


def place(text: str) -> float:
    """Where a text falls between 0 and 1, by a hash of it as `normalised`: the same in any run and beside any other."""
    found = blake2b(normalised(text).encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(found, "big") >> 11) / 2**53  # the 53 bits that a float keeps exactly


class _Kept(dict[int, int | None]):
    """A table for str.translate that looks up each character once; None leaves it out."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        category = unicodedata.category(character)
        # The last four are marks of typing as well ("好的~"), but symbols to Unicode. <, >, + and = say something.
        unsaid = category.startswith("P") or category in ("Cc", "Cf") or character.isspace() or character in "~`^|"
        self[code] = None if unsaid else code
        return self[code]


_KEPT = _Kept()
