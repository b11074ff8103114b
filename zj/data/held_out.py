"""Text of a question → its position in [0, 1), by a hash: which side of a split it is on, and the order of validation.

The record's id is not used: where it is a row number, answers to one question would be on both sides of a split.
`zj.data.batching.split` applies this to records.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b


def normalised(text: str) -> str:
    """Text without differences of typing: width, case, white space, punctuation, invisible characters.

    "您好，医生！" and "您好 , 医生" become equal. Text of punctuation alone ("？？") is unchanged.
    """
    if _PLAIN.fullmatch(text):  # most Chinese text, in a fraction of the time
        return "".join(_RUNS.findall(text)).lower() or text
    return _fold(text) or text


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).lower().translate(_FOLD)
    return unicodedata.normalize("NFKC", folded)  # again: removal may have joined characters


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


# Characters that join no neighbour, and that folding removes or leaves as they are but for case: most of ASCII, of the
# punctuation of Chinese, and its ideographs. So each of them can be folded by itself.
_RANGES = ((0, 0x7F), (0xA1, 0xBF), (0x3B1, 0x3C9), (0x2010, 0x2027), (0x3000, 0x3029), (0xFF01, 0xFF5E))
_SINGLE = [chr(code) for first, last in _RANGES for code in range(first, last + 1)]
_IGNORED = "".join(re.escape(c) for c in _SINGLE if not _fold(c))
_KEPT = "".join(re.escape(c) for c in _SINGLE if _fold(c) == c.lower()) + "\u4e00-\u9fff"
_RUNS, _PLAIN = re.compile(f"[{_KEPT}]+"), re.compile(f"[{_KEPT}{_IGNORED}]*+")
