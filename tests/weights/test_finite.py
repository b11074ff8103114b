"""An adapter or a head with NaN or infinite numbers is neither read nor written. Models: test_huggingface.py."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from zj.lora import add_adapter
from zj.model import Llama, LlamaConfig, ScalarHead
from zj.weights import load_model, load_peft, load_peft_with_head, save_llama, save_peft

NANO = LlamaConfig.named("nano", vocab_size=64)
A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
SCORE = "base_model.model.score.weight"


@pytest.fixture
def model(tmp_path) -> Llama:
    """A model with adapter "a"; its base is saved in tmp_path/base."""
    model = Llama(NANO)
    model.init_weights(0)
    save_llama(model, tmp_path / "base")
    add_adapter(model, "a", rank=2, alpha=2)
    return model


@pytest.mark.parametrize("key", [A, SCORE])
def test_what_is_not_finite_is_not_read(model, tmp_path, key):
    folder = tmp_path / "adapter"
    save_peft(model, "a", folder, base=tmp_path / "base", head=ScalarHead(32) if key == SCORE else None)
    read = load_peft_with_head if key == SCORE else load_peft
    read(load_model(tmp_path / "base"), folder, "x")  # control
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[key][0, 1] = float("nan")
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "SHA256SUMS").unlink()
    reads = [lambda: read(load_model(tmp_path / "base"), folder, "x")]
    reads += [lambda: load_model(folder)] if key == A else []
    for attempt in reads:
        with pytest.raises(ValueError, match=f"adapter_model.safetensors: {key} holds numbers that are not finite"):
            attempt()


@pytest.mark.parametrize("key", [A, SCORE])
def test_what_is_not_finite_is_not_written(model, tmp_path, key):
    head = ScalarHead(32)
    weight = head.weight if key == SCORE else model.get_parameter("model.layers.1.self_attn.q_proj.lora_A.a")
    with torch.no_grad():
        weight[0, 1] = float("inf")
    with pytest.raises(ValueError, match=f"adapter: {key} holds numbers that are not finite"):
        save_peft(model, "a", tmp_path / "adapter", base=tmp_path / "base", head=head)
    assert not (tmp_path / "adapter").exists()
