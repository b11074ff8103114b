"""Random weights of a size, made once where they are used: all sides of all cases compute with these numbers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zj.inference.compiled import compile_blocks
from zj.inference.cpu import prepack_frozen
from zj.model import Llama, LlamaConfig
from zj.train import DTYPES
from zj.weights import random_llama, save_llama

from .peers import hush


class Base:
    def __init__(self, config: Any, device: torch.device, folder: Path):
        """As --size, --dtype and --seed ask for; `folder` is where they are written if a case needs files."""
        self.config = config
        self.shape, self.dtype, self.device = LlamaConfig.named(config.size), DTYPES[config.dtype], device
        self.weights = random_llama(self.shape, self.dtype, device, config.seed).state_dict()
        self.place = folder

    def llama(self) -> Llama:
        """Ours, frozen, on these very tensors: nothing may change them."""
        with torch.device("meta"):
            model = Llama(self.shape)
        model.load_state_dict(self.weights, assign=True)
        model.tie_weights()
        return model.requires_grad_(False).eval()

    def ready(self, model: Llama) -> None:
        """Lay out what is frozen, let it compute as --recompute and --compile ask for."""
        prepack_frozen(model)
        model.recompute = self.config.recompute
        if self.config.compile:
            compile_blocks(model)

    def theirs(self, kind: str) -> Any:
        """transformers' LlamaForCausalLM or LlamaForSequenceClassification on a copy of them, its score head random."""
        hush()
        import transformers
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

        config = transformers.LlamaConfig.from_dict(self.shape.to_hf() | {"num_labels": 1, "pad_token_id": 0})
        config.dtype = self.dtype
        with torch.device("meta"):
            model = getattr(transformers, kind)(config)
        trunk = {
            name.removeprefix("model."): w.clone() for name, w in self.weights.items() if name.startswith("model.")
        }
        model.model.load_state_dict(trunk, assign=True)
        model.model.rotary_emb = LlamaRotaryEmbedding(config).to(self.device)  # it keeps a table
        if kind == "LlamaForCausalLM":
            model.lm_head.load_state_dict({"weight": self.weights["lm_head.weight"].clone()}, assign=True)
        else:
            model.score = nn.Linear(self.shape.hidden_size, 1, bias=False, device=self.device, dtype=self.dtype)
        return model

    @cached_property
    def folder(self) -> Path:
        """The same as a Hugging Face directory, written when first asked for."""
        save_llama(self.llama(), self.place)
        return self.place

    def let_go(self) -> None:
        """Keep only what has been written."""
        self.weights = {}
