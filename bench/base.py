"""Random weights of a given size, shared by all sides of all cases."""

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

from .peers import silence_peers


class Base:
    def __init__(self, config: Any, device: torch.device, folder: Path):
        """Weights by --size, --dtype and --seed; written to `folder` if a case needs files."""
        self.config = config
        self.shape, self.dtype, self.device = LlamaConfig.named(config.size), DTYPES[config.dtype], device
        self.weights = random_llama(self.shape, self.dtype, device, config.seed).state_dict()
        self.path = folder

    def llama(self) -> Llama:
        """zj's model, frozen, sharing these tensors."""
        with torch.device("meta"):
            model = Llama(self.shape)
        model.load_state_dict(self.weights, assign=True)
        model.tie_weights()
        return model.requires_grad_(False).eval()

    def prepare(self, model: Llama) -> None:
        """Prepack frozen weights, apply --recompute and --compile."""
        prepack_frozen(model)
        model.recompute = self.config.recompute
        if self.config.compile:
            compile_blocks(model)

    def transformers_model(self, kind: str) -> Any:
        """transformers' LlamaForCausalLM or LlamaForSequenceClassification on a copy; its score head is random."""
        silence_peers()
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
        model.model.rotary_emb = LlamaRotaryEmbedding(config).to(self.device)  # a buffer, not in the weights
        if kind == "LlamaForCausalLM":
            model.lm_head.load_state_dict({"weight": self.weights["lm_head.weight"].clone()}, assign=True)
        else:
            model.score = nn.Linear(self.shape.hidden_size, 1, bias=False, device=self.device, dtype=self.dtype)
        return model

    @cached_property
    def folder(self) -> Path:
        """The weights as a Hugging Face directory, written on first use."""
        save_llama(self.llama(), self.path)
        return self.path

    def release(self) -> None:
        """Free the weights in memory."""
        self.weights = {}
