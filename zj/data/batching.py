"""Which records a step sees, and how they are packed. Pure functions of (seed, epoch, step): resuming needs one number.

records → split → mix or order (one list of indices per epoch) → batch (those of one step) → pack_plan → collate
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

import torch
from torch import Tensor

from zj.data.held_out import normalised, place
from zj.data.records import Dialogue, Document, Prompt, Ranking, Record, as_json
from zj.data.template import Encoded
from zj.model.packed import Packed

R = TypeVar("R", bound=Record)
Plan = list[list[list[int]]]  # ranks × packs × indices


# ---- validation split


def split(records: Sequence[R], fraction: float) -> tuple[list[R], list[R]]:
    """(training, validation), each in the order of a hash of what is asked: any beginning of either is a fair sample.

    The held-out records are the first of that order, so that a larger fraction holds out the same ones and more. The
    order of rows and files has no part in it, nor have the records' ids, nor other records beside them.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction {fraction}: expected 0 (none) or more, and less than 1")
    sides: tuple[list[R], list[R]] = ([], [])
    for at, *_, index in sorted((*_order(record), index) for index, record in enumerate(records)):
        sides[at < fraction].append(records[index])
    return sides


def is_validation(text: str, fraction: float) -> bool:
    """Whether what asks this is held out."""
    return place(text) < fraction


def question(record: Record) -> str:
    """The text that decides where a record stands: of a document the whole, of all others the user's first message.

    The first one, because it is what a dialogue shares with every prompt that is made from one of its turns, with
    every ranking of answers to such a prompt, and with every other dialogue that begins alike and then goes on in its
    own way. The system text is left out: a question under another one is the same question.
    """
    if isinstance(record, Document):
        return record.text
    if isinstance(record, Dialogue):
        return record.turns[0][0]
    prompt = record.prompt if isinstance(record, Ranking) else record
    return prompt.history[0][0] if prompt.history else prompt.user


def _order(record: Record) -> tuple[float, bytes, str, str]:
    """By what is asked; where that is the same, by the rest of the record."""
    return place(question(record)), _hash(as_json(record) | {"id": ""}), record.id, record.where


def without_repeats(records: Iterable[R]) -> list[R]:
    """The first of all documents, or of all prompts, that say the same, as `normalised`: of a prompt its system text
    and what the user says in all its turns."""
    found: dict[bytes, R] = {}
    for record in records:
        found.setdefault(_hash([normalised(text) for text in _said(record)]), record)
    return list(found.values())


def _said(record: Record) -> tuple[str, ...]:
    if isinstance(record, Document):
        return (record.text,)
    assert isinstance(record, Prompt), f"{record.where}: a {type(record).__name__} has answers, which may differ"
    return (record.system, *(user for user, _ in record.history), record.user)


def _hash(value: Any) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=16).digest()


# ---- order and mixing


def epochs(records: Sequence[Any], seed: int, weights: dict[str, Fraction] | None = None) -> Callable[[int], list[int]]:
    """epoch → the indices it goes through: all in random order, or (of records) a mix in the ratio of `weights`."""

    @lru_cache(maxsize=2)  # the current one, and epoch 0, whose length `batch` asks for
    def indices(epoch: int) -> list[int]:
        return mix(records, weights, seed, epoch) if weights else order(len(records), seed, epoch)

    return indices


def batch(step: int, size: int, indices: Callable[[int], Sequence[int]]) -> tuple[int, list[int]]:
    """Global step (from 0) → (epoch, the record indices of this step).

    Every epoch is cut into batches of `size`; its last, smaller one is kept. All epochs are of one length.
    """
    epoch, within = divmod(step, steps_per_epoch(len(indices(0)), size))
    return epoch, list(indices(epoch)[within * size : (within + 1) * size])


def steps_per_epoch(count: int, size: int) -> int:
    """Batches of `size` that `count` records make."""
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


def mix(records: Sequence[Record], weights: dict[str, Fraction], seed: int, epoch: int) -> list[int]:
    """The largest set of indices without repeats in the ratio of `weights`, in random order.

    The scarcest group is used whole in every epoch. Of each other group an epoch takes the next part of one random
    order, round and round, so that the parts differ and every record has its turn.
    """
    groups = _groups(records, weights)
    taken = _taken(groups, weights)
    chosen: list[int] = []
    for name, members in groups.items():
        random.Random(f"{seed}/mix/{name}").shuffle(members)
        start = epoch * taken[name]
        chosen += (members[(start + n) % len(members)] for n in range(taken[name]))
    random.Random(f"{seed}/order/{epoch}").shuffle(chosen)
    return chosen


def mix_counts(records: Sequence[Record], weights: dict[str, Fraction]) -> dict[str, int]:
    """How many records of each group an epoch takes: exactly in the ratio of `weights`, up to rounding."""
    return _taken(_groups(records, weights), weights)


def _taken(groups: dict[str, list[int]], weights: dict[str, Fraction]) -> dict[str, int]:
    scale = min(len(members) / weights[name] for name, members in groups.items())
    return {name: max(1, math.floor(scale * weight)) for name, weight in weights.items()}


def _groups(records: Sequence[Record], weights: dict[str, Fraction]) -> dict[str, list[int]]:
    """The indices of each group. A record belongs to the group named like its file, else to "multi" or "single"."""
    groups: dict[str, list[int]] = {name: [] for name in weights}
    for index, record in enumerate(records):
        stem, turns = _stem(record), _turns(record)
        name = next((name for name in (stem, turns) if name in groups), None)
        if name is None:
            names = " or ".join(repr(name) for name in (stem, turns) if name)
            raise ValueError(f"--mix {','.join(weights)}: found {record.where} of group {names}, expected one of --mix")
        groups[name].append(index)
    for name, members in groups.items():
        if not members:
            raise ValueError(f"--mix {','.join(weights)}: found no record of group {name!r}, expected at least one")
    return groups


def _stem(record: Record) -> str:
    """data/multi.jsonl.gz:12 → multi"""
    name = Path(record.where.rpartition(":")[0]).name
    return Path(name.removesuffix(".gz")).stem


def _turns(record: Record) -> str:
    if isinstance(record, Dialogue):
        return "multi" if len(record.turns) > 1 else "single"
    prompt = record.prompt if isinstance(record, Ranking) else record
    return ("multi" if prompt.history else "single") if isinstance(prompt, Prompt) else ""


# ---- packing


def pack_plan(lengths: Sequence[int], tokens_per_pack: int, world_size: int = 1) -> Plan:
    """Cut a batch of sequences (their lengths in tokens) into packs: `plan[rank][i]` holds the indices of one pack.

    Every index stands in exactly one pack. A pack holds at most `tokens_per_pack` tokens, or one sequence that is
    longer. All ranks get the same number of packs, because all have to take part in every forward pass, and about
    the same number of tokens. Only where sequences are too few and too long for that is a pack empty
    (`collate` makes it one token that does not count).
    """
    if tokens_per_pack < 1:
        raise ValueError(f"--tokens-per-pack {tokens_per_pack}: expected at least 1")
    assert lengths, "nothing to pack"
    packs = _first_fit_decreasing(lengths, tokens_per_pack)
    packs = _divided(packs, lengths, -(-len(packs) // world_size) * world_size)
    return _dealt(packs, lengths, world_size)


def _first_fit_decreasing(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """From the longest sequence to the shortest, each into the first pack with room for it (Johnson, 1973)."""
    packs: list[list[int]] = []
    room: list[int] = []
    at, before = 0, -1
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        size = lengths[index]
        # A pack without room for a sequence has none for the next one of the same length.
        at = at if size == before else 0
        while at < len(packs) and room[at] < size:
            at += 1
        if at == len(packs):
            packs.append([])
            room.append(limit)
        packs[at].append(index)
        room[at] -= size
        before = size
    return packs


def _divided(packs: list[list[int]], lengths: Sequence[int], count: int) -> list[list[int]]:
    """`count` packs: the largest that can be is halved until there are enough; the rest, if any, are empty."""
    packs = list(packs)
    while len(packs) < count:
        largest = max(packs, key=lambda pack: (len(pack) > 1, _tokens(pack, lengths)))
        if len(largest) < 2:
            return packs + [[] for _ in range(count - len(packs))]
        packs.remove(largest)
        halves: list[list[int]] = [[], []]
        for index in sorted(largest, key=lambda i: (-lengths[i], i)):
            min(halves, key=lambda half: _tokens(half, lengths)).append(index)
        packs += halves
    return packs


def _dealt(packs: list[list[int]], lengths: Sequence[int], world_size: int) -> Plan:
    """The same number of packs to every rank, from the largest on to the rank with the fewest tokens so far."""
    each = len(packs) // world_size
    plan: Plan = [[] for _ in range(world_size)]
    tokens = [0] * world_size
    for pack in sorted(packs, key=lambda pack: (-_tokens(pack, lengths), pack)):
        rank = min((r for r in range(world_size) if len(plan[r]) < each), key=lambda r: (tokens[r], r))
        plan[rank].append(sorted(pack))
        tokens[rank] += _tokens(pack, lengths)
    return plan


def _tokens(pack: list[int], lengths: Sequence[int]) -> int:
    return sum(lengths[index] for index in pack)


def collate(encoded: Sequence[Encoded], indices: Sequence[int]) -> tuple[Packed, Tensor]:
    """(the sequences end to end, `counted` [N] bool beside them), on the host."""
    ids = [encoded[index].ids for index in indices] or [[0]]
    counted = [flag for index in indices for flag in encoded[index].counted] or [False]
    return Packed.of(ids), torch.tensor(counted)
