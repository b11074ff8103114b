"""PromptCBLUE cuts texts with BERT's BasicTokenizer: ours cuts every text as it does."""

from __future__ import annotations

import random

import pytest

from zj.eval.text.tokens import basic_tokens

pytestmark = pytest.mark.parity

RANGES = ((0x20, 0x7F), (0x4E00, 0x9FFF), (0, 0x3100), (0xF900, 0xFFFF), (0x1F600, 0x1F640), (0x20000, 0x2FA20))
ODD = "\ufffd\u200b\xa0\u3000\x85\u2028é\u0301"


def test_every_text_is_cut_as_bert_cuts_it():
    bert = pytest.importorskip("transformers.models.bert.tokenization_bert_legacy").BasicTokenizer()
    rng = random.Random(0)
    for _ in range(20_000):
        characters = [chr(rng.randrange(*rng.choice(RANGES))) for _ in range(rng.randrange(12))]
        text = "".join(rng.choice(ODD) if rng.random() < 0.1 else c for c in characters)
        assert basic_tokens(text) == bert.tokenize(text), repr(text)
