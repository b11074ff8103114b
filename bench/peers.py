"""Helpers for the peers: silence their output, and a tokenizer with only pad and EOS."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import Any


def silence_peers() -> None:
    """Switch off the peers' progress bars, warnings and telemetry."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # trl's trainers send telemetry
    warnings.simplefilter("ignore", FutureWarning)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if find_spec("datasets"):
        from datasets import disable_progress_bars

        disable_progress_bars()


def tokenizer_for_trl() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = Tokenizer(WordLevel({"<pad>": 0, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=vocabulary,
        pad_token="<pad>",
        eos_token="</s>",
        padding_side="left",
        model_input_names=["input_ids"],
    )
