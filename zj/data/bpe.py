"""Byte-level BPE: tokenizer.json (Qwen2, Qwen3, Llama 3, SmolLM2, Bloom) and qwen.tiktoken (Qwen-1). Extra [bpe].

The libraries that made these files split a text exactly as published; what is done here is that no text becomes a
special token: the special tokens of the file are taken out of what the library sees, and are given by name only.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from zj.data.byte_merges import tokenizer_json
from zj.data.tokenizer import FAST, PADDING, Tokenizer, ends_beside

# Files beside the tokenizer that other programs read: kept with it.
COMPANIONS = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "chat_template.jinja"),
)
# What ends a document; a chat model's own EOS ends an answer.
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>")


class BpeTokenizer(Tokenizer):
    """What both kinds share. `added`: special tokens and their ids."""

    _library: Any  # what encodes and decodes

    def __init__(self, file: Path, library: Any, added: dict[str, int], bos_id: int | None, size: int):
        self.file, self._library, self.bos_id, self._parts = file, library, bos_id, {}
        self.added = {name: id for name, id in added.items() if name not in PADDING}
        self.size = max(size, *(id + 1 for id in self.added.values()), 0)
        self.eos_ids = tuple(id for id in ends_beside(file, self.added, DOCUMENT_ENDS) if id < self.size)
        names = (file.name, *COMPANIONS)
        self.files = {name: (file.parent / name).read_bytes() for name in names if (file.parent / name).is_file()}
        self._names = {id: name for name, id in added.items()}
        if not self.eos_ids:
            raise ValueError(f"{file}: found no end of text, expected an eos_token in tokenizer_config.json beside it")
        made = set(self.encode("".join(added))).union(*map(self.encode, added)) & self._names.keys()
        if made:
            name = self._names[min(made)]
            raise ValueError(f"{file}: its vocabulary makes the special token {name!r} of a text")

    @abstractmethod
    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Iterable[int]) -> str:
        return self.decode_text([id for id in ids if id < self.size and id not in self._names])

    @abstractmethod
    def decode_text(self, ids: list[int]) -> str:
        """The text of ids that are not special."""

    def special(self, piece: str) -> int:
        if piece not in self.added:
            raise ValueError(
                f"{self.file}: found no special token {piece!r} (--template says which ones are needed; "
                "huatuo, vicuna and alpaca need none)"
            )
        return self.added[piece]

    def piece(self, id: int) -> str:
        return self._names.get(id) or self.decode_text([id])

    def same_ids(self, other: Tokenizer) -> bool:
        if not isinstance(other, BpeTokenizer) or (self.added, self.bos_id) != (other.added, other.bos_id):
            return False
        return self.files[self.file.name] == other.files[other.file.name]

    def save(self, directory: str | Path) -> None:
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (directory / name).write_bytes(content)

    def __len__(self) -> int:
        return self.size


class FastTokenizer(BpeTokenizer):
    """tokenizer.json, read by the library tokenizers."""

    @classmethod
    def open(cls, file: Path) -> FastTokenizer:
        """ValueError if it is damaged, or if the library is not installed."""
        library = _import("tokenizers", file)
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            added = {
                token["content"]: _checked_id(token["id"]) for token in raw.get("added_tokens") or [] if is_mark(token)
            }
            bare = library.Tokenizer.from_str(json.dumps(without_special_tokens(raw)))
            bos, size = _beginning(raw, added), 1 + max(bare.get_vocab().values())
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{file}: cannot be read as a {FAST} ({error})") from None
        return cls(file, bare, added, bos, size)

    def encode(self, text: str) -> list[int]:
        return self._library.encode(_whole(text), add_special_tokens=False).ids

    def encode_each(self, texts: list[str]) -> list[list[int]]:
        found = self._library.encode_batch([*map(_whole, texts)], add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode_text(self, ids: list[int]) -> str:
        return self._library.decode(ids, skip_special_tokens=False)

    @property
    def spaced(self) -> bool:
        first = self._library.id_to_token(self.encode("a")[0])
        return first.startswith("▁")


def is_mark(token: Mapping[str, Any]) -> bool:
    """Whether an added token is a mark, and no word that was added to the vocabulary: <think> is one, not special."""
    return bool(token.get("special")) or not re.fullmatch(r"[\w ]+", token["content"])


def without_special_tokens(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer.json that makes no mark of a text, and neither cuts nor pads it. Words that were added stay.

    ValueError for words whose ids would move, since marks stand before them.
    """
    tokens = raw.get("added_tokens") or []
    marks, words = ([token for token in tokens if is_mark(token) == kind] for kind in (True, False))
    model = dict(raw["model"])
    if model.get("ignore_merges"):  # then a word of the vocabulary is a token without any merge
        names = {token["content"] for token in marks}
        model["vocab"] = {piece: id for piece, id in model["vocab"].items() if piece not in names}
    if outside := [token for token in words if token["content"] not in model["vocab"]]:
        model["vocab"] = {**model["vocab"], **{token["content"]: token["id"] for token in outside}}
    return {**raw, "model": model, "added_tokens": words, "post_processor": None, "truncation": None, "padding": None}


def _checked_id(id: Any) -> int:
    if type(id) is not int or id < 0:
        raise ValueError(f"an added token has the id {id!r}")
    return id


def _beginning(raw: Mapping[str, Any], added: Mapping[str, int]) -> int | None:
    """The id that the file puts before a text: the special token of its template. None: it puts nothing there.

    ValueError for several of them, and for a processor that is not a template.
    """
    steps = raw.get("post_processor") or {}
    bos: list[int] = []
    for step in steps.get("processors", [steps]):
        if step.get("type") not in (None, "ByteLevel", "TemplateProcessing"):
            raise ValueError(f"post_processor {step['type']} is not known here")
        for part in step.get("single", []):
            if "SpecialToken" not in part:
                break
            name = part["SpecialToken"]["id"]
            bos += step["special_tokens"][name]["ids"] if name not in added else [added[name]]
    if len(bos) > 1:
        raise ValueError(f"a text begins with {len(bos)} special tokens, expected one at most")
    return bos[0] if bos else None


# The cuts of the published tokenization_qwen.py, which the format does not hold; a copy of them is cl100k's.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{n}|>" for n in range(205)))


class TiktokenTokenizer(BpeTokenizer):
    """qwen.tiktoken: a token in base64 and its rank on each line; special tokens follow them. Text is NFC first."""

    ranks: dict[bytes, int]

    @classmethod
    def open(cls, file: Path) -> TiktokenTokenizer:
        """ValueError names a damaged line, or says that the library is not installed."""
        library, ranks = _import("tiktoken", file), dict[bytes, int]()
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
            except ValueError:
                found = line[:40].decode(errors="replace")
                raise ValueError(f"{file}:{number}: found {found!r}, expected a token in base64 and its rank") from None
        if sorted(ranks.values()) != list(range(len(ranks))) or len(ranks) < 256:
            raise ValueError(f"{file}: found {len(ranks)} tokens whose ranks are not 0 … {len(ranks) - 1}: damaged")
        added = {name: len(ranks) + number for number, name in enumerate(QWEN_SPECIALS)}
        encoding = library.Encoding("qwen", pat_str=QWEN_WORDS, mergeable_ranks=ranks, special_tokens={})
        tokenizer = cls(file, encoding, added, None, len(ranks))
        tokenizer.ranks = ranks
        return tokenizer

    def save(self, directory: str | Path) -> None:
        """With a tokenizer.json for other programs, which read the original by code of its own only."""
        super().save(directory)
        (Path(directory) / FAST).write_text(self._as_fast, encoding="utf-8")

    @cached_property
    def _as_fast(self) -> str:
        return json.dumps(tokenizer_json(self.ranks, self.added, QWEN_WORDS), ensure_ascii=False)

    def encode(self, text: str) -> list[int]:
        return self._library.encode_ordinary(unicodedata.normalize("NFC", _whole(text)))

    def decode_text(self, ids: list[int]) -> str:
        return self._library.decode(ids)


def _import(name: str, file: Path) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ValueError(
            f"{file}: the library {name} reads it, which is not installed; pip install 'zj[bpe]'"
        ) from None


def _whole(text: str) -> str:
    """Halves of surrogate pairs, which no UTF-8 has, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
