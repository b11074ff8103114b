"""Convert an adapter or delta weights to a model directory.

merge        add an adapter (PEFT directory) to its base; a full model is written as it is
apply-delta  add delta weights, as Ziya-LLaMA-13B and HuatuoGPT-13B are published, to their base
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from zj.cli import run_command
from zj.data.template import FILE as TEMPLATE
from zj.data.tokenizer import COMPANIONS as TOKENIZER_FILES
from zj.data.tokenizer import MODEL as TOKENIZER
from zj.lora import merge_adapter
from zj.model import Llama, Packed
from zj.weights import base_of, load_model, load_peft, save_llama
from zj.weights.delta import apply_delta
from zj.weights.huggingface import stored_dtype

PROBE = 64  # tokens on which the merged model is compared with the adapter


@dataclass(frozen=True)
class MergeConfig:
    model: str = ""  # directory of the adapter (its adapter_config.json names the base), or of a model
    out: str = ""  # directory to write the model to; must be empty or absent
    dtype: Literal["stored", "float32", "float16", "bfloat16"] = "stored"  # of the written weights


@dataclass(frozen=True)
class DeltaConfig:
    base: str = ""  # directory of the base model of the delta, e.g. LLaMA-13B
    delta: str = ""  # directory of the delta weights, as published
    out: str = ""  # directory to write the model to; must be empty or absent


def merge(config: MergeConfig) -> None:
    source, out = _directory(config.model, "--model"), _empty_directory(config.out)
    dtype = stored_dtype(_base_model(source)) if config.dtype == "stored" else getattr(torch, config.dtype)
    model = _merge_into_base(source, dtype) if _is_adapter(source) else load_model(source, dtype)
    _copy_tokenizer(source, out)
    save_llama(model, out)
    print(f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters in {dtype}")


def apply(config: DeltaConfig) -> None:
    base, delta = _directory(config.base, "--base"), _directory(config.delta, "--delta")
    out = _empty_directory(config.out)
    apply_delta(base, delta, out)
    _copy_tokenizer(delta, out)
    print(f"{out}: {base} + {delta}, in {stored_dtype(out)}")


@torch.no_grad()
def _merge_into_base(source: Path, dtype: torch.dtype) -> Llama:
    """The base with the adapter merged; asserts that the logits change by rounding errors only."""
    model = load_model(base_of(source), dtype)
    load_peft(model, source, "merged")
    vocabulary = model.config.vocab_size
    probe = Packed.of([torch.randint(vocabulary, (PROBE,), generator=torch.Generator().manual_seed(0)).tolist()])
    before = model.logits(model(probe, "merged")).double()
    merge_adapter(model, "merged")
    after = model.logits(model(probe)).double()
    difference = float((after - before).norm() / before.norm())
    # independent rounding errors of 2 * layers residual branches; a factor of 2.5 was measured, 8 is the bound
    bound = 8 * torch.finfo(dtype).eps * (2 * model.config.num_hidden_layers) ** 0.5
    print(f"logits of {source}, merged against beside the base: {difference:.1e} apart (bound {bound:.1e})")
    assert difference <= bound, f"merging changed the logits by {difference} of their norm, bound {bound}"
    return model


# Copied beside the weights.
COPIED_FILES = (TOKENIZER, *TOKENIZER_FILES, TEMPLATE, "generation_config.json")


def _copy_tokenizer(source: Path, out: Path) -> None:
    """Copy the files of the base model, then those of the adapter over them."""
    if _is_adapter(source):
        _copy_tokenizer(base_of(source), out)
    out.mkdir(parents=True, exist_ok=True)
    for name in COPIED_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def _base_model(source: Path) -> Path:
    """The model below nested adapters."""
    return _base_model(base_of(source)) if _is_adapter(source) else source


def _is_adapter(source: Path) -> bool:
    return (source / "adapter_config.json").is_file()


def _directory(path: str, flag: str) -> Path:
    if not path or not Path(path).is_dir():
        raise ValueError(f"{flag} is {path!r}, expected a directory")
    return Path(path)


def _empty_directory(path: str) -> Path:
    out = Path(path)
    if not path or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"--out is {path!r}, expected a directory that is empty or absent; nothing was written")
    return out


COMMANDS: dict[str, tuple[Callable[[Any], None], type]] = {
    "merge": (merge, MergeConfig),
    "apply-delta": (apply, DeltaConfig),
}

if __name__ == "__main__":
    run_command(COMMANDS)
