"""The best constant answer: one text for all questions, by greedy search over the clinic's own sentences."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Sequence

from zj.clinic.exam import Question
from zj.clinic.judge import judge

SENTENCE = re.compile("[^。！？]*[。！？]?")
PROBES = (12, 40)  # sizes of the two samples of questions that a change is tested on before all questions
STALE = 150  # rejected changes in a row before a restart


def best_constant(questions: Sequence[Question], judgements: int = 100_000, seed: int = 0) -> tuple[str, float]:
    """(text, mean score over the questions) after about `judgements` calls of the judge.

    Hill climbing from the best references and single sentences: add, replace, delete or move one sentence while the
    mean score rises. A change is tested on two samples of the questions, then accepted if it helps on all.
    """
    search = _Search(questions, judgements, random.Random(f"{seed}/constant"))
    pool = search.pool()
    references = search.rng.sample(list(questions), min(len(questions), 100))
    singles = search.ranked([(part,) for part in pool], judgements // 8)
    starts = search.ranked([tuple(sentences(question.reference)) for question in references], judgements // 8)
    pool = [*(part for (part,) in singles[:60]), *pool]
    best: tuple[str, float] = ("", 0.0)
    for start in itertools.chain.from_iterable(zip(starts, singles, strict=False)):
        if search.judgements_left <= 0:
            break
        best = max(best, search.climb(start, pool), key=lambda pair: pair[1])
    return best


def sentences(text: str) -> list[str]:
    """The sentences of a text, with their ends."""
    return [part for part in SENTENCE.findall(text) if part]


class _Search:
    def __init__(self, questions: Sequence[Question], judgements: int, rng: random.Random) -> None:
        self.questions, self.judgements_left, self.rng = questions, judgements, rng

    def pool(self) -> list[str]:
        """Frequent sentences of the references, then refusals and admissions of frequent matters, then rare sentences."""
        counts = Counter(part for question in self.questions for part in sentences(question.reference))
        requests = [question for question in self.questions if question.case is None]
        reasons = [why for question in requests for why in question.why]
        constructed = []
        for due, sentence in (("refuse", "我不建议{}，{}。"), ("admit", "我无法确定{}。")):
            matters = Counter(matter for question in requests if question.due == (due,) for matter in question.matter)
            constructed += [
                sentence.format(matter, self.rng.choice(reasons)) for matter, _ in matters.most_common(12) if reasons
            ]
        frequent = [part for part, _ in counts.most_common(150)]
        rare = sorted(set(counts) - set(frequent))
        self.rng.shuffle(rare)
        return [*frequent, *constructed, *rare]

    def ranked(self, texts: Sequence[tuple[str, ...]], judgements: int) -> list[tuple[str, ...]]:
        """As many texts as `judgements` allow, best first."""
        candidates = texts[: max(1, judgements // PROBES[1])]
        scores = {parts: sum(self.score(parts, self._sample_numbers(PROBES[1]))) for parts in candidates}
        return sorted(scores, key=scores.__getitem__, reverse=True)

    def score(self, parts: Sequence[str], numbers: Sequence[int]) -> list[float]:
        self.judgements_left -= len(numbers)
        return [judge(self.questions[number], "".join(parts)).score for number in numbers]

    def climb(self, start: Sequence[str], pool: Sequence[str]) -> tuple[str, float]:
        """Hill climbing from `start`, until STALE changes fail or the judgements are used up."""
        all_numbers = range(len(self.questions))
        parts, scores, stale = list(start), self.score(start, all_numbers), 0
        while self.judgements_left > 0 and stale < STALE:
            changed, stale = self._changed(parts, pool), stale + 1
            if self._gain(changed, scores, PROBES[0]) < 0 or self._gain(changed, scores, PROBES[1]) <= 0:
                continue
            changed_scores = self.score(changed, all_numbers)
            if sum(changed_scores) > sum(scores):
                parts, scores, stale = changed, changed_scores, 0
        return "".join(parts), sum(scores) / len(scores)

    def _gain(self, parts: Sequence[str], scores: Sequence[float], size: int) -> float:
        """Gain in score of a text on a sample of `size` questions, over the current scores."""
        numbers = self._sample_numbers(size)
        return sum(self.score(parts, numbers)) - sum(scores[number] for number in numbers)

    def _sample_numbers(self, size: int) -> list[int]:
        """A random sample of question numbers."""
        return self.rng.sample(range(len(self.questions)), min(size, len(self.questions)))

    def _changed(self, now: Sequence[str], pool: Sequence[str]) -> list[str]:
        rng, parts = self.rng, list(now)
        new = pool[int(len(pool) * rng.random() ** 2)]  # prefers the beginning of the pool
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
