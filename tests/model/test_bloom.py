"""Bloom: ALiBi by its closed form and by an explicit bias; packs, branches and the cache are one sequence at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from zj.inference import generate
from zj.inference.cuda_graph import CudaGraph
from zj.lora import adapter_parameters, add_adapter, merge_adapter
from zj.model import Bloom, BloomConfig, Cache, LlamaConfig, Packed, config_from_hf, network, sequence_logprobs
from zj.model.bloom import BloomAttention, alibi, slopes, with_alibi

DRAWN = torch.Generator().manual_seed(4)
PROMPTS = [torch.randint(16, (length,), generator=DRAWN).tolist() for length in (7, 1, 12)]


def tiny(heads: int = 2, dtype: torch.dtype = torch.float64, **more) -> Bloom:
    """2 layers of heads of width 8; weights large enough that every token before matters, and no bias is 0."""
    model = network(BloomConfig.of(16, 8 * heads, 2, heads, **more)).to(dtype)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(12)
            else:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    assert isinstance(model, Bloom)
    return model.eval()


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


# --- ALiBi


def test_slopes_of_a_power_of_two_are_one_geometric_series():
    like = torch.ones((), dtype=torch.float64)
    assert slopes(8, like).tolist() == [2.0**-i for i in range(1, 9)]
    close(slopes(32, like), torch.tensor([2 ** (-i / 4) for i in range(1, 33)], dtype=torch.float64), 1e-15)


def test_slopes_of_other_numbers_of_heads_fill_the_gaps():
    like = torch.ones((), dtype=torch.float64)
    assert slopes(6, like).tolist() == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]
    for heads in (3, 12, 112):  # 112: BLOOM-176B
        below = 2 ** (heads.bit_length() - 1)
        found = slopes(heads, like)
        assert torch.equal(found[:below], slopes(below, like))
        close(found[below:], slopes(2 * below, like)[0::2][: heads - below], 1e-15)


def attended(q, k, v, slope):
    """softmax(q k / sqrt(K) + slope * (key position - query position)) v, causal, by its formula."""
    place = torch.arange(len(q), dtype=q.dtype)
    bias = slope[:, None, None] * (place[None, :] - place[:, None])
    scores = torch.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5 + bias
    scores = scores.masked_fill(torch.ones(len(q), len(q)).triu(1).bool(), -torch.inf)
    return torch.einsum("hij,jhd->ihd", scores.softmax(-1), v)


@pytest.mark.parametrize("heads", [4, 6])
def test_attention_has_the_bias(heads):
    model = tiny(heads)
    q, k, v = torch.randn(3, 30, heads, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    packed = Packed.of([[1] * 30])
    bias = alibi(packed.positions, model.config, torch.float64)
    found = model.model.layers[0].self_attn.attend(*with_alibi(q, k, v, bias), packed)
    slope = slopes(heads, q)
    close(found[..., :8], attended(q, k, v, slope))
    assert (found[..., 8:] == 0).all()
    assert (found[..., :8] - attended(q, k, v, slope.flip(0))).abs().max() > 0.1  # control: slopes in another order


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_bias_is_as_exact_as_fp32_in_any_dtype(dtype):
    """A slope times a position up to 4,000, where the bias rounded to 16 bit is off by whole numbers."""
    config = BloomConfig.of(16, 12 * 128, 1, 12)
    positions = torch.arange(4000)
    of_queries, of_keys = alibi(positions, config, dtype)
    assert of_queries.dtype == of_keys.dtype == dtype
    found = of_keys[:, 0].double() @ of_queries[0].double().T / config.key_width**0.5
    expected = positions[:, None] * slopes(12, torch.ones((), dtype=torch.float64))
    assert ((found - expected).abs() <= expected * 2.0**-15).all()
    if dtype is torch.bfloat16:
        assert (expected.to(dtype).double() - expected).abs().max() > 4  # control


@pytest.mark.gpu
@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernel_for_16_bit_has_the_bias_too(dtype):
    """A GPU is no further from fp64 on the same rounded weights than three times what a CPU is."""
    exact, rounded = network(BloomConfig.of(64, 6 * 64, 2, 6)), network(BloomConfig.of(64, 6 * 64, 2, 6))
    rounded.init_weights(0)
    for one, other in zip(exact.parameters(), rounded.to(dtype).parameters(), strict=True):
        one.data = other.data.double()
    packed = Packed.of([[n % 64 for n in range(700)], [1, 5, 9], [3] * 90])
    expected, on_cpu = exact(packed), rounded(packed).double()
    on_gpu = rounded.cuda()(packed.to("cuda")).double().cpu()
    assert (on_gpu - expected).norm() < 3 * (on_cpu - expected).norm()


# --- packs, branches, cache


@torch.no_grad()
def test_a_pack_is_one_sequence_at_a_time():
    model = tiny(3)
    together = model(Packed.of(PROMPTS)).split([len(p) for p in PROMPTS])
    for prompt, hidden in zip(PROMPTS, together, strict=True):
        close(model(Packed.of([prompt])), hidden)
    moved = replace(Packed.of(PROMPTS), positions=Packed.of(PROMPTS).positions + 5)
    close(model(moved), torch.cat(together))  # the bias is one of distances
    wrong = Packed.of(PROMPTS)
    wrong = replace(wrong, positions=wrong.positions * 2)
    assert (model(wrong) - torch.cat(together)).abs().max() > 0.01  # control


def test_branches_have_the_values_and_gradients_of_sequences_apart():
    prompt, answers = PROMPTS[0], [[3, 4], [5], [6, 7, 8]]
    packs = (
        Packed.of([prompt + a for a in answers]),
        Packed.branching([prompt[:-1]], [[prompt[-1:] + a for a in answers]]),
    )
    found = []
    for packed in packs:
        model = tiny(3)
        add_adapter(model, "a", 2, 4)
        with torch.no_grad():
            for matrix in adapter_parameters(model, "a").values():
                matrix.normal_(0, 0.2, generator=torch.Generator().manual_seed(3))
        model.recompute = 1
        counted = torch.zeros(len(packed.tokens), dtype=torch.bool)
        for (_, end), answer in zip(packed.spans[-3:], answers, strict=True):
            counted[end - len(answer) : end] = True
        logprobs, _ = sequence_logprobs(model, packed, counted, "a")
        logprobs.sin().sum().backward()
        found.append([logprobs[counted], *(p.grad for p in adapter_parameters(model, "a").values())])
    for one, other in zip(*found, strict=True):
        close(one, other)


@torch.no_grad()
def test_steps_with_the_cache_are_the_whole_forward_pass():
    model = tiny(3)
    cache = Cache(model.config, 2, 12, torch.float64, torch.device("cpu"))
    step, rows = CudaGraph(model, None, cache), ([*PROMPTS[0], 9, 4], [*PROMPTS[1], 3])
    found = step([rows[0][:7]]), step([rows[0][7:8], rows[1][:1]]), step([rows[0][8:], rows[1][1:]])
    for row, logits in (
        (rows[0][:7], found[0][0]),
        (rows[1][:1], found[1][1]),
        (rows[0], found[2][0]),
        (rows[1], found[2][1]),
    ):
        close(logits, model.logits(model(Packed.of([row])))[-1])


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_greedy_text_is_recomputed_from_scratch(dtype):
    """Also in fp32, where weights are prepacked on a CPU and the adapter is merged into them, biases kept."""
    model = tiny(3, dtype)
    add_adapter(model, "a", 2, 4, targets=("query_key_value", "dense_4h_to_h"))
    for number, matrix in enumerate(adapter_parameters(model, "a").values()):
        matrix.normal_(0, 0.3, generator=torch.Generator().manual_seed(number))
    found = generate(model, PROMPTS, 8, adapter="a", temperature=0, eos_ids=(), slots=2)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        ids = list(prompt)
        for _ in range(8):
            ids.append(int(model.logits(model(Packed.of([ids]), "a"))[-1].argmax()))
        assert answer == ids[len(prompt) :]
    assert found != generate(model, PROMPTS, 8, temperature=0, eos_ids=())  # control: the adapter says something


@torch.no_grad()
def test_heads_are_interleaved(monkeypatch):
    """Negative control: q, k and v as three blocks of rows load without an error and say something else."""
    model, packed = tiny(3), Packed.of(PROMPTS)
    attention = model.model.layers[0].self_attn
    assert isinstance(attention, BloomAttention)
    x = torch.randn(20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bias = alibi(packed.positions, model.config, torch.float64)
    seen = []
    attention.attend = lambda *given: seen.append(given[:3]) or given[2]
    attention(x, bias, packed)
    weight, shift = attention.query_key_value.weight, attention.query_key_value.bias
    for head in range(3):
        for part, scale in ((0, 2**0.5), (1, 1), (2, 1)):  # q is scaled by sqrt(16 / 8)
            rows = slice(24 * head + 8 * part, 24 * head + 8 * part + 8)
            close(seen[0][part][:, head, :8], scale * F.linear(x, weight[rows], shift[rows]))
    expected = tiny(3)(packed)
    attention = (swapped := tiny(3)).model.layers[0].self_attn
    for tensor in (attention.query_key_value.weight, attention.query_key_value.bias):
        tensor.copy_(tensor.unflatten(0, (3, 3, 8)).transpose(0, 1).flatten(0, 2))
    assert (swapped(packed) - expected).abs().max() > 0.01


# --- adapters


@torch.no_grad()
def test_adapters_are_of_its_own_layers():
    model, packed = tiny(), Packed.of(PROMPTS)
    add_adapter(model, "all", 2, 4)  # LLaMA's names, as a whole the default, stand for all layers
    assert len(adapter_parameters(model, "all")) == 2 * 2 * 4
    for matrix in adapter_parameters(model, "all").values():
        matrix.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    adapted = model(packed, "all")
    assert (adapted - model(packed)).abs().max() > 0.01
    merge_adapter(model, "all")
    close(model(packed), adapted)
    with pytest.raises(
        ValueError, match=r"targets \['q_proj'\], expected some of query_key_value, dense, dense_h_to_4h"
    ):
        add_adapter(tiny(), "x", 2, 4, targets=("q_proj", "dense"))


# --- config.json


def config_file(folder, **changes):
    raw = {
        "architectures": ["BloomForCausalLM"],
        "apply_residual_connection_post_layernorm": False,
        "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_dropout": 0.0,
        "hidden_size": 96,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "masked_softmax_fusion": True,
        "model_type": "bloom",
        "n_head": 12,
        "n_inner": None,
        "n_layer": 3,
        "offset_alibi": 100,
        "pad_token_id": 3,
        "pretraining_tp": 4,
        "seq_length": 1024,
        "skip_bias_add": True,
        "skip_bias_add_qkv": False,
        "slow_but_exact": False,
        "vocab_size": 50,
    }
    raw = {key: value for key, value in (raw | changes).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def test_a_published_config_is_read_and_written(tmp_path):
    expected = BloomConfig.of(50, 96, 3, 12, max_position_embeddings=1024)
    assert config_from_hf(config_file(tmp_path)) == expected and expected.tie_word_embeddings
    for changes in (
        {"n_embed": 96, "hidden_size": ..., "num_attention_heads": 12, "n_head": ...},
        {"n_inner": 384, "num_hidden_layers": 3, "tie_word_embeddings": True, "eos_token_id": [2, 7]},
    ):
        assert config_from_hf(config_file(tmp_path, **changes)) == expected
    assert config_from_hf(config_file(tmp_path, seq_length=...)).max_position_embeddings == 2048
    (tmp_path / "config.json").write_text(json.dumps(expected.to_hf()))
    assert config_from_hf(tmp_path) == expected
    assert not isinstance(network(LlamaConfig.named("nano")), Bloom)


REFUSED = {
    "apply_residual_connection_post_layernorm": True,
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "n_inner": 100,
    "n_embed": 64,
    "n_head": 0,
    "n_layer": 0,
    "layer_norm_epsilon": -1,
    "tie_word_embeddings": "yes",
    "rope_theta": 1e4,
    "sliding_window": 64,
    "quantization_config": {"bits": 8},
    "activation_function": "relu",
}


def test_two_names_of_a_size_have_to_agree(tmp_path):
    with pytest.raises(ValueError, match="n_head is 12 and num_attention_heads 6, expected the same"):
        config_from_hf(config_file(tmp_path, num_attention_heads=6))


@pytest.mark.parametrize("key", REFUSED)
def test_what_changes_the_network_is_refused_by_name(key, tmp_path):
    with pytest.raises(ValueError, match=rf"config.json: {key} is "):
        config_from_hf(config_file(tmp_path, **{key: REFUSED[key]}))
