"""scripts/plan.py for a Bloom: as tests/scripts/test_plan.py, with its own layers, norms and attention."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from scripts import plan
from tests.scripts.test_plan import (
    KINDS,
    TOKENS,
    Live,
    Varlen,
    actual_state,
    flops_of,
    job_of,
    model_of,
    packed,
    peak_of_a_pack,
    planned_state,
    saved_bytes,
)
from zj.inference import generate
from zj.model import BloomConfig, Cache, LlamaConfig, Packed, bloom, heads, sequence_logprobs
from zj.plan.activations import norm_bytes, saved_by_block
from zj.plan.apply import widest_lora
from zj.plan.flops import forward_flops, training_flops
from zj.plan.memory import peaks
from zj.stages.config import Lora
from zj.train import DTYPES
from zj.weights.huggingface import shapes_of

SHAPE = BloomConfig.of(300, 64, 4, 4)
KINDS_HERE = ("full", "lora", "dropout")


def saved_by_real_block(kind, dtype):
    model, adapter = model_of(kind, dtype, shape=SHAPE)
    x = torch.randn(TOKENS, 64, dtype=DTYPES[dtype], requires_grad=True)
    bias = bloom.alibi(packed().positions, SHAPE, x.dtype)
    return saved_bytes(model, lambda: model.model.layers[1](x, bias, packed(), adapter))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS_HERE)
def test_state_is_the_planned_one(kind, dtype):
    model, _ = model_of(kind, dtype, shape=SHAPE)
    job = job_of(shape=SHAPE, lora=KINDS[kind], dtype=dtype)
    assert planned_state(job) == actual_state(model.parameters(), DTYPES[dtype])


@pytest.mark.parametrize("kind", KINDS_HERE)
def test_activations_of_a_block_to_the_byte(kind):
    job = job_of(shape=SHAPE, lora=KINDS[kind], dtype="fp32")
    assert saved_by_block(job) == saved_by_real_block(kind, "fp32")
    assert saved_by_block(job) != saved_by_block(replace(job, shape=LlamaConfig(300, 64, 256, 4, 4, 4)))  # control


@pytest.mark.parametrize("kind", KINDS_HERE)
def test_activations_of_a_block_on_a_gpu_to_the_byte(kind, monkeypatch):
    """Stand-ins for CUDA's kernels, with the shapes and types that those save; statistics of LayerNorm are fp32."""
    monkeypatch.setattr(F, "dropout", lambda x, p, train: torch.native_dropout(x, p, train)[0] if p else x)
    monkeypatch.setattr(bloom, "attend", lambda q, k, v, *_: Varlen.apply(q, k, v))
    job = job_of(shape=SHAPE, lora=KINDS[kind], dtype="bf16", device="cuda")
    statistics = 2 * 2 * (4 - 2) * TOKENS  # a CPU keeps mean and 1 / deviation in bf16
    assert saved_by_block(job) == saved_by_real_block(kind, "bf16") + statistics


@pytest.mark.parametrize("kind", KINDS_HERE)
@pytest.mark.parametrize("recompute", [0, 4])
def test_activations_and_the_peak_of_a_pack_within_a_tenth(kind, recompute, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), 1 << 14))
    job = job_of(shape=SHAPE, lora=KINDS[kind], dtype="fp32", recompute=recompute)
    model, adapter = model_of(kind, "fp32", recompute, SHAPE)
    saved = saved_bytes(model, lambda: model(packed(), adapter))
    planned = peaks(job)["loss"].activations + TOKENS * (norm_bytes(job, 64) + 4)
    assert planned == pytest.approx(saved, rel=0.1)
    alive = peak_of_a_pack(model, adapter, "fp32")
    planned = max(m.total - m.weights - m.optimizer for name, m in peaks(job).items() if name != "sampling")
    assert planned == pytest.approx(alive, rel=0.1)


def test_the_peak_of_sampling_within_a_tenth(monkeypatch):
    monkeypatch.setattr("zj.inference.cpu.MAX_BYTES", 0)  # as on a GPU: no copies for the host's products
    ppo = {"batch_size": 16, "max_tokens": 100, "max_new_tokens": 9, "lora": KINDS["lora"], "valid_fraction": 0.0}
    model, adapter = model_of("lora", "fp32", shape=SHAPE)
    with Live() as live:
        generate(model, [[5 + n] * 91 for n in range(16)], 9, adapter=adapter, eos_ids=())
    memory = peaks(job_of("ppo", shape=SHAPE, dtype="fp32", **ppo))["sampling"]
    assert memory.total - memory.weights - memory.optimizer == pytest.approx(live.peak, rel=0.1)
    assert memory.cache == Cache(SHAPE, 16, 100, torch.float32, torch.device("cpu")).stored.nbytes


@pytest.mark.parametrize("recompute", [0, 4])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_flops_are_those_of_the_products(kind, recompute):
    model, adapter = model_of(kind, recompute=recompute, shape=SHAPE)
    job = job_of(shape=SHAPE, lora=KINDS[kind], recompute=recompute)
    one = Packed.of([[5] * TOKENS])
    counted, scored = one.positions > 0, (TOKENS - 1) / TOKENS
    with torch.no_grad():
        actual = flops_of(lambda: sequence_logprobs(model, one, counted, adapter))
    assert actual == pytest.approx(TOKENS * forward_flops(job, TOKENS, scored), rel=1e-9)
    actual = flops_of(lambda: sequence_logprobs(model, one, counted, adapter)[0].sum().backward())
    planned = TOKENS * training_flops(job, TOKENS, scored)
    assert planned == pytest.approx(actual, rel=1e-9 if kind == "full" else 0.1)


def test_targets_are_its_own():
    model, _ = model_of("lora", shape=SHAPE)
    assert widest_lora(model, Lora()).targets == ("dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value")
    with pytest.raises(ValueError, match="expected some of query_key_value, dense"):
        peaks(job_of(shape=SHAPE, lora=KINDS["some"]))


def test_bloomz_7b1_has_as_many_weights_as_its_card_says():
    """7,069,016,064, of which 1,027,604,480 are the embedding's: BigScience's model card of bloom-7b1."""
    shapes = shapes_of(BloomConfig.of(250880, 4096, 30, 32))
    assert sum(shape.numel() for shape in shapes.values()) == 7_069_016_064
    assert shapes["model.embed_tokens.weight"].numel() == 1_027_604_480


def test_plan_reads_a_config(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(BloomConfig.of(250880, 4096, 30, 32).to_hf()))
    plan.main(plan.Config(stage="sft", model=str(tmp_path), gpus=8, shard="zero3"))
    assert "7.10 B parameters, 31.5 M of them trained" in capsys.readouterr().out  # Bloomz-7b1-mt, LoRA of rank 16
