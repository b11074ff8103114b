"""Names of people: a sum of points for what the characters are, what stands on both sides, and what the record holds.

The points are rough logarithms of odds. A name's own characters give 7 to 10 if they are hardly used elsewhere (郑婷婷)
and about 4 if they are words too (高明); the places around it add up to 10 (behind 姓名：) or take 4 away (characters of no
known word on both sides). What reaches THRESHOLD is a name. A record that holds other identifiers is about a person: its
names need fewer points. So weak signs add up, and a sentence of a new form needs no rule of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from .characters import (
    AMBIGUOUS,
    BEFORE_MAN,
    COMMON,
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
    TRANSCRIBED,
    USUAL,
    WHO,
    WORDLIKE,
)
from .cues import (
    BEHIND,
    BESIDE,
    ENDS_FOREIGN,
    FIELDS,
    FILLED,
    JOINS,
    LATIN,
    LONGEST,
    MARKS,
    PERSON,
    PREFIXES,
    SIDES,
    SPACED,
    SURNAME,
    THANKS,
    TITLE,
)
from .spans import Span

THRESHOLD = 6.0  # points of a name in a record without other identifiers
ABOUT_A_PERSON = 3.0  # fewer in a record with them
SURE = 9.0  # points of a name that tells that its record is about a person
WORD = -9.0
GIVEN_WORDS = NOT_NAMES - PAIRS
START = re.compile(
    f"[{''.join(sorted({name[0] for name in DOUBLE} | SINGLE - NEVER))}]"
    f"|[{''.join(sorted(NEVER))}](?=[\u4e00-\u9fff]?[{''.join(sorted(USUAL - COMMON))}])"
)
HAN = re.compile("[\u4e00-\u9fff]")
CLEAR = "".join(sorted(USUAL - COMMON))
RARE = "".join(sorted(GIVEN - COMMON - NOT_GIVEN))
GIVEN_ALONE = re.compile(f"(?=([{CLEAR}][{CLEAR}]))|(?<=[小阿])(?=([{RARE}]))|(?=(([{RARE}])\\4))")
CAPITAL = re.compile("[A-Z][A-Za-z]+[ ,]")
LABEL = re.compile("[姓名签]")  # to look for them is quick
DOT = re.compile("[·•・‧․]")
TRANSCRIPTION = re.compile(f"(?<![{TRANSCRIBED}·])[{TRANSCRIBED}]{{4,6}}(?![·\u4e00-\u9fff])")
FOREIGN = re.compile("([\u4e00-\u9fff]{1,9})(?:[·•・‧․][\u4e00-\u9fff]{1,10}){1,3}")
Scored = tuple[float, Span]


def score_names(text: str) -> list[Scored]:
    """(points, span) of what may be a name in a text that is `plain`."""
    found = list(_in_fields(text))
    found += _foreign(text)
    ends: set[int] = set()  # of likely names: what is joined to one is likelier
    for match in START.finditer(text):
        start = match.start()
        best = (0.0, start)
        for end, own, bare in _ends(text, start):
            side = _before(text, start, ends, bare)
            best = max(best, (own + side + _behind(text, end), end))
        if best[0] >= THRESHOLD - ABOUT_A_PERSON:
            found.append((best[0], Span(start, best[1], "name")))
        if best[0] >= THRESHOLD:
            ends.add(best[1])
    for match in GIVEN_ALONE.finditer(text):
        start = match.start()
        end = start + len(match[1] or match[2] or match[3])
        own = given_points(text[start:end]) - 3 * bool(match[1]) if not begins_word(text, start) else WORD
        points = own + _before(text, start, ends, True) + _behind(text, end)
        if points >= THRESHOLD - ABOUT_A_PERSON:
            found.append((points, Span(start, end, "name")))
    return found


def choose(scored: Iterable[Scored], about_a_person: bool) -> list[Span]:
    """The spans that reach the threshold, the surest first."""
    least = THRESHOLD - ABOUT_A_PERSON * about_a_person
    return [span for points, span in sorted(scored, key=lambda pair: -pair[0]) if points >= least]


# ---- what the characters say


def _ends(text: str, start: int) -> Iterator[tuple[int, float, bool]]:
    """(end, points of the characters, whether it is a surname alone) of what may be a name from `start` on."""
    if is_thanks(text, start):
        return
    if text[start : start + 3] in NOT_NAMES or text[start : start + 4] in NOT_NAMES:
        return
    word = 6.0 * (start > 0 and text[start - 1 : start + 1] in NOT_NAMES)
    surname = 2 if text[start : start + 2] in DOUBLE else 1
    for length in (2, 1):
        name = text[start : start + surname + length]
        if len(name) == surname + length and (own := own_points(name, surname)) > -2.5:
            last = start + len(name) - 1
            crossing = name[surname:] not in PAIRS and (begins_word(text, last) or TITLE.match(text, last))
            yield last + 1, own - word - 4 * bool(crossing), False
    end = start + surname
    if (start and text[start - 1] in PREFIXES) or (TITLE.match(text, end) and not begins_word(text, start)):
        yield end, surname_points(text[start:end]) - word, True


def is_thanks(text: str, start: int) -> bool:
    return start > 0 and text[start - 1 : start + 1] in THANKS and text[max(0, start - 2) : start] != "谢谢"


@lru_cache(maxsize=100_000)
def own_points(name: str, surname: int) -> float:
    given = name[surname:]
    if name in WHO or name in NOT_NAMES:
        return WORD
    return (
        surname_points(name[:surname]) + given_points(given) - 5 * (name[:2] in NOT_NAMES) - 2 * (given in GIVEN_WORDS)
    )


def surname_points(surname: str) -> float:
    if surname not in SINGLE and surname not in DOUBLE:
        return WORD
    if surname in NEVER:
        return -2
    if len(surname) == 2:
        return 1 if surname in WORDLIKE else 5
    if surname in FREQUENT:
        return 0 if surname in AMBIGUOUS else 2 if surname in WORDLIKE else 4
    return -1 if surname in AMBIGUOUS else 0 if surname in COMMON else 2


def given_points(given: str) -> float:
    if given in PAIRS:
        return 2
    if TITLE.match(given):
        return WORD
    return sum(_character(given, n) for n in range(len(given)))


def _character(given: str, n: int) -> float:
    char = given[n]
    if char in NOT_GIVEN:
        first, last = n == 0 and len(given) == 2, n == len(given) - 1
        if first and char in FIRST_ONLY or last and n and char in SECOND_ONLY:
            return 0
        return 1 if char == "男" and n and given[0] in BEFORE_MAN else -1.5 if char in GIVEN else -4
    if char in USUAL:
        return 1 if char in COMMON else 3
    if char in GIVEN:
        return 0 if char in COMMON else 2
    return -1.5 if HAN.match(char) else WORD


def begins_word(text: str, start: int) -> bool:
    return any(text[start : start + length] in NOT_NAMES for length in (2, 3, 4))


# ---- what stands beside it


def _before(text: str, start: int, ends: set[int], bare: bool = False) -> float:
    """`bare`: a surname or a given name alone, which may have 老, 小 or 阿 before it."""
    at = start
    prefix = 0.0
    if bare and at and text[at - 1] in PREFIXES:
        at, prefix = at - 1, PREFIXES[text[at - 1]]
    end = at
    while at and text[at - 1] in SIDES:
        at -= 1
    colon = ":" in text[at:end]
    if at in ends and end > at and text[at:end].isspace():
        return 2
    if at and text[at - 1] in JOINS and at - 1 in ends:
        return JOINS[text[at - 1]]
    if at == 0 or text[at - 1] in "\n":
        return 1 + prefix
    for length in range(min(LONGEST, at), 0, -1):
        if points := BESIDE.get(text[at - length : at]):
            return points[colon] + prefix
    if colon:
        return 1.5 + prefix
    if end > at:
        return (-0.5 if "(" in text[at:end] else 1) + prefix
    mark = text[at - 1]
    return prefix + (-2.5 if HAN.match(mark) else -2 if mark.isalnum() else MARKS.get(mark, 1))


def _behind(text: str, end: int) -> float:
    if PERSON.match(text, end):
        return 3
    if end >= len(text) or not HAN.match(text[end]):
        return MARKS.get(text[end : end + 1], 1)
    for pattern, points in BEHIND:
        if pattern.match(text, end):
            return points
    return 0 if begins_word(text, end) else -2.5


def _foreign(text: str) -> Iterator[Scored]:
    """Names with a dot: from a place where a name may begin, or where the transcribed syllables do, to their end."""
    for match in FOREIGN.finditer(text) if DOT.search(text) else ():
        first = match.end(1)
        begin = first
        while begin > match.start() and text[begin - 1] in TRANSCRIBED:
            begin -= 1
        points, negative = max((_before(text, at, set()), -at) for at in range(match.start(), first))
        start = -negative if points >= 1 else begin
        last = max(match[0].rfind(mark) for mark in "·•・‧․") + 1
        end = last + 1
        while end < len(match[0]) and (match[0][end] in TRANSCRIBED or not ENDS_FOREIGN.match(match[0], end)):
            end += 1
        if start < first and text[start:first] != "圣":
            yield 20.0, Span(start, match.start() + end, "name")

    for match in TRANSCRIPTION.finditer(text):  # without a dot, where the place is sure: 患者阿依古丽
        sides = _before(text, match.start(), set()), _behind(text, match.end())
        if max(sides) >= 3 and match[0] not in NOT_NAMES:
            yield 2.5 + sum(sides), Span(*match.span(), "name")


# ---- fields of forms


def _in_fields(text: str) -> Iterator[Scored]:
    """What fills a field that holds nothing but a name, whatever its characters."""
    if CAPITAL.search(text):
        yield from ((8.0, Span(*match.span(), "name")) for match in LATIN.finditer(text))
    if not LABEL.search(text):
        return
    yield from ((20.0, Span(*match.span(1), "name")) for match in SURNAME.finditer(text))
    for match in FIELDS.finditer(text):
        start = match.end()
        if text[start : start + 1] in SINGLE and (spaced := SPACED.match(text, start)):
            yield 20, Span(start, spaced.end(), "name")
        elif (filled := FILLED.match(text, start)) and filled[0] not in WHO and filled[0] not in NOT_NAMES:
            surname = 2 if filled[0][:2] in DOUBLE else int(filled[0][0] in SINGLE)
            if 0 < len(filled[0]) - surname <= 2 and surname or not NOT_GIVEN.intersection(filled[0]):
                yield 20, Span(start, filled.end(), "name")


# ---- what was found is found again


def find_again(text: str, names: Iterable[str]) -> Iterator[Span]:
    """Further places of whole names of the record, of their given names, and of their surnames before a title."""
    names = list(names)
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
    for given in {name[-2:] for name in names if len(name) >= 3 and name[:-2] in SINGLE | DOUBLE}:
        for at in places(text, given):
            own = 6 + given_points(given) - 9 * (given in NOT_NAMES)
            if own + _before(text, at, set(), True) + _behind(text, at + 2) >= THRESHOLD:
                yield Span(at, at + 2, "name")


def places(text: str, part: str) -> Iterator[int]:
    """Where the part begins in the text."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))
