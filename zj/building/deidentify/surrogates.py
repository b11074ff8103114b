"""What stands in the place of an identifier: a surrogate of its form, or a numbered placeholder.

A surrogate is drawn with a keyed hash (BLAKE2b) of the identifier. Within a scope, a record or the whole run, equal
identifiers have equal surrogates, and different ones have different surrogates. Without the key nobody can compute
which surrogate belongs to an identifier. No surrogate is a real one: an id and a bank card begin with 9 and have a
wrong check digit, a mobile begins with 12, a landline with 00, a QQ number with 0, a postcode with 9, an e-mail is at
example.com, and the names, of people and places, say 某.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections import Counter
from typing import Literal

from .addresses import PART, SUFFIX
from .characters import AMBIGUOUS, DOUBLE, FREQUENT
from .numbers import CHINESE_DIGITS, check_digit, compact, luhn
from .spans import plain

Style = Literal["surrogate", "placeholder"]
LABELS = {
    "name": "姓名",
    "id": "身份证号",
    "mobile": "手机号",
    "landline": "电话",
    "address": "地址",
    "birth date": "出生日期",
    "postcode": "邮编",
    "record number": "编号",
    "bank card": "银行卡号",
    "email": "邮箱",
    "wechat": "微信号",
    "qq": "QQ号",
    "plate": "车牌号",
    "passport": "证件号",
}
FIRST = {"id": "9", "bank card": "9", "mobile": "12", "landline": "00", "qq": "0", "postcode": "9"}
SURNAMES = sorted(FREQUENT - AMBIGUOUS)
ORDINALS = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥"
CITIES = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TRIES = 50
HAN = re.compile("(?P<place>[\u4e00-\u9fff]+)")  # of an address, what no kind of part has


class Surrogates:
    """The surrogates of one scope; `begin` opens another one."""

    def __init__(self, key: bytes, style: Style = "surrogate"):
        self.key, self.style = key, style
        self.begin("")

    def begin(self, scope: str) -> None:
        """A new scope, such as a record: what was replaced before is forgotten."""
        self.scope = scope
        self.given: dict[tuple[str, str], str] = {}
        self.taken: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter()

    def of(self, kind: str, text: str) -> str:
        """The surrogate of an identifier in the form in which it is written; `text` as it stands in the record."""
        known = (kind, _canonical(kind, text))
        if self.style == "placeholder":
            if known not in self.given:
                self.counts[kind] += 1
                self.given[known] = f"[{LABELS[kind]}{self.counts[kind]}]"
                if kind == "name":
                    self._also_given_name(text, self.given[known])
            return self.given[known]
        if kind == "birth date":
            return _year(text)
        if kind == "name":
            return self._name(text)
        if kind == "address":
            return self._address(text)
        characters = self.given.get(known) or self._draw(kind, known[1])
        self.given[known] = characters
        return characters if kind == "email" else _written_like(text, characters)

    # ---- numbers

    def _draw(self, kind: str, value: str) -> str:
        """Characters for the value's, digit for digit and letter for letter."""
        for attempt in range(TRIES):
            drawn = self._characters(kind, value, attempt)
            if (kind, drawn) not in self.taken and drawn != value:
                break
        self.taken.add((kind, drawn))
        return drawn

    def _characters(self, kind: str, value: str, attempt: int) -> str:
        digest = self._hash(kind, value, attempt)
        if kind == "email":
            return f"user{digest % 10**8:08}@example.com"
        drawn = []
        for char in value:
            digest, part = divmod(digest, 260)  # 10 digits, 26 letters: each equally likely
            if char.isdigit():
                drawn.append(str(part % 10))
            elif char.isascii() and char.isalpha():
                drawn.append(string.ascii_uppercase[part % 26])
            else:
                drawn.append(char)
        text = FIRST.get(kind, "") + "".join(drawn)[len(FIRST.get(kind, "")) :]
        if kind == "id" and len(text) == 18:
            digit = str(int(text[17], 36) % 10)
            return text[:17] + (digit if digit != check_digit(text) else str((int(digit) + 1) % 10))
        if kind == "bank card" and luhn(text):
            return text[:-1] + str((int(text[-1]) + 1) % 10)
        return text

    def _hash(self, *parts: object) -> int:
        text = "\0".join(map(str, (self.scope, *parts)))
        return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self.key).digest(), "big")

    # ---- names of people and places

    def _name(self, name: str) -> str:
        if ("name", name) in self.given:
            return self.given["name", name]
        if name.isascii():  # in Latin letters
            chosen = self._numbered("foreign", 2)
        elif re.search("[·•・‧․]", name):
            chosen = "某某·" + self._numbered("foreign", 2)
        else:
            surname = name[:2] if name[:2] in DOUBLE else name[:1]
            other = self._surname(surname)
            chosen = other + (self._numbered(other, len(name) - len(surname)) if len(name) > len(surname) else "")
        self.given["name", name] = chosen
        self._also_given_name(name, chosen[-2:])
        return chosen

    def _also_given_name(self, name: str, chosen: str) -> None:
        """建国 is replaced as in 王建国."""
        given = name[2 if name[:2] in DOUBLE else 1 :]
        if len(given) == 2:
            self.given.setdefault(("name", given), chosen)

    def _surname(self, surname: str) -> str:
        """Another surname for a surname: 王建国 and 王女士 keep the same one."""
        known = ("surname", surname)
        if known not in self.given:
            first = self._hash(*known)
            for step in range(len(SURNAMES)):  # beyond that many in one scope they are shared, and given names differ
                other = SURNAMES[(first + step) % len(SURNAMES)]
                if other != surname and ("surname", other) not in self.taken:
                    break
            self.taken.add(("surname", other))
            self.given[known] = other
        return self.given[known]

    def _numbered(self, group: str, length: int) -> str:
        """某某 for the first of a group, then 某甲, 某乙, … 甲甲, …: as many as there are."""
        number = self.counts[f"{group} {length}"]
        self.counts[f"{group} {length}"] += 1
        digits = ""
        while number:
            number, digit = divmod(number - 1, len(ORDINALS))
            digits = ORDINALS[digit] + digits
        return digits.rjust(length, "某")

    def _address(self, text: str) -> str:
        """Part for part: 某 for a name, another number for a number."""
        source, out, at = plain(text), "", 0
        while at < len(text):
            match = PART.match(source, at) or HAN.match(source, at)
            if match is None:
                out, at = out + text[at], at + 1
                continue
            part = text[at : match.end()]
            out, at = out + self._part(str(match.lastgroup), part), match.end()
        return out

    def _part(self, kind: str, part: str) -> str:
        known = (kind, plain(part))
        if known in self.given:
            return self.given[known]
        suffix = SUFFIX.search(part)
        name = part[: suffix.start()] if suffix else part
        behind = part[len(name) :]
        numbered = re.fullmatch(r"[第0-9０-９A-Za-z一二三四五六七八九十百零〇东西南北甲乙丙丁 \-－—之]*", name)
        shown = self._refill(name) if numbered else self._numbered(kind, 1)
        self.given[known] = shown + self._refill(behind)
        return self.given[known]

    def _refill(self, text: str) -> str:
        digest, out = self._hash("number", text), []
        for char in text:
            digest, part = divmod(digest, 9)
            if char.isdigit() and char.isdecimal():
                out.append(chr(ord(char) - int(char) + 1 + part))
            elif char in "一二三四五六七八九":
                out.append("一二三四五六七八九"[part])
            else:
                out.append(char)
        return "".join(out)


def _canonical(kind: str, text: str) -> str:
    """What is the same however it is written."""
    text = plain(text)
    if kind in ("name", "address", "email"):
        return re.sub(r"\s", "", text).lower()
    value = compact(text.translate(CHINESE_DIGITS) if kind in ("mobile", "id") else text.replace("×", "X"))
    return value[-11:] if kind == "mobile" else value


def _written_like(text: str, characters: str) -> str:
    """The characters in the places of the text's own: with its gaps, its width and its kind of numerals."""
    source, out = plain(text), list(text)
    arabic = source.translate(CHINESE_DIGITS).replace("×", "X")
    places = [n for n, char in enumerate(arabic) if char.isascii() and char.isalnum()]
    for place, char in zip(reversed(places), reversed(characters), strict=False):  # +86 before a mobile stays
        if source[place] != arabic[place] and source[place] != "×":
            out[place] = "〇一二三四五六七八九"[int(char)]
        elif text[place] != source[place]:
            out[place] = chr(ord(char) + 0xFEE0)
        else:
            out[place] = char.lower() if text[place].islower() else char
    return "".join(out)


def _year(text: str) -> str:
    """A date without month and day: 1965 for 1965-03-12, 1965年 for 1965年3月12日."""
    match = re.match(r"\D*?(?:\d{4}|\d{2}(?=\s*年)|[一二][一二三四五六七八九零〇○]{3})\s*年?", plain(text))
    return text[: match.end()] if match else "某年"
