"""How well a detector finds what is known to be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.building.patients import Truth

Detector = Callable[[Iterable[str]], Mapping[str, Sequence[tuple[int, int, str]]]]  # of the texts of a record


@dataclass
class Score:
    planted: Counter[str] = field(default_factory=Counter)  # identifiers by kind
    covered: Counter[str] = field(default_factory=Counter)  # of these, replaced to the last character
    characters: int = 0  # that the detector replaces
    right: int = 0  # of these, those of identifiers
    missed: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def recall(self, names: bool) -> float:
        kinds = [kind for kind in self.planted if (kind == "name") == names]
        return sum(self.covered[kind] for kind in kinds) / sum(self.planted[kind] for kind in kinds)

    @property
    def precision(self) -> float:
        """Of the characters that are replaced, the share that belongs to an identifier."""
        return self.right / self.characters if self.characters else 0.0


def measure(truths: Sequence[Truth], detector: Detector) -> Score:
    """An identifier counts as found if every digit, letter and character of it is replaced."""
    score = Score()
    for truth in truths:
        detected = detector(truth.spans)
        for text, spans in truth.spans.items():
            found = detected[text]
            marked = bytearray(len(text))
            for start, end, _ in found:
                marked[start:end] = b"\1" * (end - start)
            true = bytearray(len(text))
            for start, end, kind in spans:
                true[start:end] = b"\1" * (end - start)
                score.planted[kind] += 1
                if all(marked[n] for n in range(start, end) if text[n].isalnum()):
                    score.covered[kind] += 1
                else:
                    score.missed.append(
                        (kind, text[max(0, start - 12) : end + 6].replace("\n", "⏎") + " | " + text[start:end])
                    )
            score.characters += sum(marked)
            score.right += sum(a & b for a, b in zip(marked, true, strict=True))
            for start, end, kind in found:
                if not all(true[start:end]):
                    score.wrong.append(
                        (kind, text[max(0, start - 8) : end + 8].replace("\n", "⏎") + " | " + text[start:end])
                    )
    return score
