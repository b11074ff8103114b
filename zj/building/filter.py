"""Rules that find records not worth training on. Each has a name; one that is off removes nothing.

A rule reads the questions and answers of a record and gives what it found, or "". The answers of a ranking are those of
rank 1, as the others are there to be bad; a document is one answer. Words are data (`filter.toml`).
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj.building.report import StepReport, row_with
from zj.building.spool import Spool
from zj.data.held_out import normalised
from zj.data.records import Dialogue, Document, Prompt, Ranking, Record

WORDS = Path(__file__).with_name("filter.toml")
CHINESE = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
LATIN = r"[A-Za-z]*[a-z][A-Za-z]*"  # a word; CT and MRI are of no language
SCRIPTS = {"zh": re.compile(CHINESE), "en": re.compile(LATIN)}
WORD = re.compile(rf"{CHINESE}|{LATIN}|[^\W\d_A-Z]")  # of any script
DAMAGE = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ud800-\udfff\ufdd0-\ufdef]")
LEAST_WORDS = 5  # fewer are of any language: a name, a measurement
REPEATED = 10  # characters of a stretch that an answer says again
Language = Literal["zh", "en"]


@dataclass(frozen=True)
class Limits:
    """Numbers of the rules; their names are those of the script's flags."""

    min_answer: int  # characters
    max_text: int  # characters
    language: Language
    least_language: float  # share of the characters and words
    most_repeated: float  # share of an answer


@dataclass(frozen=True)
class Parts:
    """The texts of a record that rules read."""

    questions: tuple[str, ...]
    answers: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return self.questions + self.answers


Rule = Callable[[Parts], str]  # what it found, or ""


def rules(limits: Limits, words: dict[str, re.Pattern[str]]) -> dict[str, Rule]:
    """All rules by name, in the order in which they are asked."""

    def search(name: str, texts: Iterable[str]) -> str:
        return next((match[0] for text in texts if (match := words[name].search(text))), "")

    def damage(parts: Parts) -> str:
        found = next((match[0] for text in parts.all if (match := DAMAGE.search(text))), "")
        return f"U+{ord(found):04X}" if found else search("mojibake", parts.all)

    return {
        "empty": lambda parts: next((repr(text) for text in parts.answers if is_empty(text, words["empty"])), ""),
        "short": lambda parts: _short(parts.answers, limits.min_answer),
        "long": lambda parts: next((f"{len(t):,} characters" for t in parts.all if len(t) > limits.max_text), ""),
        "language": lambda parts: _foreign(
            "".join(parts.answers or parts.questions), limits.language, limits.least_language
        ),
        "encoding": damage,
        "advertising": lambda parts: search("advertising", parts.answers),
        "contact": lambda parts: search("contact", parts.all),
        "link": lambda parts: search("link", parts.all),
        "refusal": lambda parts: search("refusal", parts.answers),
        "repetition": lambda parts: _repetitive(parts.answers, limits.most_repeated),
    }


# The names of all rules. "short" is off by default: answers of one word are facts in question-answer sets.
RULES = ("empty", "short", "long", "language", "encoding", "advertising", "contact", "link", "refusal", "repetition")
BY_DEFAULT = tuple(name for name in RULES if name != "short")


def read_words(file: Path = WORDS) -> dict[str, re.Pattern[str]]:
    """The words of the rules. ValueError names what is wrong with the file."""
    needed = ("empty", "mojibake", "advertising", "contact", "link", "refusal")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        if sorted(table) != sorted(needed):
            raise ValueError(f"found keys {', '.join(table)}, expected {', '.join(needed)}")
        return {name: re.compile("|".join(f"(?:{word})" for word in table[name]), re.IGNORECASE) for name in needed}
    except (OSError, ValueError, TypeError, re.error) as error:
        raise ValueError(f"--words {file}: {error}") from None


def keep_good(
    records: Iterable[Record], report: StepReport, chosen: dict[str, Rule], removed: Spool
) -> Iterator[Record]:
    """The records that no chosen rule finds fault with. The others go to `removed`, under the first rule that did."""
    for record in records:
        report.read += 1
        parts = parts_of(record)
        found = {name: what for name, rule in chosen.items() if (what := rule(parts))}
        for name in found:
            report.add(name, record.where, record.id)
        if found:
            report.removed += 1
            about = {"reason": next(iter(found)), "where": record.where, "found": found}
            removed.append(row_with(record, removed=about))
        else:
            yield record


def parts_of(record: Record) -> Parts:
    if isinstance(record, Document):
        return Parts((), (record.text,))
    if isinstance(record, Dialogue):
        return Parts(tuple(user for user, _ in record.turns), tuple(answer for _, answer in record.turns))
    prompt = record if isinstance(record, Prompt) else record.prompt
    answers: tuple[str, ...] = ()
    if isinstance(record, Ranking):
        answers = tuple(text for text, rank in zip(record.answers, record.ranks, strict=True) if rank == 1)
    elif not isinstance(record, Prompt):
        answers = record.answers
    return Parts((*(user for user, _ in prompt.history), prompt.user), answers)


def is_empty(text: str, words: re.Pattern[str]) -> bool:
    """Whether a text has no letter and no digit, or is one of the words as a whole."""
    return not any(map(str.isalnum, text)) or words.fullmatch(normalised(text)) is not None


def _short(answers: tuple[str, ...], least: int) -> str:
    """The longest answer, if it is too short: a farewell among longer answers may be short."""
    longest = max(answers, key=len, default="")
    return longest if answers and len(longest.strip()) < least else ""


def _foreign(text: str, language: Language, least: float) -> str:
    total = len(WORD.findall(text))
    share = len(SCRIPTS[language].findall(text)) / total if total >= LEAST_WORDS else 1.0
    return f"{share:.0%} {language}" if share < least else ""


def _repetitive(answers: tuple[str, ...], most: float) -> str:
    """The most frequent stretch of an answer that says itself again, if more than `most` of it is repeats."""
    for text in answers:
        stretches = Counter(text[at : at + REPEATED] for at in range(len(text) - REPEATED + 1))
        again = stretches.total() - len(stretches)
        if again > most * max(stretches.total(), 3 * REPEATED):
            return stretches.most_common(1)[0][0]
    return ""
