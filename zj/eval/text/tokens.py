"""A text as tokens, in the ways of `presets.toml`."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from functools import cache

from zj.eval.text.libraries import library

# The blocks that BERT calls Chinese: CJK ideographs, without kana and Hangul.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def characters(text: str) -> list[str]:
    """Blanks and line ends are tokens."""
    return list(text)


def characters_without_blanks(text: str) -> list[str]:
    return [character for character in text if not character.isspace()]


def jieba_words(text: str) -> list[str]:
    """Words of jieba's default dictionary, with its HMM for unknown ones, without blanks."""
    return [word for word in jieba_words_and_blanks(text) if not word.isspace()]


def jieba_words_and_blanks(text: str) -> list[str]:
    return _jieba()(text)


def basic_tokens(text: str) -> list[str]:
    """The tokens of BERT's BasicTokenizer (Devlin et al. 2019) with its defaults.

    Ideographs and punctuation stand alone, other characters form words; lower case, accents left out.
    """
    spaced = "".join(map(_spaced, text))
    tokens = []
    for word in unicodedata.normalize("NFC", spaced).split():
        parts = unicodedata.normalize("NFD", word.lower())
        plain = (c for c in parts if unicodedata.category(c) != "Mn")
        tokens += "".join(f" {c} " if _is_punctuation(c) else c for c in plain).split()
    return tokens


def sacrebleu_zh(text: str) -> list[str]:
    return _sacrebleu_zh()(text.rstrip()).split()


TOKENS: dict[str, Callable[[str], list[str]]] = {
    "characters": characters,
    "characters without blanks": characters_without_blanks,
    "jieba words": jieba_words,
    "jieba words and blanks": jieba_words_and_blanks,
    "BERT's basic tokens": basic_tokens,
    "sacrebleu zh": sacrebleu_zh,
}


@cache
def _jieba() -> Callable[[str], list[str]]:
    jieba = library("jieba")
    jieba.setLogLevel(logging.WARNING)
    return jieba.lcut


@cache
def _sacrebleu_zh() -> Callable[[str], str]:
    return library("sacrebleu.tokenizers.tokenizer_zh").TokenizerZh()


def _spaced(c: str) -> str:
    """A character with blanks around it if it is a token; a control character is left out."""
    if c in "\t\n\r" or unicodedata.category(c) == "Zs":
        return " "
    if c == "\ufffd" or unicodedata.category(c).startswith("C"):
        return ""
    return f" {c} " if any(first <= ord(c) <= last for first, last in IDEOGRAPHS) else c


def _is_punctuation(c: str) -> bool:
    ascii_symbol = c.isascii() and c.isprintable() and not c.isalnum() and c != " "
    return ascii_symbol or unicodedata.category(c).startswith("P")
