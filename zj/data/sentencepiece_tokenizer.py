"""SentencePiece; text never encodes to a special id.

A LLaMA directory holds `tokenizer.model` and, if special tokens were added, `added_tokens.json` (Ziya: 39,408 pieces,
then <human> 39408 and <bot> 39409). "</s>" or "<human>" in a user's message is encoded as characters; special ids come
from `special`, `bos_id` and `eos_id` only.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from zj.data.sentencepiece_model import CONTROL, UNUSED, WITHOUT_PREFIX, SentencePieceModel
from zj.data.tokenizer import ADDED, MODEL, PADDING, Tokenizer, ends_beside

MOST_IDS = 1 << 22  # a larger id is damage; a table of all ids has to fit in memory


class SentencePieceTokenizer(Tokenizer):
    """Made by `Tokenizer.load` or `train_tokenizer`. LLaMA models put a space before each text."""

    def __init__(self, model: bytes, added: dict[str, int], file: Path):
        self.file = file  # for messages and for `save`
        self._sp = sentencepiece.SentencePieceProcessor()
        try:
            self._sp.LoadFromSerializedProto(model)
        except RuntimeError:
            raise ValueError(f"{file}: found no SentencePiece model, expected a {MODEL}") from None
        self.added = {piece: id for piece, id in added.items() if piece not in PADDING}  # special tokens and their ids
        self._parts = {}
        size = self._sp.vocab_size()
        self._control_ids = {i for i in range(size) if self._sp.is_control(i) or self._sp.is_unknown(i)}
        _check_added(self.added, self._sp, file)
        for piece, id in added.items():
            if id < size and self._sp.id_to_piece(id) != piece:
                raise ValueError(
                    f"{file.parent / ADDED}: found {piece!r} at {id}, expected an id from {size} on: "
                    f"{self._sp.id_to_piece(id)!r} of {file.name} stands there"
                )
        bos, eos = self._sp.bos_id(), self._sp.eos_id()
        if min(bos, eos) < 0:
            raise ValueError(f"{file}: found bos id {bos} and eos id {eos}, expected both to exist")
        controls = {self._sp.id_to_piece(id): id for id in self._control_ids} | self.added
        others = (id for id in ends_beside(file, controls) if id in controls.values() and id != self._sp.unk_id())
        self.bos_id, self.eos_ids = bos, tuple(dict.fromkeys((eos, *others)))

    @classmethod
    def open(cls, file: Path) -> SentencePieceTokenizer:
        """From tokenizer.model with added_tokens.json beside it, or from another .model file alone."""
        added = file.parent / ADDED
        return cls(file.read_bytes(), _read_added(added) if file.name == MODEL and added.is_file() else {}, file)

    def encode(self, text: str) -> list[int]:
        return self._sp.encode(text)

    @property
    def spaced(self) -> bool:
        return True

    def encode_each(self, texts: list[str]) -> list[list[int]]:
        return self._sp.encode(texts, num_threads=1)

    def decode(self, ids: Iterable[int]) -> str:
        size = self._sp.vocab_size()
        return self._sp.decode([i for i in ids if i < size and i not in self._control_ids])

    def special(self, piece: str) -> int:
        if piece in self.added:
            if self.added[piece] in self._sp.encode(piece):
                raise ValueError(f"{self.file}: its vocabulary makes the special token {piece!r} of that text")
            return self.added[piece]
        id = self._sp.piece_to_id(piece)
        if not self._sp.is_control(id):
            raise ValueError(
                f"{self.file}: found no special token {piece!r}, expected it there or in {ADDED} beside it "
                "(--template names the format; huatuo, vicuna and alpaca need no special tokens)"
            )
        return id

    def same_ids(self, other: Tokenizer) -> bool:
        if not isinstance(other, SentencePieceTokenizer):
            return False
        same_specials = (self.special_ids, self.added) == (other.special_ids, other.added)
        return same_specials and self.model.same_ids(other.model)

    @property
    def special_ids(self) -> tuple[int, int]:
        return self._sp.bos_id(), self._sp.eos_id()

    @cached_property
    def model(self) -> SentencePieceModel:
        """The pieces, their scores and the settings."""
        return SentencePieceModel(self._sp.serialized_model_proto())

    def rows_from(self, old: SentencePieceTokenizer) -> list[list[int]]:
        """For each id, the ids of `old` that its row of an embedding is the mean of.

        One id where `old` has the same piece, a special token for a special token; else the ids of the piece's text.
        """
        wanted = [(p.text, p.kind) for p in self.model.pieces] + [("", UNUSED)] * (len(self) - len(self.model.pieces))
        for text, id in self.added.items():
            wanted[id] = (text, CONTROL)
        known = {(p.text, p.kind): id for id, p in enumerate(old.model.pieces)}
        known |= {(text, CONTROL): id for text, id in old.added.items()}
        bare = sentencepiece.SentencePieceProcessor()
        bare.LoadFromSerializedProto(old.model.proto + WITHOUT_PREFIX)
        unknown = [bare.unk_id()]
        return [
            [known[piece]] if piece in known else bare.encode(piece[0].replace("▁", " ")) or unknown for piece in wanted
        ]

    def count_bytes(self, ids: Any) -> int:
        """Three or so of each character that the vocabulary lacks. ASCII is none.

        A line end is a byte in every tokenizer of LLaMA's kind, and one token all the same.
        """
        return int(self._is_byte[np.asarray(ids, dtype=np.intp)].sum())

    @cached_property
    def _is_byte(self) -> NDArray[np.bool_]:
        """[number of ids]"""
        table = np.zeros(len(self), bool)
        pieces = ((id, self._sp.id_to_piece(id)) for id in range(self._sp.vocab_size()) if self._sp.is_byte(id))
        table[[id for id, piece in pieces if int(piece[3:5], 16) > 127]] = True  # <0x80> …
        return table

    def piece(self, id: int) -> str:
        names = {i: piece for piece, i in self.added.items()}
        return names.get(id) or self._sp.id_to_piece(id)

    def __len__(self) -> int:
        return max(self._sp.vocab_size(), *(i + 1 for i in self.added.values()), 0)

    def save(self, directory: str | Path) -> None:
        """Write the tokenizer under Hugging Face's names: all that is read here."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MODEL).write_bytes(self._sp.serialized_model_proto())
        if self.added:
            (directory / ADDED).write_text(json.dumps(self.added, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            (directory / ADDED).unlink(missing_ok=True)


def train_tokenizer(
    texts: Iterable[str],
    directory: str | Path,
    vocab_size: int,
    specials: tuple[str, ...] = ("<human>", "<bot>"),
) -> SentencePieceTokenizer:
    """Train and save a tokenizer like LLaMA's: BPE with byte fallback, one piece per digit.

    The same texts in the same order give the same file. Raises ValueError if `vocab_size` is too small or too large.
    """
    # Line by line, as LLaMA's: a line end is always the byte 0x0A, never part of a longer piece.
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    fixed = 256 + 3 + len(specials)  # bytes, <unk> <s> </s>
    if vocab_size <= fixed:
        raise ValueError(f"--vocab-size {vocab_size}: expected more than {fixed}, the bytes and special tokens alone")
    if not lines:
        raise ValueError("--data: found no text to train a tokenizer on")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            control_symbols=list(specials),  # text never encodes to a control symbol
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            character_coverage=_coverage(lines, (vocab_size - fixed) // 2),
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            # SentencePiece would silently drop longer lines.
            max_sentence_length=max(len(line.encode()) for line in lines),
            num_threads=1,
            shuffle_input_sentence=False,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].partition(" Increase")[0]  # without SentencePiece's file and line
        raise ValueError(f"--vocab-size {vocab_size}: does not fit the text ({reason.strip()})") from None
    file = Path(directory) / MODEL
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.getvalue())
    return SentencePieceTokenizer.open(file)


def _coverage(lines: list[str], limit: int) -> float:
    """Share of the text made of its `limit` most frequent characters, at most LLaMA's 0.9995; bytes encode the others.

    Chinese has thousands of characters: without this limit a small vocabulary cannot be trained.
    """
    counts = [n for _, n in Counter(c for line in lines for c in line).most_common()]
    return min(0.9995, max(0.98, sum(counts[:limit]) / sum(counts)))  # SentencePiece takes nothing below 0.98


def _check_added(added: dict[str, int], sp: sentencepiece.SentencePieceProcessor, file: Path) -> None:
    """ValueError for two tokens with one id, and for a piece of tokenizer.model that has another id here."""
    tokens: dict[int, str] = {}
    for token, id in added.items():
        if id in tokens:
            raise ValueError(
                f"{file.parent / ADDED}: found {tokens[id]!r} and {token!r} at {id}, expected one token an id"
            )
        tokens[id] = token
        piece = sp.piece_to_id(token)
        if sp.id_to_piece(piece) == token and piece != id:
            raise ValueError(f"{file.parent / ADDED}: found {token!r} at {id}, expected {piece}, its id in {file.name}")


def _read_added(file: Path) -> dict[str, int]:
    try:
        added = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None
    if not isinstance(added, dict) or not all(type(id) is int and 0 <= id < MOST_IDS for id in added.values()):
        raise ValueError(f'{file}: expected an object such as {{"<human>": 39408, "<bot>": 39409}}')
    return added
