"""Names of people: surnames and given names by their characters, in places that speak for a name.

A cue says how sure a place is. In a field of a form (姓名：, 签名：) and behind 我叫 a name is expected: any characters but
those that names do not have. Before a title (王医生, 张建国先生) and behind 患者 or 我是 it is likely: characters of given
names. Without any cue only the most usual characters count, behind a frequent surname. A name once found is found again
in the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

from .characters import (
    AMBIGUOUS,
    BEFORE_MAN,
    DOUBLE,
    FIRST_ONLY,
    FREQUENT,
    GIVEN,
    NEVER,
    NOT_GIVEN,
    NOT_NAMES,
    PAIRS,
    SECOND_ONLY,
    SINGLE,
    USUAL,
    WHO,
)
from .cues import (
    AFTER,
    ALONE,
    AND,
    BEFORE,
    CUE,
    DAYS,
    DOES,
    FILLED,
    FOREIGN,
    FOREIGN_END,
    HAN,
    HINT,
    NEAR,
    OWNER,
    PERSON,
    SIGNATURE,
    SPACED,
    SURNAME,
    THANKS,
    TITLE,
    UNCUED,
)
from .spans import Span

Strength = Literal["field", "called", "likely"]


def find_names(text: str) -> Iterator[Span]:
    """Spans of names in a text that is `plain`; the surer ones first."""
    if HINT.search(text):
        yield from _behind_cues(text)
    for match in SIGNATURE.finditer(text):
        if name_at(text, match.start(1), "likely") == match.end(1):
            yield Span(*match.span(1), "name")
    for match in ALONE.finditer(text):
        if _is_usual(match[0][1:]) and not _is_word(match[0]):
            yield Span(*match.span(), "name")
    for match in UNCUED.finditer(text):
        start, end = match.span()
        before = text[start - 1 : start]
        free = before in BEFORE or not (HAN.match(before) or before.isdigit())
        if free and not _is_thanks(text, start) and AFTER.match(text, end) and not _is_word(match[0]):
            yield Span(start, end, "name")


def _behind_cues(text: str) -> Iterator[Span]:
    likely: list[Span] = []
    at = 0
    while cue := CUE.search(text, at):
        strength: Strength = "field" if cue["field"] else "called" if cue["called"] else "likely"
        start = cue.end()
        end = name_at(text, start, strength, own=bool(cue["own"]))
        at = end or cue.start() + 1  # one cue may stand behind another: 患者家属
        while end:
            span = Span(start, end, "name")
            if strength == "likely":
                likely.append(span)
            else:
                yield span
            more = AND.match(text, end)  # 王芳/李强
            start, strength = more.end() if more else end, "likely"
            end = name_at(text, start, strength) if more else None
    for match in TITLE.finditer(text):
        yield from _before(text, match, 1)
    for match in chain(OWNER.finditer(text), DOES.finditer(text)):
        yield from _before(text, match, 2)
    for match in SURNAME.finditer(text):
        if match[1] in SINGLE | DOUBLE:
            yield Span(*match.span(1), "name")
    yield from likely
    for match in PERSON.finditer(text):
        yield from (span for span in _before(text, match, 2) if not NEAR.match(text[span.start - 1 : span.start]))


def _before(text: str, match: re.Match[str], shortest: int) -> Iterator[Span]:
    """The name that ends where the match begins, if it has that many characters."""
    start = name_before(text, match.start())
    if start is not None and match.start() - start >= shortest:
        yield Span(start, match.start(), "name")


def find_again(text: str, names: Iterable[str]) -> Iterator[Span]:
    """Further places of whole names that were found elsewhere in the record, and of their surnames before a title."""
    for name in names:
        yield from (Span(at, at + len(name), "name") for at in places(text, name))
    surnames = {name[:2] if name[:2] in DOUBLE else name[:1] for name in names}
    for title in TITLE.finditer(text) if surnames else ():
        for length in (2, 1):
            start = title.start() - length
            if (
                start >= 0
                and text[start : title.start()] in surnames
                and (start == 0 or not HAN.match(text[start - 1]))
            ):
                yield Span(start, title.start(), "name")


def places(text: str, part: str) -> Iterator[int]:
    """Where the part begins in the text."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def name_at(text: str, start: int, strength: Strength, own: bool = False) -> int | None:
    """The end of the name that begins at `start`, or None. `own`: a field that holds nothing but a name."""
    if own and text[start : start + 1] in SINGLE and (spaced := SPACED.match(text, start)):
        return spaced.end()
    if own and (filled := FILLED.match(text, start)) and filled[0] not in WHO and not _is_word(filled[0]):
        surname = 2 if filled[0][:2] in DOUBLE else int(filled[0][0] in SINGLE)
        if 0 < len(filled[0]) - surname <= 2 and surname or not any(char in NOT_GIVEN for char in filled[0]):
            return filled.end()
    if foreign := FOREIGN.match(text, start):
        return _end_of_foreign(text, foreign)
    ends = list(_ends(text, start, strength))
    bounded = [end for end in ends if (_is_clear_end if strength == "likely" else _is_end)(text, end)]
    if strength == "likely" and text[start : start + 1] in AMBIGUOUS and text[start : start + 2] not in DOUBLE:
        bounded = [
            end
            for end in bounded
            if (end - start > 2 and text[start] in FREQUENT)
            or USUAL.issuperset(text[start + 1 : end])
            or PERSON.match(text, end)
        ]
    if bounded:
        return bounded[0]
    if strength == "likely":  # what comes next may begin with any character: 患者张建国高血压十年
        whole = [
            end
            for end in ends
            if end - start == 3 and text[start] in FREQUENT - AMBIGUOUS and _is_usual(text[start + 1 : end])
        ]
        return whole[0] if whole else None
    if ends:
        usual = [end for end in ends if all(char in GIVEN for char in text[start + 1 : end])]
        return usual[0] if usual else None
    return None


def name_before(text: str, end: int) -> int | None:
    """The start of the name, or of the surname alone, that ends at `end`, before a title; or None."""
    for length in (4, 3, 2, 1):
        start = end - length
        name = text[start:end] if start >= 0 else ""
        surname = 2 if name[:2] in DOUBLE else 1
        given = name[surname:]
        before = text[start - 1 : start]
        free = not NEAR.match(before)
        known = surname == 2 or name[:1] in SINGLE and name[0] not in NEVER
        if not known or len(given) > 2 or _is_word(name) or name in WHO or _is_thanks(text, start):
            continue
        if not free and before not in BEFORE and text[max(0, start - 2) : start] not in DAYS:
            continue
        if not given:
            if surname == 2 or name not in AMBIGUOUS or name in FREQUENT and _is_clear(text, start, free):
                return start
            continue
        person = name[0] in FREQUENT and (free or before in "者儿人属")
        sure = free or name[0] in FREQUENT and name[0] not in "于谢和向" or len(given) == 2 or surname == 2
        if sure and (_is_likely(given) or person and _is_possible(given)):
            return start
    return None


def _is_thanks(text: str, start: int) -> bool:
    return start > 0 and text[start - 1 : start + 1] in THANKS and text[max(0, start - 2) : start] != "谢谢"


def _is_clear(text: str, start: int, free: bool) -> bool:
    """Whether a surname that is also a word stands where a name is expected."""
    return (
        free
        or text[start - 1] in "请找谢问的是位给挂约感"
        and text[max(0, start - 2) : start] not in ("可是", "但是", "还是", "就是")
    )


def _ends(text: str, start: int, strength: Strength) -> Iterator[int]:
    """Where a name that begins at `start` may end by its characters, the longest first."""
    surname = 2 if text[start : start + 2] in DOUBLE else 1
    if surname == 1 and (text[start] not in SINGLE if start < len(text) else True):
        return
    if strength != "field" and text[start] in NEVER:
        return
    for length in (2, 1):
        end = start + surname + length
        given = text[start + surname : end]
        if len(given) < length or not all(map(HAN.match, given)):
            continue
        name = text[start:end]
        if length == 2 and given not in PAIRS and _begins_word(text, end - 1, 2):
            continue  # 李娜高血压
        likely = strength == "likely"
        plain_surname = text[start] in FREQUENT and text[start] not in AMBIGUOUS
        expected = not likely or plain_surname and _is_clear_end(text, end)
        fits = (_is_possible(given) if expected else _is_likely(given)) and not (likely and _is_word(name))
        if fits and name not in WHO and not _begins_word(text, start, 2 if likely else len(name)):
            yield end
    if (
        surname == 2
        and (end := start + 2)
        and text[start : start + 1] in SINGLE
        and strength != "likely"
        and _is_end(text, end)
    ):
        yield end


def _is_possible(given: str) -> bool:
    if given in PAIRS:
        return True
    if not all(map(HAN.match, given)) or TITLE.match(given):
        return False
    first = len(given) == 1 or given[0] not in NOT_GIVEN or given[0] in FIRST_ONLY
    return first and (
        given[-1] not in NOT_GIVEN
        or len(given) == 2
        and given[-1] in SECOND_ONLY
        or (given[-1] == "男" and given[0] in BEFORE_MAN)
    )


def _is_likely(given: str) -> bool:
    return given in PAIRS or (all(char in GIVEN for char in given) and _is_possible(given))


def _is_usual(given: str) -> bool:
    return all(char in GIVEN for char in given) and not USUAL.isdisjoint(given)


def _is_word(name: str) -> bool:
    return name in NOT_NAMES or name[:2] in NOT_NAMES or name[:3] in NOT_NAMES


def _begins_word(text: str, start: int, shortest: int) -> bool:
    return any(text[start : start + length] in NOT_NAMES for length in range(shortest, 6))


def _is_end(text: str, end: int) -> bool:
    """Whether no name can go on at `end`: no Chinese character, or one that names do not have."""
    return end >= len(text) or not HAN.match(text[end]) or text[end] in NOT_GIVEN or bool(TITLE.match(text, end))


def _is_clear_end(text: str, end: int) -> bool:
    """Whether a mark stands at `end`, a word that says something about a person, or another one that is known."""
    return bool(AFTER.match(text, end) or TITLE.match(text, end)) or _begins_word(text, end, 2)


def _end_of_foreign(text: str, match: re.Match[str]) -> int:
    """The last part ends before a word that speaks about the person."""
    last = max(match[0].rfind(mark) for mark in "·•・‧․")
    for place in range(last + 2, len(match[0])):
        if FOREIGN_END.match(match[0], place):
            return match.start() + place
    return match.end()
