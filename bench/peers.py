"""What the benchmarks of other libraries need: silence, and a tokenizer that only pads and ends."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import Any


def hush() -> None:
    """Neither bars nor remarks of theirs among the figures."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # a trainer of trl reports to its makers that it was made
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

    words = Tokenizer(WordLevel({"<pad>": 0, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="</s>",
        padding_side="left",
        model_input_names=["input_ids"],
    )
