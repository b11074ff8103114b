"""Which records a step trains on, and how they are packed: pure functions of (seed, epoch, step), so a run resumes from
its step number.

records → split → mix or order (one list of indices per epoch) → batch (those of one step) → pack_plan
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from zj.data.files import PACKED
from zj.data.held_out import hash_position, normalised
from zj.data.records import Candidates, Dialogue, Document, Prompt, Ranking, Record, as_json

R = TypeVar("R", bound=Record)
Plan = list[list[list[int]]]  # plan[rank][pack] = record indices


# ---- validation split


def split(records: Sequence[R], fraction: float) -> tuple[list[R], list[R]]:
    """(training, validation), each ordered by a hash of the question, so any prefix of either is a fair sample.

    Records whose hash is below `fraction` are held out, so a larger fraction holds out the same records and more. The
    split of a record does not depend on its id, on the order of rows and files, or on other records.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction {fraction}: expected 0 (none) or more, and less than 1")
    sides: tuple[list[R], list[R]] = ([], [])
    for position, *_, index in sorted((*_order(record), index) for index, record in enumerate(records)):
        sides[position < fraction].append(records[index])
    return sides


def is_validation(text: str, fraction: float) -> bool:
    """Whether records that ask this text are held out."""
    return hash_position(text) < fraction


def question(record: Record) -> str:
    """The text that `split` hashes: a document's whole text, otherwise the user's first message.

    A dialogue shares its first message with every prompt made from one of its turns, with every ranking of answers to
    such a prompt, and with every dialogue that begins alike. The system text is ignored: the same question under
    another system text is the same question. Several wordings of one question share the first of them (`split_by`).
    """
    if isinstance(record, Document):
        return record.text
    if isinstance(record, Dialogue):
        return record.split_by or record.turns[0][0]
    prompt = record.prompt if isinstance(record, Ranking | Candidates) else record
    return prompt.split_by or (prompt.history[0][0] if prompt.history else prompt.user)


def _order(record: Record) -> tuple[float, bytes, str, str]:
    """Sort key: the hash of the question, then of the rest of the record."""
    row = as_json(record) | {"id": ""}
    if not isinstance(record, Dialogue):
        row.pop("department", None)  # it says nothing that a model is given
    return hash_position(question(record)), _digest(row), record.id, record.where


def without_repeats(records: Iterable[R]) -> list[R]:
    """Documents or prompts without duplicates; the first of each is kept.

    Documents are equal if their `normalised` texts are, prompts if system text and all user turns are.
    """
    unique: dict[bytes, R] = {}
    for record in records:
        unique.setdefault(_digest([normalised(text) for text in _texts(record)]), record)
    return list(unique.values())


def _texts(record: Record) -> tuple[str, ...]:
    if isinstance(record, Document):
        return (record.text,)
    assert isinstance(record, Prompt), f"{record.where}: a {type(record).__name__} has answers, which may differ"
    return (record.system, *(user for user, _ in record.history), record.user)


def _digest(value: Any) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


# ---- order and mixing


Group = tuple[str, str]  # what --mix may call a record: the name of its file; "multi", "single" or ""


def epochs(records: Sequence[Any], seed: int, weights: dict[str, Fraction] | None = None) -> Callable[[int], list[int]]:
    """Function epoch → record indices: all in random order, or a mix in the ratio of `weights`.

    Of records only their number is needed; of a mix, `records` are the groups of the records.
    """

    @lru_cache(maxsize=2)  # the current epoch, and epoch 0, whose length `batch` needs
    def indices(epoch: int) -> list[int]:
        return mix(records, weights, seed, epoch) if weights else order(len(records), seed, epoch)

    return indices


def batch(step: int, size: int, indices: Callable[[int], Sequence[int]]) -> tuple[int, list[int]]:
    """Global step (from 0) → (epoch, the record indices of this step).

    Every epoch is cut into batches of `size`; the last one may be smaller. All epochs have the same length.
    """
    epoch, within = divmod(step, steps_per_epoch(len(indices(0)), size))
    return epoch, list(indices(epoch)[within * size : (within + 1) * size])


def steps_per_epoch(count: int, size: int) -> int:
    """Number of batches of `size` in `count` records."""
    if size < 1 or count < 1:
        raise ValueError(f"--batch-size {size} of {count} records: expected at least one of each")
    return -(-count // size)


def order(count: int, seed: int, epoch: int) -> list[int]:
    """The indices 0 … count - 1 in the random order of an epoch."""
    indices = list(range(count))
    random.Random(f"{seed}/order/{epoch}").shuffle(indices)
    return indices


def parse_mix(text: str) -> dict[str, Fraction]:
    """ "multi=7,single=1" → weights by group; "" → {}."""
    weights: dict[str, Fraction] = {}
    for part in filter(None, text.split(",")):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            weight = Fraction(number)
        except (ValueError, ZeroDivisionError):
            weight = Fraction(0)
        if not name or name in weights or weight <= 0:
            raise ValueError(f"--mix {text}: found {part.strip()!r}, expected different names as in multi=7,single=1")
        weights[name] = weight
    return weights


def mix(records: Sequence[Group], weights: dict[str, Fraction], seed: int, epoch: int) -> list[int]:
    """The largest set of indices without repeats in the ratio of `weights`, in random order; `records`: their groups.

    Every epoch uses the whole of the scarcest group. From each other group it takes the next slice of one fixed random
    order, cyclically, so every record is used.
    """
    groups = _members(records, weights)
    counts = _group_counts(groups, weights)
    chosen: list[int] = []
    for name, members in groups.items():
        random.Random(f"{seed}/mix/{name}").shuffle(members)
        start = epoch * counts[name]
        chosen += (members[(start + n) % len(members)] for n in range(counts[name]))
    random.Random(f"{seed}/order/{epoch}").shuffle(chosen)
    return chosen


def mix_counts(records: Sequence[Group], weights: dict[str, Fraction]) -> dict[str, tuple[int, int]]:
    """Of each group (records per epoch, all its records): in the ratio of `weights`, up to rounding."""
    groups = _members(records, weights)
    return {name: (number, len(groups[name])) for name, number in _group_counts(groups, weights).items()}


def _group_counts(groups: dict[str, list[int]], weights: dict[str, Fraction]) -> dict[str, int]:
    scale = min(len(members) / weights[name] for name, members in groups.items())
    return {name: max(1, math.floor(scale * weight)) for name, weight in weights.items()}


def _members(records: Sequence[Group], weights: dict[str, Fraction]) -> dict[str, list[int]]:
    """Name in `weights` → record indices. A record's file comes before its number of turns."""
    groups: dict[str, list[int]] = {name: [] for name in weights}
    for index, group in enumerate(records):
        name = next((name for name in group if name in groups), None)
        if name is None:
            names = " or ".join(repr(name) for name in group if name)
            raise ValueError(f"--mix {','.join(weights)}: found a record of group {names}, expected one of --mix")
        groups[name].append(index)
    for name, members in groups.items():
        if not members:
            raise ValueError(
                f'--mix {",".join(weights)}: found no record of group {name!r}; --mix "" trains on all records'
            )
    return groups


def group_of(record: Record) -> Group:
    """data/multi.jsonl.gz:12 with one turn → ("multi", "single"): a file's name comes before the number of turns."""
    name = _name_of(record.where.rpartition(":")[0])
    if isinstance(record, Dialogue):
        return name, "multi" if len(record.turns) > 1 else "single"
    prompt = record.prompt if isinstance(record, Ranking | Candidates) else record
    return name, ("multi" if prompt.history else "single") if isinstance(prompt, Prompt) else ""


@lru_cache(maxsize=1)  # records of a file follow each other
def _name_of(file: str) -> str:
    """data/multi.jsonl.gz → multi"""
    name = Path(file).name
    return next((Path(name.removesuffix(end)).stem for end in PACKED if name.endswith(end)), Path(name).stem)


# ---- packing


def pack_plan(lengths: Sequence[int], tokens_per_pack: int, world_size: int = 1) -> Plan:
    """Cut a batch of sequences (lengths in tokens) into packs: `plan[rank][i]` holds the indices of one pack.

    Every index is in exactly one pack. A pack holds at most `tokens_per_pack` tokens, or one longer sequence. All ranks
    get the same number of packs, because all take part in every forward pass, and about the same number of tokens.
    With too few sequences some packs are empty (`zj.stages.setup.collate` makes such a pack one uncounted token).
    """
    if tokens_per_pack < 1:
        raise ValueError(f"--tokens-per-pack {tokens_per_pack}: expected at least 1")
    assert lengths, "nothing to pack"
    packs = _first_fit_decreasing(lengths, tokens_per_pack)
    packs = _split_into(packs, lengths, -(-len(packs) // world_size) * world_size)
    return _assign_to_ranks(packs, lengths, world_size)


def _first_fit_decreasing(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """First-fit decreasing bin packing: longest sequence first, each into the first pack with room (Johnson, 1973)."""
    packs: list[list[int]] = []
    room: list[int] = []
    pack, previous_size = 0, -1
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        size = lengths[index]
        # Packs without room for a sequence have none for the next one of the same length.
        pack = pack if size == previous_size else 0
        while pack < len(packs) and room[pack] < size:
            pack += 1
        if pack == len(packs):
            packs.append([])
            room.append(limit)
        packs[pack].append(index)
        room[pack] -= size
        previous_size = size
    return packs


def _split_into(packs: list[list[int]], lengths: Sequence[int], count: int) -> list[list[int]]:
    """`count` packs: halve the largest pack of two or more sequences until there are enough, then add empty ones."""
    packs = list(packs)
    while len(packs) < count:
        largest = max(packs, key=lambda pack: (len(pack) > 1, _total_tokens(pack, lengths)))
        if len(largest) < 2:
            return packs + [[] for _ in range(count - len(packs))]
        packs.remove(largest)
        halves: list[list[int]] = [[], []]
        for index in sorted(largest, key=lambda i: (-lengths[i], i)):
            min(halves, key=lambda half: _total_tokens(half, lengths)).append(index)
        packs += halves
    return packs


def _assign_to_ranks(packs: list[list[int]], lengths: Sequence[int], world_size: int) -> Plan:
    """The same number of packs for every rank; each pack, largest first, goes to the rank with the fewest tokens."""
    per_rank = len(packs) // world_size
    plan: Plan = [[] for _ in range(world_size)]
    tokens = [0] * world_size
    for pack in sorted(packs, key=lambda pack: (-_total_tokens(pack, lengths), pack)):
        rank = min((r for r in range(world_size) if len(plan[r]) < per_rank), key=lambda r: (tokens[r], r))
        plan[rank].append(sorted(pack))
        tokens[rank] += _total_tokens(pack, lengths)
    return plan


def _total_tokens(pack: list[int], lengths: Sequence[int]) -> int:
    return sum(lengths[index] for index in pack)
