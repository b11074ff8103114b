"""Tools of measurements: lengths like those of real data, a tokenizer for them, peak memory of a call."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from zj.data.prompt_formats import save_template
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import Tokenizer

TOKENS_PER_CHARACTER = 0.6  # of a Chinese LLaMA tokenizer
ANSWERED = 0.6  # share of answer tokens in a dialogue


def drawn_length(dice: random.Random) -> int:
    """Tokens of a dialogue, distributed as in CMtMedQA: mean 360, 80 to 830."""
    return min(830, max(80, round(dice.gauss(360, 120))))


def digits_tokenizer(folder: Path) -> Tokenizer:
    """A tokenizer, written into a directory, with a token for every digit, so that lengths of texts are exact."""
    pieces = 256 + 5 + 11  # bytes, special tokens, digits and space
    tokenizer = train_tokenizer(["0123456789 " * 20], folder, pieces)
    save_template(folder, "ziya")
    return tokenizer


def peak_bytes(act: Callable[[], Any], device: torch.device) -> int:
    """Peak bytes of tensors while `act` runs, beyond those allocated before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        act()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences the profiler's notices about its files
    with torch.profiler.profile(profile_memory=True) as profile:
        act()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes, initial=0))
