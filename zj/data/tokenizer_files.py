"""Tokenizer and prompt format as other programs read them: tokenizer.json, tokenizer_config.json and a chat template.

Written beside every model and adapter, so that transformers prompts and stops as this project does. A stale file of the
base would do harm without an error: only what is written here, tokenizer.model and added_tokens.json stay.
"""

from __future__ import annotations

import json
from pathlib import Path

from zj.data.bpe import TiktokenTokenizer
from zj.data.chat_template import chat_template
from zj.data.prompt_formats import TEMPLATES, save_template
from zj.data.sentencepiece_model import BPE, BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, SentencePieceModel
from zj.data.sentencepiece_tokenizer import SentencePieceTokenizer
from zj.data.template import stop_ids
from zj.data.tokenizer import Tokenizer, json_object

CONFIG, FAST, GENERATION = "tokenizer_config.json", "tokenizer.json", "generation_config.json"
STALE = (CONFIG, FAST, GENERATION, "special_tokens_map.json", "chat_template.jinja", "chat_template.json")


def save_tokenizer(directory: str | Path, tokenizer: Tokenizer, template: str | None) -> None:
    """Write tokenizer and prompt format (None: unknown) into the directory of a model or an adapter.

    Of SentencePiece, tokenizer.json is left out where it could not give the same ids: see `why_not_exact`.
    """
    directory = Path(directory)
    for name in STALE:
        (directory / name).unlink(missing_ok=True)
    tokenizer.save(directory)
    ends = tokenizer.eos_ids if template is None else stop_ids(tokenizer, template)
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": list(ends) if len(ends) > 1 else ends[0]}
    _write(directory / GENERATION, {name: id for name, id in ids.items() if id is not None})
    if isinstance(tokenizer, SentencePieceTokenizer):
        _write(directory / CONFIG, _config(tokenizer, template))
        if _is_plain(tokenizer.model):
            _write(directory / FAST, _fast(tokenizer))
    elif template is not None:
        jinja = chat_template(TEMPLATES[template], tokenizer.bos_id is not None, tokenizer.spaced)
        (directory / "chat_template.jinja").unlink(missing_ok=True)  # the published one
        published = directory / CONFIG
        config = json_object(published)
        if isinstance(tokenizer, TiktokenTokenizer):  # its own class is code that a hub runs
            config = {"eos_token": tokenizer.piece(ends[0]), "clean_up_tokenization_spaces": False}
            config["tokenizer_class"] = "PreTrainedTokenizerFast"
        _write(published, config | {"chat_template": jinja})
    if template is not None:
        save_template(directory, template)


def why_not_exact(tokenizer: Tokenizer) -> str | None:
    """Why other programs may split a text into other ids; None if they do not."""
    if not isinstance(tokenizer, SentencePieceTokenizer):
        return None  # they read the same files
    if not _is_plain(tokenizer.model):
        return "it is no byte-fallback BPE without normalisation, as LLaMA's is"
    # runs of spaces all have the lowest score, in LLaMA's too; they come out alike
    scores = [p.score for p in tokenizer.model.pieces if p.kind == NORMAL and p.text.strip("▁")]
    tied = len(scores) - len(set(scores))
    return f"{tied:,} of its pieces have the score of another one" if tied else None


def _is_plain(model: SentencePieceModel) -> bool:
    kinds = {piece.kind for piece in model.pieces}
    return model.kind == BPE and model.normalizer == (b"", True, False) and kinds >= {BYTE} and not kinds - _PLAIN


_PLAIN = {NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE}


# ---- the files


def _config(tokenizer: SentencePieceTokenizer, template: str | None) -> dict:
    name = tokenizer.piece
    unknown = next(piece.text for piece in tokenizer.model.pieces if piece.kind == UNKNOWN)
    config = {
        # the class that takes tokenizer.json as it is; LlamaTokenizer makes one from tokenizer.model, not always alike
        "tokenizer_class": "PreTrainedTokenizerFast" if _is_plain(tokenizer.model) else "LlamaTokenizer",
        "bos_token": name(tokenizer.special_ids[0]),
        "eos_token": name(tokenizer.eos_id),
        "unk_token": unknown,
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "legacy": True,  # a space before every text, also after a special token
    }
    return config if template is None else config | {"chat_template": chat_template(TEMPLATES[template])}


def _fast(tokenizer: SentencePieceTokenizer) -> dict:
    """tokenizer.json: SentencePiece's BPE in the terms of the library tokenizers."""
    pieces, bos = tokenizer.model.pieces, tokenizer.piece(tokenizer.special_ids[0])
    controls = {piece.text: id for id, piece in enumerate(pieces) if piece.kind in (CONTROL, UNKNOWN)}
    specials = sorted((controls | tokenizer.added).items(), key=lambda item: item[1])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    text, begin = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": bos, "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": content} | flags for content, id in specials],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [tokenizer.bos_id], "tokens": [bos]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": next(piece.text for piece in pieces if piece.kind == UNKNOWN),
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: id for id, piece in enumerate(pieces)} | tokenizer.added,
            "merges": _merges(tokenizer.model),
        },
    }


def _merges(model: SentencePieceModel) -> list[list[str]]:
    """Pairs of pieces that make a piece, the best first: SentencePiece joins the neighbours with the highest score."""
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == NORMAL}
    pairs = []
    for whole in sorted(scores, key=lambda text: -scores[text]):  # sorted keeps the order of ids where scores tie
        cuts = ((whole[:at], whole[at:]) for at in range(1, len(whole)))
        pairs += [[left, right] for left, right in cuts if left in scores and right in scores]
    return pairs


def _write(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
