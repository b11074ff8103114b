"""Prompts as data: a template with fields, and the inverse that reads the fields of a rendered prompt."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

FIELD = re.compile(r"\{(\w+)\}")
FULL_WIDTH = str.maketrans("[]*:#", "［］＊：＃")


@dataclass(frozen=True)
class Template:
    """marks: texts that begin or end a section. In what is filled in they become full-width, so it ends no section.

    So do their imitations (`_loosely`); in other words, a text can still claim anything.
    """

    text: str
    marks: tuple[str, ...] = ()

    def fill(self, **values: str) -> str:
        """The text with its fields filled. What is filled in is not read again: braces in it stay."""
        return FIELD.sub(lambda field: self.without_marks(values[field[1]]), self.text)

    def read(self, text: str) -> dict[str, str] | None:
        """The fields of a text that `fill` has made; None for another one."""
        match = self._pattern.fullmatch(text)
        return match.groupdict() if match else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        known = set[str]()
        pattern = ""
        for number, part in enumerate(FIELD.split(self.text)):
            repeated = part in known
            pattern += re.escape(part) if number % 2 == 0 else f"(?P={part})" if repeated else f"(?P<{part}>.*?)"
            known |= {part} if number % 2 else set()
        return re.compile(pattern, re.DOTALL)

    def without_marks(self, text: str) -> str:
        """Brackets, stars, colons and hashes of the template's own marks become full-width ones; all else stays."""
        return self._marks.sub(lambda mark: mark[0].translate(FULL_WIDTH), text) if self.marks else text

    @cached_property
    def _marks(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_loosely, self.marks)), re.IGNORECASE)

    @property
    def sha256(self) -> str:
        """Of the text with its fields unfilled: it stands beside every result."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def _loosely(mark: str) -> str:
    """A pattern of the mark as an answer may imitate it: other blanks, a colon of full width or within the stars."""
    words = mark.strip("[]*:# ")
    before, _, behind = mark.partition(words)
    inner = r"[ \t]+".join(map(re.escape, words.split()))
    around = [r"[\[*#][\[*# \t]*" if before.strip() else "", r"[ \t]*[\]*:：][\]*:： \t]*" if behind.strip() else ""]
    return around[0] + inner + around[1]
