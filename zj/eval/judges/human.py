"""Systems before people who do not see their names: out to the ranking tool (scripts/annotate.py), and back.

An item is a question with the answers of all systems, shuffled; equal answers are one. The key says which answer is
whose. It stays with who evaluates: the items are what annotators get. A question on which all systems answer the same
is no item, and a tie. A system without an answer shows NO_ANSWER.

Of an item that an expert decided, the expert's ranks count. Else the annotators vote on each pair of systems: the sign
of the sum of what each of them says.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from zj.data.json_rows import parse_line
from zj.data.records import Candidates, as_json
from zj.eval.answer_file import Systems
from zj.eval.judges.decisions import Decision, turns_of

NO_ANSWER = "（没有回答）"
FINAL = "overall"  # the dimension of the final order: safety, then professionalism, then fluency
MOST = 4  # systems: what the ranking tool's people can rank


@dataclass(frozen=True)
class KeyRow:
    """Of one question: who made each response of its item, and what the statistics need of it."""

    id: str
    dialogue: str
    department: str
    turns: str
    systems: tuple[tuple[str, ...], ...]  # of each response; several where their answers are equal
    sha256: str  # of the responses


def blind(systems: Systems, seed: int, limit: int = 0) -> tuple[list[str], list[str]]:
    """(lines of items, lines of the key) of `limit` questions drawn at random (0: all, in their order)."""
    if not 2 <= len(systems) <= MOST:
        raise ValueError(f"--answers: found {len(systems)} systems, expected 2 to {MOST}")
    rng = random.Random(f"{seed}/blind")
    questions = list(zip(*systems.values(), strict=True))
    items, key = [], []
    for rows in rng.sample(questions, limit) if 0 < limit < len(questions) else questions:
        of_text: dict[str, list[str]] = {}
        for name, row in zip(systems, rows, strict=True):
            of_text.setdefault(row.answer.strip() or NO_ANSWER, []).append(name)
        texts = rng.sample(list(of_text), len(of_text))
        prompt, owners = rows[0].prompt, tuple(tuple(of_text[text]) for text in texts)
        about = (prompt.id, rows[0].dialogue, prompt.department, turns_of(prompt))
        key.append(json.dumps(asdict(KeyRow(*about, owners, _digest(texts))), ensure_ascii=False) + "\n")
        if len(texts) > 1:
            items.append(json.dumps(as_json(Candidates(prompt.id, prompt, tuple(texts))), ensure_ascii=False) + "\n")
    return items, key


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(text.strip() for text in texts).encode()).hexdigest()


def read_key(path: str | Path) -> dict[str, KeyRow]:
    key = {}
    for where, row in _rows(path):
        try:
            systems = tuple(tuple(map(str, names)) for names in row["systems"])
            texts = {name: str(row[name]) for name in ("id", "dialogue", "department", "turns", "sha256")}
        except (KeyError, TypeError):
            raise ValueError(f"{where}: expected a row of the key that evaluate.py human export wrote") from None
        key[texts["id"]] = KeyRow(systems=systems, **texts)
    return key


Ranks = dict[str, list[int]]  # dimension → rank of each response


@dataclass(frozen=True)
class Ranked:
    """What people said of one item."""

    lengths: tuple[int, ...]  # characters of the responses
    judgements: tuple[Ranks, ...]  # that count: the expert's, or each annotator's


def read_judgements(path: str | Path, key: dict[str, KeyRow]) -> dict[str, Ranked]:
    """id → what people said, from judgements.jsonl of annotate.py export. Other items are ignored.

    ValueError with file:line if an item's responses are not those that were exported.
    """
    lengths: dict[str, tuple[int, ...]] = {}
    given: dict[str, list[Ranks]] = {}
    heard = set[tuple[str, str]]()
    for where, row in _rows(path):
        known = key.get(str(row.get("id")))
        if known is None:
            continue
        try:
            responses, decided_by, annotator = row["responses"], row["decided_by"], row["annotator"]
            ranks = {**row["ranks"], FINAL: row["final"]}
        except (KeyError, TypeError) as error:
            raise ValueError(f"{where}: found no {error}, expected judgements.jsonl of annotate.py export") from None
        if not all(_are_ranks(of, len(known.systems)) for of in ranks.values()):
            raise ValueError(f"{where}: found the ranks {ranks}, expected a whole number of each response")
        if (known.id, annotator) in heard:
            raise ValueError(f"{where}: found a judgement of {annotator} on {known.id} again, expected one")
        heard.add((known.id, annotator))
        if _digest(responses) != known.sha256:
            raise ValueError(
                f"{where}: item {known.id}: found other responses than those that were exported with the key"
            )
        lengths[known.id] = tuple(map(len, responses))
        if not decided_by or decided_by == annotator:
            given.setdefault(known.id, []).append(ranks)
    return {id: Ranked(lengths[id], tuple(rows)) for id, rows in given.items()}


def _are_ranks(of: Any, number: int) -> bool:
    return isinstance(of, list) and len(of) == number and all(type(rank) is int for rank in of)


def _rows(path: str | Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            row = parse_line(line)
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{number}: found {line[:60]!r}, expected an object")
            yield f"{path}:{number}", row


def decisions(key: dict[str, KeyRow], ranked: dict[str, Ranked], first: str, second: str) -> dict[str, list[Decision]]:
    """{dimension: decisions} between two systems, over the questions that were judged or need no judgement."""
    names = dict.fromkeys(name for found in ranked.values() for ranks in found.judgements for name in ranks)
    found: dict[str, list[Decision]] = {name: [] for name in names or [FINAL]}
    for row in key.values():
        a, b = (next(n for n, names in enumerate(row.systems) if system in names) for system in (first, second))
        item = ranked.get(row.id)
        if item is None and len(row.systems) > 1:
            continue
        about = (row.id, row.dialogue, row.department, row.turns)
        lengths = (item.lengths[a], item.lengths[b]) if item else (0, 0)
        for name, rows in found.items():
            votes = [ranks[name] for ranks in item.judgements if name in ranks] if item else []
            if votes or a == b:
                rows.append(Decision(*about, lengths, _vote(votes, a, b)))
    return found


def _vote(votes: Sequence[Sequence[int]], a: int, b: int) -> int:
    total = sum((ranks[a] < ranks[b]) - (ranks[a] > ranks[b]) for ranks in votes)
    return (total > 0) - (total < 0)


def pairs_of(key: dict[str, KeyRow]) -> list[tuple[str, str]]:
    """Every two systems, in the order of their names."""
    return list(combinations(sorted({name for row in key.values() for names in row.systems for name in names}), 2))


# ---- a judge beside people


def judge_verdicts(path: str | Path) -> dict[tuple[str, str, str, str], int | None]:
    """(id, dimension, first, second) → outcome, of comparisons.jsonl of evaluate.py pairwise, controls left out."""
    verdicts: dict[tuple[str, str, str, str], int | None] = {}
    for where, row in _rows(path):
        try:
            about = (row["id"], row["dimension"], row["first"], row["second"])
            control, outcome = row["control"], row["outcome"]
        except KeyError as error:
            raise ValueError(f"{where}: found no {error}, expected comparisons.jsonl of evaluate.py pairwise") from None
        if not control:
            verdicts[about] = outcome
            verdicts[(*about[:2], about[3], about[2])] = None if outcome is None else -outcome
    return verdicts


def agreement(pairs: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    """Of (judge's, people's) outcomes: share of equal ones and Cohen's kappa, with ties and without (1960)."""
    decided = [(a, b) for a, b in pairs if a and b]
    return {"with_ties": _kappa(pairs), "without_ties": _kappa(decided)} if pairs else None


def _kappa(pairs: Sequence[tuple[int, int]]) -> dict[str, float | None]:
    n = len(pairs)
    if not n:
        return {"n": 0, "share": None, "kappa": None}
    share = sum(a == b for a, b in pairs) / n
    chance = sum(sum(a == sign for a, _ in pairs) * sum(b == sign for _, b in pairs) for sign in (-1, 0, 1)) / n**2
    return {"n": n, "share": share, "kappa": (share - chance) / (1 - chance) if chance < 1 else None}
