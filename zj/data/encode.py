"""Files → FOLDER: what the cross-entropy stages train on, encoded once for all ranks and all starts of a run.

    FOLDER/train/ valid/     the examples (`zj.data.store`)
           validation.txt    file:line of each held-out record, in the order of validation
           tokenizer/        if one was trained on the training side
           index.json        the messages, the type of the ids, names of groups, ids of the two sample prompts

Much text is encoded by several processes. This module imports no torch, so that each of them stays small.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from zj.data.batching import group_of, without_repeats
from zj.data.readers import OnBadRow, Repeats, read, texts_of
from zj.data.records import Dialogue, Document, Prompt
from zj.data.report import too_long
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.sequences import Counts
from zj.data.sides import about_both, sides
from zj.data.store import Block, Ragged, Store, Writer, ids_type
from zj.data.template import encode_prompt, encode_spans
from zj.data.tokenizer import Tokenizer

TextRecord = Dialogue | Document
CHARACTERS = 100_000  # of the records that a process encodes at a time
SAMPLES = 2  # prompts that every validation answers
MOST_BYTES = 0.02  # of all tokens, without a warning
MANY_BYTES = (
    "WARNING: each character that the tokenizer lacks costs about three tokens. A tokenizer of all data, or of more "
    "pieces, has them (scripts/train_tokenizer.py, then --tokenizer); scripts/export.py extend gives it to a model"
)
TRAINED = (
    "the tokenizer is trained on these data alone; if other stages follow, train it on the data of all: "
    "python scripts/train_tokenizer.py --data FILE ... --out DIR, then --tokenizer DIR"
)


@dataclass(frozen=True)
class Job:
    """What the examples of a run are made of."""

    files: tuple[str, ...]
    kind: Literal["document", "dialogue"]
    on_bad_row: OnBadRow
    repeats: Repeats
    valid_fraction: float
    tokenizer: str  # its file or directory; "": one of `vocab_size` pieces is trained
    vocab_size: int
    template: str
    max_tokens: int
    valid_files: tuple[str, ...] = ()  # records for validation; (): a part of `files` is held out
    limit: int = 0  # most records to train on; 0: all


def encode(job: Job, folder: Path, report: Callable[[str], object], workers: int = 0) -> None:
    """Fill the empty `folder`, in this process or with so many `workers`; `report` gets each message.

    ValueError for bad data (file:line), and if nothing is left to train on.
    """
    messages: list[str] = []

    def keep_and_report(message: str) -> None:
        messages.append(message)
        report(message)

    records = read_records(job, job.files, keep_and_report)
    valid_records = read_records(job, job.valid_files, keep_and_report) if job.valid_files else None
    held_in, held_out, asked_in_both = sides(records, valid_records, job.valid_fraction, job.limit)
    if not held_in and valid_records is not None:
        raise ValueError("--valid-data: asks all that --data asks, nothing is left to train on")
    if valid_records is not None:
        keep_and_report(about_both(asked_in_both))
    held_out_lines = "".join(f"{record.where or record.id}\n" for record in held_out)
    (folder / "validation.txt").write_text(held_out_lines, encoding="utf-8")
    if not job.tokenizer:
        texts = (text for record in held_in for text in texts_of(record, system=False))
        train_tokenizer(texts, folder / "tokenizer", job.vocab_size)
        keep_and_report(TRAINED)
    encoder = Encoder(job.tokenizer or str(folder / "tokenizer"), job.template, job.max_tokens)
    encoder(held_in[:1])  # what is wrong with tokenizer or template is an error here, not in a worker

    groups: list[tuple[str, str]] = []
    bar = partial(tqdm, unit=" records", disable=not workers, mininterval=1)
    with _mapping(encoder, workers) as mapped:
        valid = _encode_side(held_out, mapped, folder / "valid", groups, bar)
        train = _encode_side(held_in, mapped, folder / "train", groups, bar, valid.digests)
    long = too_long(train.counts.dropped, train.counts.records, "dialogues", job.max_tokens)
    keep_and_report(f"training: {train.counts}{long}\nvalidation: {valid.counts}")
    share = (train.spelled + valid.spelled) / max(1, train.counts.tokens + valid.counts.tokens)
    keep_and_report(f"{share:.2%} of the tokens are bytes of characters that the tokenizer lacks")
    if share > MOST_BYTES:
        keep_and_report(MANY_BYTES)
    if train.left_out:
        keep_and_report(f"training: {train.left_out:,} left out, the same as held-out ones once they are shortened")
    if train.left_out == train.counts.sequences:
        raise ValueError(f"--data: nothing to train on is left with --max-tokens {job.max_tokens} ({train.counts})")
    prompts = _sample_prompts(Store(folder / "valid", encoder.ids_type, groups), valid.questions, encoder)
    index = {"messages": messages, "ids": encoder.ids_type, "groups": groups, "prompts": prompts, "bytes": share}
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False) + "\n", encoding="utf-8")


def read_records(job: Job, files: tuple[str, ...], report: Callable[[str], object]) -> list[TextRecord]:
    """The records of the files; of documents that differ in typing alone the first (--repeats once)."""
    if job.kind == "dialogue":
        dialogues, summary = read(files, "dialogue", job.on_bad_row, job.repeats)
        report(str(summary))
        return [*dialogues]
    documents, summary = read(files, "document", job.on_bad_row, job.repeats)
    report(str(summary))
    different = without_repeats(documents) if job.repeats == "once" else documents
    report(f"{len(documents) - len(different):,} documents repeat others but for their typing, left out")
    return [*different]


def _sample_prompts(valid: Store, questions: list[Prompt], encoder: Encoder) -> list[list[int]]:
    """Ids of the prompts that every validation answers: first questions, or beginnings of documents."""
    if questions:
        return [encode_prompt(p, encoder.tokenizer, encoder.template, encoder.max_tokens) for p in questions]
    return [example.ids[:16] for example in islice(valid, SAMPLES)]


# ---- one side

Mapped = Callable[[Sequence[Sequence[TextRecord]]], Iterator["Encoding"]]  # portions → encodings, in their order


@dataclass
class Side:
    counts: Counts = Counts()
    left_out: int = 0
    spelled: int = 0  # tokens that are bytes of characters that the tokenizer lacks
    digests: set[bytes] = field(default_factory=set)  # of the ids of each held-out example
    questions: list[Prompt] = field(default_factory=list)  # the first questions of dialogues, different ones


def _encode_side(
    records: Sequence[TextRecord],
    mapped: Mapped,
    folder: Path,
    groups: list[tuple[str, str]],
    bar: Callable[..., tqdm],
    held_out: set[bytes] | None = None,
) -> Side:
    """Write the examples of the records, in their order, into a store in `folder`.

    Training examples whose ids are those of a held-out one are left out: different records may have equal ids once
    their oldest turns are cut away, and so may pieces of two documents. `held_out` None: this is the validation.
    """
    side, parts = Side(), list(_parts(records))
    with Writer(folder, groups) as writer, bar(total=len(records), desc=folder.name) as progress:
        for part, encoding in zip(parts, mapped(parts), strict=True):
            block, digests = encoding.block, encoding.digests
            if held_out is None:
                side.digests.update(digests)
            elif not held_out.isdisjoint(digests):
                block = block.without({index for index, digest in enumerate(digests) if digest in held_out})
            writer.append(block)
            side.counts += encoding.counts
            side.spelled += encoding.spelled
            side.left_out += len(digests) - len(block.groups)
            side.questions = [*dict.fromkeys(side.questions + encoding.questions)][:SAMPLES]
            progress.update(len(part))
    return side


def _parts(records: Sequence[TextRecord]) -> Iterator[Sequence[TextRecord]]:
    """The records in portions of about `CHARACTERS` characters."""
    start = size = 0
    for index, record in enumerate(records, 1):
        size += sum(map(len, texts_of(record, system=False)))
        if size >= CHARACTERS or index == len(records):
            yield records[start:index]
            start, size = index, 0


@dataclass(frozen=True)
class Encoding:
    """Of one portion."""

    block: Block
    counts: Counts
    spelled: int  # tokens that are bytes of characters that the tokenizer lacks
    digests: list[bytes]  # of the ids of each example
    questions: list[Prompt]  # the first questions of dialogues, different ones


@dataclass(frozen=True)
class Encoder:
    source: str  # file or directory of the tokenizer
    template: str
    max_tokens: int

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.source)

    @property
    def ids_type(self) -> str:
        return ids_type(len(self.tokenizer))

    def __call__(self, records: Sequence[TextRecord]) -> Encoding:
        sequences, counts = encode_spans(records, self.tokenizer, self.template, self.max_tokens)
        groups = {record.where: group_of(record) for record in records}
        block = Block.of(sequences, [groups[sequence.where] for sequence in sequences], self.ids_type)
        ids = block.parts["ids"]
        kept = {sequence.where for sequence in sequences}
        dialogues = (record for record in records if isinstance(record, Dialogue) and record.where in kept)
        spelled = self.tokenizer.count_bytes(ids.values)
        return Encoding(block, counts, spelled, _digests(ids), _first_questions(dialogues))


def _digests(rows: Ragged) -> list[bytes]:
    """Of the bytes of each row."""
    data = rows.values.tobytes()
    ends = [0, *(rows.ends * rows.values.itemsize).tolist()]
    return [blake2b(data[start:end], digest_size=16).digest() for start, end in pairwise(ends)]


def _first_questions(dialogues: Iterable[Dialogue]) -> list[Prompt]:
    found: dict[Prompt, None] = {}
    for dialogue in dialogues:
        found[Prompt("", dialogue.turns[0][0], system=dialogue.system)] = None
        if len(found) == SAMPLES:
            break
    return list(found)


# ---- processes


@contextmanager
def _mapping(encoder: Encoder, workers: int) -> Iterator[Mapped]:
    """What encodes, in other processes (0: in this one)."""
    if not workers:
        yield lambda parts: map(encoder, parts)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _start_worker, (encoder,))
    try:
        yield lambda parts: pool.map(_work, parts)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest is not waited for


_encoder: Encoder  # of a worker


def _start_worker(encoder: Encoder) -> None:
    global _encoder
    _encoder = encoder
    gc.disable()  # its lists have no cycles, and to look for some takes a tenth of the time
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _work(records: Sequence[TextRecord]) -> Encoding:
    return _encoder(records)
