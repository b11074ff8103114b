"""De-identification of records: every text of a record, with one set of surrogates."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from zj.data.readers import texts_of
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, Record

from .addresses import find_addresses
from .names import SURE, Scored, choose, find_again, places, score_names
from .numbers import find_numbers
from .spans import Span, plain, without_overlaps
from .surrogates import Surrogates

POSTCODE_BESIDE = re.compile(r"[ \t]{0,2}[,，(（]?[ \t]{0,2}(\d{6})(?![\d.])")
POSTCODE_BEFORE = re.compile(r"(?<![\d.])(\d{6})[)）]?[ \t]{0,2}$")
ALNUM = re.compile("[0-9A-Za-z]{2}")  # a number goes on
DIGEST = re.compile(r"[0-9a-f]{16}")  # the id of a row that has none: a hash of its texts, which tells what they were


def find(texts: Iterable[str]) -> tuple[dict[str, list[Span]], dict[str, str]]:
    """({text: its identifiers in the order of their places}, {identifier: kind} of those that may come again).

    The texts are of one record: an identifier that a cue tells in one of them is found in the others without it.
    """
    first = _find(texts)
    known: dict[str, str] = {}
    for text, spans in first.items():
        known.update({text[span.start : span.end]: span.kind for span in spans if _may_come_again(span)})
    if not known:
        return first, known
    return {
        text: without_overlaps(chain(spans, _again(text, known)), len(text)) for text, spans in first.items()
    }, known


def _find(texts: Iterable[str]) -> dict[str, list[Span]]:
    """The identifiers of each text. A record that holds one is about a person: its other names need fewer signs."""
    forms: dict[str, list[Span]] = {}
    scored: dict[str, list[Scored]] = {}
    for text in texts:
        source = plain(text)
        addresses = list(find_addresses(source))
        forms[text] = [*find_numbers(source), *addresses, *_postcodes(source, addresses)]
        scored[text] = score_names(source)
    about_a_person = any(forms.values()) or any(points >= SURE for names in scored.values() for points, _ in names)
    return {
        text: without_overlaps(chain(found, choose(scored[text], about_a_person)), len(text))
        for text, found in forms.items()
    }


def deidentify(record: Record, surrogates: Surrogates) -> tuple[Record, Counter[str]]:
    """(the record with surrogates in the place of identifiers, how many of each kind were replaced).

    All else stays, character for character: the department, the ranks, who made an answer. An identifier that a cue
    tells in one text is found again without it in the others and in the record's id.
    """
    spans, known = find(dict.fromkeys([*texts_of(record), *_splits(record)]))
    for name in (value for value, kind in known.items() if kind == "name"):  # whole names before their parts
        surrogates.of("name", name)
    counts = Counter(span.kind for found in spans.values() for span in found)
    replaced = {text: _replace(text, found, surrogates) for text, found in spans.items()}
    id = _id(record.id, known, surrogates, bool(counts))
    counts["record id"] += id != record.id
    return (_with_texts(record, id, replaced.__getitem__), +counts) if +counts else (record, +counts)


def _splits(record: Record) -> Iterator[str]:
    """The texts that decide the side of a split; they are texts of the record as well."""
    inner = record.prompt if isinstance(record, Ranking | Candidates) else record
    if not isinstance(inner, Document) and inner.split_by:
        yield inner.split_by


def _may_come_again(span: Span) -> bool:
    """Whether the identifier is looked for elsewhere: it is long enough to mean nothing else."""
    if span.kind == "name":
        return span.end - span.start >= 2
    return span.kind not in ("birth date", "postcode") and span.end - span.start >= 6


def _again(text: str, known: dict[str, str]) -> Iterator[Span]:
    longest_first = sorted(known, key=len, reverse=True)
    for value in longest_first:
        if known[value] != "name":
            for start in places(text, value):
                end = start + len(value)
                if not any(ALNUM.match(text[a:b]) for a, b in ((start - 1, start + 1), (end - 1, end + 1)) if a >= 0):
                    yield Span(start, end, known[value])
    yield from find_again(text, [value for value in longest_first if known[value] == "name"])


def _postcodes(text: str, addresses: Iterable[Span]) -> Iterator[Span]:
    """Six digits beside an address."""
    for span in addresses:
        if match := POSTCODE_BESIDE.match(text, span.end):
            yield Span(*match.span(1), "postcode")
        if match := POSTCODE_BEFORE.search(text, max(0, span.start - 30), span.start):
            yield Span(*match.span(1), "postcode")


def _replace(text: str, spans: Iterable[Span], surrogates: Surrogates) -> str:
    out, at = [], 0
    for span in spans:
        out += [text[at : span.start], surrogates.of(span.kind, text[span.start : span.end])]
        at = span.end
    return "".join([*out, text[at:]])


def _id(id: str, known: dict[str, str], surrogates: Surrogates, changed: bool) -> str:
    """The record's id: identifiers in it are replaced, and so is a hash of texts that were changed."""
    if DIGEST.fullmatch(id):
        return hashlib.blake2b(id.encode(), key=surrogates.key, digest_size=8).hexdigest() if changed else id
    found = without_overlaps(
        chain((span for span in _find([id])[id] if span.kind != "address"), _again(id, known)), len(id)
    )
    return _replace(id, found, surrogates)


def _with_texts(record: Record, id: str, new: Callable[[str], str]) -> Record:
    """The record with another id, and `new` of each of its texts."""

    def turns(old: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple((new(user), new(answer)) for user, answer in old)

    if isinstance(record, Document):
        return replace(record, id=id, text=new(record.text))
    if isinstance(record, Ranking | Candidates):
        prompt = _with_texts(record.prompt, record.prompt.id if record.prompt.id != record.id else id, new)
        assert isinstance(prompt, Prompt)
        return replace(record, id=id, prompt=prompt, answers=tuple(map(new, record.answers)))
    system, split_by = (new(text) if text else "" for text in (record.system, record.split_by))
    if isinstance(record, Dialogue):
        return replace(record, id=id, turns=turns(record.turns), system=system, split_by=split_by)
    return replace(
        record, id=id, user=new(record.user), history=turns(record.history), system=system, split_by=split_by
    )
