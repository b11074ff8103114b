"""Prompts as data: a template with fields, and the inverse that reads the fields of a rendered prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    text: str

    def fill(self, **values: str) -> str:
        """The text with its fields filled. What is filled in is not read again: braces in it stay."""
        return FIELD.sub(lambda field: values[field[1]], self.text)

    def read(self, text: str) -> dict[str, str] | None:
        """The fields of a text that `fill` has made; None for another one."""
        known = set[str]()
        pattern = ""
        for number, part in enumerate(FIELD.split(self.text)):
            repeated = part in known
            pattern += re.escape(part) if number % 2 == 0 else f"(?P={part})" if repeated else f"(?P<{part}>.*?)"
            known |= {part} if number % 2 else set()
        match = re.fullmatch(pattern, text, re.DOTALL)
        return match.groupdict() if match else None
