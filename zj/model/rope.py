"""Rotary positions beyond those of pre-training: the frequencies are divided, all of them or the low ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RopeScaling:
    """`rope_scaling` of a config.json, and its field names.

    linear  every frequency is divided by `factor` (Chen et al. 2023, "Position Interpolation", equation 4)
    llama3  low frequencies are, high ones are not, and between the two it goes over smoothly (Llama 3.1)
    yarn    the same with another transition, and cos and sin are multiplied by `attention_factor`
            (Peng et al. 2023, "YaRN", equations 17 to 23)
    """

    rope_type: str  # one of KEYS
    factor: float
    original_max_position_embeddings: int = 0  # positions of pre-training; of llama3 and yarn
    low_freq_factor: float = 1.0  # llama3: frequencies that turn fewer times than this over them are divided
    high_freq_factor: float = 4.0  # llama3: those that turn more often than this stay
    beta_slow: float = 1.0  # the same two of yarn
    beta_fast: float = 32.0
    attention_factor: float = 0.0  # yarn; 0 means 0.1 ln(factor) + 1

    def __post_init__(self) -> None:
        if not self.attention_factor:
            usual = 0.1 * math.log(self.factor) + 1 if self.rope_type == "yarn" and self.factor > 1 else 1.0
            object.__setattr__(self, "attention_factor", usual)
        for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} is {getattr(self, low)}, expected less than {high} {getattr(self, high)}")

    def divided(self, frequency: Tensor, base: float) -> Tensor:
        """The frequencies [K / 2], base^(-2i/K) for i from 0 on, as they are used."""
        if self.rope_type == "linear":
            return frequency / self.factor
        if self.rope_type == "llama3":
            turns = self.original_max_position_embeddings * frequency / (2 * math.pi)
            kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        else:
            first, last = self._transition(2 * len(frequency), base)
            index = torch.arange(len(frequency), dtype=frequency.dtype, device=frequency.device)
            kept = (last - index) / (last - first)
        kept = kept.clamp(0, 1)  # 1: as it was, 0: divided
        return frequency * kept + frequency / self.factor * (1 - kept)

    def _transition(self, width: int, base: float) -> tuple[float, float]:
        """yarn's first and last index i of a frequency that is divided in part: those that turn beta times."""
        first, last = (
            width * math.log(self.original_max_position_embeddings / (beta * 2 * math.pi)) / (2 * math.log(base))
            for beta in (self.beta_fast, self.beta_slow)
        )
        first, last = max(math.floor(first), 0), min(math.ceil(last), width - 1)
        return first, last if last != first else last + 0.001


_STRETCHED = ("factor", "original_max_position_embeddings")
KEYS = {  # rope_type -> its fields
    "linear": ("factor",),
    "llama3": (*_STRETCHED, "low_freq_factor", "high_freq_factor"),
    "yarn": (*_STRETCHED, "beta_slow", "beta_fast", "attention_factor"),
}
