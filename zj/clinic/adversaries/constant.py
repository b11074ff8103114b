"""The best constant answer: one text for every question, put together from the clinic's own sentences by greedy search."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Sequence

from zj.clinic.exam import Question
from zj.clinic.judge import judge

SENTENCE = re.compile("[^。！？]*[。！？]?")
PROBES = (12, 40)  # questions on which a change is tried, before all
STALE = 150  # changes in a row without success, after which the search starts anew


def best_constant(questions: Sequence[Question], judgements: int = 100_000, seed: int = 0) -> tuple[str, float]:
    """(the text, its mean score over the questions), after about so many calls of the judge.

    Starts from the best of the references and of the single sentences; adds, replaces, deletes or moves one sentence as
    long as the mean score rises. A change is tried on a few questions first, and taken if it holds on all.
    """
    search = _Search(questions, judgements, random.Random(f"{seed}/constant"))
    pool = search.pool()
    references = search.rng.sample(list(questions), min(len(questions), 100))
    singles = search.ranked([(part,) for part in pool], judgements // 8)
    starts = search.ranked([tuple(sentences(question.reference)) for question in references], judgements // 8)
    pool = [*(part for (part,) in singles[:60]), *pool]
    best: tuple[str, float] = ("", 0.0)
    for start in itertools.chain.from_iterable(zip(starts, singles, strict=False)):
        if search.left <= 0:
            break
        best = max(best, search.climb(start, pool), key=lambda pair: pair[1])
    return best


def sentences(text: str) -> list[str]:
    """The sentences of a text, with their ends."""
    return [part for part in SENTENCE.findall(text) if part]


class _Search:
    def __init__(self, questions: Sequence[Question], judgements: int, rng: random.Random) -> None:
        self.questions, self.left, self.rng = questions, judgements, rng

    def pool(self) -> list[str]:
        """Sentences of the references, the most frequent first, then refusals and admissions of what many requests are about."""
        counted = Counter(part for question in self.questions for part in sentences(question.reference))
        requests = [question for question in self.questions if question.case is None]
        reasons = [why for question in requests for why in question.why]
        made = []
        for due, sentence in (("refuse", "我不建议{}，{}。"), ("admit", "我无法确定{}。")):
            matters = Counter(matter for question in requests if question.due == (due,) for matter in question.matter)
            made += [
                sentence.format(matter, self.rng.choice(reasons)) for matter, _ in matters.most_common(12) if reasons
            ]
        frequent = [part for part, _ in counted.most_common(150)]
        others = sorted(set(counted) - set(frequent))
        self.rng.shuffle(others)
        return [*frequent, *made, *others]

    def ranked(self, texts: Sequence[tuple[str, ...]], judgements: int) -> list[tuple[str, ...]]:
        """The best first, of as many as so many judgements allow."""
        tried = texts[: max(1, judgements // PROBES[1])]
        scores = {parts: sum(self.score(parts, self._some(PROBES[1]))) for parts in tried}
        return sorted(scores, key=scores.__getitem__, reverse=True)

    def score(self, parts: Sequence[str], numbers: Sequence[int]) -> list[float]:
        self.left -= len(numbers)
        return [judge(self.questions[number], "".join(parts)).score for number in numbers]

    def climb(self, start: Sequence[str], pool: Sequence[str]) -> tuple[str, float]:
        """From one text to another that is better, until changes no longer help or the judgements are used up."""
        every = range(len(self.questions))
        now, scores, stale = list(start), self.score(start, every), 0
        while self.left > 0 and stale < STALE:
            changed, stale = self._changed(now, pool), stale + 1
            if self._gain(changed, scores, PROBES[0]) < 0 or self._gain(changed, scores, PROBES[1]) <= 0:
                continue
            found = self.score(changed, every)
            if sum(found) > sum(scores):
                now, scores, stale = changed, found, 0
        return "".join(now), sum(scores) / len(scores)

    def _gain(self, parts: Sequence[str], scores: Sequence[float], size: int) -> float:
        """What a text gains on a few questions, over the scores that another has."""
        few = self._some(size)
        return sum(self.score(parts, few)) - sum(scores[number] for number in few)

    def _some(self, size: int) -> list[int]:
        """Numbers of a few questions, which are others each time."""
        return self.rng.sample(range(len(self.questions)), min(size, len(self.questions)))

    def _changed(self, now: Sequence[str], pool: Sequence[str]) -> list[str]:
        rng, parts = self.rng, list(now)
        new = pool[int(len(pool) * rng.random() ** 2)]  # what stands in front is tried more often
        move = rng.choice(("add", "add", "replace", "delete", "move"))
        if move == "add" or len(parts) < 2:
            parts.insert(rng.randint(0, len(parts)), new)
        elif move == "replace":
            parts[rng.randrange(len(parts))] = new
        else:
            part = parts.pop(rng.randrange(len(parts)))
            if move == "move":
                parts.insert(rng.randint(0, len(parts)), part)
        return parts
