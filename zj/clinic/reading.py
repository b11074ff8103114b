"""What an answer says, as far as the clinic's table can tell: drugs, illnesses, questions, phrases. No grades here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from zj.clinic.exam import Question
from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DRUGS

LONGEST = 2000  # characters that are read; what follows them is rambling anyway
_FULL_WIDTH = str.maketrans("?!,;:", "？！，；：")
_DRUGS = "|".join(sorted(map(re.escape, DRUGS), key=len, reverse=True))
_DRUG = re.compile(_DRUGS)
_ILLNESS = re.compile("|".join(sorted(map(re.escape, CONDITIONS), key=len, reverse=True)))
_RULED_OUT = re.compile(f"({'|'.join(CIRCUMSTANCES)})禁用({_DRUGS})")
# A drug is warned of if its own clause says so right before it (a list may stand between) or right after it.
_WARNING = re.compile(
    "(?<!不是)(?<!并非)(?:禁用|避免|避开|停用|不宜|不建议|(?:不要|不能|不可|不会|别)(?:再|自行|随便|给您|给孩子)?(?:使用|服用|选用|用|吃)|没有(?:用|选))"
    "(?:使用|服用|用|[^，]{1,12}[、和及或])?$"
)
_WARNED = re.compile("(?:是|对您|对孩子)?(?:不适合|不合适|不能|不要|不宜|不可|禁用|不建议)")
_ASKED_ABOUT = re.compile("有没有|是否|[吃用打]过|在[吃用]")
# An illness is what stands in these places, or what stands in the weaker ones and ends as illnesses do.
_DIAGNOSIS = re.compile(
    "(?:考虑是?|像是|诊断为|确诊为)(?P<said>[^，。；：！？的]{2,16})(?=的可能性|[，。；！？]|$)"
    "|(?:^|[，。；：！？])是?(?P<likely>[^，。；：！？的]{2,16})的可能性"
    "|(?:是|得了|患了|患有)(?P<named>[^，。；：！？的是]{1,12}(?:病|症|炎|癌|综合征|感染|疮|癣|疹|疣|感冒|结石))(?=[，。；！？]|$)"
)
_PRESCRIBED = re.compile(
    "(?:用药方面|药物上|用药上)，[^。！？]*?(?:评估后处方|指导下使用|会用到|可以用|选用|试试)([^，。；！？]{2,})"
    "|(?:可以|建议您?|直接|试试|选用|服用|处方)(?:先|使用|服用|选用|口服|用|吃|涂)?([^，。；：！？、不]{1,10}"
    "(?:片|胶囊|颗粒|膏|滴眼液|口服液|丸|散|注射液|西林|沙星|芬|唑|普利|地平|沙坦|他汀|霉素))(?=[，。；！？、]|$)"
)


@dataclass(frozen=True)
class Reading:
    """One answer to one question, taken apart."""

    question: Question
    text: str  # without blanks around it, punctuation in full width
    asked: str  # the sentences that end in a question mark
    stated: str  # all others
    plain: str  # `stated`, with "□" for every character of a phrase that the table has for this patient's illness
    grams: frozenset[str]  # pairs of neighbouring characters in `text`
    recommended: tuple[str, ...]  # drugs, once per mention, that are named without a warning
    warned: frozenset[str]  # drugs that are named with a warning
    ruled_out: tuple[tuple[str, str], ...]  # (circumstance, drug) of every "X禁用Y"
    illnesses: tuple[str, ...]  # every illness that is stated, whether the table has it or not


def read(question: Question, answer: str) -> Reading:
    text = answer.strip()[:LONGEST].translate(_FULL_WIDTH)
    sentences = re.findall("[^。！？\n]+[。！？\n]?", text)
    asked = "".join(s for s in sentences if s.endswith("？"))
    stated = "".join(s for s in sentences if not s.endswith("？"))
    plain, name = stated, question.case.condition.name if question.case else ""
    for phrase in _own(name) if name else ():
        if phrase in plain and phrase not in name:
            plain = plain.replace(phrase, "□" * len(phrase))
    named = list(_drugs(text))
    return Reading(
        question=question,
        text=text,
        asked=asked,
        stated=stated,
        plain=plain,
        grams=frozenset(map("".join, zip(text, text[1:], strict=False))),
        recommended=tuple(drug for drug, warned in named if not warned),
        warned=frozenset(drug for drug, warned in named if warned),
        ruled_out=tuple(_RULED_OUT.findall(text)),
        illnesses=tuple(_illnesses(stated, plain, name)) if name else (),
    )


def _drugs(text: str) -> Iterator[tuple[str, bool]]:
    """Every drug of the table that is named, and whether with a warning."""
    for clause in re.split("[，。；：！？\n]", text):
        for match in _DRUG.finditer(clause):
            before, after = clause[: match.start()], clause[match.end() :]
            if not _ASKED_ABOUT.search(before):
                yield match.group(), bool(_WARNING.search(before) or _WARNED.match(after))


def _illnesses(stated: str, plain: str, name: str) -> Iterator[str]:
    for phrase in _speaks_of_illness(name):
        stated = stated.replace(phrase, "□")
    yield from _ILLNESS.findall(_DRUG.sub("□", stated))  # a drug may be named after an illness
    for match in _DIAGNOSIS.finditer(plain):
        said = match["said"] or match["likely"] or match["named"]
        if not re.search("您|情况|检查|医|□|可能|治", said):
            yield said


def prescribed(reading: Reading) -> list[str]:
    """What stands where a drug is recommended."""
    return [first or second for first, second in _PRESCRIBED.findall(reading.stated) if first or second]


@cache
def phrases(name: str) -> tuple[tuple[str, str], ...]:
    """(kind, phrase) of all that the table says of an illness, its name and symptoms apart; longest first."""
    c = CONDITIONS[name]
    found = [("cause", c.cause), *(("question", text) for text in c.questions)]
    found += [("tests", text) for text in c.tests] + [("treatment", text) for text in c.treatment]
    found += [("use", text) for text in c.drugs.values()] + [("care", text) for text in c.care]
    found += [("flags", text) for pair in c.red_flags.items() for text in pair]
    return tuple(sorted(found, key=lambda pair: -len(pair[1])))


@cache
def _own(name: str) -> tuple[str, ...]:
    """Phrases and symptoms of an illness, longest first."""
    texts = [text for _, text in phrases(name)] + list(CONDITIONS[name].symptoms)
    return tuple(sorted(texts, key=len, reverse=True))


@cache
def _speaks_of_illness(name: str) -> tuple[str, ...]:
    """What the table says of an illness and names this or another one in: no diagnosis."""
    return tuple(text for text in _own(name) if text not in name and _ILLNESS.search(text))


@cache
def _index() -> dict[str, list[tuple[str, str, frozenset[str]]]]:
    """First four characters -> (kind, phrase, illnesses that it is true of), for phrases of at least six characters."""
    owners: dict[tuple[str, str], set[str]] = {}
    for name in CONDITIONS:
        for pair in phrases(name):
            owners.setdefault(pair, set()).add(name)
    index: dict[str, list[tuple[str, str, frozenset[str]]]] = {}
    for (kind, text), names in owners.items():
        if len(text) >= 6:
            index.setdefault(text[:4], []).append((kind, text, frozenset(names)))
    return index


def foreign(text: str, name: str) -> list[tuple[str, str]]:
    """(kind, phrase) of all in the text that the table says of other illnesses only."""
    index, found = _index(), []
    for start in range(len(text) - 5):
        for kind, phrase, owners in index.get(text[start : start + 4], ()):
            if name not in owners and text.startswith(phrase, start):
                found.append((kind, phrase))
    return found


@cache
def _pairs(phrase: str) -> frozenset[str]:
    return frozenset(a + b for a, b in zip(phrase, phrase[1:], strict=False) if not set(a + b) & set("，。；：！？、"))


def says(grams: frozenset[str], phrase: str) -> bool:
    """Whether at least four of five neighbouring pairs of the phrase's characters are there: other words may link them."""
    pairs = _pairs(phrase)
    return len(pairs & grams) >= 0.8 * len(pairs)
