"""Repeats of records, exact and near, by the letters alone: a paraphrase shares few n-grams and is not found.

Exact: equal when `normalised` (width, case, punctuation and white space do not count). Near: the Jaccard similarity of
the sets of character n-grams is the threshold or more. MinHash proposes, the exact similarity decides: what is removed
is near for certain, what is near is missed with a probability of at most 1 % (`zj.building.sketch`).
"""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from zj.building.progress import shown
from zj.building.report import StepReport
from zj.building.sketch import SLOTS, Texts, bands_of, jaccard, shared_bands
from zj.building.spool import Spool
from zj.data.batching import question
from zj.data.held_out import normalised
from zj.data.readers import texts_of
from zj.data.records import Record, as_json

Of = Literal["all", "question"]


@dataclass(frozen=True)
class Repeat:
    """Why a text is removed: it is like the text `of`, which stays."""

    of: int
    jaccard: float
    exact: bool


def dedup(
    records: Iterable[Record],
    report: StepReport,
    folder: Path,
    *,
    threshold: float = 0.8,
    ngram: int = 3,
    of: Of = "all",
    longest: bool = False,
    test: Sequence[Record] = (),
    seed: int = 0,
) -> tuple[Iterator[str], Iterator[str]]:
    """(lines of the records that stay, lines of those removed), to be read in this order; `report` counts as they are.

    What is near a test item is removed first, by what is asked. All texts lie in unnamed files of `folder`.
    """
    bands_of(threshold)  # a wrong threshold is an error before anything is read
    lines, places, texts, questions = (Spool(folder) for _ in range(4))
    for record in records:
        report.read += 1
        lines.append(json.dumps(as_json(record), ensure_ascii=False))
        places.append(f"{record.where} {record.id}")
        texts.append(compared(record, of))
        if test:
            questions.append(compared(record, "question"))
    causes: dict[int, tuple[str, str, float]] = {}  # number of a record -> (reason, place of the other, similarity)
    if test:
        both = Texts(chain((compared(item, "question") for item in test), questions), ngram, seed, folder)
        for number, repeat in repeats(both, threshold, test=len(test)).items():
            causes[number - len(test)] = "test item", test[repeat.of].where, repeat.jaccard
    left = np.array([number for number in range(len(lines)) if number not in causes])
    own = Texts((texts[number] for number in shown(left, "sketch", "text", len(left))), ngram, seed, folder)
    for number, repeat in repeats(own, threshold, longest).items():
        reason = "exact" if repeat.exact else "near"
        causes[int(left[number])] = reason, places[left[repeat.of]], repeat.jaccard
    for number in sorted(causes):
        report.add(causes[number][0], places[number])
    report.removed = len(causes)
    stay = (lines[number] + "\n" for number in range(len(lines)) if number not in causes)
    return stay, (_removed(lines[number], places[number], *causes[number]) for number in sorted(causes))


def _removed(line: str, place: str, reason: str, of: str, similarity: float) -> str:
    about = {"reason": reason, "where": place.rpartition(" ")[0], "of": of, "jaccard": round(similarity, 3)}
    return json.dumps(json.loads(line) | {"removed": about}, ensure_ascii=False) + "\n"


def compared(record: Record, of: Of) -> str:
    """The text by which a record is compared: all its texts but the system text, or what is asked first."""
    return normalised("\n".join(texts_of(record, system=False)) if of == "all" else question(record))


def repeats(texts: Texts, threshold: float, longest: bool = False, test: int = 0) -> dict[int, Repeat]:
    """The texts to remove, so that no two that stay are near and each removed one is near to one that stays.

    Of near texts the first stays, or the longest. With `test` the first `test` texts are test items: all of them stay,
    and other texts are compared with these alone.
    """
    lengths = np.diff(np.frombuffer(texts.ends, dtype=np.int64))
    order = np.argsort(-lengths, kind="stable") if longest else np.arange(len(texts))
    removed = _exact(texts, test)
    groups = _Groups(texts, threshold, test)
    candidates = order[groups.sizes[order] > 0]
    for number in shown(candidates, "compare", "text", len(candidates)):
        if number in removed:
            continue
        if number >= test and (near := groups.find(number)):
            removed[int(number)] = near
        elif not test or number < test:
            groups.keep(number)
    return {number: removed.get(repeat.of, repeat) for number, repeat in removed.items()}  # an equal one may have gone


def _exact(texts: Texts, test: int) -> dict[int, Repeat]:
    """Texts that are equal to an earlier one (with `test`: to one of the first)."""
    _, first, which = np.unique(texts.digests, return_index=True, return_inverse=True)
    first = first[which]
    numbers = np.arange(len(texts))
    again = (first < numbers) & (numbers >= test) & ((first < test) | (test == 0))
    return {number: Repeat(int(first[number]), 1.0, True) for number in np.flatnonzero(again).tolist()}


class _Groups:
    """Texts that are equal in a band of their sketches, and which of them stay."""

    def __init__(self, texts: Texts, threshold: float, test: int) -> None:
        self.texts, self.threshold = texts, threshold
        # 3 standard deviations of a mean of SLOTS slots: what lies below is not worth a look at the text
        self.least = threshold - 3 * (threshold * (1 - threshold) / SLOTS) ** 0.5
        members, groups = zip(*shared_bands(texts.sketches, threshold), strict=True)
        member, group = np.concatenate(members), np.concatenate(groups)
        if test:
            with_test = np.zeros(int(group.max(initial=-1)) + 1, bool)
            with_test[group[member < test]] = True
            member, group = member[with_test[group]], group[with_test[group]]
        order = np.argsort(member, kind="stable")
        self.group = group[order]
        self.sizes = np.bincount(member, minlength=len(texts))  # [texts]: in how many groups each is
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.kept: dict[int, array] = defaultdict(lambda: array("i"))

    def _of(self, number: int) -> list[int]:
        return self.group[self.starts[number] : self.starts[number + 1]].tolist()

    def keep(self, number: int) -> None:
        for group in self._of(number):
            self.kept[group].append(number)

    def find(self, number: int) -> Repeat | None:
        """A text that stays and is near to this one: of the candidates, the one whose sketch is most alike first."""
        kept = [np.frombuffer(self.kept[group], np.int32) for group in self._of(number) if group in self.kept]
        if not kept:
            return None
        candidates = np.unique(np.concatenate(kept))
        alike = (self.texts.sketches[candidates] == self.texts.sketches[number]).mean(1)
        candidates = candidates[np.argsort(-alike, kind="stable")][: (alike >= self.least).sum()]
        own = self.texts.grams(number) if len(candidates) else set()
        for candidate in candidates.tolist():
            if (similarity := jaccard(own, self.texts.grams(candidate))) >= self.threshold:
                return Repeat(candidate, similarity, False)
        return None
