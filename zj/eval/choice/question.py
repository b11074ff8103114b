"""A multiple-choice question, the orders in which its options are shown, and the stem that it shares with others."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zj.data.held_out import normalised

Order = tuple[int, ...]  # at each place, the index of the option that is shown there
Picked = frozenset[int]  # indices of options in their published order

# An option that speaks of the others by place or letter means something else in another order.
REFERS = re.compile(
    r"(?:以上|上述)(?:都|均|皆|全|各|所有|选项|答案|说法|[两二三四])|^[都均](?:不?是|不?对|正确|错误)|前[两二三四][项者]"
    r"|(?<![A-Za-z])[A-J]\s*(?:[、和与及或+,，]|and|or)\s*[A-J](?![A-Za-z])"
    r"|(?i:\b(?:all|none|both|neither) of the (?:above|others?|options)\b)"
)
SENTENCE = re.compile(r".*[。？！?!]", re.DOTALL)
SHARED_STEM = 20  # characters that a stem has at least, to be the stem of several questions


@dataclass(frozen=True)
class ChoiceQuestion:
    """Right options by letter. A question without `right` is unanswered in its file, and is not scored."""

    id: str
    text: str
    options: dict[str, str]  # letter → text, in the order of the file
    right: frozenset[str]  # letters; empty: the file has no answer
    several: bool = False  # its prompt says that several options may be right
    subject: str = ""
    suite: str = ""  # name of the published form
    group: str = ""  # names what several questions are about, if the file says so
    where: str = field(default="", compare=False)  # file:line

    @property
    def letters(self) -> str:
        return "".join(self.options)

    @property
    def cluster(self) -> str:
        """What this question shares with others: its group, or all but the last sentence of its text (a case), or
        the text itself where that is shorter than SHARED_STEM."""
        if self.group:
            return f"group {self.group}"
        last = self.text.strip().rstrip("。？！?!：:（） ()")
        stem = SENTENCE.match(last)
        return normalised(stem[0] if stem and len(stem[0]) >= SHARED_STEM else self.text)

    @property
    def fixed(self) -> bool:
        """Whether an option refers to others, so that the order has to stay."""
        return any(REFERS.search(text) for text in self.options.values())

    def picked(self, letters: Iterable[str], order: Order | None = None) -> Picked:
        """The options that these letters name where the options are shown in this order."""
        order = order or tuple(range(len(self.options)))
        return frozenset(order[self.letters.index(letter)] for letter in letters)

    def shown(self, order: Order) -> ChoiceQuestion:
        """The question with its options in another order, under the same letters."""
        texts, right = list(self.options.values()), self.picked(self.right)
        letters = zip(self.letters, order, strict=True)
        options = {letter: texts[index] for letter, index in letters}
        moved = frozenset(letter for letter, index in zip(self.letters, order, strict=True) if index in right)
        return replace(self, options=options, right=moved)

    def orders(self, shuffles: int, seed: int) -> list[Order]:
        """The published order and then so many random ones, which depend on seed and question alone.

        The published order alone if an option refers to others.
        """
        published = tuple(range(len(self.options)))
        if self.fixed:
            return [published]
        rng = random.Random(f"{seed}/{self.text}/{sorted(self.options.values())}")
        return [published, *(tuple(rng.sample(published, len(published))) for _ in range(shuffles))]
