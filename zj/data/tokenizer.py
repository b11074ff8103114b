"""Text ↔ token ids, whatever kind of tokenizer a model has. Text never makes a special id.

`Tokenizer.load` opens a directory as a hub has it: tokenizer.model (SentencePiece), tokenizer.json, or qwen.tiktoken.
Special ids come from `special`, `bos_id` and `eos_ids` only: "</s>" or "<|im_end|>" in a user's message is text.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MODEL, ADDED = "tokenizer.model", "added_tokens.json"  # SentencePiece
FAST, TIKTOKEN = "tokenizer.json", "qwen.tiktoken"  # byte-level BPE, extra [bpe]
# Padding that published tokenizers add, sometimes one id past the embedding: there is no padding here.
PADDING = ("<pad>", "[PAD]", "<PAD>", "<|pad|>")
FILES = (MODEL, TIKTOKEN, FAST)  # the first of them that is there is read


class Tokenizer(ABC):
    file: Path  # for messages
    added: dict[str, int]  # special tokens that stand beside the vocabulary
    bos_id: int | None  # before every text, as the model was trained; None: nothing is
    _parts: dict[str, list[int]]  # ids of parts of a format
    eos_ids: tuple[int, ...]  # all that may end an answer; the first one ends a document

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """From a directory with one of FILES, or from such a file alone. ValueError if there is none."""
        from zj.data import bpe, sentencepiece_tokenizer  # they know this class

        path = Path(path)
        if path.is_dir():
            file = next(iter(files_read(path)), None)
        else:
            file = path if path.is_file() else None
        if file is None:
            where = f"directory {path} holds no {MODEL}" if path.is_dir() else f"no such file or directory: {path}"
            raise ValueError(
                f"{where}; expected a directory with {', '.join(FILES[:-1])} or {FILES[-1]}, or such a file"
            )
        if file.suffix == ".json":
            return bpe.FastTokenizer.open(file)
        if file.suffix == ".tiktoken":
            return bpe.TiktokenTokenizer.open(file)
        return sentencepiece_tokenizer.SentencePieceTokenizer.open(file)

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text, never a special id."""

    def encode_each(self, texts: list[str]) -> list[list[int]]:
        """`encode` of many texts, in less time where they are short."""
        return [self.encode(text) for text in texts]

    def encode_part(self, text: str) -> list[int]:
        """`encode` of a part of a format, which comes again and again: not to be changed."""
        if text not in self._parts:
            self._parts[text] = self.encode(text)
        return self._parts[text]

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Special ids and ids beyond the vocabulary are skipped."""

    @abstractmethod
    def special(self, piece: str) -> int:
        """The id of a special token. Raises ValueError if there is none, or if text could encode to it."""

    @abstractmethod
    def piece(self, id: int) -> str:
        """The spelling of an id, for display."""

    @abstractmethod
    def same_ids(self, other: Tokenizer) -> bool:
        """Whether both give every text the same ids, and special tokens too. Their files may differ."""

    @abstractmethod
    def save(self, directory: str | Path) -> None:
        """Write the tokenizer under the names that it was read from."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of ids; the embedding has at least as many rows."""

    def count_bytes(self, ids: Any) -> int:
        """How many of these ids are bytes of characters that the vocabulary lacks."""
        return 0

    @property
    def spaced(self) -> bool:
        """Whether a space is put before every text."""
        return False

    @property
    def eos_id(self) -> int:
        """The end of a document, and of an answer in a format that has no other."""
        return self.eos_ids[0]

    @property
    def beginning(self) -> list[int]:
        """What a sequence begins with: BOS, or nothing."""
        return [] if self.bos_id is None else [self.bos_id]

    @property
    def special_ids(self) -> tuple[int, int] | None:
        """(bos, eos) for a config.json; None: those of the model stay."""
        return None if self.bos_id is None else (self.bos_id, self.eos_id)


def has_tokenizer(folder: str | Path) -> bool:
    """Whether the directory holds one."""
    return bool(files_read(folder))


def files_read(folder: str | Path) -> list[Path]:
    """The files of the directory that the ids of a text depend on."""
    there = [Path(folder) / name for name in FILES if (Path(folder) / name).is_file()][:1]
    added = Path(folder) / ADDED
    return there + [added] * (bool(there) and there[0].name == MODEL and added.is_file())


def ends_beside(file: Path, added: Mapping[str, int], document_ends: Iterable[str] = ()) -> tuple[int, ...]:
    """What ends a document, then all that the files beside the tokenizer call EOS."""
    ends = [added[name] for name in document_ends if name in added][:1]
    eos = json_object(file.with_name("tokenizer_config.json")).get("eos_token")
    name = str(eos.get("content") if isinstance(eos, dict) else eos)
    ends += [added[name]] if name in added else []
    generation, config = (json_object(file.with_name(f"{name}.json")) for name in ("generation_config", "config"))
    ids = generation.get("eos_token_id")
    ids = config.get("eos_token_id") if ids is None else ids
    ends += [id for id in (ids if isinstance(ids, list) else [ids]) if type(id) is int and id >= 0]
    return tuple(dict.fromkeys(ends))


def json_object(file: Path) -> dict[str, Any]:
    """The object in a file; {} if the file is absent. ValueError if it is damaged."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    return content if isinstance(content, dict) else {}
