"""What a text says that must not change when its style does: drugs, illnesses, doses, numbers.

Names are looked for in lists, the longest first; numbers and units by rule, also 两次 and 半片. A rule sees no meaning:
"可以用" made "不要用" changes no mention.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from zj.building.graph import open_graph
from zj.clinic import CONDITIONS, DRUGS
from zj.data.text import read_bytes, read_text

Mention = tuple[str, str]  # (kind, what): ("drug", "布洛芬"), ("illness", …), ("dose", "0.5 g"), ("number", "3-5 天")
KINDS = ("drug", "illness", "dose", "number")
DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}
# 1. or （1） or 1、 at the beginning of a line or behind the end of a sentence numbers a list
LIST = re.compile(r"(?:^|(?<=[\s。;:!?]))\s*(?:\(\d{1,2}\)|\d{1,2}\)|\d{1,2}[、.](?!\d))", re.MULTILINE)


class Mentions:
    """Reads texts by the lists of names. ValueError if ahocorasick-rs is not installed."""

    def __init__(self, names: dict[str, str]):
        """names: name → "drug" or "illness"."""
        try:
            from ahocorasick_rs import AhoCorasick, MatchKind
        except ImportError:
            raise ValueError("mentions need ahocorasick-rs: pip install 'zj[data]'") from None
        self.kinds = {_plain(name): kind for name, kind in names.items()}
        self.names = list(self.kinds)
        self.automaton = AhoCorasick(self.names, matchkind=MatchKind.LeftmostLongest)

    def of(self, text: str) -> Counter[Mention]:
        """How often a text states each dose; 1 for all else: a name may come again, a dose of two drugs is two."""
        plain = _plain(text)
        spans = list(self.automaton.find_matches_as_indexes(plain))
        for _, start, end in spans:  # a number in a name, as 维生素B12, is a part of it
            plain = plain[:start] + "＃" * (end - start) + plain[end:]
        names = Counter({(self.kinds[self.names[index]], self.names[index]): 1 for index, _, _ in spans})
        return names + _numbers(plain)

    def differences(self, before: str, after: str) -> dict[str, list[str]]:
        """{"drug added": [names], "dose lost": …} of a text that was rewritten; {} if nothing was added or lost."""
        old, new = self.of(before), self.of(after)
        differences: dict[str, list[str]] = {}
        for what, mentions in (("added", new - old), ("lost", old - new)):
            for kind, mention in sorted(mentions, key=lambda one: (KINDS.index(one[0]), one[1])):
                differences.setdefault(f"{kind} {what}", []).append(mention)
        return differences


def read_names(file: str, folder: Path) -> dict[str, str]:
    """Name → kind. ValueError names --names.

    file: a TOML file with lists `drug` and `illness`, a graph as that of scripts/build_check.py (JSON lines; a database
    is made of it in the folder), or "": the clinic's.
    """
    if not file:
        return dict.fromkeys(CONDITIONS, "illness") | dict.fromkeys(DRUGS, "drug")
    if not file.endswith(".toml"):
        of_graph = open_graph(file, folder / "graph.sqlite").names
        return {name: kind for name, kinds in of_graph.items() for kind in ("illness", "drug") if kind in kinds}
    try:
        table = tomllib.loads(read_text(Path(file), read_bytes(Path(file)))[0])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--names {file}: not TOML ({error})") from None
    lists = [table.get(kind, []) for kind in ("illness", "drug")]
    names = [name for one in lists for name in one]
    if set(table) - {"drug", "illness"} or not names or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"--names {file}: expected lists of names, drug = […] and illness = […]")
    return dict.fromkeys(lists[0], "illness") | dict.fromkeys(lists[1], "drug")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _numbers(plain: str) -> Counter[Mention]:
    """Doses and numbers; 一天 is 每天, as in 一天三次."""
    plain = re.sub("一[天日]", "每天", LIST.sub("\n", plain))
    units, pattern = _units()
    numbers_stated = Counter[Mention]()
    for match in pattern.finditer(plain):
        groups = match.groupdict()
        kind, unit = units.get(groups["unit"] or groups["unit_zh"] or "", ("number", ""))
        numbers = [_number(text) for name in ("low", "low_zh", "high", "high_zh") if (text := groups[name])]
        mention = (kind, f"{'-'.join(numbers)} {unit}".strip())
        numbers_stated[mention] = numbers_stated[mention] + 1 if kind == "dose" else 1
    return numbers_stated


@cache
def _units() -> tuple[dict[str, tuple[str, str]], re.Pattern[str]]:
    """({spelling: (kind, unit)}, pattern of a number or a range, with or without a unit)."""
    table = tomllib.loads(Path(__file__).with_name("mentions.toml").read_text(encoding="utf-8"))
    kinds = {"dose": "dose", "other": "number"}
    units = {
        unicodedata.normalize("NFKC", spelling).lower(): (kinds[group], unit)
        for group, spellings in table.items()
        for unit, ways in spellings.items()
        for spelling in ways
    }
    number, chinese, border, unit = r"\d+(?:\.\d+)?", "[半几零一二两三四五六七八九十百]+", "[-~—至到/]", _any(units)
    return units, re.compile(
        rf"(?<![a-z\d.])(?P<low>{number})(?:{border}(?P<high>{number}))?\s*(?P<unit>{unit})?"
        rf"|(?P<low_zh>{chinese})(?:{border}(?P<high_zh>{chinese}))?(?P<unit_zh>{unit})"
    )


def _any(units: Iterable[str]) -> str:
    """A pattern of any of the units, the longest first; a letter behind it makes it another word."""
    longest_first = sorted(units, key=len, reverse=True)
    return "|".join(re.escape(unit) + ("(?![a-z])" if unit[-1].isascii() else "") for unit in longest_first)


def _number(text: str) -> str:
    """三 and 3.0 are 3, 半 is 0.5, 三四 is 3-4; 几 and what is none of these stays."""
    if text[0].isdigit():
        return f"{float(text):g}"
    if text == "半":
        return "0.5"
    if set(text) <= set(DIGITS):
        return "-".join(str(DIGITS[character]) for character in text)
    tens, ten, ones = text.partition("十")
    if ten and set(tens + ones) <= set(DIGITS) and len(tens) < 2 and len(ones) < 2:
        return str(10 * DIGITS.get(tens, 1) + DIGITS.get(ones, 0))
    return text
