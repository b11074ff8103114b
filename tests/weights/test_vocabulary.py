"""Another vocabulary: rows move with their ids, new ones are means, and all else stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zj.model import Llama, LlamaConfig, Packed
from zj.weights import load_llama, save_llama
from zj.weights.vocabulary import extend_vocabulary

ORDER = [3, 0, 5, 1, 4, 2]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_are_permuted_and_means(tmp_path, tied, dtype):
    model = Llama(replace(LlamaConfig.named("nano", vocab_size=8), tie_word_embeddings=tied))  # two rows are padding
    model.init_weights(0)
    save_llama(model.to(dtype), tmp_path / "old")
    extend_vocabulary(tmp_path / "old", [*([id] for id in ORDER), [2, 5], [0, 1, 1]], tmp_path / "new", (4, 3))
    new = load_llama(tmp_path / "new", dtype)
    assert (new.config.vocab_size, new.config.bos_token_id, new.config.eos_token_id) == (8, 4, 3)
    assert torch.equal(new.model.embed_tokens.weight[:6], model.model.embed_tokens.weight[ORDER])
    for one, other in [(new.model.embed_tokens, model.model.embed_tokens), (new.lm_head, model.lm_head)]:
        rows = other.weight.float()
        assert torch.equal(one.weight[6], ((rows[2] + rows[5]) / 2).to(dtype))
        torch.testing.assert_close(one.weight[7], ((rows[0] + 2 * rows[1]) / 3).to(dtype))
    ids = [1, 4, 0, 3]  # in the old vocabulary
    old = model.eval().float()
    wanted = old.logits(old(Packed.of([ids])))[:, ORDER]
    new = new.float()
    found = new.logits(new(Packed.of([[ORDER.index(id) for id in ids]])))[:, :6]
    torch.testing.assert_close(found, wanted)
