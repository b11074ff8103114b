"""Convert an adapter, delta weights or a vocabulary to a model directory, which other programs open too.

merge        add an adapter (PEFT directory) to its base; a full model is written as it is
apply-delta  add delta weights, as Ziya-LLaMA-13B, HuatuoGPT-13B and Vicuna are published, to their base
extend       give a model another tokenizer: a new piece begins as the mean of the pieces that it replaces
scale        weaken an adapter: a model on the straight line from its base to what was trained
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from zj.cli import check_range, run_command
from zj.data.prompt_formats import FILE, TEMPLATES, choose_template, load_template, stored_template
from zj.data.sentencepiece_tokenizer import SentencePieceTokenizer
from zj.data.tokenizer import Tokenizer, has_tokenizer
from zj.data.tokenizer_files import save_tokenizer, why_not_exact
from zj.lora import merge_adapter
from zj.model import Llama, LlamaConfig, Packed, config_from_hf
from zj.train import to_json, write_text
from zj.weights import (
    check_adapter,
    check_base_is_used,
    check_directory,
    check_tokenizer_fits,
    is_adapter,
    levels,
    load_beside,
    load_model,
    save_llama,
)
from zj.weights.checksums import add_settings
from zj.weights.delta import apply_delta
from zj.weights.huggingface import stored_dtype
from zj.weights.vocabulary import extend_vocabulary

PROBE = 64  # tokens on which the merged model is compared with the adapter


@dataclass(frozen=True)
class MergeConfig:
    model: str = ""  # directory of the adapter (its adapter_config.json names the base), or of a model
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    out: str = ""  # directory to write the model to; must be empty or absent
    dtype: Literal["stored", "float32", "float16", "bfloat16"] = "stored"  # of the written weights
    template: str = ""  # prompt format to store where adapter or model store none (none: theirs)


@dataclass(frozen=True)
class DeltaConfig:
    base: str = ""  # directory of the base model of the delta, e.g. LLaMA-13B
    delta: str = ""  # directory of the delta weights, as published
    out: str = ""  # directory to write the model to; must be empty or absent
    template: str = ""  # prompt format to store, e.g. ziya, where the delta stores none (none: the one stored there)


@dataclass(frozen=True)
class ExtendConfig:
    model: str = ""  # directory of the model, with its tokenizer
    tokenizer: str = ""  # new tokenizer.model or its directory; usually all the old pieces and more
    out: str = ""  # directory to write the model to; must be empty or absent


@dataclass(frozen=True)
class ScaleConfig:
    model: str = ""  # directory of the adapter
    factor: float = 0.5  # of the correction, above 0: near 0 is the base, 1 the adapter as it was trained
    out: str = ""  # directory to write the weaker adapter to; must be empty or absent

    def __post_init__(self) -> None:
        check_range(self, "factor", 0, above=True)


def merge(config: MergeConfig) -> None:
    source, out = _directory(config.model, "--model"), _empty_directory(config.out)
    check_base_is_used(config.base, config.model)
    tokenizer = _tokenizer_of(source, config.base)
    template = _template_of(source, config.template, config.base)
    *_, lowest = levels(source, config.base)
    dtype = stored_dtype(lowest) if config.dtype == "stored" else getattr(torch, config.dtype)
    model = _merge_into_base(source, dtype, config.base) if is_adapter(source) else load_model(source, dtype)
    save_llama(model, out, special_ids=_special_ids(tokenizer, model.config))
    _write_tokenizer(out, tokenizer, template)
    print(f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters in {dtype}")


def apply(config: DeltaConfig) -> None:
    base, delta = _directory(config.base, "--base"), _directory(config.delta, "--delta")
    out = _empty_directory(config.out)
    tokenizer, template = _tokenizer_of(delta), _template_of(delta, config.template, "")
    kind = apply_delta(base, delta, out, special_ids=_special_ids(tokenizer, config_from_hf(delta)))
    _write_tokenizer(out, tokenizer, template)
    print(f"{out}: {base} + {delta} ({kind}), in {stored_dtype(out)}")


def extend(config: ExtendConfig) -> None:
    source, out = _directory(config.model, "--model"), _empty_directory(config.out)
    if is_adapter(source):
        raise ValueError(f"--model {source}: is an adapter, expected a model (export.py merge makes one)")
    if not config.tokenizer:
        raise ValueError("--tokenizer is missing: the new tokenizer.model, or its directory")
    old, new = Tokenizer.load(source), Tokenizer.load(config.tokenizer)
    check_tokenizer_fits(config_from_hf(source), len(old))
    if not (isinstance(old, SentencePieceTokenizer) and isinstance(new, SentencePieceTokenizer)):
        raise ValueError("--tokenizer: only a SentencePiece vocabulary is extended, by another one")
    rows = new.rows_from(old)
    extend_vocabulary(source, rows, out, new.special_ids)
    _write_tokenizer(out, new, _template_of(source, "", ""))
    kept = {row[0] for row in rows if len(row) == 1}
    print(
        f"{out}: {len(rows):,} rows; {sum(len(row) > 1 for row in rows):,} of them new, the mean of other rows; "
        f"{len(old) - len(kept):,} of the {len(old):,} old ones have no successor"
    )


def scale(config: ScaleConfig) -> None:
    """A correction is alpha / rank times B A: another alpha is all that changes."""
    source, out = _directory(config.model, "--model"), _empty_directory(config.out)
    if not is_adapter(source):
        raise ValueError(f"--model {source}: is a model, expected an adapter")
    check_adapter(source)
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    if settings.get("modules_to_save"):
        raise ValueError(f"--model {source}: has whole layers beside the adapter, which a factor cannot weaken")
    settings["lora_alpha"] *= config.factor
    settings["alpha_pattern"] = {name: a * config.factor for name, a in (settings.get("alpha_pattern") or {}).items()}
    out.mkdir(parents=True, exist_ok=True)
    for file in source.glob("adapter_model.*"):
        shutil.copyfile(file, out / file.name)
    write_text(out / "adapter_config.json", to_json(settings, indent=2) + "\n")
    _write_tokenizer(out, _tokenizer_of(source), _template_of(source, "", ""))
    print(f"{out}: {source}, its correction times {config.factor:g}")


@torch.no_grad()
def _merge_into_base(source: Path, dtype: torch.dtype, base: str) -> Llama:
    """The base with the adapter merged; asserts that the logits change by rounding errors only.

    ValueError if they are not finite.
    """
    model = load_beside(source, "merged", dtype, base)
    vocabulary = model.config.vocab_size
    probe = Packed.of([torch.randint(vocabulary, (PROBE,), generator=torch.Generator().manual_seed(0)).tolist()])
    before = model.logits(model(probe, "merged")).double()
    merge_adapter(model, "merged")
    after = model.logits(model(probe)).double()
    for logits, which in ((before, "beside its base"), (after, "merged")):
        if not logits.isfinite().all():
            raise ValueError(
                f"--dtype: the logits of {source} {which} are not finite in {dtype}; float32 reaches further"
            )
    difference = float((after - before).norm() / before.norm())
    # independent rounding errors of 2 * layers residual branches; a factor of 2.5 was measured, 8 is the bound
    bound = 8 * torch.finfo(dtype).eps * (2 * model.config.num_hidden_layers) ** 0.5
    print(f"logits of {source}, merged against beside the base: {difference:.1e} apart (bound {bound:.1e})")
    assert difference <= bound, f"merging changed the logits by {difference} of their norm, bound {bound}"
    return model


def _tokenizer_of(source: Path, base: str = "") -> Tokenizer | None:
    """The tokenizer of the directory, or else of the model below the adapter, or else None."""
    folder = next(filter(has_tokenizer, levels(source, base)), None)
    return Tokenizer.load(folder) if folder else None


def _special_ids(tokenizer: Tokenizer | None, config: LlamaConfig) -> tuple[int, int] | None:
    """bos and eos for config.json. ValueError if the tokenizer has more ids than the model rows."""
    if tokenizer is None:
        return None
    check_tokenizer_fits(config, len(tokenizer))
    return tokenizer.special_ids


def _template_of(source: Path, chosen: str, base: str) -> str | None:
    """The format of --template, or the one stored with adapter or model; None if neither says, ValueError if both."""
    stored = next(filter(stored_template, levels(source, base)), None)
    if stored and chosen in TEMPLATES and (stored / FILE).is_file() and load_template(stored) != chosen:
        raise ValueError(f"--template {chosen}: {stored} was trained with {load_template(stored)}, as its {FILE} says")
    return choose_template(chosen, stored or source) if chosen or stored else None


def _write_tokenizer(out: Path, tokenizer: Tokenizer | None, template: str | None) -> None:
    if tokenizer is None:
        print(f"warning: there is no tokenizer, so {out} has no tokenizer")
        return
    save_tokenizer(out, tokenizer, template)
    add_settings(out)
    if reason := why_not_exact(tokenizer):
        print(f"warning: other programs may read texts as other ids than this one does: of the tokenizer, {reason}")
    if template is None:
        print(
            f"{out}: no prompt format is stored there; whoever trains it or talks to it has to name one by --template"
        )


def _directory(path: str, flag: str) -> Path:
    if not path:
        raise ValueError(f"{flag} is missing: a directory")
    check_directory(flag, path)
    return Path(path)


def _empty_directory(path: str) -> Path:
    out = Path(path)
    if not path or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"--out is {path!r}, expected a directory that is empty or absent; nothing was written")
    return out


COMMANDS: dict[str, tuple[Callable[[Any], None], type]] = {
    "merge": (merge, MergeConfig),
    "apply-delta": (apply, DeltaConfig),
    "extend": (extend, ExtendConfig),
    "scale": (scale, ScaleConfig),
}

if __name__ == "__main__":
    run_command(COMMANDS)
